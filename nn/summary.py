"""Looking into a module: a table of its layers, and what flows through it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autodiff import Node, no_grad

from .module import Module, modes_kept

__all__ = ["Flow", "Summary", "SummaryRow", "summary", "trace"]


class SummaryRow(NamedTuple):
    """One module of a summary, without those inside it.

    >>> from nn import Linear
    >>> row = summary(Linear(3, 2), (1, 3)).rows[0]
    >>> row.type, row.output_shape, row.parameters, row.bytes
    ('Linear', (1, 2), 8, 64)
    """

    name: str
    type: str
    output_shape: tuple[int, ...] | None
    """Of the first array it returned; None if it was not called."""
    parameters: int
    """How many numbers it learns, frozen or not; shared ones count where they come first."""
    bytes: int
    """What its parameters occupy."""


@dataclass(frozen=True)
class Summary:
    """The modules of a network with their output shapes and parameters; printed, a table.

    >>> from nn import Linear, ReLU, Sequential
    >>> table = summary(Sequential(Linear(3, 4), ReLU(), Linear(4, 2)), (1, 3))
    >>> table.parameters, table.bytes, table.frozen, [row.parameters for row in table.rows]
    (26, 208, 0, [16, 0, 10])
    """

    rows: tuple[SummaryRow, ...]
    frozen: int
    """How many of the parameters are frozen."""

    @property
    def parameters(self) -> int:
        """How many numbers all modules learn together."""
        return sum(row.parameters for row in self.rows)

    @property
    def bytes(self) -> int:
        """What all parameters occupy."""
        return sum(row.bytes for row in self.rows)

    def __str__(self) -> str:
        head = ("name", "type", "output shape", "parameters", "bytes")
        shapes = ["" if row.output_shape is None else str(row.output_shape) for row in self.rows]
        body = [
            (row.name, row.type, shape, f"{row.parameters:,}", f"{row.bytes:,}")
            for row, shape in zip(self.rows, shapes, strict=True)
        ]
        total = ("total", "", "", f"{self.parameters:,}", f"{self.bytes:,}")
        widths = [max(map(len, column)) for column in zip(head, *body, total, strict=True)]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        lines = [_line(head, widths), rule, *(_line(row, widths) for row in body), rule, _line(total, widths)]
        if self.frozen:
            lines.append(f"{self.frozen:,} of the parameters are frozen")
        return "\n".join(lines)

    __repr__ = __str__


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Words to the left, numbers to the right."""
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right)


def summary(module: Module, input_shape: tuple[int, ...], *, dtype: Any = np.float64) -> Summary:
    """A table of the modules inside a module: name, type, output shape, number of parameters, bytes.

    Args:
        module: the network; it is called once, with zeros, in evaluation mode and without a graph, and left as it was.
        input_shape: the shape of those zeros, with the batch if the network needs one.
        dtype: of those zeros; an Embedding needs int.

    Returns a Summary with ``rows``, ``parameters`` and ``bytes``. Containers have no row of their own unless they
    have parameters of their own. Raises what the module raises for such an input.

    >>> from nn import Linear, ReLU, Sequential
    >>> net = Sequential(Linear(784, 512), ReLU(), Linear(512, 512), ReLU(), Linear(512, 10))
    >>> print(summary(net, (64, 784)))
    name   type    output shape  parameters      bytes
    --------------------------------------------------
    0      Linear  (64, 512)        401,920  3,215,360
    1      ReLU    (64, 512)              0          0
    2      Linear  (64, 512)        262,656  2,101,248
    3      ReLU    (64, 512)              0          0
    4      Linear  (64, 10)           5,130     41,040
    --------------------------------------------------
    total                           669,706  5,357,648
    """
    shapes: dict[Module, tuple[int, ...]] = {}

    def note(called: Module, inputs: Any, output: Any) -> None:  # noqa: ARG001  # what a forward hook is given
        shapes[called] = _shape(output)

    hooks = [inside.register_forward_hook(note) for inside in module.modules()]
    try:
        with no_grad(), modes_kept(module):
            module.eval()(np.zeros(input_shape, dtype))
    finally:
        for hook in hooks:
            hook.remove()
    owned = owned_parameters(module)
    rows = [
        SummaryRow(
            name or type(inside).__name__,
            type(inside).__name__,
            shapes.get(inside),
            sum(_size(p) for p in owned[inside]),
            sum(_bytes(p) for p in owned[inside]),
        )
        for name, inside in module.named_modules()
        if owned[inside] or not any(inside.children())
    ]
    learnt = sum(map(_size, module.parameters()))
    return Summary(tuple(rows), sum(row.parameters for row in rows) - learnt)


def owned_parameters(module: Module) -> dict[Module, list[Any]]:
    """The parameters that each module has itself, not through a module inside it; shared ones where they come first."""
    owners = dict(module.named_modules())
    owned: dict[Module, list[Any]] = {inside: [] for inside in owners.values()}
    for name, parameter in module.named_parameters(frozen=True):
        owner = name
        while owner not in owners or owner == name:
            owner = owner.rpartition(".")[0]
        owned[owners[owner]].append(parameter)
    return owned


def _size(parameter: Any) -> int:
    return int(np.size(parameter.data))


def _bytes(parameter: Any) -> int:
    return int(np.asarray(parameter.data).nbytes)


def _arrays(x: Any) -> Any:
    """The plain data of nodes, in the same lists and tuples."""
    if isinstance(x, (list, tuple)):
        return type(x)(_arrays(part) for part in x)
    return x.data if isinstance(x, Node) else x


def _shape(x: Any) -> tuple[int, ...]:
    """The shape of an array; of a list of numbers its length; of several arrays that of the first."""
    x = _arrays(x)
    if isinstance(x, (list, tuple)) and x and not isinstance(x[0], float):
        return _shape(x[0])
    shape: tuple[int, ...] = np.shape(x)
    return shape


@dataclass
class Flow:
    """What a module was given, what it returned, and the gradient of that, as plain arrays of the last call.

    >>> from autodiff import Tensor
    >>> from nn import ReLU
    >>> relu = ReLU()
    >>> with trace(relu) as flows:
    ...     (relu(Tensor([1.0, -2.0])) * 3.0).sum().backward()
    >>> flows["ReLU"]
    Flow(input=array([ 1., -2.]), output=array([1., 0.]), gradient=array([3., 3.]))
    """

    input: Any
    output: Any
    gradient: Any = None
    """None until a backward pass has come through. Of several outputs, that of the first."""


@contextmanager
def trace(module: Module, verbose: bool = False) -> Iterator[Mapping[str, Flow]]:
    """Keep, for every module inside this one, its input, its output and the gradient of its output.

    Args:
        module: the network; a module without modules inside is traced itself.
        verbose: print the shapes as data pass forwards and gradients backwards.

    Gives a mapping from names to ``Flow``, in the order of the calls. A backward pass through outputs computed inside
    the block is seen also after it.

    >>> from nn import Linear, ReLU, Sequential
    >>> net = Sequential(Linear(8, 4, rng=0), ReLU(), Linear(4, 2, rng=1))
    >>> with trace(net, verbose=True) as flows:
    ...     net(np.ones((100, 8))).sum().backward()
    0: IN (100, 8) OUT (100, 4)
    1: IN (100, 4) OUT (100, 4)
    2: IN (100, 4) OUT (100, 2)
    2: GRAD (100, 2)
    1: GRAD (100, 4)
    0: GRAD (100, 4)
    >>> flows["1"].gradient.shape
    (100, 4)
    """
    flows: dict[str, Flow] = {}
    inside = [(name, part) for name, part in module.named_modules() if name]
    hooks = []
    for name, part in inside or [(type(module).__name__, module)]:
        hooks += _follow(part, name, flows, verbose)
    try:
        yield flows
    finally:
        for hook in hooks:
            hook.remove()


def _follow(module: Module, name: str, flows: dict[str, Flow], verbose: bool) -> list[Any]:
    """Register the two hooks that record what one module does."""

    def forwards(_: Module, inputs: tuple[Any, ...], output: Any) -> None:
        given = _arrays(inputs[0] if len(inputs) == 1 else inputs)
        flows.pop(name, None)  # the last call comes last
        flows[name] = Flow(given, _arrays(output))
        if verbose:
            print(f"{name}: IN {_shape(given)} OUT {_shape(output)}")  # noqa: T201  # that is what verbose asks for

    def backwards(_: Module, gradient: Any) -> None:
        if flows[name].gradient is None:  # of several calls, a backward pass meets the last one first
            flows[name].gradient = gradient
        if verbose:
            print(f"{name}: GRAD {np.shape(gradient)}")  # noqa: T201  # that is what verbose asks for

    return [module.register_backward_hook(backwards), module.register_forward_hook(forwards)]
