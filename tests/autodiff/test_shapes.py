"""Arithmetic on shape tuples, against NumPy as the judge."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autodiff.shapes import broadcast_axes, inverse_permutation, kept_shape, normalize_axes, reduced_size

SHAPES = [shape for n in range(4) for shape in itertools.product((0, 1, 2, 3), repeat=n)]


@pytest.mark.parametrize(
    ("axis", "ndim", "expected"),
    [
        (None, 3, (0, 1, 2)),
        (None, 0, ()),
        (0, 2, (0,)),
        (-1, 3, (2,)),
        ((0, -1), 3, (0, 2)),
        ((-1, 0), 3, (2, 0)),
        ([1], 2, (1,)),
        ((), 2, ()),
        (np.int64(1), 2, (1,)),
    ],
)
def test_axes_become_a_tuple_of_positions_in_the_order_given(axis, ndim, expected):
    assert normalize_axes(axis, ndim) == expected


@pytest.mark.parametrize(("axis", "ndim"), [(2, 2), (-3, 2), (0, 0), ((0, 2), 2)])
def test_an_axis_out_of_range_is_an_axis_error_that_names_it(axis, ndim):
    with pytest.raises(np.exceptions.AxisError, match=f"out of bounds for array of dimension {ndim}"):
        normalize_axes(axis, ndim)


@pytest.mark.parametrize("axis", [(0, 0), (1, -1)])
def test_a_repeated_axis_is_refused(axis):
    with pytest.raises(ValueError, match="repeated"):
        normalize_axes(axis, 2)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (-2,), ()])
def test_kept_shape_and_reduced_size_are_those_of_a_numpy_sum(axis):
    checked = 0
    for shape in SHAPES:
        try:
            expected = np.sum(np.ones(shape), axis=axis, keepdims=True)
        except np.exceptions.AxisError:
            continue
        if shape == () and axis in (0, -1):  # NumPy lets these pass for a number
            continue
        checked += 1
        assert kept_shape(shape, axis) == expected.shape
        if expected.size:
            assert reduced_size(shape, axis) == expected.flat[0]  # a sum of ones counts
    assert checked >= 80


def test_an_empty_axis_makes_a_reduction_of_nothing():
    assert reduced_size((2, 0, 3), 1) == 0
    assert reduced_size((2, 0, 3), (0, 2)) == 6


def test_summing_over_the_broadcast_axes_undoes_broadcasting():
    """For every pair of shapes with sides 0 to 3: the kept sum over the axes has the small shape's sides."""
    checked = 0
    for small, big in itertools.product(SHAPES, SHAPES):
        try:
            wide = np.broadcast_to(np.ones(small), big)
        except ValueError:
            continue
        checked += 1
        axes = broadcast_axes(small, big)
        summed = np.sum(wide, axis=axes, keepdims=True).reshape(small)
        copies = np.prod([big[i] for i in axes], dtype=int)
        assert np.array_equal(summed, np.full(small, float(copies)))
    assert checked >= 400


@given(shape=hnp.array_shapes(min_dims=0, max_dims=5, min_side=1, max_side=4), data=st.data())
def test_the_inverse_permutation_puts_the_axes_back(shape, data):
    axes = data.draw(st.permutations(range(len(shape))))
    signed = [axis - len(shape) if data.draw(st.booleans()) else axis for axis in axes]
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    for order in (axes, signed):
        there = np.transpose(x, order)
        assert np.array_equal(np.transpose(there, inverse_permutation(order, len(shape))), x)


def test_the_inverse_of_reversed_axes_reverses_them():
    assert inverse_permutation(None, 4) == (3, 2, 1, 0)
    assert inverse_permutation(None, 0) == ()
