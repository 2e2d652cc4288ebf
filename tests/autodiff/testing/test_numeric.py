"""Derivatives from function values alone: the bound on their error holds, and corners and jumps are seen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff.testing.numeric import complex_step, derivative, step_for

# Smooth functions with their derivatives and the points to take them at. All of them are well conditioned there: they
# magnify the rounding of their argument by no more than about ten.
SMOOTH = {
    "sin": (np.sin, np.cos, (-9.0, 9.0)),
    "exp": (np.exp, np.exp, (-9.0, 9.0)),
    "log": (np.log, lambda x: 1 / x, (1e-3, 50.0)),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), (1e-3, 50.0)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2, (-3.0, 3.0)),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, (0.01, 9.0)),
    "cubic": (lambda x: (2 * x - 3) * x * x + 1, lambda x: 6 * (x - 1) * x, (-5.0, 5.0)),
    "bell": (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x), (-3.0, 3.0)),
    "high cosine": (lambda x: 1e6 + np.cos(x), lambda x: -np.sin(x), (-5.0, 5.0)),
    "tiny sine": (lambda x: 1e-200 * np.sin(x), lambda x: 1e-200 * np.cos(x), (-5.0, 5.0)),
    "fast sine": (lambda x: np.sin(1e3 * x), lambda x: 1e3 * np.cos(1e3 * x), (0.0, 0.01)),
    "narrow step": (lambda x: np.tanh(1e4 * x), lambda x: 1e4 / np.cosh(1e4 * x) ** 2, (-2e-4, 2e-4)),
}


def at(f, x):
    """Return the estimate of f's derivative at x, and the length of the steps it is counted in."""
    step = step_for(x)
    return derivative(lambda t: f(x + t * step)), step


@pytest.mark.parametrize("name", SMOOTH)
def test_the_error_is_never_larger_than_its_bound(name, figure):
    f, slope, (low, high) = SMOOTH[name]
    x = np.random.default_rng(len(name)).uniform(low, high, 2000)
    estimate, step = at(f, x)
    assert not np.any(estimate.kink)
    share = np.abs(estimate.value / step - slope(x)) / (estimate.error / step)
    figure("error of a difference, as a share of its bound", float(np.max(share)), 1.0)
    assert np.max(share) <= 1.0


@given(
    name=st.sampled_from(["sin", "exp", "cubic", "tanh"]),
    factor=st.integers(-24, 24).filter(bool).map(lambda k: k / 8),
    shift=st.integers(-16, 16).map(lambda k: k / 8),
    offset=st.floats(-1e6, 1e6),
    x=st.integers(-8192, 8192).map(lambda k: k / 4096),
)
def test_the_bound_holds_for_functions_that_are_stretched_and_moved(name, factor, shift, offset, x, figure):
    """Factor, shift and point have few digits, so that nothing is rounded before the function itself."""
    f, slope, _ = SMOOTH[name]
    estimate, step = at(lambda x: f(factor * x + shift) + offset, x)
    share = abs(estimate.value / step - factor * slope(factor * x + shift)) / (estimate.error / step)
    figure("error of a difference, as a share of its bound", float(share), 1.0)
    assert share <= 1.0


@pytest.mark.parametrize("name", ["sin", "exp", "log", "sqrt", "tanh", "cubic", "fast sine", "narrow step"])
def test_the_bound_is_small_enough_to_judge_by(name, figure):
    f, _, (low, high) = SMOOTH[name]
    x = np.random.default_rng(len(name)).uniform(low, high, 2000)
    estimate, _ = at(f, x)
    relative = float(np.median(estimate.error / np.abs(estimate.value)))
    figure("median of the bound on the relative error of a difference", relative, 1e-7)
    assert relative <= 1e-7


# ---- corners and jumps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.abs, 0.0),
        (lambda x: np.maximum(x, 0), 0.0),
        (lambda x: x + 1e-3 * np.abs(x - 0.7), 0.7),
        (np.sign, 0.0),
        (np.floor, 3.0),
        (np.sqrt, 0.0),
        (np.log, 0.0),
        (lambda x: 1 / x, 0.0),
        (lambda x: np.where(x < 1, x, 3 * x), 1.0),
        (lambda x: np.nan * x, 1.0),
    ],
)
def test_a_corner_a_jump_and_values_that_are_not_finite_are_kinks(f, x):
    estimate, _ = at(f, x)
    assert estimate.kink
    assert not estimate.error < math.inf


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-7])
def test_beside_a_kink_the_derivative_is_that_of_the_side(distance):
    x = np.array([distance, -distance])
    estimate, step = at(np.abs, x)
    assert not np.any(estimate.kink)
    assert estimate.value / step == pytest.approx([1, -1], rel=1e-9)


def test_every_element_is_judged_by_itself():
    x = np.array([[-1.0, 0.0], [1e-6, 2.0]])
    estimate, step = at(np.abs, x)
    assert estimate.kink.tolist() == [[False, True], [False, False]]
    assert [part.shape for part in estimate] == [(2, 2)] * len(estimate)
    assert (estimate.value / step)[~estimate.kink] == pytest.approx([-1, 1, 1], rel=1e-9)


def test_a_function_that_computes_in_float32_is_known_as_uncertain(figure):
    """To short steps it is a staircase, whose flat parts must not pass for a derivative."""
    x = np.random.default_rng(5).uniform(0.1, 1.4, 1000)
    estimate, step = at(lambda x: np.sin(x.astype(np.float32)), x)
    share = np.abs(estimate.value / step - np.cos(x)) / (estimate.error / step)
    figure("error of a difference in float32, as a share of its bound", float(np.max(share)), 1.0)
    assert np.max(share) <= 1.0


def test_the_noise_of_terms_that_cancel_is_no_kink(figure):
    """Near its zero at 1 this polynomial is the difference of terms a thousand times its size."""
    x = np.random.default_rng(5).uniform(0.95, 1.05, 2000)
    estimate, step = at(SMOOTH["cubic"][0], x)
    share = np.abs(estimate.value / step - SMOOTH["cubic"][1](x)) / (estimate.error / step)
    figure("error of a difference, as a share of its bound", float(np.max(share)), 1.0)
    assert not np.any(estimate.kink)
    assert np.max(share) <= 1.0


# ---- effort and steps ------------------------------------------------------------------------------------------------


def counted(f):
    calls = []

    def g(t):
        calls.append(t)
        return f(t)

    return g, calls


def test_seven_values_are_enough_where_nothing_is_difficult():
    g, calls = counted(lambda t: math.exp(0.3 + t * 2.0**-17))
    derivative(g)
    assert calls == [-3, -2, -1, 0, 1, 2, 3]


def test_the_error_of_a_derivative_far_below_those_that_matter_needs_no_other_step():
    nearly_flat = lambda t: 1 + 1e-9 * math.sin(t * 2.0**-17)
    g, many = counted(nearly_flat)
    derivative(g)
    g, few = counted(nearly_flat)
    derivative(g, scale=2.0**-17)
    assert [len(many), len(few)] == [49, 7]


def test_a_step_is_a_power_of_two_near_the_cube_root_of_epsilon():
    x = np.array([0.0, -0.3, 1.0, 7.0, -1e6, np.inf, np.nan])
    step = step_for(x)
    assert np.all(np.frexp(step)[0] == 0.5)
    ideal = np.cbrt(np.finfo(float).eps) * np.array([1, 1, 1, 7, 1e6, 1, 1])
    assert np.all(np.maximum(step / ideal, ideal / step) <= math.sqrt(2))
    assert step_for(-0.3).shape == ()


# ---- the complex step ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sin", "exp", "log", "sqrt", "tanh", "reciprocal", "cubic", "bell"])
def test_the_complex_step_is_exact(name, figure):
    f, slope, (low, high) = SMOOTH[name]
    x = np.linspace(low, high, 501)
    found = complex_step(lambda t: f(x + t))
    error = float(np.max(np.abs(found - slope(x)) / np.maximum(np.abs(slope(x)), 1e-3)))
    figure(
        "relative error of the complex step", error, 1e-12
    )  # some rounding, and that of the formula of the derivative
    assert error <= 1e-12


@pytest.mark.parametrize(
    "f",
    [
        np.abs,  # gives a real number
        lambda x: math.sin(x),  # refuses complex numbers
        lambda x: float(x),
        lambda x: np.array([x]).astype(float),  # loses the imaginary part, with a warning
        lambda x: np.floor(x),
    ],
)
def test_the_complex_step_is_none_where_a_function_does_not_take_it(f):
    assert complex_step(lambda t: f(1.5 + t)) is None
