"""Composites: corner cases. Their values and derivatives are tested with the structural rows, through the one table of
cases, in test_array_rules.py; what they refuse in tests/promises/test_numpy_parity.py."""

import numpy as np
import pytest

import autodiff
from autodiff import ShapeError, Tensor, Value, functions

from .array_cases import BY_NAME, COMPOSITES


@pytest.mark.promise(1)
def test_every_composite_has_cases_in_the_table():
    assert set(functions.__all__) <= COMPOSITES <= set(BY_NAME)


@pytest.mark.promise(10)
@pytest.mark.parametrize("join", [functions.concatenate, functions.stack])
def test_nothing_cannot_be_joined(join):
    with pytest.raises(ShapeError):
        join([])


@pytest.mark.parametrize(
    "call",
    [
        lambda x, node: functions.repeat(x, node),
        lambda x, node: functions.take(x, node),
        lambda x, node: functions.tile(x, node),
        lambda x, node: functions.roll(x, node),
        lambda x, node: functions.diagonal(x, node),
    ],
)
@pytest.mark.parametrize("node", [Value(1.0), Tensor([1.0, 2.0])])
def test_counts_and_indices_are_plain_because_they_have_no_derivative(call, node):
    with pytest.raises(TypeError, match="plain counts and indices"):
        call(Tensor(np.eye(2)), node)


@pytest.mark.promise(10)
@pytest.mark.parametrize("shape", [(0, 3), (0, 1), (2, 0), (1, 2)])
@pytest.mark.parametrize("subscripts", ["ii->i", "ii->", "...ii->...i", "ii"])
def test_a_diagonal_of_sides_that_differ_is_refused(subscripts, shape):
    """NumPy 2.4 reads memory that is not the array's where the first side is 0."""
    for x in (np.zeros(shape), Tensor(np.zeros(shape))):
        with pytest.raises(ShapeError, match="diagonal"):
            functions.einsum(subscripts, x)
    with pytest.raises(ShapeError, match="diagonal"):
        functions.einsum("iji->j", np.zeros((shape[0], 2, shape[1])))


@pytest.mark.promise(10)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias_dtype", [np.float32, np.float64])
def test_a_bias_that_would_widen_the_only_output_is_refused_whatever_the_dtypes(dtype, bias_dtype):
    x, w = np.ones((2, 3), dtype), np.ones((1, 3), dtype)
    for bias in (np.ones(3, bias_dtype), np.ones((4, 2, 1), bias_dtype)):
        with pytest.raises(ShapeError, match="linear"):
            autodiff.linear(Tensor(x), w, bias)
    y = autodiff.linear(Tensor(x), w, np.ones(1, bias_dtype))
    assert y.data.tolist() == [[4.0], [4.0]]
    assert y.dtype == np.result_type(dtype, bias_dtype)


def test_an_index_along_an_axis_copies_what_it_picks():
    x = np.arange(6.0).reshape(2, 3)
    for picked in (functions.take(x, 1, axis=0), functions.take(x, [0, 1], axis=0), functions.repeat(x, 1, axis=0)):
        assert not np.shares_memory(picked, x)


@pytest.mark.parametrize(
    ("call", "gradient"),
    [
        (lambda x: functions.roll(x, (1, -1), (0, 1)), [[4, 3], [2, 1]]),
        (lambda x: functions.tile(x, (2, 1)), [[6, 8], [10, 12]]),
        (lambda x: functions.take(x, [True, False, True], axis=1), [[2, 4], [5, 10]]),
    ],
)
def test_elements_that_are_moved_take_their_gradients_back(call, gradient):
    x = Tensor(np.eye(2))
    y = call(x)
    y.backward(np.arange(1.0, 1.0 + y.size).reshape(y.shape))
    assert x.grad.tolist() == gradient


def test_a_split_of_which_one_part_is_used_has_zeros_elsewhere():
    x = Tensor(np.arange(6.0))
    _, middle, _ = functions.split(x, 3)
    (middle * middle).sum().backward()
    assert x.grad.tolist() == [0, 0, 4, 6, 0, 0]


def test_concatenate_of_an_operand_with_itself_adds_both_gradients():
    x = Tensor([1.0, 2.0])
    functions.concatenate([x, x, [5.0]]).backward([1.0, 2.0, 10.0, 20.0, 9.0])
    assert x.grad.tolist() == [11.0, 22.0]


def test_constants_among_joined_operands_are_not_recorded():
    x = Tensor([1.0])
    y = functions.concatenate([np.ones(2), x, np.ones(1)])
    assert y.parents == (x,)
    y.backward(np.arange(4.0))
    assert x.grad.tolist() == [2.0]


def test_values_and_tensors_exchange_gradients():
    a, b = Value(2.0), Value(3.0)
    t = Tensor.from_values([a, b, a])
    (t * t * [1.0, 10.0, 100.0]).sum().backward()
    assert (a.grad, b.grad) == (404.0, 60.0)
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    (p, q), (r, s) = x.to_values()
    (p * q + r * s * s).backward()
    assert x.grad.tolist() == [[2.0, 1.0], [16.0, 24.0]]


def test_equal_elements_are_sorted_in_the_order_in_which_they_stand():
    """So the gradient of each tie is the same in every run; 200 elements: short arrays are sorted stably anyway."""
    data = np.tile([2.0, 1.0], 100)
    x = Tensor(data)
    functions.sort(x).backward(np.arange(200.0))
    expected = np.empty(200)
    expected[1::2], expected[::2] = np.arange(100), np.arange(100, 200)
    assert x.grad.tolist() == expected.tolist()


def test_the_lower_and_upper_triangle_do_not_leak_an_infinite_gradient_into_each_other():
    x = Tensor(np.ones((2, 2)))
    functions.triu(x).backward(np.full((2, 2), np.inf))
    assert x.grad.tolist() == [[np.inf, np.inf], [0.0, np.inf]]


def test_nested_lists_are_arrays_to_every_composite():
    m = [[1.0, 2.0], [3.0, 4.0]]
    assert autodiff.dot(m, m).tolist() == np.dot(m, m).tolist()
    assert autodiff.swapaxes(m, 0, 1).tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert autodiff.expand_dims(m, 0).shape == (1, 2, 2)
    assert autodiff.stack([m, m]).shape == (2, 2, 2)
    assert autodiff.triu(m).tolist() == [[1.0, 2.0], [0.0, 4.0]]
    assert autodiff.einsum("ij->ji", m).tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_products_of_bare_numbers_are_refused_as_shapes():
    with pytest.raises(ShapeError):
        autodiff.matmul(2.0, 3.0)
    with pytest.raises(ShapeError, match="the weight must have shape"):
        autodiff.linear(2.0, 3.0, 1.0)


def test_a_reduction_of_a_float_is_a_float():
    assert type(autodiff.sum(1.0)) is float
    assert type(autodiff.logsumexp(1.0)) is float


def test_softmax_and_its_logarithm_need_an_axis():
    for function in (autodiff.softmax, autodiff.log_softmax):
        with pytest.raises(np.exceptions.AxisError):
            function(1.0)
