"""LBFGS and gradient descent with backtracking, which evaluate the loss several times a step; and clipping."""

import itertools
import math
import sys

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import Linear, MSELoss, Sequential, Tanh
from nn.optim import LBFGS, SGD, GradientDescent, clip_grad_norm_, clip_grad_value_


def closure_of(optimizer, loss):
    """Return a closure that counts its calls."""

    def closure():
        closure.calls += 1
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    closure.calls = 0
    return closure


def rosenbrock(x, y):
    return (1.0 - x) ** 2 + 100.0 * (y - x * x) ** 2


@pytest.fixture
def valley():
    """Return two Values in Rosenbrock's valley."""
    return Value(-1.2), Value(1.0)


# ---- LBFGS ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scipy_minimize():
    return pytest.importorskip("scipy.optimize", reason="LBFGS hands its problem to SciPy").minimize


def test_LBFGS_finds_the_end_of_the_valley_as_SciPy_does_by_itself(valley, scipy_minimize):
    optimizer = LBFGS(valley, max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-15)
    before = optimizer.step(closure_of(optimizer, lambda: rosenbrock(*valley)))
    assert before == pytest.approx(24.2, rel=1e-12)
    expected = scipy_minimize(
        lambda p: rosenbrock(*p),
        [-1.2, 1.0],
        jac=lambda p: [-2 * (1 - p[0]) - 400 * p[0] * (p[1] - p[0] ** 2), 200 * (p[1] - p[0] ** 2)],
        method="L-BFGS-B",
        options={"maxiter": 200, "gtol": 1e-10, "ftol": 1e-15},
    )
    assert optimizer.result.nit == expected.nit
    np.testing.assert_allclose([v.data for v in valley], expected.x, rtol=1e-8)
    np.testing.assert_allclose(expected.x, 1.0, rtol=1e-6)


@pytest.mark.usefixtures("scipy_minimize")
def test_LBFGS_solves_a_network_of_Tensors_of_two_dtypes():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, (30, 2))
    net = Sequential(Linear(2, 6, rng=1), Tanh(), Linear(6, 1, rng=2))
    scale = Tensor(1.0, dtype=np.float32)
    optimizer, loss = LBFGS([*net.parameters(), scale], max_iter=300), MSELoss()
    before = optimizer.step(closure_of(optimizer, lambda: loss(net(x) * scale, x[:, :1] * x[:, 1:])))
    after = loss(net(x) * scale, x[:, :1] * x[:, 1:]).item()
    assert after < 0.02 * before
    assert after == pytest.approx(optimizer.result.fun, rel=1e-5)  # scale is rounded to float32
    assert scale.dtype == np.float32


@pytest.mark.usefixtures("scipy_minimize")
def test_LBFGS_stops_after_the_iterations_and_evaluations_it_may_make(valley):
    optimizer = LBFGS(valley, max_iter=3, max_eval=100)
    closure = closure_of(optimizer, lambda: rosenbrock(*valley))
    optimizer.step(closure)
    assert optimizer.result.nit == 3
    assert optimizer.result.nfev == closure.calls
    assert rosenbrock(*valley).item() == optimizer.result.fun < 24.0
    assert LBFGS(valley, max_iter=100).param_groups[0]["max_eval"] == 125


@pytest.mark.usefixtures("scipy_minimize")
def test_LBFGS_treats_a_parameter_that_the_loss_does_not_use_as_constant():
    used, unused = Tensor([3.0]), Tensor([[5.0]])
    optimizer = LBFGS([unused, used])
    optimizer.step(closure_of(optimizer, lambda: (used * used).sum()))
    assert unused.data.tolist() == [[5.0]]
    assert abs(used.data[0]) < 1e-6


def test_LBFGS_without_SciPy_says_how_to_get_it(valley, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    optimizer = LBFGS(valley)
    with pytest.raises(ImportError, match=r"LBFGS needs SciPy: pip install 'autodiff-nn\[sklearn\]'"):
        optimizer.step(closure_of(optimizer, lambda: rosenbrock(*valley)))


# ---- gradient descent with backtracking -----------------------------------------------------------------------------


def test_the_rate_is_halved_until_the_loss_falls_enough():
    p = Tensor([1.0, -2.0])
    optimizer = GradientDescent([p], lr=4.0)
    closure = closure_of(optimizer, lambda: (p * p).sum())
    # p - r * 2 p: r = 4, 2 and 1 do not lower the loss, 0.5 is the minimum
    assert optimizer.step(closure) == 5.0
    assert (optimizer.rate, p.data.tolist(), closure.calls) == (0.5, [0.0, 0.0], 5)
    assert p.grad.tolist() == [0.0, 0.0]


def test_a_rate_whose_fall_is_just_what_is_promised_is_taken():
    p = Value(1.0)
    # the loss at 1 - r * 2 is (1 - 2r)^2 <= 1 - armijo * r * 4 for r <= 1 - armijo
    for armijo, rate in ((0.25, 0.75), (0.26, 0.375)):
        p.data = 1.0
        optimizer = GradientDescent([p], lr=0.75, armijo=armijo)
        optimizer.step(closure_of(optimizer, lambda: p * p))
        assert (optimizer.rate, p.data) == (rate, 1.0 - 2.0 * rate)


def test_backtracking_lowers_the_loss_at_every_step_where_a_fixed_rate_runs_away(valley):
    optimizer = GradientDescent(valley, lr=1.0)
    closure = closure_of(optimizer, lambda: rosenbrock(*valley))
    losses = [optimizer.step(closure) for _ in range(200)]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 1.0


def test_a_loss_that_is_nan_or_infinite_on_the_way_is_no_fall():
    p = Value(0.5)
    optimizer = GradientDescent([p], lr=1.0)
    optimizer.step(closure_of(optimizer, lambda: p - p.log() * 0.25))  # log of a negative number is nan
    assert math.isfinite(p.data)
    p.data = 3.0
    optimizer.step(closure_of(optimizer, lambda: p**0.5))
    assert p.data > 0.0


def test_where_nothing_lowers_the_loss_a_step_changes_nothing():
    p = Value(2.0)
    optimizer = GradientDescent([p], lr=1.0, max_trials=3)
    closure = closure_of(optimizer, lambda: p * 0.0 + p.detach() * 1.0)
    assert optimizer.step(closure) == 2.0
    assert (optimizer.rate, p.data, closure.calls) == (0.0, 2.0, 1)  # the gradient is 0

    def wrong_gradient():
        p.grad = -1.0
        return p.data

    optimizer.step(wrong_gradient)
    assert (optimizer.rate, p.data) == (0.0, 2.0)


@pytest.mark.promise(7)
def test_backtracking_keeps_float32():
    p = Tensor([1.0, 2.0], dtype=np.float32)
    optimizer = GradientDescent([p], lr=0.3)
    optimizer.step(closure_of(optimizer, lambda: (p * p).sum()))
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.data, [0.4, 0.8], rtol=1e-6)


# ---- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [LBFGS, GradientDescent])
def test_a_closure_that_raises_leaves_the_parameters_where_they_were(cls, valley):
    if cls is LBFGS:
        pytest.importorskip("scipy", reason="LBFGS hands its problem to SciPy")
    optimizer = cls(valley)
    closure = closure_of(optimizer, lambda: rosenbrock(*valley))

    def failing():
        if closure.calls == 2:
            raise KeyboardInterrupt
        return closure()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(failing)
    assert [v.data for v in valley] == [-1.2, 1.0]


@pytest.mark.parametrize("cls", [LBFGS, GradientDescent])
def test_a_search_needs_a_closure_a_finite_loss_and_one_group(cls):
    p = Value(1.0)
    optimizer = cls([p])
    with pytest.raises(TypeError, match=f"{cls.__name__} evaluates the loss several times; pass step"):
        optimizer.step()
    with pytest.raises(ValueError, match="the loss must be finite to search a lower one, got nan"):
        optimizer.step(lambda: math.nan)
    with pytest.raises(ValueError, match=f"{cls.__name__} moves all parameters together and has one group"):
        optimizer.add_param_group({"params": [Value(2.0)]})
    assert optimizer.parameters == [p]


def test_options_of_a_search_out_of_range_are_refused():
    for options, message in (
        ({"armijo": 1.0}, "armijo must be between 0 and 1, got 1.0"),
        ({"shrink": 0.0}, "shrink must be between 0 and 1, got 0.0"),
        ({"max_trials": 0}, "max_trials must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            GradientDescent([Value(1.0)], **options)
    with pytest.raises(ValueError, match="max_iter must be at least 1, got 0"):
        LBFGS([Value(1.0)], max_iter=0)


def test_the_options_of_a_search_are_its_state(valley):
    saved = LBFGS(valley, max_iter=7).state_dict()
    other = LBFGS(valley)
    other.load_state_dict(saved)
    assert (other.state_dict(), other.param_groups[0]["max_iter"]) == (saved, 7)


# ---- clipping -------------------------------------------------------------------------------------------------------


def with_gradients():
    """Return a Value and three Tensors, one of them without a gradient, with gradients 3, (0, -4) and 12."""
    v, t, none, u = Value(0.0), Tensor([0.0, 0.0]), Tensor([1.0]), Tensor(0.0, dtype=np.float32)
    v.grad, t.grad, u.grad = 3.0, np.array([0.0, -4.0]), np.array(12.0, np.float32)
    return v, t, none, u


@pytest.mark.parametrize(("norm_type", "norm"), [(2.0, 13.0), (math.inf, 12.0), (1.0, 19.0), (3.0, 1819 ** (1 / 3))])
def test_the_norm_of_all_gradients_is_returned_and_clipped(norm_type, norm):
    v, t, none, u = with_gradients()
    assert clip_grad_norm_((v, t, none, u), 6.5, norm_type) == pytest.approx(norm, rel=1e-14)
    factor = 6.5 / (norm + 1e-6)
    assert v.grad == pytest.approx(3.0 * factor, rel=1e-14)
    np.testing.assert_allclose(t.grad, [0.0, -4.0 * factor], rtol=1e-14)
    np.testing.assert_allclose(u.grad, 12.0 * factor, rtol=1e-6)
    assert (none.grad, u.grad.dtype) == (None, np.float32)


def test_gradients_below_the_limit_stay_as_they_are_bit_for_bit():
    v, t, _, u = with_gradients()
    array = t.grad
    assert clip_grad_norm_([v, t, t, u], 13.1) == 13.0  # t counts once
    assert (v.grad, t.grad.tolist(), u.grad.item()) == (3.0, [0.0, -4.0], 12.0)
    clip_grad_norm_(t, 1.0)
    assert t.grad is array


def test_clipping_is_that_of_PyTorch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch as it is installed")
    start = np.random.default_rng(0).normal(size=(300, 400))
    for norm_type in (1.0, 2.0, 3.5, math.inf):
        p, q = Tensor(start), torch.tensor(start, requires_grad=True)
        p.grad, q.grad = start * 2, torch.tensor(start * 2)
        norm = torch.nn.utils.clip_grad_norm_([q], 0.7, norm_type).item()
        assert clip_grad_norm_([p], 0.7, norm_type) == pytest.approx(norm, rel=1e-12)
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)


def test_the_norm_of_float32_gradients_does_not_overflow():
    p = Tensor([0.0, 0.0], dtype=np.float32)
    p.grad = np.array([3e30, 4e30], np.float32)
    assert clip_grad_norm_([p], 5.0) == pytest.approx(5e30, rel=1e-6)
    np.testing.assert_allclose(p.grad, [3.0, 4.0], rtol=1e-6)


def test_a_norm_that_is_not_finite_raises_if_asked_to_before_anything_changes():
    for wrong in (math.nan, math.inf):
        for norm_type in (2.0, math.inf):
            p, q = Tensor([1.0]), Tensor([1.0])
            p.grad, q.grad = np.array([2.0]), np.array([wrong])
            with pytest.raises(ValueError, match=f"the norm of the gradients is {wrong}; no gradient was changed"):
                clip_grad_norm_([p, q], 1.0, norm_type, error_if_nonfinite=True)
            assert p.grad.tolist() == [2.0]


def test_elements_are_clipped_in_place():
    v, t, none, u = with_gradients()
    array = t.grad
    clip_grad_value_([v, t, none, u], 3.5)
    assert (v.grad, t.grad.tolist(), none.grad, u.grad.item()) == (3.0, [0.0, -3.5], None, 3.5)
    assert t.grad is array


def test_clipping_nothing_and_clipping_wrongly():
    assert clip_grad_norm_([], 1.0) == 0.0
    clip_grad_value_([], 1.0)
    for call, message in (
        (lambda: clip_grad_norm_([], -1.0), "max_norm must be at least 0, got -1.0"),
        (lambda: clip_grad_norm_([], 1.0, 0.0), "norm_type must be above 0, got 0.0"),
        (lambda: clip_grad_value_([], -1.0), "clip_value must be at least 0, got -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match=r"clip_grad_norm_ takes Values and Tensors, got float; pass model\.parameters"):
        clip_grad_norm_([1.0], 1.0)


def test_a_clipped_gradient_is_what_the_optimizer_steps_by():
    p = Value(0.0)
    p.grad = -8.0
    clip_grad_value_([p], 2.0)
    SGD([p], lr=1.0).step()
    assert p.data == 2.0
