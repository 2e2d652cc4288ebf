"""Batch and layer normalisation."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, reduce
from typing import Any, NamedTuple

import numpy as np

from autodiff import CompileError, Node, ShapeError, Tensor, add, array_op, is_compiling, mean, reshape, sum

from .module import Module

__all__ = ["BatchNorm1d", "LayerNorm"]


def _along(axis: tuple[int, ...], reduction: Any, x: Any) -> Callable[[Any], Any]:
    """A function that adds up or averages along some axes, kept as 1 (or left out, if it is the first of two).

    It takes arrays of the shape and dtype of x and, unless x is plain, nodes.
    """
    if type(x) is np.ndarray and x.dtype.kind == "f" and len(axis) == 1:  # products are faster than adding up
        if axis == (0,) and x.ndim == 2:
            return _factors(reduction is mean, len(x), x.dtype.char).dot  # type: ignore[no-any-return]  # it is an array
        if axis == (x.ndim - 1,):
            factors = _factors(reduction is mean, x.shape[-1], x.dtype.char)
            return lambda y: y.dot(factors)[..., None]
    return partial(reduction, axis=axis, keepdims=True)


@lru_cache(maxsize=16)
def _factors(averaged: bool, n: int, dtype: str) -> Any:
    factors = np.full(n, 1.0 / n if averaged and n else 1.0, dtype)
    factors.flags.writeable = False
    return factors


class Standardized(NamedTuple):
    """A batch less its mean, divided by its deviation; and what that took. Arrays, or nodes if the batch is one."""

    z: Any
    inverse: Any
    """1 / sqrt(variance + eps)."""
    centre: Any
    variance: Any
    """The biased one."""


def standardized(x: Any, axis: tuple[int, ...], eps: float, known: Standardized | None = None) -> Standardized:
    """Standardise x along some axes, unless it is plain data of which that is known."""
    if known is not None and not isinstance(x, Node):
        return known
    average = _along(axis, mean, x)
    centre = average(x)
    deviation = x - centre
    variance = average(deviation * deviation)
    inverse = 1.0 / np.sqrt(variance + eps)  # np.sqrt of a node is a node
    deviation *= inverse  # in place, unless it is a node
    return Standardized(deviation, inverse, centre, variance)


def _standardized_data(x: Any, axis: tuple[int, ...], eps: float) -> Standardized | None:
    """The numbers of x standardised; None if nobody may look at them, because a function is being compiled."""
    return None if is_compiling() else standardized(x.data if isinstance(x, Node) else x, axis, eps)


def _normalized(x: Any, w: Any, b: Any, *, axis: tuple[int, ...], eps: float, known: Any = None) -> Any:
    z = standardized(x, axis, eps, known).z
    same = getattr(w, "dtype", None) is z.dtype is getattr(b, "dtype", None)
    y = z * w if same else np.multiply(z, w, dtype=np.result_type(z, w, b))
    y += b
    return y


def _through(h: Any, z: Any, sum_h: Any, sum_hz: Any, scale: Any, out: Any = None) -> Any:
    """h times the Jacobian of the standardised z, (1 - 1/n - z z'/n) * scale for a scale of 1/deviation; symmetric.

    ``out`` may be an array to compute in, if all are plain.
    """
    n = max(h.size // max(sum_h.size, 1), 1)
    through = np.multiply(z, sum_hz / n, out=out)
    through = np.subtract(h, through, out=out)
    through = np.subtract(through, sum_h / n, out=out)
    return np.multiply(through, scale, out=out)


def _gradients(
    g: Any,
    y: Any,  # noqa: ARG001  # every rule gets y
    x: Any,
    w: Any,
    b: Any,
    *,
    axis: tuple[int, ...],
    eps: float,
    known: Any = None,
) -> list[Any]:
    """Of x, w and b, together: they share most of the work."""
    z, inverse, _, _ = standardized(x, axis, eps, known)
    gz, scale = g * z, w * inverse
    if (scale + b).shape != inverse.shape:
        gw, gwz = g * w, gz * w
        total = _along(axis, sum, gwz)
        return [_through(gw, z, total(gw), total(gwz), inverse), gz, g]
    # w and b do not change along the axis: their gradients are the very sums, and w can wait for the last product
    total = _along(axis, sum, gz)
    sum_g, sum_gz = total(g), total(gz)
    plain = type(g) is type(z) is type(scale) is np.ndarray  # then the array of g * z, of no more use, serves again
    return [_through(g, z, sum_g, sum_gz, scale, gz if plain else None), sum_gz, sum_g]


def _tangent(
    ts: Any,
    y: Any,  # noqa: ARG001  # every rule gets y
    x: Any,
    w: Any,
    b: Any,  # noqa: ARG001  # and every operand
    *,
    axis: tuple[int, ...],
    eps: float,
    known: Any = None,
) -> Any:
    z, inverse, _, _ = standardized(x, axis, eps, known)
    t_x, t_w, t_b = ts
    terms = [] if t_b is None else [t_b]
    if t_w is not None:
        terms.append(t_w * z)
    if t_x is not None:
        tz = t_x * z
        total = _along(axis, sum, tz)
        terms.append(_through(t_x, z, total(t_x), total(tz), inverse) * w)
    return reduce(add, terms)


normalized = array_op(
    "normalized",
    _normalized,
    _gradients,
    pushforwards=[_tangent],
    variadic=True,
    fresh=True,
    latex=r"\frac{{{0} - \mu}}{{\sigma}} \cdot {1} + {2}",
    doc="(x - mean) / sqrt(variance + eps) * w + b, with mean and biased variance along some axes. Whoever has "
    "standardised this x may hand that over, so that it is not done again.",
)


class BatchNorm1d(Module):
    """Every channel shifted and scaled to mean 0 and variance 1 over the batch, then scaled and shifted by parameters.

    In training, mean and biased variance of the batch are used, and running estimates of the mean and of the unbiased
    variance follow them; in evaluation the running estimates are used, so a fresh layer is then the identity, up to
    eps.

    Args:
        num_features: the number of channels.
        eps: added to the variance, so that a constant channel does no harm.
        momentum: the weight of a new batch in the running estimates; None: they are the mean over all batches.
        affine: whether there are parameters.
        track_running_stats: False: there are no running estimates, and evaluation uses those of the batch.
        dtype: of parameters and estimates.

    Attributes:
        weight, bias: (num_features,), ones and zeros at first, or None.
        running_mean, running_var: (num_features,) arrays, the running estimates, or None.
        num_batches_tracked: how many batches they have seen, an integer array.

    Takes (batch, channels) or (batch, channels, length) and keeps the shape.
    Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
    Raises ShapeError for any other shape, ValueError for one value a channel in training (its variance is unknown).

    >>> norm = BatchNorm1d(2)
    >>> norm(np.array([[1.0, 10.0], [3.0, 30.0]])).data.round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> norm.running_mean
    array([0.2, 2. ])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Tensor(np.ones(num_features), dtype=dtype) if affine else None
        self.bias = Tensor(np.zeros(num_features), dtype=dtype) if affine else None
        self.running_mean: Any = None
        self.running_var: Any = None
        self.num_batches_tracked: Any = None
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, dtype))
            self.register_buffer("running_var", np.ones(num_features, dtype))
            self.register_buffer("num_batches_tracked", 0)

    def forward(self, x: Any) -> Any:
        """(batch, channels) or (batch, channels, length) to the same shape."""
        x = _array(x, np.float64 if self.weight is None else self.weight.dtype)
        shape = x.shape
        if len(shape) not in (2, 3) or shape[1] != self.num_features:
            n = self.num_features
            raise ShapeError(f"{self} takes inputs of shape (batch, {n}) or (batch, {n}, length), got {shape}")
        if self.training or self.running_mean is None:
            return self._over_batch(x, shape)
        w, b, centre, variance = (
            self._column(numbers, x) for numbers in (*self._parameters(), self.running_mean, self.running_var)
        )
        return (x - centre) * (w / np.sqrt(variance + self.eps)) + b

    def _over_batch(self, x: Any, shape: tuple[int, ...]) -> Any:
        axis, n = ((0,), shape[0]) if len(shape) == 2 else ((0, 2), shape[0] * shape[2])
        if n < 2 and self.training:
            raise ValueError(
                f"{self} needs more than one value for each channel in training, got an input of shape {shape}; "
                "make the batch larger, or call eval()"
            )
        known = _standardized_data(x, axis, self.eps)
        if self.training and self.running_mean is not None:
            if known is None:
                raise CompileError(
                    f"{self} moves its running estimates in training, which a compiled function would not do; compile "
                    "the module after eval(), or use track_running_stats=False"
                )
            self._follow(known.centre, known.variance, n)
        w, b = self._parameters()
        if len(shape) == 3:
            w, b = self._column(w, x), self._column(b, x)
        return normalized(x, w, b, axis=axis, eps=self.eps, known=known)

    def _follow(self, centre: Any, variance: Any, n: int) -> None:
        """Move the running estimates towards the moments of a batch with n values a channel."""
        self.num_batches_tracked = self.num_batches_tracked + 1
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for name, x in (("running_mean", centre), ("running_var", variance * (n / (n - 1)))):
            old = getattr(self, name)
            new = (old + rate * (x.ravel() - old)).astype(old.dtype, copy=False)
            object.__setattr__(self, name, new)  # no parameter and nothing compiled depends on it: Module need not ask

    def _parameters(self) -> tuple[Any, Any]:
        return (1.0, 0.0) if self.weight is None else (self.weight, self.bias)

    def _column(self, numbers: Any, x: Any) -> Any:
        """One number a channel, in a shape that broadcasts against x."""
        return numbers if len(x.shape) == 2 or isinstance(numbers, float) else reshape(numbers, shape=(-1, 1))

    def _describe(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )


class LayerNorm(Module):
    """Every example shifted and scaled to mean 0 and variance 1 over its last axes, then by parameters.

    Args:
        normalized_shape: the sides of the last axes, or the side of the last one.
        eps: added to the biased variance.
        elementwise_affine: whether there are parameters.
        bias: whether they include a bias.
        dtype: of the parameters.

    Attributes:
        weight, bias: of shape normalized_shape, ones and zeros at first, or None.

    Takes any shape that ends in normalized_shape, and keeps it. Source: Ba et al. 2016, arXiv:1607.06450.
    Raises ShapeError for any other shape.

    >>> LayerNorm(2, elementwise_affine=False)(np.array([[1.0, 3.0], [10.0, 30.0]])).round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.weight = Tensor(np.ones(self.normalized_shape), dtype=dtype) if elementwise_affine else None
        self.bias = Tensor(np.zeros(self.normalized_shape), dtype=dtype) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        """(..., *normalized_shape) to the same shape."""
        x = _array(x, np.float64 if self.weight is None else self.weight.dtype)
        n = len(self.normalized_shape)
        if tuple(x.shape[len(x.shape) - n :]) != self.normalized_shape:
            wanted = ", ".join(["...", *map(str, self.normalized_shape)])
            raise ShapeError(f"{self} takes inputs of shape ({wanted}), got {x.shape}")
        w, b = 1.0 if self.weight is None else self.weight, 0.0 if self.bias is None else self.bias
        axis = tuple(range(len(x.shape) - n, len(x.shape)))
        known = _standardized_data(x, axis, self.eps)
        return normalized(x, w, b, axis=axis, eps=self.eps, known=known)

    def _describe(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


def _array(x: Any, dtype: Any) -> Any:
    return x if hasattr(x, "shape") else np.asarray(x, dtype=dtype)
