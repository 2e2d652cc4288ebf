"""Composites: functions written in the table's verbs. They need no derivative of their own."""

import builtins
import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from . import array_rules as rows
from .array_rules import contracted, cumprod, getitem, joined, matmul, reshape, scatter, shape_of, transpose
from .array_rules import sum as sum_along
from .errors import ShapeError
from .primitive import raw
from .rules import add, mul, where
from .shapes import normalize_axes

# fmt: off
__all__ = [
    "concatenate", "cumprod", "diagonal", "dot", "einsum", "expand_dims", "flip", "inner", "moveaxis", "outer", "pad",
    "ravel", "repeat", "roll", "sort", "split", "squeeze", "stack", "swapaxes", "take", "tensordot", "tile", "trace",
    "tril", "triu", "vdot",
]
# fmt: on


def _ndim(x: Any) -> int:
    return len(shape_of(x))


def _along(axis: int, entry: Any, ndim: int) -> tuple[Any, ...]:
    """An index that applies ``entry`` to one axis and takes all of the others."""
    (axis,) = normalize_axes(axis, ndim)
    return (slice(None),) * axis + (entry,)


# ---- layout ---------------------------------------------------------------------------------------------------


def ravel(x: Any) -> Any:
    """All elements in one row, as np.ravel.

    Takes any shape and gives (size,). Raises TypeError for an operand that is not numeric.

    >>> ravel(np.ones((2, 3))).shape
    (6,)
    """
    return reshape(x, shape=(-1,))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged, as np.swapaxes.

    Takes an array or node of any shape. Raises numpy.exceptions.AxisError for an axis out of range.

    >>> swapaxes(np.ones((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    order = list(range(_ndim(x)))
    (i,), (j,) = normalize_axes(axis1, len(order)), normalize_axes(axis2, len(order))
    order[i], order[j] = j, i
    return transpose(x, axes=tuple(order))


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Axes moved to new positions, as np.moveaxis.

    Takes an array or node of any shape; the other axes keep their order. Raises numpy.exceptions.AxisError for an axis
    out of range, ShapeError for different numbers of sources and destinations, ValueError for a repeated axis.

    >>> moveaxis(np.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    start, stop = normalize_axes(source, _ndim(x)), normalize_axes(destination, _ndim(x))
    if len(start) != len(stop):
        raise ShapeError(f"moveaxis needs as many destinations as sources, got {len(start)} and {len(stop)}")
    order = [i for i in range(_ndim(x)) if i not in start]
    for to, origin in sorted(zip(stop, start, strict=True)):
        order.insert(to, origin)
    return transpose(x, axes=tuple(order))


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """New axes of length 1 at the given positions of the result, as np.expand_dims.

    Takes an array or node of any shape. Raises numpy.exceptions.AxisError for an axis out of range of the result.

    >>> expand_dims(np.ones(3), (0, -1)).shape
    (1, 3, 1)
    """
    extra = len(axis) if isinstance(axis, (tuple, list)) else 1
    ndim = _ndim(x) + extra
    new, sides = normalize_axes(axis, ndim), iter(shape_of(x))
    return reshape(x, shape=tuple(1 if i in new else next(sides) for i in range(ndim)))


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """Axes of length 1 removed, all of them or the given ones, as np.squeeze.

    Raises ShapeError if a given axis is longer than 1.

    >>> squeeze(np.ones((1, 3, 1))).shape
    (3,)
    """
    shape = shape_of(x)
    axes = [i for i, n in enumerate(shape) if n == 1] if axis is None else normalize_axes(axis, len(shape))
    if any(shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {shape} is not of length 1")
    return reshape(x, shape=tuple(n for i, n in enumerate(shape) if i not in axes))


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Every element repeated, ``repeats`` times or a number for each, as np.repeat.

    Takes an array or node of any shape; axis None flattens it first.
    Raises numpy.exceptions.AxisError for an axis out of range, ValueError for repeats that are negative or do not fit
    the axis.

    >>> repeat(np.array([1.0, 2.0]), 2)
    array([1., 1., 2., 2.])
    """
    if axis is None:
        x, axis = ravel(x), 0
    (axis,) = normalize_axes(axis, _ndim(x))
    return take(x, np.repeat(np.arange(shape_of(x)[axis]), repeats), axis=axis)


def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """The whole array repeated along its axes, as np.tile.

    Takes an array or node of any shape. Raises ShapeError for a negative number of repetitions.

    >>> tile(np.array([1.0, 2.0]), 2)
    array([1., 2., 1., 2.])
    """
    counts = (operator.index(reps),) if np.ndim(reps) == 0 else tuple(reps)  # type: ignore[arg-type]  # one integer
    ndim = builtins.max(_ndim(x), len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - _ndim(x)) + shape_of(x)
    split_shape = tuple(side for n in shape for side in (1, n))
    wide = tuple(side for count, n in zip(counts, shape, strict=True) for side in (count, n))
    blocks = rows.broadcast_to(reshape(x, shape=split_shape), shape=wide)
    return reshape(blocks, shape=tuple(count * n for count, n in zip(counts, shape, strict=True)))


def pad(x: Any, pad_width: Any, *, constant_values: float = 0.0) -> Any:
    """A border of a constant around the array, as np.pad with mode "constant".

    Args:
        x: any shape.
        pad_width: n, (before, after), or one such pair per axis.
        constant_values: one number for the whole border.

    Raises ShapeError for a negative width, ValueError for widths that do not fit the axes.

    >>> pad(np.ones(2), (1, 0))
    array([0., 1., 1.])
    """
    widths = np.broadcast_to(pad_width, (_ndim(x), 2)).tolist()
    if any(width < 0 for pair in widths for width in pair):
        raise ShapeError(f"pad_width cannot be negative, got {pad_width}")
    shape = tuple(a + n + b for (a, b), n in zip(widths, shape_of(x), strict=True))
    index = tuple(slice(a, a + n) for (a, _), n in zip(widths, shape_of(x), strict=True))
    padded = scatter(x, index=index, shape=shape)
    if constant_values == 0.0:
        return padded
    border = np.full(shape, constant_values, dtype=getattr(x, "dtype", None))
    border[index] = 0.0
    return add(padded, border)


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """The order of elements reversed along the axes (all by default), as np.flip.

    Takes an array or node of any shape and keeps it. Raises numpy.exceptions.AxisError for an axis out of range.

    >>> flip(np.array([1.0, 2.0]))
    array([2., 1.])
    """
    axes = normalize_axes(axis, _ndim(x))
    return getitem(x, index=tuple(slice(None, None, -1 if i in axes else 1) for i in range(_ndim(x))))


def roll(x: Any, shift: int, axis: int | None = None) -> Any:
    """Elements shifted round and round along an axis, or in the flattened array, as np.roll.

    Takes an array or node of any shape and keeps it. Raises numpy.exceptions.AxisError for an axis out of range.

    >>> roll(np.array([1.0, 2.0, 3.0]), 1)
    array([3., 1., 2.])
    """
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape=shape_of(x))
    (axis,) = normalize_axes(axis, _ndim(x))
    n = shape_of(x)[axis]
    return take(x, (np.arange(n) - shift) % n if n else np.arange(0), axis=axis)


def triu(x: Any, k: int = 0) -> Any:
    """The upper triangle from the k-th diagonal up, zeros below, as np.triu.

    Takes an array or node of shape (..., n, m) and keeps it. Raises TypeError for one without axes.

    >>> triu(np.ones((2, 2)))
    array([[1., 1.],
           [0., 1.]])
    """
    return where(np.triu(np.ones(shape_of(x)[-2:], dtype=bool), k), x, 0.0)


def tril(x: Any, k: int = 0) -> Any:
    """The lower triangle from the k-th diagonal down, zeros above, as np.tril.

    Takes an array or node of shape (..., n, m) and keeps it. Raises TypeError for one without axes.

    >>> tril(np.ones((2, 2)))
    array([[1., 0.],
           [1., 1.]])
    """
    return where(np.tril(np.ones(shape_of(x)[-2:], dtype=bool), k), x, 0.0)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal of two axes, which becomes the last axis, as np.diagonal.

    Raises ShapeError for fewer than two axes, numpy.exceptions.AxisError for an axis out of range, ValueError for the
    same axis twice.

    >>> diagonal(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 4.])
    """
    if _ndim(x) < 2:
        raise ShapeError(f"diagonal needs at least two axes, got shape {shape_of(x)}")
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    n, m = shape_of(x)[-2:]
    i = np.arange(builtins.max(builtins.min(n + builtins.min(offset, 0), m - builtins.max(offset, 0)), 0))
    return getitem(x, index=(..., i - builtins.min(offset, 0), i + builtins.max(offset, 0)))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal, as np.trace.

    Raises what ``diagonal`` raises.

    >>> float(trace(np.eye(3)))
    3.0
    """
    return sum_along(diagonal(x, offset, axis1, axis2), axis=-1)


def take(x: Any, indices: Any, *, axis: int | None = None) -> Any:
    """Elements picked along an axis, or from the flattened array, as np.take.

    The result has the shape of the indices in place of the axis; repeated indices accumulate their gradients.
    Raises IndexError for an index out of range or not an integer, numpy.exceptions.AxisError for an axis out of range.

    >>> take(np.array([1.0, 2.0, 3.0]), [2, 0, 2])
    array([3., 1., 3.])
    """
    if axis is None:
        x, axis = ravel(x), 0
    return getitem(x, index=_along(axis, np.array(indices), _ndim(x)))


def sort(x: Any, axis: int | None = -1) -> Any:
    """Elements in ascending order along an axis (None: flattened), as np.sort.

    Takes an array or node of any shape and keeps it. A gradient goes back to where its element came from; equal
    elements keep their order. Raises numpy.exceptions.AxisError for an axis out of range.

    >>> sort(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    if axis is None:
        x, axis = ravel(x), -1
    (axis,) = normalize_axes(axis, _ndim(x))
    index = np.ogrid[tuple(slice(n) for n in shape_of(x))]
    order = np.argsort(raw(x), axis=axis, kind="stable")
    return getitem(x, index=(*index[:axis], order, *index[axis + 1 :]))


# ---- joining and splitting ------------------------------------------------------------------------------------


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """Arrays joined along an existing axis (None: flattened first), as np.concatenate.

    The arrays have one shape but for that axis.
    Raises ShapeError for no arrays or shapes that do not fit, numpy.exceptions.AxisError for an axis out of range.

    >>> concatenate([np.ones(2), np.zeros(1)])
    array([1., 1., 0.])
    """
    if not len(arrays):
        raise ShapeError("concatenate needs at least one array, got none")
    if axis is None:
        return joined(*map(ravel, arrays), axis=0)
    return joined(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis, as np.stack.

    Raises ShapeError for no arrays or different shapes, numpy.exceptions.AxisError for an axis out of range.

    >>> stack([np.ones(2), np.zeros(2)]).shape
    (2, 2)
    """
    if len({shape_of(x) for x in arrays}) != 1:
        raise ShapeError(f"stack needs arrays of one shape, got {[shape_of(x) for x in arrays]}")
    return joined(*(expand_dims(x, axis) for x in arrays), axis=axis)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """A list of parts: so many equal ones, or cut at the given indices, as np.split.

    Raises ShapeError if equal parts do not come out even.

    >>> [part.tolist() for part in split(np.arange(4.0), 2)]
    [[0.0, 1.0], [2.0, 3.0]]
    """
    (axis,) = normalize_axes(axis, _ndim(x))
    n = shape_of(x)[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        if indices_or_sections < 1 or n % indices_or_sections:
            raise ShapeError(f"split: axis {axis} of length {n} does not divide into {indices_or_sections} parts")
        cuts = list(range(0, n + 1, n // indices_or_sections)) if n else [0] * (indices_or_sections + 1)
    else:
        cuts = [0, *indices_or_sections, n]
    return [getitem(x, index=_along(axis, slice(a, b), _ndim(x))) for a, b in pairwise(cuts)]


# ---- products -------------------------------------------------------------------------------------------------


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sums of products over the given axes of a and b, as np.tensordot.

    The result has the remaining axes of a, then those of b. axes is a number n (the last n of a with the first n of b)
    or a pair of axes of a and of b.
    Raises ShapeError if the axes do not match, numpy.exceptions.AxisError for one out of range.

    >>> tensordot(np.ones((2, 3)), np.ones((3, 4)), 1).shape
    (2, 4)
    """
    if isinstance(axes, int):
        axes = (range(_ndim(a) - axes, _ndim(a)), range(axes))
    left = normalize_axes(axes[0], _ndim(a)) if len(np.shape(axes[0])) == 0 or len(axes[0]) else ()
    right = normalize_axes(axes[1], _ndim(b)) if len(np.shape(axes[1])) == 0 or len(axes[1]) else ()
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    first = [next(letters) for _ in range(_ndim(a))]
    second = [next(letters) for _ in range(_ndim(b))]
    if len(left) != len(right) or any(shape_of(a)[i] != shape_of(b)[j] for i, j in zip(left, right, strict=True)):
        raise ShapeError(f"tensordot: axes {axes} of shapes {shape_of(a)} and {shape_of(b)} do not match")
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    free = [c for i, c in enumerate(first) if i not in left] + [c for j, c in enumerate(second) if j not in right]
    return contracted(a, b, inputs=("".join(first), "".join(second)), output="".join(free))


def dot(a: Any, b: Any) -> Any:
    """Product over the last axis of a and the second to last of b, as np.dot.

    Vectors and matrices as ``matmul``; a number multiplies. Raises ShapeError for shapes that do not fit.

    >>> float(dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    if 0 in (_ndim(a), _ndim(b)):
        return mul(a, b)
    if _ndim(b) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((-1,), (-2,)))


def inner(a: Any, b: Any) -> Any:
    """Product over the last axes of a and b, as np.inner.

    The result has the other axes of a, then those of b; a number multiplies. Raises ShapeError if the last axes differ.

    >>> float(inner(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    if 0 in (_ndim(a), _ndim(b)):
        return mul(a, b)
    return tensordot(a, b, ((-1,), (-1,)))


def outer(a: Any, b: Any) -> Any:
    """Every element of a times every element of b, as np.outer.

    Takes any shapes, flattened; gives (a.size, b.size). Raises TypeError for an operand that is not numeric.

    >>> outer(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    array([[3., 4.],
           [6., 8.]])
    """
    return mul(reshape(a, shape=(-1, 1)), reshape(b, shape=(1, -1)))


def vdot(a: Any, b: Any) -> Any:
    """The sum of all products of corresponding elements, as np.vdot for real arrays.

    Raises ShapeError for different numbers of elements, TypeError for an operand that is not numeric.

    >>> float(vdot(np.ones((2, 2)), np.ones((2, 2))))
    4.0
    """
    return matmul(ravel(a), ravel(b))


def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein summation, as np.einsum: "ij,jk->ik", "ii->i", "...i->...", or without "->".

    Raises ShapeError if the subscripts do not fit the operands.

    >>> einsum("ii->", np.eye(3)).item()
    3.0
    """
    inputs, output = _explicit(subscripts.replace(" ", ""), [_ndim(x) for x in operands])
    return contracted(*operands, inputs=inputs, output=output)


def _explicit(subscripts: str, ndims: Sequence[int]) -> tuple[tuple[str, ...], str]:
    """Subscripts with a letter for every axis: ellipses spelt out, the implied output written down."""
    left, arrow, output = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ShapeError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(ndims)}")
    spare = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in subscripts]
    widths = [n - len(t) + 3 if "..." in t else 0 for t, n in zip(terms, ndims, strict=True)]
    dots = "".join(spare[: builtins.max(0, *widths)])[::-1]
    inputs = tuple(t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True))
    if any(len(t) != n for t, n in zip(inputs, ndims, strict=True)):
        raise ShapeError(f"einsum: {subscripts!r} does not fit operands with {list(ndims)} axes")
    if not arrow:
        letters = "".join(terms).replace("...", "")
        output = dots + "".join(c for c in sorted(set(letters)) if letters.count(c) == 1)
    return inputs, output.replace("...", dots)
