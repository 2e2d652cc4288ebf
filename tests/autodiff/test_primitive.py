"""Primitives: what a row is, what registration refuses, and that a user's operation is as good as a built-in one."""

import copy
import pickle
import string

import numpy as np
import pytest

import autodiff
from autodiff import RegistrationError, ShapeError, Tensor, Value, array_op, elementwise, grad, reduction
from autodiff.primitive import REGISTRY, ArrayOp, Elementwise, Reduction, as_data, predicate

from .numeric import assert_close, derivative, forward_along, gradients, six_point

X = np.array([0.5, 1.0, 2.0])


def cube(**facts):
    return elementwise(
        "cube_for_test",
        lambda x: x * x * x,
        lambda x: x * x * x,
        lambda y, x: REGISTRY["mul"](3.0, REGISTRY["square"](x)),
        **facts,
    )


# ---- a user's own operation ----------------------------------------------------------------------------------------


def test_an_elementwise_operation_works_on_floats_arrays_values_and_tensors():
    op = cube()
    assert op(2.0) == 8.0
    assert type(op(2.0)) is float
    assert type(op(2)) is float
    assert op(X).tolist() == [0.125, 1.0, 8.0]
    assert op([1, 2]).tolist() == [1.0, 8.0]
    v, t = Value(2.0), Tensor(X)
    y, z = op(v), op(t)
    assert (type(y), type(z)) == (Value, Tensor)
    y.backward()
    z.sum().backward()
    assert v.grad == 12.0
    assert t.grad.tolist() == [0.75, 3.0, 12.0]
    assert REGISTRY["cube_for_test"] is op


def test_its_higher_derivatives_and_its_forward_mode_follow_from_the_one_partial():
    op = cube()
    assert derivative(op, [X], (0, 0)).tolist() == (6 * X).tolist()
    assert derivative(op, [X], (0, 0, 0)).tolist() == [6.0, 6.0, 6.0]
    assert forward_along(op, [X], [np.ones(3)]).tolist() == (3 * X * X).tolist()


def test_without_an_array_kernel_the_float_kernel_is_applied_to_every_element():
    op = elementwise("lifted_for_test", lambda x: x if x > 1 else -x, None, lambda y, x: REGISTRY["div"](y, x))
    assert op(X).tolist() == [-0.5, -1.0, 2.0]
    assert op(np.float32([0.5, 2.0])).dtype == np.float32
    assert op(np.zeros((2, 0))).shape == (2, 0)
    assert gradients(op, [X])[0].tolist() == [-1.0, -1.0, 1.0]


def test_a_constant_partial_may_be_a_number():
    op = elementwise("line_for_test", lambda a, b: 2 * a - b, lambda a, b: 2 * a - b, 2.0, -1.0)
    assert [g.tolist() for g in gradients(op, [X, X])] == [[2.0] * 3, [-1.0] * 3]
    a, b = Value(1.0), Value(5.0)
    op(a, b).backward()
    assert (a.grad, b.grad) == (2.0, -1.0)


@pytest.mark.parametrize("slope", [2, np.float64(2.0)])
def test_a_constant_partial_may_be_any_kind_of_number(slope):
    op = elementwise("slope_for_test", lambda x: 2 * x, lambda x: 2 * x, slope)
    v = Value(3.0)
    op(v).backward()
    assert v.grad == 2.0
    assert gradients(op, [X])[0].tolist() == [2.0] * 3
    assert forward_along(op, [X], [np.ones(3)]).tolist() == [2.0] * 3


def test_an_operation_with_params_passes_them_to_kernel_and_partial():
    op = elementwise(
        "scaled_for_test",
        lambda x, factor=1.0: factor * x,
        lambda x, factor=1.0: factor * x,
        lambda y, x, factor=1.0: factor,
    )
    v = Value(2.0)
    y = op(v, factor=5.0)
    assert y.data == 10.0
    assert y.params == {"factor": 5.0}
    y.backward()
    assert v.grad == 5.0
    assert gradients(lambda x: op(x, factor=-2.0), [X])[0].tolist() == [-2.0] * 3


def test_a_variadic_operation_takes_any_number_of_operands():
    op = elementwise(
        "total_for_test", lambda *xs: float(sum(xs)), lambda *xs: sum(xs), lambda y, *xs: [1.0] * len(xs), variadic=True
    )
    values = [Value(float(i)) for i in range(5)]
    y = op(*values)
    y.backward()
    assert y.data == 10.0
    assert [v.grad for v in values] == [1.0] * 5


def test_an_array_operation_works_on_arrays_and_tensors_and_in_both_modes():
    op = array_op(
        "gram_for_test",
        lambda x: x @ x.T,
        lambda g, y, x: REGISTRY["matmul"](g + REGISTRY["transpose"](g), x),
        pushforwards=[
            lambda t, y, x: (
                REGISTRY["matmul"](t, REGISTRY["transpose"](x)) + REGISTRY["matmul"](x, REGISTRY["transpose"](t))
            )
        ],
    )
    x = np.arange(6.0).reshape(2, 3) / 7
    seed, t = np.array([[1.0, 2.0], [3.0, 5.0]]), np.cos(x)
    (g,) = gradients(op, [x], seed)
    expected, noise = six_point(lambda x: np.sum(x @ x.T * seed), [x], 0, t)
    assert_close(np.sum(g * t), expected, 1e-9, noise)
    assert_close(np.sum(forward_along(op, [x], [t]) * seed), np.sum(g * t), 1e-13)


def test_a_reduction_needs_only_its_weight():
    op = reduction(
        "sum_of_squares_for_test",
        lambda x, *, axis=None, keepdims=False: np.sum(x * x, axis=axis, keepdims=keepdims),
        lambda y, x, *, axis=None, keepdims=False: REGISTRY["mul"](2.0, x),
    )
    x = np.arange(6.0).reshape(2, 3)
    for params, seed in (
        ({}, np.array(1.0)),
        ({"axis": 0}, np.ones(3)),
        ({"axis": 1, "keepdims": True}, np.ones((2, 1))),
    ):
        assert gradients(lambda x, p=params: op(x, **p), [x], seed)[0].tolist() == (2 * x).tolist()
        tangent = forward_along(lambda x, p=params: op(x, **p), [x], [np.ones((2, 3))])
        assert_close(tangent, np.sum(2 * x, **params), 1e-15)


def test_an_operand_that_is_never_differentiated_gets_no_gradient():
    op = array_op("pick_for_test", lambda c, x: x * c, None, lambda g, y, c, x: REGISTRY["mul"](g, c))
    c, x = Tensor([1.0, 0.0]), Tensor([3.0, 4.0])
    op(c, x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0]
    assert c.grad.tolist() == [0.0, 0.0]


# ---- registration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sin", "add", "sum", "matmul", "where", "getitem"])
def test_built_in_names_are_protected(name):
    row = REGISTRY[name]
    with pytest.raises(RegistrationError, match=f"'{name}' is a built-in"):
        elementwise(name, lambda x: x, None, 1.0)
    with pytest.raises(RegistrationError, match="built-in"):
        array_op(name, lambda x: x, lambda g, y, x: g)
    assert REGISTRY[name] is row


def test_a_user_may_replace_the_users_own_row():
    first = cube()
    second = cube()
    assert REGISTRY["cube_for_test"] is second is not first


@pytest.mark.parametrize("name", ["", "two words", "1st", "a-b", "f(x)"])
def test_a_name_must_be_an_identifier(name):
    with pytest.raises(RegistrationError, match="identifier"):
        elementwise(name, lambda x: x, None, 1.0)
    assert name not in REGISTRY


def test_a_row_without_a_derivative_is_refused():
    with pytest.raises(RegistrationError, match="partial"):
        elementwise("none_for_test", lambda x: x, None)
    with pytest.raises(RegistrationError, match="pullback"):
        array_op("none_for_test", lambda x: x)
    assert "none_for_test" not in REGISTRY


def test_a_row_with_the_wrong_number_of_parts_is_refused():
    with pytest.raises(RegistrationError, match="2 partials but 1 interval"):
        elementwise("parts_for_test", lambda a, b: a, None, 1.0, 0.0, domain=[(0.0, 1.0)])
    with pytest.raises(RegistrationError, match=r"1 pullbacks? but 2 pushforwards"):
        array_op("parts_for_test", lambda x: x, lambda g, y, x: g, pushforwards=[None, None])
    assert "parts_for_test" not in REGISTRY


def test_registration_errors_are_value_errors_of_ours():
    assert issubclass(RegistrationError, ValueError)
    assert issubclass(RegistrationError, autodiff.AutodiffError)


# ---- calling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operands", [(), (1.0,), (1.0, 2.0, 3.0), (Value(1.0),), (Tensor([1.0]),) * 3, (X,)])
def test_the_wrong_number_of_operands_is_a_type_error_that_says_how_many(operands):
    with pytest.raises(TypeError, match=f"add takes 2 operands, got {len(operands)}"):
        REGISTRY["add"](*operands)


@pytest.mark.parametrize("wrong", ["2", None, {}, object, b"1", ["a"], np.array(["a"]), np.array([None])])
def test_what_is_not_a_number_is_refused(wrong):
    for call in (lambda: REGISTRY["sin"](wrong), lambda: REGISTRY["mul"](Value(1.0), wrong)):
        with pytest.raises(TypeError, match=r"number|numeric|dtype"):
            call()


def test_a_list_of_values_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match="from_values"):
        REGISTRY["sum"]([Value(1.0), Value(2.0)])


def test_shapes_that_do_not_fit_are_an_error_with_all_shapes_in_it():
    with pytest.raises(ShapeError, match=r"add.*\(2,\), \(3,\)"):
        REGISTRY["add"](np.ones(2), Tensor(np.ones(3)))
    with pytest.raises(ShapeError, match=r"matmul.*\(2, 3\), \(2, 3\)"):
        REGISTRY["matmul"](Tensor(np.ones((2, 3))), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("x", "expected"),
    [(2, 2.0), (True, 1.0), (np.float32(0.5), 0.5), (np.int64(3), 3.0), (np.bool_(True), 1.0), (1.5, 1.5)],
)
def test_numbers_become_floats(x, expected):
    assert as_data(x) == expected
    assert type(as_data(x)) is float


@pytest.mark.parametrize(
    ("x", "dtype"),
    [([1, 2], np.float64), (np.arange(2), np.float64), (np.float32([1]), np.float32), (np.array([True]), np.bool_),
     (np.uint8([1]), np.float64), ([1 + 2j], np.complex128), (np.array(3), np.float64)],
)  # fmt: skip
def test_arrays_become_floating_and_masks_stay_masks(x, dtype):
    assert type(as_data(x)) is np.ndarray
    assert as_data(x).dtype == dtype


def test_a_predicate_answers_plainly_and_records_nothing():
    above = predicate("above", lambda a, b: a > b, np.greater)
    assert above(Value(2.0), 1.0) is True
    answer = above(Tensor([1.0, 3.0]), Value(2.0))
    assert type(answer) is np.ndarray
    assert answer.tolist() == [False, True]
    assert "above" not in REGISTRY


# ---- rows as data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTRY)
def test_every_row_can_be_pickled_by_name_copied_and_printed(name):
    row = REGISTRY[name]
    assert pickle.loads(pickle.dumps(row)) is row  # noqa: S301  # what we have just written
    assert copy.deepcopy(row) is row
    assert copy.copy(row) is row
    assert repr(row) == f"<{type(row).__name__.lower()} {name}>"
    assert row.__name__ == row.name == name


@pytest.mark.parametrize("name", REGISTRY)
def test_every_row_has_a_docstring_a_symbol_and_a_formula_with_a_slot_per_operand(name):
    row = REGISTRY[name]
    assert row.symbol
    assert name.split("_")[0] in row.__doc__ or "(" in row.__doc__
    slots = {field for _, field, _, _ in string.Formatter().parse(row.latex) if field is not None}
    filled = row.latex.format(*"abc")
    assert filled.count("{") == filled.count("}")
    if row.arity is not None:
        assert slots == {str(i) for i in range(row.arity)}


@pytest.mark.promise(1)
def test_rows_of_each_kind_have_one_derivative_per_operand(figure):
    counts = {Elementwise: 0, Reduction: 0, ArrayOp: 0}
    for row in REGISTRY.values():
        counts[type(row)] += 1
        parts = {Elementwise: "partials", Reduction: "weights", ArrayOp: "pullbacks"}[type(row)]
        if row.arity is not None:
            assert len(getattr(row, parts)) == row.arity
            assert type(row) is not ArrayOp or len(row.pushforwards) == row.arity
            assert type(row) is not Elementwise or len(row.domain) == row.arity
    figure("rows of the table: " + ", ".join(f"{n} {kind.__name__}" for kind, n in counts.items()))
    assert counts[Elementwise] >= 55
    assert sum(counts.values()) >= 80


def test_domains_are_open_intervals_inside_which_the_kernel_is_finite():
    for row in REGISTRY.values():
        if isinstance(row, Elementwise):
            assert all(low < high for low, high in row.domain), row.name
            inside = [0.5 * (max(low, -1) + min(high, 2)) for low, high in row.domain]
            count = 3 if row.arity is None else 1
            assert np.isfinite(row(*inside * count)), row.name


def test_an_operation_of_many_operands_needs_neither_formula_nor_docstring():
    def total(*xs):
        return xs[0] + xs[1] + xs[2] + xs[3] + xs[4]

    row = elementwise("five", total, total, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert "five" in row.__doc__
    assert "a, b, c, d, e" in row.__doc__
    assert "x, y, z" in elementwise("fifty", total, total, *[1.0] * 50).__doc__


def test_a_partial_may_return_a_plain_number_in_every_mode():
    twice = elementwise("twice", lambda x: 2 * x, lambda x: 2 * x, lambda y, x: 2.0)
    t = Tensor([1.0, 2.0])
    twice(t).sum().backward(keep_grads=False)
    assert t.grad.tolist() == [2.0, 2.0]
    assert grad(twice)(3.0) == 2.0


def test_metadata_reaches_the_partials_of_a_variadic_operation():
    total = elementwise(
        "scaled_total",
        lambda *xs, k=1.0: k * sum(xs),
        lambda *xs, k=1.0: k * sum(xs),
        lambda y, *xs, k=1.0: [k] * len(xs),
        variadic=True,
    )
    for a, b in ((Value(1.0), Value(2.0)), (Tensor([1.0]), Tensor([2.0]))):
        total(a, b, k=3.0).backward()
        assert a.grad == 3.0
        assert b.grad == 3.0


@pytest.mark.promise(14)
def test_a_rule_that_returns_a_users_array_does_not_hand_it_out_as_a_gradient():
    constant = np.ones(2)
    op = array_op("with_constant", lambda x: x + 0.0, lambda g, y, x: constant)
    x = Tensor([1.0, 2.0])
    op(x).backward([1.0, 1.0])
    assert x.grad is not constant
    x.grad[0] = 7.0
    assert constant.tolist() == [1.0, 1.0]


def test_a_float_kernel_may_return_any_number_and_the_result_is_a_float():
    sign = elementwise("int_sign_for_test", lambda x: (x > 0) - (x < 0), np.sign, 0.0)
    cube = elementwise("numpy_cube_for_test", lambda x: np.float64(x) ** 3, lambda x: x**3, lambda y, x: 3.0 * x * x)
    for row, expected in ((sign, 1.0), (cube, 8.0)):
        for y in (row(2.0), row(Value(2.0)).data):
            assert type(y) is float
            assert y == expected


def test_a_partial_written_in_numpy_gives_a_value_a_float_for_a_gradient():
    sine = elementwise("numpy_sin_for_test", lambda x: float(np.sin(x)), np.sin, lambda y, x: np.cos(x))
    x = Value(0.0)
    (sine(x) + sine(x)).backward()
    assert type(x.grad) is float
    assert x.grad == 2.0
