"""draw_dot: a graph as boxes (nodes) and ellipses (operations), in the manner of micrograd's drawings."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import topological_order
from ..node import Node
from .names import names_of, plain_text, short_array, short_number
from .program import SUFFIXES, drawing_class

if TYPE_CHECKING:
    from pathlib import Path

    import graphviz

__all__ = ["draw_dot", "render"]

MAX_NODES = 500
LONGEST = 60  # of a piece of metadata, in characters
FONT = "Helvetica"  # one that graphviz-pure has the widths of
INPUT, RESULT, INNER, OPERATION = "#e8f1fb", "#fdf3d0", "white", "#ececec"
CONSTANT = {
    "shape": "box",
    "style": "filled,rounded",
    "fillcolor": "white",
    "color": "#999999",
    "margin": "0.06,0.03",
    "width": "0.2",
    "height": "0.25",
}
ROLE = {"fontname": FONT, "fontsize": "9"}  # of an operand, beside its edge
DIRECTIONS = ("LR", "TB", "RL", "BT")


def draw_dot(
    root: Any, *, rankdir: str = "LR", names: Mapping[str, Any] | None = None, max_nodes: int = MAX_NODES
) -> "graphviz.Digraph":
    r"""Draw everything that a node was computed from.

    A box for every node, with its name, data and gradient; an ellipse for every operation; a small box for every
    constant; one edge for every operand, so ``a * a`` has two. Inputs are blue, the root is yellow.

    Args:
        root: a Value or Tensor. Call ``root.backward()`` first to see gradients.
        rankdir: "LR" draws from left to right, "TB" from top to bottom; "RL" and "BT" the other way.
        names: what nodes are called, for example ``locals()``; else they show their own ``name``.
        max_nodes: how many nodes may be drawn; more than 500 are rarely readable and take seconds.

    Returns a ``graphviz.Digraph``: Jupyter shows it, ``.source`` is its DOT text, and ``autodiff.draw.render``
    writes it to a file.

    Raises ValueError for more than max_nodes nodes or another rankdir, TypeError if root is not a node, and
    ImportError if the graphviz package is missing.

    >>> from autodiff import Value
    >>> a, b = Value(2.0), Value(1.0)
    >>> e = (a + b) * (b + 1)
    >>> e.backward()
    >>> picture = draw_dot(e, names={"a": a, "b": b, "e": e})
    >>> "{e|data 6.0000|grad 1.0000}" in picture.source.replace("\\", "")
    True
    """
    if not isinstance(root, Node):
        raise TypeError(f"draw_dot draws a Value or Tensor, got {type(root).__name__}: {root!r}")
    if rankdir not in DIRECTIONS:
        raise ValueError(f"rankdir is one of {', '.join(DIRECTIONS)}, got {rankdir!r}")
    order = topological_order(root)
    if len(order) > max_nodes:
        raise ValueError(
            f"this graph has {len(order)} nodes, more than the {max_nodes} to be drawn; draw a smaller part, or pass "
            f"max_nodes={len(order)}"
        )
    picture = drawing_class()(
        graph_attr={"rankdir": rankdir, "nodesep": "0.15", "ranksep": "0.3"},
        node_attr={"fontname": FONT, "fontsize": "12", "style": "filled", "height": "0.3"},
        edge_attr={"arrowsize": "0.7"},
    )
    labels = names_of(order, names)
    numbers = {node: i for i, node in enumerate(order)}
    for node, i in numbers.items():
        fill = RESULT if node is root else INPUT if node.is_leaf else INNER
        picture.node(f"n{i}", _fields(node, labels.get(node), rankdir in ("LR", "RL")), shape="record", fillcolor=fill)
        if not node.is_leaf:
            _draw_operation(picture, node, numbers)
    return picture


def render(root: Any, path: "str | Path", *, format: str | None = None, **options: Any) -> "Path":
    """Draw a graph into a file.

    Args:
        root: a Value or Tensor, or a ``graphviz.Digraph`` that ``draw_dot`` returned.
        path: the file; its suffix tells the format, such as .svg or .png; .dot gives the source.
        format: the format, if the suffix does not tell it.
        options: for ``draw_dot``.

    Works without an installed Graphviz, which is preferred where there is one (and needed for pdf).
    Returns the path. Raises ValueError for a format that cannot be drawn, ImportError if a package is missing,
    and whatever ``draw_dot`` raises.

    >>> from autodiff import Value
    >>> render(Value(2.0) * 3, "product.svg").read_text(encoding="utf-8").count("<ellipse")
    1
    """
    from pathlib import Path  # here, because importing it takes longer than the rest of this module

    path = Path(path)
    kind = (format or path.suffix.removeprefix(".")).lower()
    if kind not in SUFFIXES:
        raise ValueError(f"cannot tell a format from {str(path)!r}; end it in .svg or .png, or pass format='svg'")
    picture = draw_dot(root, **options) if isinstance(root, Node) else root
    content = picture.source.encode() if kind in ("dot", "gv") else picture.pipe(format=kind)
    path.write_bytes(content)
    return path


# ---- boxes ------------------------------------------------------------------------------------------------------


def _fields(node: Any, name: str | None, sideways: bool) -> str:
    """The label of a record: name, data, gradient; an array's fields are long and stand below each other."""
    data = node.data
    title = [plain_text(name)] if name else []
    rows = [f"data {_short(data)}", f"grad {_short(node.grad)}"]
    if not isinstance(data, np.ndarray):
        return "{" + "|".join(map(_in_record, title + rows)) + "}"
    title.append(f"shape {data.shape}" + (f" {data.dtype}" if data.dtype != np.float64 else ""))
    head, body = "|".join(map(_in_record, title)), "|".join(map(_in_record, rows))
    return f"{{{head}}}|{body}" if sideways else f"{{{head}|{body}}}"


def _short(x: Any) -> str:
    if x is None:
        return "none"
    return short_array(x) if isinstance(x, np.ndarray) else short_number(x)


def _draw_operation(picture: "graphviz.Digraph", node: Any, numbers: dict[Any, int]) -> None:
    """The ellipse of the operation that made a node, and an edge from every operand."""
    result = numbers[node]
    operation = f"op{result}"
    picture.node(operation, _in_label(_operation_text(node)), shape="ellipse", fillcolor=OPERATION, ordering="in")
    picture.edge(operation, f"n{result}")
    for position, role, operand in _operands(node):
        if isinstance(operand, Node):
            source = f"n{numbers[operand]}"
        else:
            source = f"c{result}_{position}"
            picture.node(source, _in_label(_constant_text(operand)), **CONSTANT)
        picture.edge(source, operation, **(ROLE | {"label": role} if role else {}))


def _constant_text(x: Any) -> str:
    if not isinstance(x, np.ndarray):
        return f"{x:.6g}"
    return f"{x.shape}  {short_array(x)}" if x.ndim else short_array(x)


def _operands(node: Any) -> Iterator[tuple[int, str, Any]]:
    """Position, role and operand. A weighted sum shows each weight beside its input: b, w, x, w, x, ..."""
    operands = node.operands
    if node.op.name != "weighted_sum":
        for position, operand in enumerate(operands):
            yield position, "", operand
        return
    pairs = len(operands) // 2
    yield 0, "b", operands[0]
    for i in range(1, pairs + 1):
        yield i, "w", operands[i]
        yield i + pairs, "x", operands[i + pairs]


def _operation_text(node: Any) -> str:
    """The symbol, and the metadata that change what the operation means, unless they are too long to read."""
    params = [f"{name}={value}" for name, value in node.params.items() if value is not None]
    return plain_text("  ".join([node.op.symbol, ", ".join(text for text in params if len(text) <= LONGEST)]).rstrip())


# ---- text that DOT does not interpret ---------------------------------------------------------------------------


def _padded(text: str) -> str:
    """Blanks around wide characters: a program that lacks their widths takes them for narrow ones."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    blanks = " " * -(-wide // 3)
    return blanks + text + blanks


def _in_label(text: str) -> str:
    """A label that shows exactly this text: no escapes, entities or HTML."""
    return _padded(text).replace("&", "&amp;").replace("\\", "\\\\")


def _in_record(text: str) -> str:
    """A field that shows exactly this text: in a record also braces, bars, angle brackets and blanks mean something."""
    return re.sub(r"([\\{}|<> ])", r"\\\1", _padded(text).replace("&", "&amp;"))
