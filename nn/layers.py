"""Layers that are neither activations nor specialised: linear, lookup, reshaping and dropout."""

import math
from typing import Any

import numpy as np

from autodiff import Node, ShapeError, Tensor, getitem, linear, matmul, reshape, where

from . import init
from .module import Module

__all__ = ["Dropout", "Embedding", "Flatten", "Identity", "Linear"]


class Linear(Module):
    """y = x @ weight.T + bias.

    Args:
        in_features, out_features: sizes of the last axis of x and of y.
        bias: whether there is one.
        rng: a numpy Generator or a seed; both are uniform in +-1/sqrt(in_features).
        dtype: of the parameters.

    Attributes:
        weight: (out_features, in_features), torch's layout.
        bias: (out_features,) or None.

    Raises ShapeError if the last axis of the input is not in_features, ValueError for a negative size.

    >>> layer = Linear(2, 3, rng=0)
    >>> layer, layer(np.ones((5, 2))).shape
    (Linear(in_features=2, out_features=3, bias=True), (5, 3))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        if in_features < 0 or out_features < 0:
            raise ValueError(f"Linear needs sizes of at least 0, got {in_features} and {out_features}")
        rng = np.random.default_rng(rng)
        self.weight = Tensor(init.fan_in_uniform((out_features, in_features), in_features, rng), dtype=dtype)
        self.bias = Tensor(init.fan_in_uniform((out_features,), in_features, rng), dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """(..., in_features) to (..., out_features)."""
        if not hasattr(x, "shape"):
            x = np.asarray(x, dtype=self.weight.dtype)
        try:
            return matmul(x, self.weight.T) if self.bias is None else linear(x, self.weight, self.bias)
        except ShapeError as error:
            n_in = self.weight.shape[1]
            if x.shape and x.shape[-1] == n_in:
                raise
            raise ShapeError(f"{self} takes inputs of shape (..., {n_in}), got {x.shape}") from error

    def _describe(self) -> str:
        n_out, n_in = self.weight.shape
        return f"in_features={n_in}, out_features={n_out}, bias={self.bias is not None}"


class Identity(Module):
    """The input itself: a place holder.

    >>> Identity()(np.array([1.0, 2.0]))
    array([1., 2.])
    """

    def forward(self, x: Any) -> Any:
        """X."""
        return x


class Flatten(Module):
    """Several axes merged into one, by default all but the first, which is the batch.

    Args:
        start_axis, end_axis: the first and the last of the axes to merge; negative ones count from the end.

    Takes any shape that has these axes and keeps the dtype. Raises ShapeError for an input without them.

    >>> Flatten()(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = start_axis
        self.end_axis = end_axis

    def forward(self, x: Any) -> Any:
        """(..., a, b, c, ...) to (..., a * b * c, ...)."""
        if not hasattr(x, "shape"):
            x = np.asarray(x, dtype=np.float64)
        shape = x.shape
        start, end = (axis + len(shape) if axis < 0 else axis for axis in (self.start_axis, self.end_axis))
        if not 0 <= start <= end < len(shape):
            raise ShapeError(f"{self} needs axes {self.start_axis} to {self.end_axis}, got an input of shape {shape}")
        return reshape(x, shape=(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))

    def _describe(self) -> str:
        return f"start_axis={self.start_axis}, end_axis={self.end_axis}"


class Embedding(Module):
    """A vector for every one of a number of things, looked up by their numbers.

    Args:
        num_embeddings: how many things.
        embedding_dim: the length of a vector.
        padding_idx: the number of a thing whose vector is zero and is not trained.
        rng: a numpy Generator or a seed; the vectors are standard normal.
        dtype: of the vectors.

    Attributes:
        weight: (num_embeddings, embedding_dim).

    Takes integers of any shape. Raises TypeError for anything but integers, ValueError for one out of range and for
    negative sizes.

    >>> table = Embedding(10, 3, rng=0)
    >>> table, table([[1, 2], [1, 9]]).shape
    (Embedding(10, 3), (2, 2, 3))
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None = None,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        if num_embeddings < 0 or embedding_dim < 0:
            raise ValueError(f"Embedding needs sizes of at least 0, got {num_embeddings} and {embedding_dim}")
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx must be in 0 .. {num_embeddings - 1}, got {padding_idx}")
        self.padding_idx = padding_idx
        vectors = np.random.default_rng(rng).standard_normal((num_embeddings, embedding_dim))
        if padding_idx is not None:
            vectors[padding_idx] = 0.0
        self.weight = Tensor(vectors, dtype=dtype)

    def forward(self, indices: Any) -> Any:
        """Integers of shape (...) to vectors of shape (..., embedding_dim)."""
        if isinstance(indices, Node):
            raise TypeError(f"{self} takes integers, got a {type(indices).__name__}")
        indices = np.array(indices)  # of our own: the graph refers to them
        if indices.dtype.kind not in "iu" and indices.size:
            raise TypeError(f"{self} takes integers, got {indices.dtype}; convert with .astype(int)")
        n = self.weight.shape[0]
        if indices.size and not (indices.min() >= 0 and indices.max() < n):
            raise ValueError(f"{self} takes integers in 0 .. {n - 1}, got {indices.min()} .. {indices.max()}")
        vectors = getitem(self.weight, index=indices.astype(np.intp))
        if self.padding_idx is None:
            return vectors
        padding = np.array(indices == self.padding_idx)[..., None]
        return where(padding, vectors.data if isinstance(vectors, Node) else vectors, vectors)

    def _describe(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return ", ".join(map(str, self.weight.shape)) + padding


class Dropout(Module):
    """In training, every number is set to 0 with probability p, and the others are divided by 1 - p; else the identity.

    Args:
        p: in [0, 1].
        rng: a numpy Generator or a seed; kept as the attribute ``rng``.

    Takes any shape and keeps it and its dtype. The gradient is dropped and scaled as the numbers were.
    Source: Srivastava et al. 2014, Dropout, Journal of Machine Learning Research 15.
    Raises ValueError for a p out of range.

    >>> dropout = Dropout(0.5, rng=0)
    >>> dropout(np.ones(6))
    array([2., 2., 2., 0., 0., 0.])
    >>> dropout.eval()(np.ones(6))
    array([1., 1., 1., 1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"Dropout needs a probability in [0, 1], got {p}")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Any) -> Any:
        """X with some of its numbers dropped, or as it is."""
        if not self.training or self.p == 0.0:
            return x
        if not hasattr(x, "shape"):
            x = np.asarray(x, dtype=np.float64)
        # Numbers with 24 random bits are drawn in half the time, and no p needs more
        kept = self.rng.random(x.shape, dtype=np.float32) >= self.p
        return x * np.multiply(kept, 1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0, dtype=x.dtype)

    def _describe(self) -> str:
        return f"p={self.p}"
