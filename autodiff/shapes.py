"""Arithmetic on shape tuples: which axes a reduction removes, which axes broadcasting added.

Nothing here touches an array, so each function can be checked by hand.
"""

from collections.abc import Sequence

from numpy.lib.array_utils import normalize_axis_tuple

__all__ = ["broadcast_axes", "inverse_permutation", "kept_shape", "normalize_axes", "reduced_size"]

Axis = int | Sequence[int] | None
Shape = tuple[int, ...]


def normalize_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as a tuple of distinct non-negative integers; None means all of them.

    Raises numpy.exceptions.AxisError for an axis out of range, ValueError for a repeated one.

    >>> normalize_axes(-1, 3), normalize_axes(None, 2), normalize_axes((), 2)
    ((2,), (0, 1), ())
    """
    return tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)


def kept_shape(shape: Shape, axis: Axis) -> Shape:
    """The shape after a reduction over ``axis`` with ``keepdims=True``.

    >>> kept_shape((2, 3, 4), (0, -1))
    (1, 3, 1)
    """
    axes = normalize_axes(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduced_size(shape: Shape, axis: Axis) -> int:
    """How many elements go into one element of the reduction.

    >>> reduced_size((2, 3, 4), (0, 2))
    8
    """
    size = 1
    for i in normalize_axes(axis, len(shape)):
        size *= shape[i]
    return size


def broadcast_axes(small: Shape, big: Shape) -> tuple[int, ...]:
    """The axes of ``big`` along which ``small`` was repeated when it was broadcast to ``big``.

    Summing over them is the transpose of broadcasting.

    >>> broadcast_axes((3, 1), (2, 3, 4))
    (0, 2)
    """
    lead = len(big) - len(small)
    stretched = (lead + i for i, n in enumerate(small) if n == 1 and big[lead + i] != 1)
    return (*range(lead), *stretched)


def inverse_permutation(axes: Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The permutation that undoes ``transpose(axes=axes)``; None reverses the axes.

    >>> inverse_permutation((2, 0, 1), 3)
    (1, 2, 0)
    """
    order = range(ndim)[::-1] if axes is None else [axis % ndim for axis in axes]
    return tuple(sorted(range(ndim), key=order.__getitem__))
