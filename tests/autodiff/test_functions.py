"""Composites: what they refuse, and their corner cases. Their values and derivatives are tested with the structural
rows, through the one table of cases, in test_array_rules.py."""

import numpy as np
import pytest

import autodiff
from autodiff import ShapeError, Tensor, Value, functions

from .array_cases import BY_NAME, COMPOSITES, row


def test_every_composite_has_cases_in_the_table():
    assert set(functions.__all__) <= COMPOSITES <= set(BY_NAME)


def builtin_kinds(error):
    return tuple(kind for kind in (IndexError, ValueError, TypeError) if isinstance(error, kind))


X = np.arange(6.0).reshape(2, 3)
REFUSED = [
    ("reshape", lambda x: row.reshape(x, shape=(4, 2)), lambda x: np.reshape(x, (4, 2))),
    ("reshape", lambda x: row.reshape(x, shape=(-1, -1)), lambda x: np.reshape(x, (-1, -1))),
    ("transpose", lambda x: row.transpose(x, axes=(0,)), lambda x: np.transpose(x, (0,))),
    ("transpose", lambda x: row.transpose(x, axes=(0, 0)), lambda x: np.transpose(x, (0, 0))),
    ("transpose", lambda x: row.transpose(x, axes=(0, 2)), lambda x: np.transpose(x, (0, 2))),
    ("broadcast_to", lambda x: row.broadcast_to(x, shape=(3, 3)), lambda x: np.broadcast_to(x, (3, 3))),
    ("getitem", lambda x: row.getitem(x, index=5), lambda x: x[5]),
    ("getitem", lambda x: row.getitem(x, index=(0, 0, 0)), lambda x: x[0, 0, 0]),
    ("getitem", lambda x: row.getitem(x, index=np.ones(3, dtype=bool)), lambda x: x[np.ones(3, dtype=bool)]),
    ("cumsum", lambda x: row.cumsum(x, axis=2), lambda x: np.cumsum(x, axis=2)),
    ("cumprod", lambda x: row.cumprod(x, axis=-3), lambda x: np.cumprod(x, axis=-3)),
    ("matmul", lambda x: row.matmul(x, x), lambda x: np.matmul(x, x)),
    ("matmul", lambda x: row.matmul(x, 2.0), lambda x: np.matmul(x, 2.0)),
    ("concatenate", lambda x: functions.concatenate([x, x[0]]), lambda x: np.concatenate([x, x[0]])),
    ("concatenate", lambda x: functions.concatenate([x, x], 2), lambda x: np.concatenate([x, x], 2)),
    ("concatenate", lambda x: functions.concatenate([]), lambda x: np.concatenate([])),
    ("stack", lambda x: functions.stack([x, x[0]]), lambda x: np.stack([x, x[0]])),
    ("stack", lambda x: functions.stack([]), lambda x: np.stack([])),
    ("stack", lambda x: functions.stack([x, x], 4), lambda x: np.stack([x, x], 4)),
    ("split", lambda x: functions.split(x, 2, 1), lambda x: np.split(x, 2, 1)),
    ("split", lambda x: functions.split(x, 2, 2), lambda x: np.split(x, 2, 2)),
    ("swapaxes", lambda x: functions.swapaxes(x, 0, 2), lambda x: np.swapaxes(x, 0, 2)),
    ("moveaxis", lambda x: functions.moveaxis(x, (0, 1), 0), lambda x: np.moveaxis(x, (0, 1), 0)),
    ("moveaxis", lambda x: functions.moveaxis(x, 0, 3), lambda x: np.moveaxis(x, 0, 3)),
    ("expand_dims", lambda x: functions.expand_dims(x, 4), lambda x: np.expand_dims(x, 4)),
    ("expand_dims", lambda x: functions.expand_dims(x, (0, 0)), lambda x: np.expand_dims(x, (0, 0))),
    ("squeeze", lambda x: functions.squeeze(x, 0), lambda x: np.squeeze(x, 0)),
    ("squeeze", lambda x: functions.squeeze(x, 2), lambda x: np.squeeze(x, 2)),
    ("repeat", lambda x: functions.repeat(x, [1, 2], 1), lambda x: np.repeat(x, [1, 2], 1)),
    ("repeat", lambda x: functions.repeat(x, -1), lambda x: np.repeat(x, -1)),
    ("pad", lambda x: functions.pad(x, -1), lambda x: np.pad(x, -1)),
    ("pad", lambda x: functions.pad(x, ((1, 1),) * 3), lambda x: np.pad(x, ((1, 1),) * 3)),
    ("flip", lambda x: functions.flip(x, 2), lambda x: np.flip(x, 2)),
    ("roll", lambda x: functions.roll(x, 1, 2), lambda x: np.roll(x, 1, 2)),
    ("diagonal", lambda x: functions.diagonal(x[0]), lambda x: np.diagonal(x[0])),
    ("diagonal", lambda x: functions.diagonal(x, 0, 0, 0), lambda x: np.diagonal(x, 0, 0, 0)),
    ("trace", lambda x: functions.trace(x, 0, 0, 2), lambda x: np.trace(x, 0, 0, 2)),
    ("triu", lambda x: functions.triu(x[0, 0]), lambda x: np.triu(x[0, 0])),
    ("take", lambda x: functions.take(x, 6), lambda x: np.take(x, 6)),
    ("take", lambda x: functions.take(x, 0, axis=2), lambda x: np.take(x, 0, axis=2)),
    ("sort", lambda x: functions.sort(x, 2), lambda x: np.sort(x, 2)),
    ("dot", lambda x: functions.dot(x, x), lambda x: np.dot(x, x)),
    ("inner", lambda x: functions.inner(x, x[:, :2]), lambda x: np.inner(x, x[:, :2])),
    ("vdot", lambda x: functions.vdot(x, x[0]), lambda x: np.vdot(x, x[0])),
    ("tensordot", lambda x: functions.tensordot(x, x, 1), lambda x: np.tensordot(x, x, 1)),
    ("tensordot", lambda x: functions.tensordot(x, x, ((0, 1), (0,))), lambda x: np.tensordot(x, x, ((0, 1), (0,)))),
    ("einsum", lambda x: functions.einsum("ij,jk->ik", x, x), lambda x: np.einsum("ij,jk->ik", x, x)),
    ("einsum", lambda x: functions.einsum("ijk->i", x), lambda x: np.einsum("ijk->i", x)),
    ("einsum", lambda x: functions.einsum("ij,ij->", x), lambda x: np.einsum("ij,ij->", x)),
    ("einsum", lambda x: functions.einsum("ij->k", x), lambda x: np.einsum("ij->k", x)),
    ("einsum", lambda x: functions.einsum("i->i", x), lambda x: np.einsum("i->i", x)),
    ("einsum", lambda x: functions.einsum("ii->i", x), lambda x: np.einsum("ii->i", x)),
]


@pytest.mark.parametrize(
    ("ours", "numpys"), [case[1:] for case in REFUSED], ids=[f"{i}-{case[0]}" for i, case in enumerate(REFUSED)]
)
def test_what_numpy_refuses_we_refuse_with_the_same_kind_of_error(ours, numpys):
    with pytest.raises((ValueError, IndexError, TypeError)) as expected:
        numpys(X)
    for operand in (X, Tensor(X)):
        with pytest.raises(builtin_kinds(expected.value)):
            ours(operand)


# ---- corner cases --------------------------------------------------------------------------------------------------


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
    with pytest.raises(ShapeError, match="must be arrays"):
        autodiff.linear(2.0, 3.0, 1.0)


def test_a_reduction_of_a_float_is_a_float():
    assert type(autodiff.sum(1.0)) is float
    assert type(autodiff.logsumexp(1.0)) is float


def test_softmax_and_its_logarithm_need_an_axis():
    for function in (autodiff.softmax, autodiff.log_softmax):
        with pytest.raises(np.exceptions.AxisError):
            function(1.0)
