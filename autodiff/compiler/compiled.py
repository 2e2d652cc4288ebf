"""Compile a function: record it, flatten what was recorded, and run that from then on."""

import functools
import sys
from collections.abc import Callable, Sequence
from keyword import iskeyword
from threading import Lock
from types import MethodType
from typing import Any

import numpy as np

from ..backward import reverse
from ..errors import CompileError
from ..forward import tangents
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


class _Generation:
    """How often ``retrace`` was called."""

    now = 0


def retrace() -> None:
    """Every compiled function records anew at its next call.

    Call it after changing something that a compiled function depends on and that is neither an argument nor the data of
    a leaf: a global number, an array that was written into, an attribute of an object. Modules of ``nn`` call it
    themselves when an attribute is assigned, but not when a plain list or dict in an attribute is changed in place.

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
    through one operation, and training loops do not change. It pays for functions that are called often. Compile a
    loss, or what a module computes; the module itself stays what it is, with its parameters. It decorates methods, too.

    Args:
        f: takes numbers, floating arrays, Values and Tensors, also in nested lists, tuples and dicts, computes with
            them as with nodes, and returns one number, array or node. Other arguments (integers, strings, modules, ...)
            are part of what is compiled: one that is new at every call, such as a counter, is recorded at every call.

    Nodes that f closes over, such as the parameters of a module, are read at every call, and ``backward`` reaches them.
    Everything else that it closes over, arrays too, is part of what is compiled: see ``retrace``.

    f runs twice for every new combination of kinds, shapes and dtypes of the arguments, and again after ``retrace``.
    It must compute the same whenever the arguments are the same, so no random numbers, and must not look at the
    numbers it computes with, so no ``if x > 0`` and no ``x.data``; checks that only look are left out in ``nn``.
    Under ``detect_anomaly`` f itself runs. Derivatives of derivatives and forward mode go by the recorded operations.

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
        self._lock = Lock()
        self._recordings: dict[Any, _Recording] = {}
        self._last: _Recording | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program for such arguments; record it if there is none."""
        if MODES.get() and (is_compiling() or watcher()):
            return self.f(*args, **kwargs)  # as a part of another function, or to see where an anomaly comes from
        last = self._last
        if last is not None and not kwargs and last.fits(args):
            return last.run(args)
        leaves, rebuild = flatten((args, kwargs))
        return self._recording((args, kwargs), leaves, rebuild).run(leaves)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A method, if the compiled function stands in a class and is one that Python would bind."""
        return MethodType(self, instance) if instance is not None and hasattr(self.f, "__get__") else self

    def text(self, *args: Any, **kwargs: Any) -> str:
        """The program for such arguments as two Python functions, forwards and back.

        In it x0, x1, ... are the arguments, p0, p1, ... the nodes that the function closes over (parameters), v0, v1,
        ... what is computed forwards, g0, g1, ... what is computed on the way back.
        """
        return self._recording((args, kwargs), *flatten((args, kwargs))).functions.text

    def _recording(self, tree: Any, leaves: list[Any], rebuild: Callable[[Sequence[Any]], Any]) -> "_Recording":
        kinds = tuple([_kind(x) for x in leaves])
        key = (_form(tree), kinds)
        with self._lock:
            found = self._recordings.get(key)
        if found is None or found.generation != _Generation.now:
            found = _Recording(self.f, leaves, rebuild, kinds)
            with self._lock:
                self._recordings = {k: x for k, x in self._recordings.items() if x.generation == found.generation}
                self._recordings[key] = found
                while len(self._recordings) > self.LIMIT:
                    del self._recordings[next(iter(self._recordings))]
        self._last = found
        return found

    def __reduce__(self) -> Any:
        module, name = sys.modules.get(getattr(self.f, "__module__", "")), getattr(self.f, "__qualname__", "")
        if getattr(module, name, None) is self:
            return name  # decorated: found under its name, as a function is
        return CompiledFunction, (self.f,)  # a copy records for itself

    def __repr__(self) -> str:
        return f"<compiled {_name(self.f)}>"


class _Recording:
    """A function recorded for arguments of certain kinds, as a program and as a primitive.

    Attributes:
        generation: how often ``retrace`` had been called.
        functions: the program.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        leaves: Sequence[Any],
        rebuild: Callable[[Sequence[Any]], Any],
        kinds: Sequence[tuple[Any, Any, Any]],
    ) -> None:
        self.generation = _Generation.now
        self._kinds = kinds
        args, kwargs = rebuild(leaves)
        self._flat = not kwargs and len(args) == len(leaves) and all(x is y for x, y in zip(args, leaves, strict=True))
        places = [i for i, (_, shape, _) in enumerate(kinds) if shape is not _FIXED]  # of numbers and arrays
        arguments = [_leaf(leaves[i]) for i in places]
        wanted = {x for x, i in zip(arguments, places, strict=True) if isinstance(leaves[i], Node)}

        def run() -> tuple[Any, dict[Node, list[Any]]]:
            given = list(leaves)
            for i, x in zip(places, arguments, strict=True):
                given[i] = x
            args, kwargs = rebuild(given)
            with recording(), tracing() as watched:
                return f(*args, **kwargs), watched.made

        y, made = run()
        root = _node(y)
        self._program = Program(root, arguments, wanted, made)
        again, made = run()
        if not self._program.is_again(_node(again), arguments, made):
            raise CompileError(
                "called twice with the same arguments, the function did not compute the same. A compiled function "
                "draws no random numbers (dropout in training mode does) and depends on nothing that it changes "
                "itself; leave that part outside"
            )
        self._inputs = [i for i, used in zip(places, self._program.used, strict=True) if used]
        self._captured = self._program.captured
        is_node = self._captured or any(isinstance(leaves[i], Node) for i in self._inputs)
        self._gives_node = root is y and bool(is_node)
        self.functions = functions_of(self._program, _name(f))
        self._program.forget()
        self._op = ArrayOp(_name(f), None, self._pullbacks, [self._pushforward], scalar=None, array=_not_called_again)
        self._op.built_in = self._op.fresh = True  # its results are arrays of their own

    def fits(self, args: Sequence[Any]) -> bool:
        """Whether arguments are of the kinds that were recorded; it may say no where ``_kind`` would say yes."""
        if not self._flat or len(args) != len(self._kinds) or self.generation != _Generation.now:
            return False
        for x, (kind, shape, fact) in zip(args, self._kinds):  # noqa: B905  # equally many; at every call, so fast
            if type(x) is not kind:
                return False
            if shape is _FIXED:
                if x is not fact:
                    return False
            elif shape is not None and (x.shape != shape or x.dtype != fact):
                return False
        return True

    def run(self, leaves: Sequence[Any]) -> Any:
        """The result for such arguments: a node if one of them is, or if f closes over one."""
        arguments = [x if type(x) in _OPERANDS else as_data(x) for x in [leaves[i] for i in self._inputs]]
        xs = [x if type(x) in _CONSTANTS else x._data for x in arguments] + [x._data for x in self._captured]
        y, kept = self.functions.forward(*xs)
        if self._gives_node:
            return Node.__record__(self._op, (*arguments, *self._captured), xs, y, {"kept": kept})
        shared = type(y) is np.ndarray and (y.base is not None or any(x is y for x in xs))
        return y.copy() if shared else y

    # ---- its derivatives, as those of a primitive ----

    def _pullbacks(self, g: Any, y: Any, *xs: Any, kept: Any) -> Sequence[Any]:
        if not isinstance(y, Node):
            return self.functions.reverse(g, kept)  # type: ignore[no-any-return]  # a list
        inputs, root = self._on_nodes(xs)
        found = reverse(root, g, wanted=inputs, stop=set(inputs), on_nodes=True)
        return [found.get(x) for x in inputs]

    def _pushforward(self, ts: Sequence[Any], y: Any, *xs: Any, kept: Any) -> Any:  # noqa: ARG002  # as the table calls it
        inputs, root = self._on_nodes(xs)
        seeds = {x: t for x, t in zip(inputs, ts, strict=True) if t is not None}
        return tangents([root], seeds, on_nodes=isinstance(y, Node)).get(root)

    def _on_nodes(self, xs: Sequence[Any]) -> tuple[list[Node], Node]:
        """Inputs of our own, and the root of the graph that the recorded operations make of them."""
        with recording():
            inputs = [fresh(x) for x in xs]
            return inputs, self._program.run_on_nodes(inputs)


def _not_called_again(*xs: Any, kept: Any) -> Any:  # noqa: ARG001  # the signature of a kernel
    """In place of a kernel: the engine calls that of a recorded operation only where it is linear in an operand."""
    raise CompileError("the operation of a compiled function cannot be called by itself; call the function")


def _node(y: Any) -> Node:
    """The result of a function; a leaf for one that depends on nothing. Raises TypeError for what is no number."""
    if isinstance(y, Node):
        return y
    if isinstance(y, (float, int, np.ndarray, np.number)) and not isinstance(y, bool):
        return _leaf(y if isinstance(y, np.ndarray) else float(y))
    kind = type(y).__name__
    hint = ": return one of them, f(x)[0]" if isinstance(y, (tuple, list)) and y else " (a return forgotten?)"
    raise TypeError(f"a compiled function returns one number, array or node, got {kind}{hint}")


def _form(tree: Any) -> Any:
    """The containers of a tree with their types, something hashable."""
    if isinstance(tree, dict):
        return type(tree), tuple([(key, _form(x)) for key, x in tree.items()])
    return (type(tree), *map(_form, tree)) if isinstance(tree, (list, tuple)) else None


def _kind(x: Any) -> tuple[Any, Any, Any]:
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
            f"a compiled function cannot tell whether {x!r} has changed; pass something hashable, or close over it"
        ) from error
    return kind, _FIXED, x


def _leaf(x: Any) -> Node:
    data = x._data if isinstance(x, Node) else x
    return Tensor(data) if isinstance(data, np.ndarray) else Value(data)


def _name(f: Any) -> str:
    """An identifier for a function."""
    name = getattr(f, "__name__", type(f).__name__)
    return name if name.isidentifier() and not iskeyword(name) else "f"
