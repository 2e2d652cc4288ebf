"""Convolution and pooling over images, arrays of shape (batch, channels, height, width).

All of them look at the image through a window that slides over it. ``windows`` lays out what it shows at every place,
so that a convolution is one product of matrices and pooling a reduction along the window.
"""

import math
from typing import Any

import numpy as np

from autodiff import ShapeError, Tensor, array_op, expand_dims, matmul, max, mean, reshape, transpose

from .init import fan_in_uniform
from .module import Module

__all__ = ["AvgPool2d", "Conv2d", "MaxPool2d"]

Pair = tuple[int, int]


class Geometry:
    """The sizes of a sliding window, each a pair (down, across).

    Args:
        kernel: the side lengths of the window.
        stride: by how much it moves.
        padding: how wide a border is added on both sides.
        dilation: the distance between neighbouring elements of the window.
        fill: the number in the border.
    """

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), fill: float = 0.0) -> None:
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.fill = fill

    def places(self, shape: tuple[int, ...]) -> Pair:
        """At how many places of an image of shape (..., height, width) the window fits: (rows, columns)."""
        spans = ((k - 1) * d for k, d in zip(self.kernel, self.dilation, strict=True))
        rows, columns = (
            (n + 2 * p - span - 1) // s + 1
            for n, p, span, s in zip(shape[-2:], self.padding, spans, self.stride, strict=True)
        )
        return rows, columns

    def around_zero(self) -> "Geometry":
        """The same with zeros in the border: what gradients and tangents have there."""
        return Geometry(self.kernel, self.stride, self.padding, self.dilation)

    def padded(self, x: np.ndarray) -> np.ndarray:
        """The images with their border."""
        (top, left), (height, width) = self.padding, x.shape[-2:]
        if not (top or left):
            return x
        out = np.full((*x.shape[:2], height + 2 * top, width + 2 * left), self.fill, x.dtype)
        out[:, :, top : top + height, left : left + width] = x
        return out

    def views(self, x: np.ndarray) -> Any:
        """The padded images through the window: a view of shape (down, across, channels, batch, rows, columns)."""
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        span = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
        slid: Any = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
        return slid[:, :, ::sh, ::sw, ::dh, ::dw].transpose(4, 5, 1, 0, 2, 3)


def _windows(x: np.ndarray, *, geometry: Geometry) -> np.ndarray:
    return np.array(geometry.views(geometry.padded(x)), order="C")


def _folded(w: np.ndarray, *, geometry: Geometry, shape: tuple[int, ...]) -> np.ndarray:
    """The transpose: every element of an image gets the sum of all that windows showed of it."""
    (kh, kw), (top, left), (dh, dw), (sh, sw) = geometry.kernel, geometry.padding, geometry.dilation, geometry.stride
    rows, columns = w.shape[-2:]
    batch, channels, height, width = shape
    out = np.zeros((channels, batch, height + 2 * top, width + 2 * left), w.dtype)  # in the memory order of w
    for i in range(kh):
        for j in range(kw):
            out[:, :, i * dh : i * dh + rows * sh : sh, j * dw : j * dw + columns * sw : sw] += w[i, j]
    return out[:, :, top : top + height, left : left + width].swapaxes(0, 1)


def _windows_rule(g: Any, y: Any, x: Any, *, geometry: Geometry) -> Any:  # noqa: ARG001  # every rule gets y
    return folded(g, geometry=geometry, shape=x.shape)


def _folded_rule(g: Any, y: Any, w: Any, *, geometry: Geometry, shape: Any) -> Any:  # noqa: ARG001  # likewise
    return windows(g, geometry=geometry.around_zero())


windows: Any = array_op(
    "windows",
    _windows,
    _windows_rule,
    pushforwards=[lambda t, y, x, *, geometry: windows(t, geometry=geometry.around_zero())],
    fresh=True,
    doc="What a sliding window shows: shape (down, across, channels, batch, rows, columns).",
)
folded: Any = array_op(
    "folded",
    _folded,
    _folded_rule,
    fresh=True,
    doc="What windows show, folded back: added up where they show it. The transpose of windows.",
)


def _pair(layer: str, what: str, sizes: Any, least: int) -> Pair:
    pair = (sizes, sizes) if isinstance(sizes, int) else tuple(sizes)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n >= least for n in pair):
        raise ValueError(f"{layer} needs a {what} of one or two integers of at least {least}, got {sizes!r}")
    return pair[0], pair[1]


def _checked(layer: Module, x: Any, geometry: Geometry, channels: int | None = None) -> Any:
    """The input as an array or node, after its shape was seen to fit."""
    if not hasattr(x, "shape"):
        x = np.asarray(x, dtype=np.float64)
    if len(x.shape) != 4 or (channels is not None and x.shape[1] != channels):
        wanted = "channels" if channels is None else channels
        raise ShapeError(f"{layer} takes inputs of shape (batch, {wanted}, height, width), got {x.shape}")
    if min(geometry.places(x.shape)) < 1:
        raise ShapeError(f"{layer}: the window does not fit into an input of shape {x.shape}")
    return x


class Conv2d(Module):
    """A window slides over every image; at each place y = the sum of weight * window over channels, plus bias.

    Args:
        in_channels, out_channels: how many numbers a pixel of x and of y has.
        kernel_size: the sides of the window, (down, across) or one for both, as all sizes here.
        stride: by how much the window moves.
        padding: how wide a border of zeros is put around the image.
        dilation: the distance between the pixels that the window looks at.
        bias: whether there is one.
        rng: a numpy Generator or a seed; both are uniform in +-1/sqrt(in_channels * window).
        dtype: of the parameters.

    Attributes:
        weight: (out_channels, in_channels, down, across), torch's layout.
        bias: (out_channels,) or None.

    Takes (batch, in_channels, height, width), gives (batch, out_channels, rows, columns) with
    rows = (height + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1.
    Raises ShapeError for other shapes and images smaller than the window, ValueError for sizes out of range.

    >>> layer = Conv2d(1, 3, 5, padding=2, rng=0)
    >>> layer(np.ones((2, 1, 28, 28))).shape
    (2, 3, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        self.geometry = Geometry(
            _pair("Conv2d", "kernel_size", kernel_size, 1),
            _pair("Conv2d", "stride", stride, 1),
            _pair("Conv2d", "padding", padding, 0),
            _pair("Conv2d", "dilation", dilation, 1),
        )
        rng = np.random.default_rng(rng)
        shape = (out_channels, in_channels, *self.geometry.kernel)
        fan_in = math.prod(shape[1:])
        self.weight = Tensor(fan_in_uniform(shape, fan_in, rng), dtype=dtype)
        self.bias = Tensor(fan_in_uniform((out_channels,), fan_in, rng), dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """(batch, in_channels, height, width) to (batch, out_channels, rows, columns)."""
        n_out, n_in, down, across = self.weight.shape
        x = _checked(self, x, self.geometry, n_in)
        rows, columns = self.geometry.places(x.shape)
        seen = reshape(windows(x, geometry=self.geometry), shape=(down * across * n_in, -1))
        # The window's axes come first, as in what it sees
        kernels = reshape(transpose(self.weight, axes=(0, 2, 3, 1)), shape=(n_out, -1))
        y = matmul(kernels, seen)
        if self.bias is not None:
            y = y + expand_dims(self.bias, 1)
        return transpose(reshape(y, shape=(n_out, x.shape[0], rows, columns)), axes=(1, 0, 2, 3))

    def _describe(self) -> str:
        n_out, n_in = self.weight.shape[:2]
        g = self.geometry
        shown = f"{n_in}, {n_out}, kernel_size={g.kernel}, stride={g.stride}, padding={g.padding}"
        return f"{shown}, dilation={g.dilation}, bias={self.bias is not None}"


class _Pool2d(Module):
    fill: float

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        name = type(self).__name__
        kernel = _pair(name, "kernel_size", kernel_size, 1)
        border = _pair(name, "padding", padding, 0)
        if any(2 * p > k for p, k in zip(border, kernel, strict=True)):
            raise ValueError(f"{name} needs a padding of at most half the window {kernel}, got {padding!r}")
        move = kernel if stride is None else _pair(name, "stride", stride, 1)
        self.geometry = Geometry(kernel, move, border, fill=self.fill)

    def _seen(self, x: Any) -> Any:
        return windows(_checked(self, x, self.geometry), geometry=self.geometry)

    def _describe(self) -> str:
        g = self.geometry
        return f"kernel_size={g.kernel}, stride={g.stride}, padding={g.padding}"


class MaxPool2d(_Pool2d):
    """The largest number in a window that slides over every channel.

    Args:
        kernel_size: the sides of the window, (down, across) or one for both, as all sizes here.
        stride: by how much it moves; by default its own size.
        padding: how wide a border that is never the largest is put around the image; at most half the window.

    Takes (batch, channels, height, width), gives (batch, channels, rows, columns). Equal largest numbers share the
    gradient, as in ``autodiff.max``; PyTorch gives it to the first of them.
    Raises ShapeError for other shapes and images smaller than the window, ValueError for sizes out of range.

    >>> MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    fill = -math.inf

    def forward(self, x: Any) -> Any:
        """(batch, channels, height, width) to (batch, channels, rows, columns)."""
        return transpose(max(self._seen(x), axis=(0, 1)), axes=(1, 0, 2, 3))


class AvgPool2d(_Pool2d):
    """The mean of the numbers in a window that slides over every channel; the zeros of the border count.

    Args:
        kernel_size: the sides of the window, (down, across) or one for both, as all sizes here.
        stride: by how much it moves; by default its own size.
        padding: how wide a border of zeros is put around the image; at most half the window.

    Takes (batch, channels, height, width), gives (batch, channels, rows, columns).
    Raises ShapeError for other shapes and images smaller than the window, ValueError for sizes out of range.

    >>> AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    fill = 0.0

    def forward(self, x: Any) -> Any:
        """(batch, channels, height, width) to (batch, channels, rows, columns)."""
        return transpose(mean(self._seen(x), axis=(0, 1)), axes=(1, 0, 2, 3))
