"""Optimizers: they change parameters by their gradients. Values and Tensors alike."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from autodiff import Tensor, Value

__all__ = ["SGD"]

# A training step frees and asks for the same large arrays over and over. glibc's malloc hands each back to the system
# and fetches it again, and the page faults cost more than the arithmetic, unless its thresholds are high; they rise to
# the size of the largest block freed so far, up to 32 MB (mallopt(3), M_MMAP_THRESHOLD). This block is never touched.
np.empty((32 << 20) - 8192, np.uint8)


class SGD:
    """Stochastic gradient descent, with momentum: v = momentum * v + grad; p = p - lr * v.

    Args:
        parameters: leaves, Values or Tensors; one that occurs twice is stepped once.
        lr: the learning rate; readable and settable as ``optimizer.lr``.
        momentum: in [0, 1).

    Parameters without a gradient are left alone. Raises ValueError for no parameters or a rate out of range,
    TypeError for anything that is not a leaf.

    >>> p = Value(1.0)
    >>> optimizer = SGD([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> p.data
    0.8
    """

    def __init__(self, parameters: Iterable[Any], lr: float, momentum: float = 0.0) -> None:
        if not isinstance(parameters, Iterable):
            raise TypeError(f"SGD takes parameters, got {type(parameters).__name__}; pass model.parameters()")
        found = list(parameters)
        if not found:
            raise ValueError("SGD got no parameters; pass model.parameters()")
        for p in found:
            if not isinstance(p, (Value, Tensor)) or not p.is_leaf:
                raise TypeError(f"SGD steps leaves (Value or Tensor), got {p!r}; pass model.parameters()")
        self.parameters = list(dict.fromkeys(found))
        if not lr >= 0.0:
            raise ValueError(f"lr must be at least 0, got {lr}")
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.lr = lr
        self.momentum = momentum
        self._velocity: dict[Any, Any] = {}
        self._scratch = _scratch(self.parameters)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters:
            p.zero_grad()

    def step(self) -> None:
        """Move every parameter one step against its gradient."""
        for p, scratch in zip(self.parameters, self._scratch, strict=True):
            change = p.grad
            if change is None:
                continue
            if self.momentum:
                change = self._velocity[p] = self.momentum * self._velocity.get(p, 0.0) + change
            p.data -= self.lr * change if scratch is None else np.multiply(change, self.lr, scratch)


def _scratch(parameters: list[Any]) -> list[Any]:
    """For every Tensor an array of its shape to compute a step in, all in one block of memory; None for a Value.

    A fresh array of a few megabytes at every step would cost more, in page faults, than the arithmetic.
    """
    tensors = [p for p in parameters if isinstance(p, Tensor)]
    blocks = {t.dtype: np.empty(max(u.size for u in tensors if u.dtype == t.dtype), t.dtype) for t in tensors}
    return [blocks[p.dtype][: p.size].reshape(p.shape) if isinstance(p, Tensor) else None for p in parameters]
