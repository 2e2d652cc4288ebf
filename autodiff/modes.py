"""Modes: blocks of code in which recording differs. The innermost open block of a kind rules its thread and context."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self
from zlib import crc32

import numpy as np

from .errors import AnomalyError, CompileError
from .node import MODES, Node

__all__ = ["detect_anomaly", "is_compiling", "no_grad", "recording", "tracing"]


class _Mode:
    """A context manager and decorator. Node asks the open ones what to do with each result and gradient.

    Open modes are kept as a set in order, not restored from a saved state: blocks that close out of order, as
    those of interleaved generators may, leave no trace.
    """

    records: bool | None = None
    """Whether results are recorded; None leaves it to the next block outside."""

    saw_gradient: Callable[[Node, int, Any], None] | None = None
    """Called in a reverse pass with a node, an operand's position and what that operand receives."""

    def saw_output(self, node: Node) -> None:
        """Called with every node that was just computed."""

    def saw_reading(self, node: Node) -> None:
        """Called with every node whose numbers are asked for."""

    def __enter__(self) -> Self:
        MODES.set((*MODES.get(), self))
        return self

    def __exit__(self, *exc: object) -> None:
        modes = list(MODES.get())
        for i in reversed(range(len(modes))):
            if modes[i] is self:
                del modes[i]
                break
        MODES.set(tuple(modes))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):
            return self._generator(function)
        if inspect.isasyncgenfunction(function):
            raise TypeError(f"{type(self).__name__} cannot wrap an asynchronous generator; use a with block inside it")
        if inspect.iscoroutinefunction(function):
            return self._coroutine(function)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapper

    def _coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return wrapper

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Each step of the generator runs inside the mode; while it is paused its caller is outside."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:
            steps = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, steps)
            while True:
                try:
                    with self:
                        item = resume()
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]  # whatever the generator returns
                try:
                    sent = yield item
                    resume = functools.partial(steps.send, sent)
                except GeneratorExit:
                    with self:
                        steps.close()
                    raise
                except BaseException as error:  # noqa: BLE001  # whatever was thrown in goes on to the generator
                    resume = functools.partial(steps.throw, error)

        return wrapper


class no_grad(_Mode):  # noqa: N801  # torch's name; it reads as a statement
    """Nothing is recorded inside: results are leaves that know no parents. Context manager or decorator.

    Local to the thread and the context. Around the body of a generator function use the decorator: a ``with``
    inside the body stays open while the generator is paused. ``p -= step`` gives the name p to a new node here as
    everywhere; to change the numbers of a parameter write ``p.data -= step``.

    >>> from autodiff import Value, no_grad
    >>> x = Value(3.0)
    >>> with no_grad():
    ...     y = x * 2
    >>> y.is_leaf
    True
    """

    records = False


class recording(_Mode):  # noqa: N801  # the counterpart of no_grad
    """Recording inside, even within ``no_grad``: transforms need a graph wherever they are called.

    >>> from autodiff import Value, no_grad
    >>> with no_grad(), recording():
    ...     y = Value(3.0) * 2
    >>> y.is_leaf
    False
    """

    records = True

    def __enter__(self) -> Self:
        if is_compiling():
            raise CompileError(
                "a function that differentiates cannot be compiled; differentiate the compiled function instead: "
                "grad(compile(f)), not compile(grad(f))"
            )
        return super().__enter__()


class tracing(_Mode):  # noqa: N801  # a block, like the others
    """A function is being recorded, to be run later without its Python code: nobody may look at the numbers.

    ``made`` has the nodes that were computed since, each with its operands; constant arrays as they were then.
    """

    records = True

    def __init__(self) -> None:
        self.made: dict[Node, list[Any]] = {}
        self._copies: dict[int, Any] = {}

    def saw_output(self, node: Node) -> None:
        """Refuse what is not recorded, note what is."""
        self.made[node] = [self._copied(x) for x in node.operands]
        if not next(mode.records for mode in reversed(MODES.get()) if mode.records is not None):
            raise CompileError(f"{node.op.name if node.op else 'a leaf'} is computed under no_grad, so not recorded")

    def _copied(self, x: Any) -> Any:
        """A constant array as it is now, copied once for as long as it is not written into."""
        if not isinstance(x, np.ndarray):
            return x
        old, copy = self._copies.get(id(x), (None, None))
        if old is not x or not np.array_equal(copy, x, equal_nan=x.dtype.kind in "fc"):
            self._copies[id(x)] = (x, copy := x.copy())
        return copy

    def saw_reading(self, node: Node) -> None:
        """Refuse."""
        what = f"of {node.name or 'a leaf' if node.op is None else 'the result of ' + node.op.name}"
        raise CompileError(
            f"the function reads the numbers {what} (.data, item(), bool(), a comparison or the like) or sets them. A "
            "compiled function runs its Python code once, so what follows from these numbers would never change. Use "
            "autodiff's functions (maximum, relu, clip, where on plain masks), or leave this part outside"
        )

    def saw_gradient(self, node: Node, position: int, contribution: Any) -> None:  # noqa: ARG002  # as modes are called
        """Refuse."""
        raise CompileError("backward() inside a compiled function; call it on the result instead")


def is_compiling() -> bool:
    """Whether the code that asks is being recorded by ``compile``, so that it must not look at numbers.

    >>> is_compiling()
    False
    """
    modes = MODES.get()
    return bool(modes) and any(isinstance(mode, tracing) for mode in modes)


class detect_anomaly(_Mode):  # noqa: N801  # torch's name
    """Find the first operation whose output or gradient becomes nan or inf, with your file and line.

    Inside, every operation checks its output and remembers where it was called; a backward through such a graph
    (inside the block as well) checks every contribution, and that no operand's array was written into.
    Slow; raises AnomalyError. Forward mode is not watched.

    >>> from autodiff import Value, detect_anomaly
    >>> with detect_anomaly():  # doctest: +ELLIPSIS
    ...     Value(-1.0).log()
    Traceback (most recent call last):
    autodiff.errors.AnomalyError: log gave nan for operand -1.0, at ...
    """

    def saw_output(self, node: Node) -> None:
        """Remember where the node was made, and raise if it is the first that is not finite."""
        frame = _user_frame()
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "an unknown place"
        node._origin = (where, tuple(map(_checksum, node.operands)))
        if not np.all(np.isfinite(node._data)):
            inputs = [_plain(x) for x in node.operands]
            shown = ", ".join(
                repr(x) if isinstance(x, float) else np.array2string(x, threshold=6, separator=", ") for x in inputs[:4]
            )
            cause = "" if all(np.all(np.isfinite(x)) for x in inputs) else " (an operand was not finite already)"
            kind = "nan" if np.any(np.isnan(node._data)) else "inf"
            name = node.op.name if node.op else "leaf"
            raise AnomalyError(f"{name} gave {kind} for operand{'s'[: len(inputs) != 1]} {shown}{cause}, at {where}")

    def saw_gradient(self, node: Node, position: int, contribution: Any) -> None:
        """Raise if what an operand receives is not finite, or if an operand's array was written into."""
        where, sums = node._origin or ("a place outside detect_anomaly", None)
        name = node.op.name if node.op else "leaf"
        if sums is not None and sums != tuple(map(_checksum, node.operands)):
            raise AnomalyError(f"an array that {name} used was written into after it was recorded, at {where}")
        if not np.all(np.isfinite(_plain(contribution))):
            kind = "nan" if np.any(np.isnan(_plain(contribution))) else "inf"
            raise AnomalyError(f"the gradient of operand {position} of {name} is {kind}; {name} was called at {where}")


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Node) else x


def _user_frame() -> FrameType | None:
    """The innermost frame outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        frame = frame.f_back
    return frame


def _checksum(x: Any) -> int:
    data = _plain(x)
    return crc32(np.ascontiguousarray(data).tobytes()) if isinstance(data, np.ndarray) else 0
