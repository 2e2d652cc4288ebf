"""check_gradients: every option, every kind of argument, and functions of other frameworks."""

import math

import numpy as np
import pytest

import autodiff as ad
from autodiff import GradientError, Tensor, Value
from autodiff.testing import check_gradients

X = np.array([[0.7, -1.3, 0.4], [1.9, 0.2, -0.8]])
V = np.array([0.6, -1.1, 0.3])


def names(report):
    """Return the arguments that were judged, in order and each once."""
    return list(dict.fromkeys(c.argument for c in report.comparisons))


def failure(*args, **options):
    with pytest.raises(GradientError) as caught:
        check_gradients(*args, **options)
    return caught.value


def affine(x, w, b=0.0):
    return np.sum(np.tanh(x @ w + b))


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arg", [0.7, np.float64(0.7), np.array(0.7), Value(0.7), Tensor(0.7), Tensor([0.7]), V, Tensor(V), np.float32(0.7)]
)
def test_floats_arrays_and_nodes_are_judged_alike(arg):
    report = check_gradients(lambda x: np.sum(x * x * x), arg)
    assert len(report.comparisons) == 2 * np.size(getattr(arg, "data", arg))
    assert all(c.mine == pytest.approx(c.reference.value, rel=1e-12) for c in report.comparisons)


def test_a_float_stays_a_float_and_a_0d_array_an_array():
    kinds = set()

    def product(x, y):
        kinds.add((type(x), type(y)))
        return x * y

    def gradient(x, y):
        assert (type(x), type(y)) == (float, np.ndarray)
        return float(y), np.array(x)

    check_gradients(product, 0.7, np.array(0.3), gradient=gradient)
    assert (float, np.ndarray) in kinds
    kinds.clear()
    check_gradients(product, 0.7, np.array(0.3))
    assert (Value, Tensor) in kinds


def test_nodes_that_are_given_are_left_alone():
    x = Tensor(V)
    check_gradients(lambda x: (x * x).sum(), x)
    assert x.grad is None
    assert np.array_equal(x.data, V)


def test_arguments_are_named_as_the_function_names_them():
    assert names(check_gradients(affine, X, V)) == ["argument 0 (x)", "argument 1 (w)"]
    assert names(check_gradients(affine, X, V, 0.5))[2:] == ["argument 2 (b)"]
    assert names(check_gradients(lambda *xs: xs[0] * xs[1], 0.7, 0.3)) == ["argument 0", "argument 1"]


def test_leaves_of_nested_arguments_are_named_by_their_way():
    def f(p):
        return np.sum(p["w"][1] * p["w"][0]) + p["b"]

    report = check_gradients(f, {"w": [X, 2 * X], "b": 0.3})
    assert names(report) == ["argument 0 (p)['w'][0]", "argument 0 (p)['w'][1]", "argument 0 (p)['b']"]
    error = failure(f, {"w": [X, 2 * X], "b": 0.3}, gradient=lambda p: {"w": [2 * X, X * (X < 1.8)], "b": 1.0})
    assert "wrong gradient by argument 0 (p)['w'][1] at (1, 0)" in str(error)


def test_labels_names_and_none_are_passed_on():
    def f(x, labels, mask, kind, rest):
        assert labels.dtype == np.int64
        assert mask.dtype == bool
        assert (kind, rest) == ("mean", None)
        return np.sum(np.where(mask, x, 0.0)[labels])

    report = check_gradients(f, V, np.array([0, 2, 2]), np.array([True, False, True]), "mean", None)
    assert names(report) == ["argument 0 (x)"]
    assert [c.mine for c in report.comparisons if c.part == "gradient"] == [1.0, 0.0, 2.0]


def test_integers_inside_a_container_are_passed_on():
    report = check_gradients(lambda p: p["x"] ** p["n"], {"x": 0.7, "n": 3})
    assert names(report) == ["argument 0 (p)['x']"]


def test_float32_is_judged_in_float64_and_once_as_it_is():
    seen = set()

    def f(x):
        seen.add(x.dtype)
        return np.sum(x * x)

    check_gradients(f, V.astype(np.float32))
    assert seen == {np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.complex128)}
    message = str(failure(f, V.astype(np.float32), gradient=lambda x: 2.0 * x.astype(np.float64)))
    assert "the gradient by argument 0 (x), float32, has dtype float64" in message
    low = lambda x: 2 * x if x.dtype == np.float64 else np.float32(2.01) * x
    assert "the float32 gradient by argument 0 (x) is not that of float64" in str(
        failure(f, V.astype(np.float32), gradient=low)
    )


def test_argnums_choose_what_is_judged():
    assert names(check_gradients(affine, X, V, 0.5, argnums=1)) == ["argument 1 (w)"]
    assert names(check_gradients(affine, X, V, 0.5, argnums=(2, 0))) == ["argument 2 (b)", "argument 0 (x)"]
    assert names(check_gradients(affine, X, V, 0.5, argnums=-1)) == ["argument 2 (b)"]
    check_gradients(lambda x, y: x * x * y, 0.7, 0.3, argnums=1, gradient=lambda x, y: x * x)


# ---- functions -------------------------------------------------------------------------------------------------------


def test_several_outputs_are_judged_together():
    def f(x):
        return {"sum": np.sum(x), "all": [x * x, np.exp(x)]}

    report = check_gradients(f, V)
    assert len(report.comparisons) == 6
    wrong = ad.elementwise("wrong_exp", math.exp, np.exp, lambda y, x: 1.01 * y)
    assert len(failure(lambda x: (x * x, wrong(x)), V).report.wrong) == 6


def test_more_than_64_elements_are_judged_along_eight_directions():
    many = np.random.default_rng(0).normal(size=(9, 8))
    report = check_gradients(lambda x: np.sum(np.sin(x)), many)
    assert [len(report.comparisons), names(report)] == [16, ["all arguments"]]
    assert report.comparisons[0].place == "all arguments, along a direction"
    assert len(check_gradients(lambda x: np.sum(np.sin(x)), many[:8]).comparisons) == 2 * 64


@pytest.mark.parametrize("place", [(0, 0), (3, 7), (8, 7)])
@pytest.mark.parametrize("mistake", [1e-3, -0.5, math.nan])
def test_one_wrong_element_among_many_is_found(place, mistake):
    many = np.random.default_rng(0).normal(size=(9, 8))

    def gradient(x, _y):
        found = np.cos(x)
        found[place] += mistake
        return found, np.ones(3)

    report = failure(lambda x, y: np.sum(np.sin(x)) + np.sum(y), many, np.ones(3), gradient=gradient).report
    assert [report.worst.argument, report.worst.index] == ["argument 0 (x)", place]


def test_a_gradient_that_is_wrong_in_one_mode_is_named_so():
    backwards = ad.array_op("backwards", lambda x: 2 * x, lambda g, y, x: 3 * g, pushforwards=[lambda t, y, x: 2 * t])
    both = failure(lambda x: np.sum(backwards(x)), V).report
    assert {c.part for c in both.wrong} == {"gradient"}
    assert {c.part for c in both.comparisons} == {"gradient", "forward mode"}
    assert check_gradients(lambda x: np.sum(backwards(x)), V, modes="forward").ok
    assert failure(lambda x: np.sum(backwards(x)), V, modes=["reverse"]).report.worst.part == "gradient"


def test_higher_orders_are_judged_one_after_the_other():
    report = check_gradients(lambda x, y: np.sum(np.sin(x) * y), V, 2 * V, order=3)
    assert list(dict.fromkeys(c.part for c in report.comparisons)) == [
        "gradient", "forward mode", "second derivative", "third derivative"
    ]  # fmt: skip
    assert len(report.comparisons) == 4 * 6
    silent = ad.elementwise("silent", math.sin, np.sin, lambda y, x: np.cos(ad.primitive.raw(x)) * 1.0)
    assert check_gradients(silent, 0.7).ok
    error = failure(silent, 0.7, order=3)
    assert {c.part for c in error.report.wrong} == {"second derivative"}
    assert error.report.worst.mine == 0.0


def test_the_tolerance_is_relative_and_can_be_chosen():
    f, nearly = lambda x: abs(x), lambda x: 1.0 + 3e-5
    assert check_gradients(f, 0.7, gradient=nearly, tolerance=1e-4).ok
    assert failure(f, 0.7, gradient=nearly, tolerance=1e-5).report.worst.relative_error == pytest.approx(3e-5)


def test_the_same_seed_gives_the_same_report():
    reports = [check_gradients(lambda x: (x * x, np.exp(x)), X, seed=seed) for seed in (3, 3, 4)]
    values = [[c.mine for c in report.comparisons] for report in reports]
    assert values[0] == values[1] != values[2]


def test_a_name_can_be_given():
    assert str(check_gradients(lambda x: x * x, 0.7, name="square")).startswith("square: right")
    assert str(check_gradients(np.sin, 0.7)).startswith("sin: right")

    class Model:
        def __call__(self, x):
            return x * x

    assert str(check_gradients(Model(), 0.7)).startswith("Model: right")


# ---- a gradient that misbehaves --------------------------------------------------------------------------------------


def test_the_gradient_of_the_wrong_number_of_arguments_is_refused():
    product = lambda x, y: np.sum(x * y)
    assert "must return one gradient for each of 2 arguments, got 1" in str(
        failure(product, V, V, gradient=lambda x, y: y)
    )
    assert "for each of 2 arguments, got 3" in str(failure(product, V, V, gradient=lambda x, y: (y, x, x)))
    assert "say with argnums=" in str(failure(product, V, V, gradient=lambda x, y: None))
    assert check_gradients(product, V, V + 1, gradient=lambda x, y: [y.copy(), x.copy()]).ok


def test_a_gradient_of_another_form_than_its_argument_is_refused():
    message = str(failure(lambda x: np.sum(x**2), V, gradient=lambda x: [2 * part for part in x]))
    assert "the gradient by argument 0 must have the argument's form, but is a list of 3; return an array" in message
    message = str(failure(lambda p: np.sum(p["w"] ** 2), {"w": V, "b": 0.3}, gradient=lambda p: 2 * p["w"]))
    assert "must have the argument's form, but is a ndarray of 1" in message


def test_one_argument_may_have_its_gradient_in_a_tuple():
    assert check_gradients(lambda x: x * x, 0.7, gradient=lambda x: (2 * x,)).ok


def test_a_right_gradient_that_was_computed_for_this_point_only_is_found_out():
    known = 2 * V
    report = failure(lambda x: np.sum(x**2), V, gradient=lambda x: known).report
    assert [c.part for c in report.wrong] == ["gradient at another point (kept from an earlier call?)"]
    # where a gradient is the same rightly, nothing is said
    assert check_gradients(lambda x: 3 * np.sum(x), V, gradient=lambda x: np.full(3, 3.0)).ok
    assert check_gradients(lambda x, y: np.sum(x) + np.sum(y**2), V, V, gradient=lambda x, y: (np.ones(3), 2 * y)).ok


def test_of_several_gradients_the_one_that_was_kept_is_named():
    f = lambda x, y: np.sum(x**2) + np.sum(y**2)
    worst = failure(f, V, X, gradient=lambda x, y: (2 * x, 2 * X)).report.worst
    assert worst.argument == "argument 1 (y)"


def test_a_backward_pass_may_use_what_the_forward_pass_has_left():
    kept = {}

    def loss(w):
        kept["hidden"] = np.tanh(X @ w)
        return np.sum(kept["hidden"] ** 2)

    assert check_gradients(loss, V, gradient=lambda w: X.T @ (2 * kept["hidden"] * (1 - kept["hidden"] ** 2))).ok


def test_another_point_that_the_function_does_not_take_is_no_fault():
    def only_above_one(x):
        if np.any(np.real(x) < 0.999):
            raise ValueError("out of range")
        return np.sum(np.log(x))

    assert check_gradients(only_above_one, np.array([1.0, 2.0]), gradient=lambda x: 1 / x).ok
    assert check_gradients(lambda x: math.acosh(x), 1.01, gradient=lambda x: 1 / math.sqrt(x * x - 1)).ok


def test_a_function_of_random_numbers_must_fix_their_seed():
    def dropout(x):
        return np.sum(x * (np.random.default_rng().random(3) < 0.5) + np.random.default_rng().random())

    assert "fix the seed of its random numbers" in str(failure(dropout, V))
    assert "fix the seed of its random numbers" in str(failure(dropout, V, gradient=lambda x: x + 0.0))


def test_a_diagnosis_is_part_of_the_report_where_it_explains_something():
    error = failure(lambda x: np.sum(x**2), V, gradient=lambda x: -2 * x)
    assert error.report.diagnosis.mistake == "sign flipped"
    assert "likely     sign flipped" in str(error)
    error = failure(lambda x: np.sum(x**2) / 2, V, gradient=lambda x: x)
    assert "shares its memory with an argument" in str(error)
    assert error.report.diagnosis is None
    wrong = ad.elementwise("wrong_square", lambda x: x * x, np.square, lambda y, x: -2.0 * x)
    assert failure(lambda x: np.sum(wrong(x)), V).report.diagnosis.mistake == "sign flipped"


# ---- a part that is not analytic -------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1.0, 1e-3, 1e-6, 1e-8, 1e-10])
def test_a_complex_step_that_misses_a_part_of_the_function_convicts_nobody(weight):
    """It takes |x| for a constant; then the difference quotient decides."""

    def f(x):
        return np.sum(x**2) + weight * np.sum(np.abs(x))

    assert check_gradients(f, V, gradient=lambda x: 2 * x + weight * np.sign(x)).ok


def test_where_the_complex_step_is_confirmed_small_errors_are_found():
    f = lambda x: np.sum(np.exp(x))
    assert check_gradients(f, V, gradient=lambda x: (1 + 1e-12) * np.exp(x)).ok
    assert failure(f, V, gradient=lambda x: (1 + 1e-8) * np.exp(x)).report.wrong


# ---- wrong calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "args", "options"),
    [
        (ValueError, "order must be 1, 2 or 3, got 4", (0.7,), {"order": 4}),
        (ValueError, "'reverse', 'forward' or both, got 'backward'", (0.7,), {"modes": "backward"}),
        (ValueError, r"'reverse', 'forward' or both, got \[\]", (0.7,), {"modes": []}),
        (ValueError, "tolerance must be a positive number, got 0", (0.7,), {"tolerance": 0}),
        (ValueError, "pass order=1", (0.7,), {"order": 2, "gradient": lambda x: 2 * x}),
        (TypeError, "nothing to differentiate by: no argument holds floating numbers", (3,), {}),
        (TypeError, "nothing to differentiate by", (0.7, 3), {"argnums": 1}),
        (IndexError, "argnums=2, but there are 1 arguments", (0.7,), {"argnums": 2}),
        (ValueError, "names an argument twice", (0.7, 0.3), {"argnums": (0, -2)}),
    ],
)
def test_a_wrong_call_is_told_what_to_do(error, message, args, options):
    with pytest.raises(error, match=message):
        check_gradients(lambda *xs: xs[0] * xs[0], *args, **options)


def test_with_a_gradient_of_ones_own_the_function_returns_one_number():
    with pytest.raises(ValueError, match=r"the function must return one number, got shapes \[\(3,\)\]"):
        check_gradients(lambda x: x * x, V, gradient=lambda x: 2 * x)
    with pytest.raises(ValueError, match=r"one number, got shapes \[\(\), \(\)\]"):
        check_gradients(lambda x: (np.sum(x), np.sum(x)), V, gradient=lambda x: np.ones(3))
    assert check_gradients(lambda x: np.sum(x * x, keepdims=True), V, gradient=lambda x: 2 * x).ok


def test_an_error_of_the_function_comes_through():
    def broken(_x):
        raise KeyError("weights")

    with pytest.raises(KeyError, match="weights"):
        check_gradients(broken, 0.7)
    with pytest.raises(KeyError, match="weights"):
        check_gradients(lambda x: x * x, 0.7, gradient=broken)


def test_an_empty_array_has_nothing_to_compare():
    assert check_gradients(lambda x: np.sum(x), np.zeros((0, 3))).comparisons == []
    assert "has shape (3,)" in str(failure(lambda x: np.sum(x), np.zeros((0, 3)), gradient=lambda x: np.zeros(3)))


# ---- functions of other frameworks -----------------------------------------------------------------------------------


def test_whatever_converts_to_an_array_is_a_value_and_a_gradient():
    class Foreign:
        def __init__(self, data):
            self.data = np.asarray(data)

        def __array__(self, dtype=None, copy=None):
            return np.array(self.data, dtype=dtype)

    f = lambda x: Foreign(np.sum(x**2))
    assert check_gradients(f, V, gradient=lambda x: Foreign(2 * x)).ok
    assert failure(f, V, gradient=lambda x: Foreign(3 * x)).report.diagnosis.mistake == "off by a factor"


def test_the_gradient_of_a_pytorch_function_is_judged():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def f(w, x):
        return torch.nn.functional.softplus(torch.as_tensor(x) @ torch.as_tensor(w)).sum()

    def gradient(w, x):
        w, x = torch.tensor(w, requires_grad=True), torch.tensor(x, requires_grad=True)
        torch.nn.functional.softplus(x @ w).sum().backward()
        return w.grad, x.grad

    class WrongSoftplus(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return torch.nn.functional.softplus(x)

        @staticmethod
        def backward(context, g):
            return g * torch.tanh(context.saved_tensors[0])

    def wrong(w, x):
        w, x = torch.tensor(w, requires_grad=True), torch.tensor(x, requires_grad=True)
        WrongSoftplus.apply(x @ w).sum().backward()
        return w.grad, x.grad

    assert len(check_gradients(f, V, X, gradient=gradient).comparisons) == 9
    assert check_gradients(lambda w, x: f(w, x).reshape(1), V, X, gradient=gradient).ok
    error = failure(f, V, X, gradient=wrong)
    assert str(error).startswith("f: wrong gradient by argument")
    assert len(error.report.wrong) == 9


def test_the_gradient_of_an_autograd_function_is_judged():
    autograd = pytest.importorskip("autograd", reason="HIPS autograd is not installed")
    numpy = autograd.numpy

    def f(w, x):
        return numpy.sum(numpy.tanh(numpy.dot(x, w)) ** 2)

    assert check_gradients(f, V, X, gradient=autograd.grad(f, (0, 1))).ok
    square = autograd.extend.primitive(lambda x: x**2)
    autograd.extend.defvjp(square, lambda y, x: lambda g: g * x)
    wrong = autograd.grad(lambda w, x: numpy.sum(square(numpy.tanh(numpy.dot(x, w)))), (0, 1))
    error = failure(f, V, X, gradient=wrong)
    assert error.report.worst.mine == pytest.approx(error.report.worst.reference.value / 2)
    assert "off by a factor" in str(error)


def test_a_gradient_of_ones_own_is_judged_at_nodes_too():
    report = check_gradients(lambda x: np.sum(x**2), Tensor([1.0, 2.0]), gradient=lambda x: 2 * x)
    assert report.ok
    assert len(report.comparisons) == 2
