"""Shortcuts of the rule tables: counted, because no value can tell whether one was taken (see tests/mutation)."""

from types import SimpleNamespace

import numpy as np
import pytest

import autodiff as ad
from autodiff import Tensor, Value, array_rules, rules
from autodiff.primitive import REGISTRY
from tests.autodiff.numeric import assert_close


@pytest.fixture
def calls(monkeypatch):
    """Return a function that counts from now on the calls of a name that a table uses, as "matmul" or "np.matmul"."""

    def count(table, name):
        counted = []
        module, _, verb = name.rpartition(".")
        used = getattr(table, module) if module else table
        original = getattr(used, verb)

        def counting(*operands, **params):
            counted.append(operands)
            return original(*operands, **params)

        if module:
            monkeypatch.setattr(table, module, SimpleNamespace(**{**vars(used), verb: counting}))
        else:
            monkeypatch.setattr(table, verb, counting)
        return counted

    return count


ROW, MATRIX, STACK = np.arange(3.0), np.arange(12.0).reshape(4, 3), np.arange(24.0).reshape(2, 4, 3)


@pytest.mark.parametrize(
    ("x", "shape", "axis", "count"),
    [(MATRIX, (3,), 0, 0), (STACK, (4, 3), 0, 1), (STACK, (3,), (0, 1), 1), (ROW, (), 0, 1), (MATRIX, (), (0, 1), 1)],
)
def test_only_the_rows_of_a_matrix_are_summed_by_a_product(calls, x, shape, axis, count):
    reduced = calls(array_rules, "_add_up")
    assert REGISTRY["sum_to"](x, shape=shape).tolist() == np.sum(x, axis=axis).tolist()
    assert len(reduced) == count


def test_the_ones_of_that_product_are_shared_and_cannot_be_written():
    ones = array_rules._ones(3, "d")
    assert array_rules._ones(3, "d") is ones
    with pytest.raises(ValueError, match="read-only"):
        ones[0] = 2.0


@pytest.mark.parametrize(
    ("gradient", "operand"),
    [(2.0, 3.0), (2.0, Value(3.0)), (ROW + 1, ROW), (Tensor(ROW), ROW), (Tensor(ROW), Tensor(ROW)), (Value(1.0), 3.0)],
)
def test_a_gradient_that_is_like_its_operand_is_returned_as_it_is(gradient, operand):
    assert array_rules.like(gradient, operand) is gradient


def test_only_lists_are_made_arrays_to_learn_their_shape(calls):
    asked = calls(array_rules, "np.shape")
    for x, count in [(1.0, 0), (MATRIX, 0), (Value(1.0), 0), (Tensor(MATRIX), 0), (MATRIX.tolist(), 1)]:
        assert array_rules.shape_of(x) == np.shape(getattr(x, "data", x))
        assert len(asked) == count


def test_the_gradient_of_a_float_is_a_float_without_further_questions(calls):
    asked = calls(array_rules, "shape_of")
    assert array_rules.like(2.0, 3.0) == 2.0
    assert asked == []


@pytest.mark.parametrize(
    ("gradient", "expected", "asks"),
    [(ROW, ROW, False), (MATRIX, MATRIX.sum(axis=0), False), (np.array(2.0), np.full(3, 2.0), True)],
)
def test_a_gradient_of_the_right_dtype_is_summed_without_further_questions(calls, gradient, expected, asks):
    asked = calls(array_rules, "shape_of")
    assert array_rules.like(gradient, np.zeros(3)).tolist() == expected.tolist()
    assert bool(asked) == asks


@pytest.mark.parametrize(
    ("index", "basic"),
    [
        (1, True), (np.int64(1), True), (slice(2), True), (None, True), (..., True), ((1, None, ..., slice(1)), True),
        ([1, 1], False), (np.array([1, 1]), False), ((0, [1, 1]), False), (np.array([True, False, True, True]), False),
    ],
)  # fmt: skip
def test_only_an_index_that_may_repeat_elements_is_added_up(index, basic, monkeypatch):
    added = []
    add = SimpleNamespace(at=lambda *operands: added.append(operands) or np.add.at(*operands))
    monkeypatch.setattr(array_rules, "np", SimpleNamespace(**{**vars(np), "add": add}))
    t = Tensor(MATRIX)
    t[index].sum().backward()
    expected = np.zeros_like(MATRIX)
    np.add.at(expected, index, 1.0)
    assert t.grad.tolist() == expected.tolist()
    assert len(added) == (not basic)


@pytest.mark.parametrize(("x", "dimensions"), [(ROW, 1), (MATRIX, 2)])
def test_an_index_of_a_vector_is_added_up_as_a_vector(x, dimensions, monkeypatch):
    used = []
    add = SimpleNamespace(at=lambda out, index, g: used.append(index.ndim) or np.add.at(out, index, g))
    monkeypatch.setattr(array_rules, "np", SimpleNamespace(**{**vars(np), "add": add}))
    t = Tensor(x)
    REGISTRY["getitem"](t, index=np.array([[0, 1], [1, 2]])).sum().backward()
    assert t.grad.tolist() == [(np.ones_like(x[0]) * times).tolist() for times in (1, 2, 1, 0)[: len(x)]]
    assert used == [dimensions]


def test_the_last_axis_needs_no_regrouping():
    for axis in (-1, 2, (2,)):
        assert array_rules.grouped(STACK, axis) is STACK
        assert array_rules.ungrouped(STACK, STACK.shape, axis) is STACK


@pytest.mark.parametrize(
    ("a", "b", "count"), [(MATRIX, MATRIX.T, 0), (STACK, MATRIX.T, 1), (MATRIX, ROW, 1), (ROW, MATRIX.T, 1)]
)
def test_two_plain_matrices_are_multiplied_by_dot(calls, a, b, count):
    multiplied = calls(array_rules, "np.matmul")
    assert REGISTRY["matmul"](a, b).tolist() == np.matmul(a, b).tolist()
    assert len(multiplied) == count


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [
        (MATRIX, MATRIX.T, 0),
        (Tensor(MATRIX), MATRIX.T, 1),
        (MATRIX, Tensor(MATRIX.T), 1),
        (STACK, MATRIX.T, 1),
        (MATRIX, STACK.swapaxes(1, 2), 1),
        (STACK, STACK.swapaxes(1, 2), 1),
    ],
)
def test_a_product_inside_a_rule_is_recorded_unless_both_are_plain_matrices(calls, a, b, count):
    recorded = calls(array_rules, "matmul")
    y = array_rules._product(a, b)
    assert np.array_equal(getattr(y, "data", y), np.matmul(getattr(a, "data", a), getattr(b, "data", b)))
    assert len(recorded) == count


@pytest.mark.parametrize(("x", "count"), [(MATRIX, 0), (ROW, 1), (STACK, 1)])
def test_a_linear_layer_of_a_plain_matrix_takes_the_short_ways(calls, x, count):
    multiplied, reshaped = calls(array_rules, "np.matmul"), calls(array_rules, "reshape")
    w = Tensor(np.cos(np.arange(6.0)).reshape(2, 3))
    y = REGISTRY["linear"](x, w, np.ones(2))
    assert len(multiplied) == count
    assert_close(y.data, np.matmul(x, w.data.T) + 1.0, 1e-15)
    y.backward(np.ones(y.shape))
    assert len(reshaped) == 2 * count
    assert_close(w.grad, np.ones((2, 1)) * x.reshape(-1, 3).sum(axis=0), 1e-15)


@pytest.mark.parametrize(
    ("g", "b", "count"),
    [
        (MATRIX, ROW, 1),
        (STACK, ROW, 0),
        (ROW, ROW, 0),
        (MATRIX, MATRIX[:1], 0),
        (MATRIX, np.array(1.0), 0),
        (MATRIX, 1.0, 0),
        (Tensor(MATRIX), ROW, 0),
    ],
)
def test_the_gradient_of_a_bias_is_summed_by_a_product_for_a_plain_matrix(calls, g, b, count):
    used = calls(array_rules, "_ones")
    got = array_rules._bias(g, b)
    assert len(used) == count
    assert got.tolist() == MATRIX.sum(axis=0).tolist() if count else got is g


@pytest.mark.parametrize(
    ("exponent", "count"), [(1.0, 0), (2.0, 0), (3.0, 1), (np.array(2.0), 1), (np.full(3, 2.0), 1)]
)
def test_a_plain_1_or_2_takes_no_power(calls, exponent, count):
    powers = calls(rules, "np.power")
    y = ad.power(ROW, exponent)
    assert y.tolist() == (ROW**exponent).tolist()
    assert not np.shares_memory(y, ROW)
    assert len(powers) == count


def test_a_linear_layer_asks_for_a_wider_dtype_only_where_its_bias_has_another(calls):
    asked = calls(array_rules, "np.result_type")
    w, bias = np.ones((2, 3)), np.ones(2)
    for b, dtype, count in [(bias, np.float64, 0), (bias.astype(np.float32), np.float64, 1), (1.0, np.float64, 2)]:
        assert REGISTRY["linear"](MATRIX, w, b).dtype == dtype
        assert len(asked) == count


@pytest.mark.parametrize(
    ("formula", "shapes", "operands"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)], 2),  # the gradient and the other operand
        ("i,i,i->", [(3,), (3,), (1,)], 3),
        ("ij->j", [(2, 3)], 2),  # and ones for i
        ("ij,j->j", [(2, 3), (1,)], 3),
        ("ii->i", [(3, 3)], 2),  # and an identity matrix
        ("ii->", [(3, 3)], 3),
    ],
)
def test_the_gradient_of_an_einsum_is_an_einsum_of_no_more_operands_than_it_takes(calls, formula, shapes, operands):
    """Ones and identity matrices change nothing where a letter has its length already, but they cost time."""
    xs = [Tensor(np.cos(np.arange(np.prod(shape))).reshape(shape)) for shape in shapes]
    y = ad.einsum(formula, *xs)
    contracted = calls(array_rules, "contracted")
    y.backward(np.ones(y.shape))
    assert len(contracted[0]) == operands


@pytest.mark.parametrize(("count", "optimize"), [(1, False), (2, False), (3, True)])
def test_an_einsum_looks_for_the_best_order_only_where_there_is_a_choice(count, optimize, monkeypatch):
    asked = []

    def einsum(*operands, **params):
        asked.append(params)
        return np.einsum(*operands, **params)

    monkeypatch.setattr(array_rules, "np", SimpleNamespace(**{**vars(np), "einsum": einsum}))
    assert ad.einsum(",".join("i" * count) + "->", *[ROW] * count) == np.sum(ROW**count)
    assert asked == [{"optimize": optimize}]


@pytest.mark.parametrize(
    ("exponent", "masked"), [(2.0, False), (3, False), (-0.5, False), (0.0, True), (np.full(3, 2.0), True)]
)
def test_a_constant_exponent_is_differentiated_without_masks(calls, exponent, masked):
    x = Tensor(ROW + 1.0)
    y = x**exponent
    masks = calls(rules, "where")
    y.backward(np.ones(3))
    assert_close(x.grad, np.asarray(exponent) * (ROW + 1.0) ** (np.asarray(exponent) - 1.0), rtol=1e-15)
    assert bool(masks) == masked
