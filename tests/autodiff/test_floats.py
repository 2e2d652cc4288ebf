"""Kernels for Python floats agree with NumPy's on arrays, also where math raises: values here, rules in test_rules."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff import floats

from .numeric import SECOND_ZERO, assert_within_ulps

inf, nan = math.inf, math.nan
NUMPYS = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "sinh": np.sinh, "cosh": np.cosh, "log": np.log,
    "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "arcsin": np.arcsin, "arccos": np.arccos, "arccosh": np.arccosh, "arctanh": np.arctanh,
    "cbrt": np.cbrt, "reciprocal": np.reciprocal, "square": np.square, "sign": np.sign, "floor": np.floor,
    "ceil": np.ceil, "rint": np.rint, "div": np.divide, "power": np.power, "maximum": np.maximum,
    "minimum": np.minimum, "logaddexp": np.logaddexp, "clip": np.clip,
}  # fmt: skip
OWN = {"logistic_error", "sigmoid", "softplus", "relu", "weighted_sum"}  # NumPy has none; see the tables below
HELPERS = {"halves"}  # not of numbers
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, 3.0, -3.0, 1e-310, 1e308, -1e308, 710.0, -746.0, 1e16, inf, -inf, nan]


def kernels():
    return {
        name: f
        for name, f in vars(floats).items()
        if callable(f)
        and not name.startswith("_")
        and (f is math.cbrt or getattr(f, "__module__", "") == floats.__name__)
    }


def test_every_kernel_is_compared_with_something():
    assert set(kernels()) - HELPERS == set(NUMPYS) | OWN


def agree(figure, name, *xs):
    with np.errstate(all="ignore"):
        ours, numpys = getattr(floats, name)(*xs), NUMPYS[name](*map(np.array, xs))
    assert type(ours) is float
    distance = assert_within_ulps(ours, numpys, 2, label=f"{name}{xs}")
    figure("units in the last place between a kernel for floats and NumPy's", distance, 2)
    if ours == 0 and (SECOND_ZERO or name not in ("maximum", "minimum", "clip")):
        assert math.copysign(1.0, ours) == np.copysign(1.0, numpys), f"sign of zero: {name}{xs}"


@pytest.mark.promise(5)
@pytest.mark.parametrize("name", NUMPYS)
def test_a_kernel_agrees_with_numpy_at_special_numbers(name, figure):
    f = kernels()[name]
    arity = 1 if f is math.cbrt else len(inspect.signature(f).parameters)
    for index in np.ndindex(*(len(SPECIAL),) * min(arity, 2)):
        xs = [SPECIAL[i] for i in index]
        if arity == 3:
            agree(figure, name, xs[0], -1.0, xs[1])
            agree(figure, name, xs[0], xs[1], 2.0)
        else:
            agree(figure, name, *xs)


@pytest.mark.promise(5)
@pytest.mark.parametrize("name", NUMPYS)
@given(data=st.data())
def test_a_kernel_agrees_with_numpy_at_any_number(name, figure, data):
    f = kernels()[name]
    arity = 1 if f is math.cbrt else len(inspect.signature(f).parameters)
    agree(figure, name, *(data.draw(st.floats()) for _ in range(arity)))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (floats.div(1.0, 0.0), inf),
        (floats.div(-1.0, 0.0), -inf),
        (floats.div(1.0, -0.0), -inf),
        (floats.log(0.0), -inf),
        (floats.log(-0.0), -inf),
        (floats.log1p(-1.0), -inf),
        (floats.arctanh(-1.0), -inf),
        (floats.exp(1000.0), inf),
        (floats.sinh(-1000.0), -inf),
        (floats.power(0.0, -1.0), inf),
        (floats.power(-0.0, -1.0), -inf),
        (floats.power(-0.0, -2.0), inf),
        (floats.power(-1e200, 3.0), -inf),
        (floats.rint(2.5), 2.0),
        (floats.rint(3.5), 4.0),
        (floats.sigmoid(-1000.0), 0.0),
        (floats.sigmoid(1000.0), 1.0),
        (floats.sigmoid(0.0), 0.5),
        (floats.softplus(-1000.0), 0.0),
        (floats.softplus(1000.0), 1000.0),
        (floats.softplus(0.0), math.log(2.0)),
        (floats.relu(-0.5), 0.0),
        (floats.relu(0.5), 0.5),
        (floats.logaddexp(-inf, -inf), -inf),
        (floats.logaddexp(inf, inf), inf),
        (floats.logistic_error(0.0, 0.5), 0.0),
        (floats.logistic_error(0.0, 1.0), -0.5),
        (floats.logistic_error(1000.0, 0.0), 1.0),
        (floats.logistic_error(-1000.0, 1.0), -1.0),
        (floats.weighted_sum(1.0), 1.0),
        (floats.weighted_sum(1.0, 2.0, 3.0, 10.0, 100.0), 321.0),
    ],
)
def test_a_kernel_gives_the_ieee_result(call, expected):
    assert call == expected


@pytest.mark.parametrize("call", [
    lambda: floats.div(0.0, 0.0), lambda: floats.sqrt(-1.0), lambda: floats.log(-1.0),
    lambda: floats.power(-8.0, 1 / 3),
    lambda: floats.arcsin(2.0), lambda: floats.sin(inf), lambda: floats.maximum(nan, 1.0),
    lambda: floats.maximum(1.0, nan),
    lambda: floats.minimum(nan, -1.0), lambda: floats.relu(nan), lambda: floats.sigmoid(nan), lambda: floats.sign(nan),
    lambda: floats.clip(nan, 0.0, 1.0), lambda: floats.softplus(nan), lambda: floats.floor(nan),
])  # fmt: skip
def test_what_has_no_value_is_nan(call):
    assert math.isnan(call())
