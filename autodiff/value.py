"""Value: a Python float in the graph."""

from typing import Any

import numpy as np

from .graph import clock
from .node import Node, read

__all__ = ["Value"]


class Value(Node, holds=float):
    """A number that remembers how it was computed.

    Args:
        data: a number; integers become floats.
        name: a label for drawings.

    ``grad`` is 0.0 until a ``backward`` reaches the value. ``==`` is identity; ``<`` and the like compare data.
    Raises TypeError for anything that is not one real number.

    >>> a, b = Value(2.0), Value(1.0)
    >>> e = (a + b) * (b + 1)
    >>> e.backward()
    >>> e.data, a.grad, b.grad
    (6.0, 2.0, 5.0)
    """

    __slots__ = ()
    _data: float
    grad: float
    _no_grad_value = 0.0
    shape: tuple[int, ...] = ()
    ndim = 0

    def __init__(self, data: Any, name: str | None = None) -> None:
        self._become_leaf(_as_float(data), name)

    @property
    def data(self) -> float:
        """The number. Rebinding it (``p.data -= 0.1 * p.grad``) makes older graphs through this value stale."""
        return read(self)  # type: ignore[no-any-return]  # a Value holds a float

    @data.setter
    def data(self, data: Any) -> None:
        read(self)
        self._data = data if type(data) is float else _as_float(data)
        self._rebound = clock.tick()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):  # a number, which no node is; but whoever asks expects to learn something
            read(self)
        return NotImplemented

    __hash__ = object.__hash__

    def item(self) -> float:
        """The number."""
        return self.data

    def _zero(self) -> float:
        return 0.0

    def _seed(self, seed: Any) -> float:
        return 1.0 if seed is None else _as_float(seed._data if isinstance(seed, Node) else seed)

    def __repr__(self) -> str:
        label = f", name={self.name!r}" if self.name else ""
        return f"Value(data={self._data}, grad={self.grad}{label})"


def _as_float(x: Any) -> float:
    if type(x) is float:
        return x
    if isinstance(x, (bool, int, float, np.bool_, np.integer, np.floating)):
        return float(x)
    if isinstance(x, np.ndarray) and x.ndim == 0 and x.dtype.kind in "fiub":
        return float(x)
    if isinstance(x, Node):
        raise TypeError(f"a Value holds a number, got a {type(x).__name__}; use .detach() for a copy without history")
    raise TypeError(f"a Value holds one real number, got {type(x).__name__}: {x!r}; for arrays use Tensor")
