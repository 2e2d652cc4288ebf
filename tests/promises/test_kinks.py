"""Promise 8: the convention at kinks is one, whichever way a derivative is asked for.

The table stands in tests/autodiff/kink_table.py, and test_rules.py holds every row of it for Value, Tensor and grad.
Here: the operation under its other names, forward mode, upstream gradients other than 1, and second derivatives.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff import Tensor, Value
from autodiff.primitive import Elementwise
from tests.autodiff.kink_table import KINKS, PRODUCTS
from tests.autodiff.numeric import assert_close, assert_within_ulps, reverse_by

pytestmark = pytest.mark.promise(8)

OPERATORS = {"div": lambda a, b: a / b, "power": lambda a, b: a**b, "abs": abs}
OTHER_UFUNCS = {"abs": [np.fabs], "power": [np.power, np.float_power], "round": [np.round, np.around]}


def aliases(row):
    """Return an operation's other names: method, NumPy's function, operator."""
    found = [lambda x, *rest: getattr(x, row.name)(*rest), *OTHER_UFUNCS.get(row.name, [])]
    if isinstance(row.array, np.ufunc):
        found.append(row.array)
    return [*found, OPERATORS[row.name]] if row.name in OPERATORS else found


ROWS = [kink for kink in KINKS if isinstance(kink.call, Elementwise)]


@pytest.mark.parametrize("kink", ROWS, ids=[f"{kink.name} at {kink.at}" for kink in ROWS])
@pytest.mark.parametrize("kind", [Value, Tensor])
def test_an_operation_has_the_same_derivative_under_every_name(kink, kind):
    names = aliases(kink.call)
    assert names
    for alias in names:
        with np.errstate(all="ignore"):
            nodes = [kind(x) for x in kink.at]
            found = reverse_by(alias(*nodes), nodes)
        for got, expected in zip(found, kink.gradient, strict=True):
            assert_within_ulps(got, np.asarray(expected, dtype=float), 2, label=f"{kink.name} by {alias}")


# Forward mode meets the choice of `where` after the infinite slope and masks it: 0, where reverse mode gives nan
BOTH_MODES = [kink for kink in KINKS if kink.name != "where alone"]


@pytest.mark.parametrize("kink", BOTH_MODES, ids=[f"{kink.name} at {kink.at}" for kink in BOTH_MODES])
def test_forward_mode_has_the_same_convention(kink):
    """The tangent along each coordinate is that coordinate of the gradient."""
    at = [np.array(x, dtype=float) for x in kink.at]
    total = lambda *xs: ad.sum(kink.call(*xs))
    for i, gradient in enumerate(kink.gradient):
        for where in np.ndindex(at[i].shape):
            tangents = [np.zeros(x.shape) for x in at]
            tangents[i][where] = 1.0
            alone = lambda x, i=i: total(*at[:i], x, *at[i + 1 :])
            with np.errstate(all="ignore"):
                _, got = ad.jvp(alone, (at[i],), (tangents[i],))
            expected = np.asarray(gradient, dtype=float)[where]
            assert_within_ulps(np.asarray(got), expected, 2, label=f"{kink.name} along {where} of operand {i}")


TIED = np.array([[2.0, 1.0, 2.0], [2.0, 2.0, 2.0]])


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), ()])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_ties_share_the_upstream_gradient_evenly_and_completely(axis, sign):
    reduce = ad.max if sign > 0 else ad.min
    y = reduce(sign * TIED, axis=axis, keepdims=True)
    seed = np.cos(1.0 + np.arange(y.size)).reshape(y.shape)
    x = Tensor(sign * TIED)
    reduce(x, axis=axis, keepdims=True).backward(seed)
    assert_close(np.sum(x.grad, axis=axis, keepdims=True), seed, 1e-15)
    hits = sign * TIED == y
    assert_close(x.grad, np.where(hits, seed / np.sum(hits, axis=axis, keepdims=True), 0.0), 1e-15)


@pytest.mark.parametrize(("data", "hessian"), PRODUCTS)
def test_a_product_has_the_hessian_of_the_products_of_the_others(data, hessian):
    """Also with zeros in the data, of prod and of the last element of cumprod."""
    x = np.array(data)
    assert ad.hessian(ad.prod)(x).tolist() == hessian
    assert ad.hessian(lambda x: ad.cumprod(x)[-1])(x).tolist() == hessian
