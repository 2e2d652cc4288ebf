"""Compile a function: record it, flatten what was recorded, and run that from then on."""

import functools
from collections.abc import Callable, Sequence
from keyword import iskeyword
from typing import Any

import numpy as np

from ..backward import reverse
from ..errors import CompileError
from ..forward import tangents
from ..graph import topological_order
from ..modes import is_compiling, recording, tracing
from ..node import MODES, Node, watcher
from ..primitive import ArrayOp, as_data
from ..tensor import Tensor
from ..transforms import flatten, fresh
from ..value import Value
from .program import Program
from .to_numpy import functions_of

__all__ = ["CompiledFunction", "compile", "retrace"]

_CONSTANTS = (float, np.ndarray)
_OPERANDS = (*_CONSTANTS, Value, Tensor)
_FIXED = "fixed"
"""In place of a shape: an argument that is not computed with, and that a program is made for as it is."""
Rebuild = Callable[[Sequence[Any]], Any]


class _Generation:
    """How often ``retrace`` was called."""

    now = 0


def retrace() -> None:
    """Every compiled function records anew at its next call.

    Call it after changing something that a compiled function depends on and that is no argument of it: a global
    number, say, or an attribute of an object. Modules of ``nn`` do so themselves when they are changed.

    >>> rate = 2.0
    >>> scaled = compile(lambda x: x * rate)
    >>> scaled(3.0)
    6.0
    >>> rate = 5.0
    >>> scaled(3.0)
    6.0
    >>> retrace()
    >>> scaled(3.0)
    15.0
    """
    _Generation.now += 1


def compile(f: Callable[..., Any]) -> "CompiledFunction":
    """A function that does what f does without running f's Python code: what f records once is run from then on.

    The result is used as f itself: it gives a node where f does, ``backward`` and the transforms go through it as
    through one operation, and training loops do not change. It pays for functions that are called often.

    Args:
        f: takes numbers, floating arrays, Values and Tensors, also in nested lists, tuples and dicts, and returns one
            number, array or node. Other arguments (integers, strings, modules, ...) are part of what is compiled.
            Leaves that f closes over, such as the parameters of a module, are read at every call, and
            ``backward`` reaches them.

    f runs twice for every new combination of kinds, shapes and dtypes of the arguments, and again after ``retrace``.
    It must compute the same whenever the arguments are the same, so no random numbers, and must not look at the
    numbers it computes with, so no ``if x > 0`` and no ``x.data``. Other arrays that f closes over are read anew at
    every call, numbers are not. Higher derivatives and forward mode run f itself, as does ``detect_anomaly``.

    Raises CompileError if f cannot be compiled, TypeError for an array of integers or a result that is not one
    number, array or node; both say what to do.

    >>> import numpy as np
    >>> from autodiff import Tensor
    >>> w = Tensor([1.0, 2.0])
    >>> loss = compile(lambda x: ((x * w).sum() - 1.0) ** 2)
    >>> loss(np.array([3.0, 4.0])).backward()
    >>> w.grad
    array([60., 80.])
    >>> print(compile(lambda a, b: (a + b) * (b + 1)).text(2.0, 1.0))
    def f(x0, x1):
        v0 = x0 + x1
        v1 = x1 + 1.0
        v2 = v0 * v1
        return v2, ()
    <BLANKLINE>
    """
    return CompiledFunction(f)


class CompiledFunction:
    """What ``compile`` returns: call it as the function it was made of.

    >>> cube = compile(lambda x: x * x * x)
    >>> cube(2.0)
    8.0
    """

    LIMIT = 64
    """How many programs are kept, one for every combination of kinds, shapes and dtypes; the oldest goes first."""

    def __init__(self, f: Callable[..., Any]) -> None:
        if not callable(f):
            raise TypeError(f"compile takes a function, got {type(f).__name__}: {f!r}")
        functools.update_wrapper(self, f, updated=())
        self.f = f
        self._recordings: dict[Any, _Recording] = {}
        self._last: _Recording | None = None
        self._generation = _Generation.now

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program for such arguments; record it if there is none."""
        if MODES.get() and (is_compiling() or watcher()):
            return self.f(*args, **kwargs)  # as a part of another function, or to see where an anomaly comes from
        last = self._last
        if last is not None and not kwargs and last.fits(args):
            return last.run(args)
        leaves, rebuild = flatten((args, kwargs))
        return self._recording(leaves, rebuild).run(leaves)

    def text(self, *args: Any, **kwargs: Any) -> str:
        """The program for such arguments as two Python functions, forwards and back.

        In it x0, x1, ... are the arguments, p0, p1, ... the leaves that the function closes over (parameters), v0, v1,
        ... what is computed forwards, g0, g1, ... what is computed on the way back.
        """
        return self._recording(*flatten((args, kwargs))).functions.text

    def _recording(self, leaves: list[Any], rebuild: Rebuild) -> "_Recording":
        kinds = tuple([_kind(x) for x in leaves])
        key = (repr(rebuild([0] * len(leaves))), kinds)
        if self._generation != _Generation.now:
            self._recordings.clear()
            self._generation = _Generation.now
        if key not in self._recordings:
            self._recordings[key] = _Recording(self.f, leaves, rebuild, kinds)
            while len(self._recordings) > self.LIMIT:
                del self._recordings[next(iter(self._recordings))]
        self._last = self._recordings[key]
        return self._last

    def __reduce__(self) -> Any:
        return CompiledFunction, (self.f,)  # a copy records for itself

    def __repr__(self) -> str:
        return f"<compiled {_name(self.f)}>"


class _Recording:
    """A function recorded for arguments of certain kinds, as a program and as a primitive.

    Attributes:
        functions: the program.
        captured: the leaves that the function closes over, operands after the arguments.
    """

    def __init__(self, f: Callable[..., Any], leaves: Sequence[Any], rebuild: Rebuild, kinds: Sequence[Any]) -> None:
        self._f, self._rebuild, self._kinds = f, rebuild, kinds
        args, kwargs = rebuild(leaves)
        self._flat = not kwargs and len(args) == len(leaves) and all(x is y for x, y in zip(args, leaves, strict=True))
        self._generation = _Generation.now
        places = [i for i, (_, shape, _) in enumerate(kinds) if shape is not _FIXED]  # of numbers and arrays
        self._leaves = [x if kind[1] is _FIXED else _placeholder(x) for x, kind in zip(leaves, kinds, strict=True)]
        nodes = [_leaf(leaves[i]) for i in places]
        self._constant: Node | None = None
        with recording(), tracing():
            again, root = (self._called(places, nodes) for _ in range(2))
        _compare(again, root, nodes)
        used = set(topological_order(root))
        inputs = {i: x for i, x in zip(places, nodes, strict=True) if x in used}
        wanted = [x for i, x in inputs.items() if isinstance(leaves[i], Node)]
        program = Program(root, list(inputs.values()), wanted)
        self._inputs = list(inputs)  # the places of the arguments that the result depends on
        self.captured = program.captured
        self.functions = functions_of(program, _name(f))
        self._gives_node = bool(wanted) or any(p is not self._constant for p in self.captured)
        self._op = ArrayOp(_name(f), None, self._pullbacks, [self._pushforward], scalar=None, array=self._f)
        self._op.built_in = True  # its results are arrays of their own

    def _called(self, places: Sequence[int], inputs: Sequence[Any]) -> Any:
        """f of the arguments, those at these places replaced."""
        leaves = self._leaves.copy()
        for i, x in zip(places, inputs, strict=True):
            leaves[i] = x
        args, kwargs = self._rebuild(leaves)
        y = self._f(*args, **kwargs)
        if isinstance(y, (float, int, np.ndarray, np.number)) and not isinstance(y, bool):
            self._constant = _leaf(y if isinstance(y, np.ndarray) else float(y))  # it depends on no argument
            return self._constant
        if not isinstance(y, Node):
            raise TypeError(f"a compiled function returns one number, array or node, got {type(y).__name__}: {y!r}")
        return y

    def fits(self, args: Sequence[Any]) -> bool:
        """Whether arguments, none of them a container, are of the kinds that were recorded."""
        if not self._flat or len(args) != len(self._kinds) or self._generation != _Generation.now:
            return False
        for x, (kind, shape, fact) in zip(args, self._kinds):  # noqa: B905  # equally many; at every call, so fast
            if type(x) is not kind:
                return False
            if shape is _FIXED:
                if x != fact:
                    return False
            elif shape is not None and (x.shape != shape or x.dtype != fact):
                return False
        return True

    def run(self, leaves: Sequence[Any]) -> Any:
        """The result for such arguments: a node if one of them is, or if f closes over a leaf."""
        arguments = [x if type(x) in _OPERANDS else as_data(x) for x in [leaves[i] for i in self._inputs]]
        xs = [x if type(x) in _CONSTANTS else x._data for x in arguments] + [x._data for x in self.captured]
        y, kept = self.functions.forward(*xs)
        if self._gives_node:
            return Node.__record__(self._op, (*arguments, *self.captured), xs, y, {"kept": kept})
        shared = type(y) is np.ndarray and (y.base is not None or any(x is y for x in xs))
        return y.copy() if shared else y

    # ---- its derivatives, as those of a primitive ----

    def _pullbacks(self, g: Any, y: Any, *xs: Any, kept: Any) -> Sequence[Any]:
        if not isinstance(y, Node):
            return self.functions.reverse(g, kept)  # type: ignore[no-any-return]  # a list
        inputs, root = self._recorded_again(xs)
        found = reverse(root, g, wanted=inputs, stop=set(inputs), on_nodes=True)
        return [found.get(x) for x in inputs]

    def _pushforward(self, ts: Sequence[Any], y: Any, *xs: Any, kept: Any) -> Any:  # noqa: ARG002  # as the table calls it
        inputs, root = self._recorded_again(xs)
        seeds = {x: t for x, t in zip(inputs, ts, strict=True) if t is not None}
        return tangents([root], seeds, on_nodes=isinstance(y, Node)).get(root)

    def _recorded_again(self, xs: Sequence[Any]) -> tuple[list[Node], Node]:
        """The graph of f itself: its inputs, which are nodes of their own but for captured leaves, and its root."""
        with recording():
            arguments = [fresh(x) for x in xs[: len(self._inputs)]]
            return arguments + self.captured, self._called(self._inputs, arguments)


def _kind(x: Any) -> tuple[Any, ...]:
    """What a program is made for: a type; with shape and dtype of an array; with what is not computed with itself."""
    kind = type(x)
    if isinstance(x, (np.ndarray, Tensor)):
        if x.dtype.kind != "f":
            raise TypeError(
                f"a compiled function takes floating arrays, got dtype {x.dtype}: convert it with .astype(float), or "
                "leave what needs integers, such as a loss of class numbers, outside the function"
            )
        return kind, x.shape, x.dtype
    if isinstance(x, (float, np.floating, Value)):
        return kind, None, None
    try:
        hash(x)
    except TypeError as error:
        raise TypeError(
            f"a compiled function cannot tell whether {x!r} has changed; pass something hashable"
        ) from error
    return kind, _FIXED, x


def _placeholder(x: Any) -> Any:
    """A number or array of the kind of an argument; the arguments of the first call are not kept alive."""
    data = x._data if isinstance(x, Node) else x
    return np.broadcast_to(np.ones((), data.dtype), data.shape) if isinstance(data, np.ndarray) else 1.0


def _leaf(x: Any) -> Node:
    data = x._data if isinstance(x, Node) else x
    return Tensor(data) if isinstance(data, np.ndarray) else Value(data)


def _name(f: Any) -> str:
    """An identifier for a function."""
    name = getattr(f, "__name__", type(f).__name__)
    return name if name.isidentifier() and not iskeyword(name) else "f"


def _compare(first: Node, second: Node, arguments: Sequence[Node]) -> None:
    """Raise CompileError unless two runs of a function left the same graph."""
    orders = topological_order(first), topological_order(second)
    places: dict[Any, Any] = {x: i for i, x in enumerate(arguments)}
    for a, b in zip(*orders, strict=False):
        if a.op is not b.op or (a.op is None and not (a is b or _equal(a._data, b._data))):
            break
        if not _equal(*([places[x] if isinstance(x, Node) else x for x in (*n.operands, n.params)] for n in (a, b))):
            what = f"what {a.op.name if a.op else 'a leaf'} computes with"
            raise CompileError(f"{_TWICE}: {what} was another number the second time. {_RANDOM}")
        places.setdefault(a, len(places))
        places[b] = places[a]
    else:
        if len(orders[0]) == len(orders[1]):
            return
    raise CompileError(f"{_TWICE}: it did other operations the second time. {_RANDOM}")


_TWICE = "called twice with the same arguments, the function did not compute the same"
_RANDOM = (
    "A compiled function draws no random numbers (dropout in training mode does) and depends on nothing that it "
    "changes itself; leave that part outside"
)


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
