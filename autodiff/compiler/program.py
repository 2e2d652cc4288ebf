"""From a graph to a flat program: the forward half as it was recorded, the reverse half by the reverse pass itself.

A symbol stands for one number or array of a program: an input, or what an instruction computes. Run on symbols, the
reverse pass and the rules of the table compute as ever and leave behind what they did: that is the program's reverse
half. So nothing is derived twice, and a new row needs nothing here.
"""

import operator
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ..array_rules import transpose
from ..backward import pull, reverse
from ..errors import CompileError
from ..graph import clock, topological_order
from ..node import Node
from ..primitive import ArrayOp, Primitive

__all__ = ["Program", "Symbol", "instructions"]


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
        self._data = _held(data)
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

    def _zero(self) -> None:
        """No gradient for an input that none reaches: what is known to be zero need not be sent on."""

    def _check_current(self) -> None:
        """Nothing to raise: a symbol does not get out of date."""

    # ---- what rules ask of a number or an array ----

    def __getattr__(self, name: str) -> Any:
        """Its dtype, and its methods: ``x.sum(axis=0)``."""
        if name.startswith("_"):
            raise AttributeError(name)
        fact = getattr(self._data, name)  # raises AttributeError where an array or a float would
        if name in ("ndim", "size", "dtype"):
            return fact
        if not callable(fact):
            raise CompileError(f"it asks for .{name} of an array")
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
        raise CompileError("it needs to know the numbers themselves")

    __bool__ = __float__ = __int__ = __index__ = __iter__ = _answer
    __hash__ = object.__hash__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return apply(ufunc if method == "__call__" else getattr(ufunc, method), *inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.shape, np.ndim, np.size) and len(args) == 1 and not kwargs:
            return function(self._data)
        return apply(function, *args, **kwargs)


def _held(data: Any) -> Any:
    """As the engine holds numbers: a float or an array. The answer to a question about floats is held as one, too."""
    if isinstance(data, np.generic):
        return np.asarray(data)
    return float(data) if isinstance(data, (bool, int)) else data


def apply(function: Callable[..., Any], *operands: Any, **options: Any) -> Symbol:
    """The instruction that applies any function, also one without a derivative, to symbols and constants."""
    shown = getattr(function, "__name__", repr(function))
    numbers = all(type(x) in (Symbol, float, int, bool, np.ndarray) or isinstance(x, np.generic) for x in operands)
    if not numbers and function is not operator.getitem:
        raise CompileError(f"it calls {shown} with {', '.join(type(x).__name__ for x in operands)}")
    if "out" in options or any(type(x) is Symbol for x in options.values()):
        raise CompileError(f"it calls {shown} with {', '.join(options)}")
    xs = [x._data if type(x) is Symbol else x for x in operands]
    if function in (operator.and_, operator.or_):  # of answers to questions about floats
        xs = [bool(x) if type(x) is float else x for x in xs]
    y = function(*xs, **options)
    if not isinstance(y, (float, int, np.ndarray, np.generic)):
        raise CompileError(f"it calls {shown}, which gives no number or array")  # so it works in place
    return Symbol(y, None, function, operands, options)


def _operator(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An operator and its reflection."""
    function = getattr(operator, name)
    return lambda *operands: apply(function, *operands), lambda self, other: apply(function, other, self)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "and", "or"):
    _forward, _reflected = _operator(f"__{_name}__")
    setattr(Symbol, f"__{_name}__", _forward)
    setattr(Symbol, f"__r{_name}__", _reflected)
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert", "getitem"):
    setattr(Symbol, f"__{_name}__", _operator(f"__{_name}__")[0])
Symbol.__record__.answers = True  # type: ignore[attr-defined]  # predicates are instructions too, see Predicate


class Program:
    """A graph without nodes: instructions in an order in which they can be run.

    Args:
        root: the node that the graph computes.
        arguments: leaves that stand for the arguments of a function.
        wanted: those of them by which is to be differentiated.
        made: the nodes that the function made, with their operands; every other node that it computed with was there
            before.

    Attributes:
        captured: those other nodes, parameters for the most part.
        used: for every argument whether the root depends on it.
        inputs: symbols, one for every argument that is used, then one for every captured node.
        steps: the instructions of the forward half, in order.
        output: the symbol of the root.
        seed: the symbol of the gradient of the root.
        gradients: for each input its gradient, a symbol or a constant; None if it is not wanted or zero throughout.

    Raises CompileError for a rule that cannot be run on symbols.
    """

    def __init__(self, root: Node, arguments: Sequence[Node], wanted: set[Node], made: dict[Node, list[Any]]) -> None:
        order = _ordered(root, arguments, made)
        inside, outside = set(order), {*made, *arguments}
        self.used = [x in inside for x in arguments]
        self.captured = [x for x in order if x not in outside]
        sources = [*(x for x in arguments if x in inside), *self.captured]
        symbols = {x: Symbol(x._data) for x in sources}
        self.inputs = list(symbols.values())
        active = {symbols[x] for x in (*wanted & inside, *self.captured)}
        for node in order:
            if node not in symbols:
                operands = [symbols[x] if isinstance(x, Node) else x for x in made[node]]
                xs = [x._data if type(x) is Symbol else x for x in operands]
                symbols[node] = Symbol.__record__(node.op, operands, xs, node._data, node._params)
        self._sources = dict(zip(self.inputs, sources, strict=True))
        self._order = [symbols[x] for x in order]
        self.steps = [x for x in self._order if x.function is not None]
        self.output = symbols[root]
        self.seed = Symbol(np.ones_like(root._data) if isinstance(root._data, np.ndarray) else 1.0)
        found = self._differentiated(active)
        self.gradients = [found.get(x) for x in self.inputs]

    def _differentiated(self, active: Collection[Symbol]) -> dict[Any, Any]:
        """The reverse pass on symbols."""
        try:
            return reverse(self.output, self.seed, wanted=active, stop=set(self.inputs), on_nodes=True)
        except (CompileError, TypeError) as error:
            name = next((step.op.name for step in self.steps if step.op and not _differentiable(step)), "an operation")
            raise CompileError(
                f"the derivative of {name} cannot be compiled: {error}. Write it in autodiff's functions, which take "
                "numbers, arrays and nodes alike, or leave the operation outside the compiled function"
            ) from error

    def run_on_nodes(self, inputs: Sequence[Any]) -> Any:
        """The forward half as a graph, for derivatives of derivatives."""
        nodes = dict(zip(self.inputs, inputs, strict=True))
        for step in self.steps:
            assert step.op is not None  # the forward half is made of operations that were recorded
            nodes[step] = step.op(*[nodes[x] if type(x) is Symbol else x for x in step.operands], **step.options)
        return nodes[self.output]

    def is_again(self, root: Node, arguments: Sequence[Node], made: dict[Node, list[Any]]) -> bool:
        """Whether a second run of the function, on the same arguments, has left the same graph."""
        again = _ordered(root, arguments, made)
        places, given = {node: i for i, node in enumerate(again)}, set(arguments)
        mine = {symbol: i for i, symbol in enumerate(self._order)}
        for first, second in zip(self._order, again, strict=False):
            if first.function is None:
                new = second.is_leaf and second not in given and _equal(first._data, second._data)
                if second is not self._sources[first] and not new:  # every run may make leaves of its own
                    return False
            else:
                xs = [mine[x] if type(x) is Symbol else x for x in first.operands]
                ys = [places[x] if isinstance(x, Node) else x for x in made[second]]
                if first.op is not second.op or not _equal([xs, first.options], [ys, second.params]):
                    return False
        return len(again) == len(self._order)

    def forget(self) -> None:
        """Let go of the numbers of the run that was flattened, and of the reverse half."""
        for x in self._order:
            x._data = None
        self._sources, self._order, self.gradients, self.seed = {}, [], [], Symbol(None)


def _ordered(root: Node, arguments: Sequence[Node], made: dict[Node, list[Any]]) -> list[Any]:
    """The nodes of a graph in order, down to the arguments and to what was there before."""
    before = {x for node in made for x in node.parents if x not in made}
    return topological_order(root, stop={*arguments, *before, *([] if root in made else [root])})


def _equal(a: Any, b: Any) -> bool:
    """Whether constants are equal, also inside lists, tuples and dicts; nan equals nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(_equal(a[key], b[key]) for key in a)
    return a is b or bool(a == b) or (a != a and b != b)


def _differentiable(step: Symbol) -> bool:
    """Whether the rule of an operation can be run on symbols."""
    op: Any = step.op
    g = Symbol(step._data)
    try:
        if op.arity is None and isinstance(op, ArrayOp):
            op.pullbacks(g, step, *step.operands, **step.options)
        elif op.arity is None:
            op.partials(step, *step.operands, **step.options)
        else:
            for i in range(op.arity):
                pull(op, g, step, step.operands, step.options, i)
    except (CompileError, TypeError):
        return False
    return True


def instructions(wanted: Sequence[Any], known: Sequence[Symbol]) -> list[Symbol]:
    """The instructions that compute the wanted symbols from the known ones, each once, in order."""
    roots, stop = [x for x in wanted if type(x) is Symbol], set(known)
    return [x for x in topological_order(*roots, stop=stop) if x not in stop]
