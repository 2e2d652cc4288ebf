"""Composites: functions written in the table's verbs. They need no derivative of their own."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .array_rules import along, contracted, cumprod, getitem, joined, matmul, reshape, scatter, shape_of, transpose
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


# ---- layout ---------------------------------------------------------------------------------------------------
# Where do the elements of x go? Where NumPy's function of that name puts them: we apply it to their positions, or to an
# array without contents, and read off the index, the shape or the order of the axes. What it refuses is refused here.


def _asked(function: Callable[..., Any], x: Any, array: Any, *args: Any) -> Any:
    """NumPy's answer for an array that stands for x."""
    if any(hasattr(type(value), "__record__") for value in args):  # NumPy would hand them back to us
        raise TypeError(f"{function.__name__} needs plain counts and indices, they have no derivative: use .data")
    try:
        return function(array, *args)
    except IndexError:  # also numpy's AxisError, which says it all
        raise
    except ValueError as error:
        raise ShapeError(f"{function.__name__}: {error} (operand shape: {shape_of(x)})") from error


def _shaped(function: Callable[..., Any], x: Any, *args: Any) -> Any:
    """x in the shape that NumPy's function gives an array like it."""
    return reshape(x, shape=_asked(function, x, np.broadcast_to(0.0, shape_of(x)), *args).shape)


def _ordered(function: Callable[..., Any], x: Any, *args: Any) -> Any:
    """x with its axes in the order in which NumPy's function leaves axes of lengths 0, 1, 2, ..."""
    return transpose(x, axes=_asked(function, x, np.empty(range(_ndim(x))), *args).shape)


def _moved(function: Callable[..., Any], x: Any, *args: Any) -> Any:
    """x with its elements where NumPy's function leaves their positions."""
    positions = np.arange(np.prod(shape_of(x), dtype=int)).reshape(shape_of(x))
    return getitem(ravel(x), index=_asked(function, x, positions, *args))


def _picked(function: Callable[..., Any], x: Any, choice: Any, axis: int | None) -> Any:
    """The same along one axis; None flattens x first."""
    x, axis = along(x, axis)
    places = np.asarray(_asked(function, x, np.arange(shape_of(x)[axis]), choice))
    return getitem(x, index=(slice(None),) * axis + (places,))


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
    return _ordered(np.swapaxes, x, axis1, axis2)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Axes moved to new positions, as np.moveaxis.

    Takes an array or node of any shape; the other axes keep their order. Raises numpy.exceptions.AxisError for an axis
    out of range, ShapeError for different numbers of sources and destinations or a repeated axis.

    >>> moveaxis(np.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    return _ordered(np.moveaxis, x, source, destination)


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """New axes of length 1 at the given positions of the result, as np.expand_dims.

    Takes an array or node of any shape. Raises numpy.exceptions.AxisError for an axis out of range of the result,
    ShapeError for a repeated one.

    >>> expand_dims(np.ones(3), (0, -1)).shape
    (1, 3, 1)
    """
    return _shaped(np.expand_dims, x, axis)


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """Axes of length 1 removed, all of them or the given ones, as np.squeeze.

    Raises ShapeError if a given axis is longer than 1.

    >>> squeeze(np.ones((1, 3, 1))).shape
    (3,)
    """
    return _shaped(np.squeeze, x, axis)


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Every element repeated, ``repeats`` times or a number for each, as np.repeat.

    Takes an array or node of any shape; axis None flattens it first.
    Raises numpy.exceptions.AxisError for an axis out of range, ShapeError for repeats that are negative or do not fit
    the axis.

    >>> repeat(np.array([1.0, 2.0]), 2)
    array([1., 1., 2., 2.])
    """
    return _picked(np.repeat, x, repeats, axis)


def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """The whole array repeated along its axes, as np.tile.

    Takes an array or node of any shape. Raises ShapeError for a negative number of repetitions.

    >>> tile(np.array([1.0, 2.0]), 2)
    array([1., 2., 1., 2.])
    """
    return _moved(np.tile, x, reps)


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
    if np.any(np.less(pad_width, 0)):
        raise ShapeError(f"pad_width cannot be negative, got {pad_width}")
    widths = np.broadcast_to(pad_width, (_ndim(x), 2)).tolist()
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


def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """Elements shifted round and round along axes, or in the flattened array, as np.roll.

    Takes an array or node of any shape and keeps it. Raises numpy.exceptions.AxisError for an axis out of range,
    ShapeError for shifts and axes of which there are different numbers.

    >>> roll(np.array([1.0, 2.0, 3.0]), 1)
    array([3., 1., 2.])
    """
    return _moved(np.roll, x, shift, axis)


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

    Raises ShapeError for fewer than two axes or the same axis twice, numpy.exceptions.AxisError for an axis out of
    range.

    >>> diagonal(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 4.])
    """
    return _moved(np.diagonal, x, offset, axis1, axis2)


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
    Raises IndexError for an index out of range, TypeError for one that is no integer, numpy.exceptions.AxisError for an
    axis out of range.

    >>> take(np.array([1.0, 2.0, 3.0]), [2, 0, 2])
    array([3., 1., 3.])
    """
    return _picked(np.take, x, indices, axis)


def sort(x: Any, axis: int | None = -1) -> Any:
    """Elements in ascending order along an axis (None: flattened), as np.sort.

    Takes an array or node of any shape and keeps it. A gradient goes back to where its element came from; equal
    elements keep their order. Raises numpy.exceptions.AxisError for an axis out of range.

    >>> sort(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    return _moved(np.take_along_axis, x, np.argsort(raw(x), axis=axis, kind="stable"), axis)


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
    axis = normalize_axis_index(axis, _ndim(x))
    n = shape_of(x)[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        if indices_or_sections < 1 or n % indices_or_sections:
            raise ShapeError(f"split: axis {axis} of length {n} does not divide into {indices_or_sections} parts")
        cuts = [i * n // indices_or_sections for i in range(indices_or_sections + 1)]
    else:
        cuts = [0, *indices_or_sections, n]
    return [getitem(x, index=(slice(None),) * axis + (slice(a, b),)) for a, b in pairwise(cuts)]


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
        axes = (range(-axes, 0), range(axes))
    left, right = normalize_axes(axes[0], _ndim(a)), normalize_axes(axes[1], _ndim(b))
    if [shape_of(a)[i] for i in left] != [shape_of(b)[j] for j in right]:
        raise ShapeError(f"tensordot: axes {axes} of shapes {shape_of(a)} and {shape_of(b)} do not match")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    first, second = list(letters[: _ndim(a)]), list(letters[_ndim(a) :][: _ndim(b)])
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

    Raises ShapeError if the subscripts do not fit the operands, or take the diagonal of axes of different lengths.

    >>> einsum("ii->", np.eye(3)).item()
    3.0
    """
    inputs, output = _explicit(subscripts.replace(" ", ""), [_ndim(x) for x in operands])
    for term, x in zip(inputs, operands, strict=True):
        if len({*zip(term, shape_of(x), strict=True)}) > len({*term}):  # where NumPy may read what is not the array's
            raise ShapeError(f"einsum: {subscripts!r} takes a diagonal of axes of different lengths, of {shape_of(x)}")
    return contracted(*operands, inputs=inputs, output=output)


def _explicit(subscripts: str, ndims: Sequence[int]) -> tuple[tuple[str, ...], str]:
    """Subscripts with a letter for every axis: ellipses spelt out, the implied output written down."""
    left, arrow, output = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ShapeError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(ndims)}")
    if any("." in t.replace("...", "", 1) for t in (*terms, output)):
        raise ShapeError(f"einsum: {subscripts!r} has more than one ellipsis in a term, or dots that are none")
    spare = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in subscripts]
    widths = [n - len(t) + 3 if "..." in t else 0 for t, n in zip(terms, ndims, strict=True)]
    dots = "".join(spare[: max(0, *widths)])[::-1]
    inputs = tuple(t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True))
    if any(len(t) != n for t, n in zip(inputs, ndims, strict=True)):
        raise ShapeError(f"einsum: {subscripts!r} does not fit operands with {list(ndims)} axes")
    if not arrow:
        letters = "".join(terms).replace("...", "")
        output = dots + "".join(c for c in sorted(set(letters)) if letters.count(c) == 1)
    return inputs, output.replace("...", dots)
