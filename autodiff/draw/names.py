"""What to call the nodes of a graph, and how to show text and numbers that came from the user."""

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["names_of", "plain_text", "short_array", "short_number"]

DEEPEST_LIST = 4  # how far to look into lists of lists: layer, neuron, weights and one to spare
FEW = 4  # arrays of at most so many elements are shown in full
LONGEST_TEXT = 40


def names_of(nodes: Iterable[Any], names: Mapping[str, Any] | None = None) -> dict[Any, str]:
    """The name of each node that has one: its first name in ``names``, else its own ``name``.

    Args:
        nodes: the nodes of a graph.
        names: names and what they stand for, as ``locals()`` gives them. A node in a list or tuple is called
            ``name[i]``, unless it also has a name to itself. Names that begin with an underscore are private
            (``_`` and ``_12`` are what Jupyter calls its outputs) and everything that is no node is ignored.

    >>> from autodiff import Value
    >>> a, w = Value(1.0, name="of its own"), [Value(2.0), Value(3.0)]
    >>> list(names_of([a, *w]).values())
    ['of its own']
    >>> list(names_of([a, *w], {"a": a, "w": w, "_": w[0]}).values())
    ['a', 'w[0]', 'w[1]']
    """
    wanted = {id(node): node for node in nodes}
    found: dict[Any, str] = {}
    public = [(str(name), thing) for name, thing in (names or {}).items() if not str(name).startswith("_")]
    for name, thing in public:
        if id(thing) in wanted:
            found.setdefault(thing, name)
    for name, thing in public:
        for label, node in _elements(name, thing):
            if id(node) in wanted:
                found.setdefault(node, label)
    for node in wanted.values():
        if node.name:
            found.setdefault(node, node.name)
    return {node: found[node] for node in wanted.values() if node in found}


def _elements(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """The elements of a list or tuple, and of those inside it, with their indices."""
    waiting = [(name, thing, 0)]
    while waiting:
        name, thing, depth = waiting.pop()
        if not isinstance(thing, (list, tuple)) or depth == DEEPEST_LIST:
            continue
        for i, element in enumerate(thing):
            yield f"{name}[{i}]", element
            if isinstance(element, (list, tuple)):
                waiting.append((f"{name}[{i}]", element, depth + 1))


def plain_text(text: str, longest: int = LONGEST_TEXT) -> str:
    r"""The text on one line, shortened, without the characters that XML cannot contain.

    >>> plain_text("one\ntwo\x00")
    'one two\ufffd'
    >>> plain_text("a long story", longest=9)
    'a long...'
    """
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isspace():
        return " "
    # Control characters, lone surrogates, and the code points that are no characters: XML and DOT refuse them
    unfit = unicodedata.category(character) in ("Cc", "Cs") or ord(character) & 0xFFFE == 0xFFFE
    return "\N{REPLACEMENT CHARACTER}" if unfit else character


def short_number(x: float) -> str:
    """Four decimals where they say something, else an exponent.

    >>> [short_number(x) for x in (2.0, -0.125, 0.0, 1.5e-7, 6.02e23, float("inf"))]
    ['2.0000', '-0.1250', '0.0000', '1.5000e-07', '6.0200e+23', 'inf']
    """
    plain = not math.isfinite(x) or x == 0.0 or 1e-3 <= abs(x) < 1e7
    return f"{x:.4f}" if plain else f"{x:.4e}"


def short_array(x: Any) -> str:
    """The elements of a small array; of a larger one the range and the mean.

    >>> short_array(np.array([[1.0, 2.5], [3.0, -1e-9]]))
    '[[1, 2.5], [3, -1e-09]]'
    >>> short_array(np.arange(6.0))
    '0 to 5, mean 2.5'
    """
    if x.size <= FEW:
        return _nested(x.tolist())
    if x.dtype.kind not in "fiu":  # complex numbers have no range; masks are counted
        return f"{np.count_nonzero(x)} of {x.size} true" if x.dtype.kind == "b" else f"{x.size} elements"
    if not np.all(np.isfinite(x)):
        return f"{np.count_nonzero(~np.isfinite(x))} of {x.size} not finite"
    return f"{x.min():.4g} to {x.max():.4g}, mean {_mean(x):.4g}"


def _mean(x: Any) -> float:
    return float(np.mean(x / x.size) * x.size)  # the sum alone could overflow


def _nested(x: Any) -> str:
    """A list in Python's notation with short numbers; as deep as an array of FEW elements has axes."""
    if isinstance(x, list):
        return "[" + ", ".join(map(_nested, x)) + "]"
    return str(x) if isinstance(x, bool) else f"{x:.4g}"
