"""From a graph to a flat program: the forward half as it was recorded, the reverse half by the reverse pass itself.

A symbol stands for one number or array of a program: an input, or what an instruction computes. Run on symbols, the
reverse pass and the rules of the table compute as ever and leave behind what they did: that is the program's reverse
half. So nothing is derived twice, and a new row needs nothing here.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..array_rules import transpose
from ..backward import reverse
from ..errors import CompileError
from ..graph import clock, topological_order
from ..node import Node
from ..primitive import Primitive

__all__ = ["Program", "Symbol"]


class Symbol:
    """A number or an array of a program, with the value it has in the run that is being flattened.

    Attributes:
        function: what computes it: a kernel of the table, or a function of NumPy; None for an input.
        operands: what it is computed from: symbols and constants.
        options: the keyword arguments.
        op: the row of the table, if it is one.
    """

    __slots__ = ("_data", "_recorded", "function", "op", "operands", "options")

    def __init__(
        self, data: Any, op: Primitive | None = None, function: Any = None, operands: Any = (), options: Any = None
    ) -> None:
        self._data = np.asarray(data) if isinstance(data, np.generic) else float(data) if type(data) is bool else data
        self.op, self.function, self.operands, self.options = op, function, operands, options or {}
        self._recorded = clock.now

    @staticmethod
    def __record__(op: Primitive, operands: Any, xs: Sequence[Any], y: Any, params: dict[str, Any] | None) -> "Symbol":
        """The instruction for y = op(*xs)."""
        on_floats = op.scalar is not None and all(type(x) is float for x in xs)
        return Symbol(y, op, op.scalar if on_floats else op.array, tuple(operands), params)

    # ---- what the reverse pass asks of a node ----

    @property
    def _params(self) -> dict[str, Any]:
        return self.options

    @property
    def parents(self) -> tuple["Symbol", ...]:
        """The operands that are symbols."""
        return tuple(x for x in self.operands if type(x) is Symbol)

    def _zero(self) -> Any:
        return 0.0 if type(self._data) is float else np.zeros_like(self._data)

    def _check_current(self) -> None:
        """Nothing to raise: a symbol does not get out of date."""

    # ---- what rules ask of a number or an array ----

    def __getattr__(self, name: str) -> Any:
        """Its dtype, and its methods: ``x.sum(axis=0)``."""
        fact = getattr(self._data, name)  # raises AttributeError where an array or a float would
        if name in ("ndim", "size", "dtype"):
            return fact
        if not callable(fact):
            raise CompileError(f"a rule of an operation asks for .{name} of an array")
        return lambda *args, **kwargs: apply(getattr(type(self._data), name), self, *args, **kwargs)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes; a number has none."""
        return getattr(self._data, "shape", ())

    @property
    def data(self) -> "Symbol":
        """Itself: what is computed from its numbers belongs to the program, too."""
        return self

    @property
    def T(self) -> Any:  # noqa: N802  # NumPy's name
        """The axes reversed."""
        return transpose(self)

    def __len__(self) -> int:
        return self.shape[0]

    def _answer(self) -> Any:
        raise CompileError("a rule of an operation decides by the numbers themselves")

    __bool__ = __float__ = __int__ = __index__ = __iter__ = _answer

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return apply(ufunc if method == "__call__" else getattr(ufunc, method), *inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return apply(function, *args, **kwargs)


_LOGICAL = (operator.and_, operator.or_, operator.invert)
"""Here an answer to a question about floats, which a symbol holds as a float like everything else, is one again."""


def apply(function: Callable[..., Any], *operands: Any, **options: Any) -> Symbol:
    """The instruction that applies any function, also one without a derivative, to symbols and constants."""
    if not all(type(x) in (Symbol, float, int, bool, np.ndarray) or isinstance(x, np.generic) for x in operands):
        raise CompileError(f"a rule of an operation calls {function!r} with {operands}")
    if any(type(x) is Symbol for x in options.values()):
        raise CompileError(f"a rule of an operation calls {function!r} with numbers as options")
    xs = [x._data if type(x) is Symbol else x for x in operands]
    if function in _LOGICAL:
        xs = [bool(x) if type(x) is float else x for x in xs]
    return Symbol(function(*xs, **options), None, function, operands, options)


def _operator(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An operator and its reflection."""
    function = getattr(operator, name)
    return lambda *operands: apply(function, *operands), lambda self, other: apply(function, other, self)


for _name in ("add", "sub", "mul", "truediv", "matmul", "pow", "and", "or"):
    _forward, _reflected = _operator(f"__{_name}__")
    setattr(Symbol, f"__{_name}__", _forward)
    setattr(Symbol, f"__r{_name}__", _reflected)
for _name in ("__lt__", "__le__", "__gt__", "__ge__", "__neg__", "__invert__"):
    setattr(Symbol, _name, _operator(_name)[0])
Symbol.__record__.answers = True  # type: ignore[attr-defined]  # predicates are instructions too, see Predicate


class Program:
    """A graph without nodes: instructions in an order in which they can be run.

    Args:
        root: the node that the graph computes.
        arguments: leaves that stand for the arguments of a function.
        wanted: those of them by which is to be differentiated.

    Attributes:
        inputs: symbols, first the arguments, then one for every other leaf of the graph.
        captured: those other leaves.
        output: the symbol of the root.
        seed: the symbol of the gradient of the root.
        gradients: for each input its gradient, a symbol or a constant; None if it is not wanted.

    Raises CompileError for a rule that cannot be run on symbols.
    """

    def __init__(self, root: Node, arguments: Sequence[Node], wanted: Sequence[Node]) -> None:
        symbols: dict[Any, Symbol] = {x: Symbol(x._data) for x in arguments}
        self.captured: list[Any] = []
        for node in topological_order(root):
            if node in symbols:
                continue
            if node.op is None:
                symbols[node] = Symbol(node._data)
                self.captured.append(node)
                continue
            xs = [x._data if isinstance(x, Node) else x for x in node.operands]
            operands = [symbols[x] if isinstance(x, Node) else x for x in node.operands]
            symbols[node] = Symbol.__record__(node.op, operands, xs, node._data, node._params)
        self.inputs = [symbols[x] for x in (*arguments, *self.captured)]
        self.output = symbols[root]
        self.seed = Symbol(np.ones_like(root._data) if isinstance(root._data, np.ndarray) else 1.0)
        active = {symbols[x] for x in (*wanted, *self.captured)}
        found = reverse(self.output, self.seed, wanted=active, on_nodes=True)
        self.gradients = [found.get(x, x._zero()) if x in active else None for x in self.inputs]


def instructions(wanted: Sequence[Any], known: Sequence[Symbol]) -> list[Symbol]:
    """The instructions that compute the wanted symbols from the known ones, each once, in order."""
    roots, stop = [x for x in wanted if type(x) is Symbol], set(known)
    return [x for x in topological_order(*roots, stop=stop) if x not in stop]
