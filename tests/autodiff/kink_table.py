"""What each operation's derivative is where there is none, or where a formula would say nan: one row a point.

Where a derivative exists we return it; elsewhere zero at a local optimum, the mean of the two sides otherwise, and the
limit where it is infinite.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import autodiff as ad

inf, nan = np.inf, np.nan


class Kink(NamedTuple):
    """An operation, a point (one number or array an operand) and the gradient there, by each operand."""

    name: str
    call: Callable[..., Any]
    at: tuple[Any, ...]
    gradient: tuple[Any, ...]
    arrays_only: bool = False


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, arXiv:1706.02515


def point(name, call, at, *gradient):
    at = at if isinstance(at, tuple) else (at,)
    return Kink(name, call, at, gradient)


def along(name, call, data, gradient):
    return Kink(name, call, (data,), (gradient,), arrays_only=True)


KINKS = [
    # one-sided rectifiers
    point("relu", ad.relu, 0.0, 0.0),
    point("relu", ad.relu, -0.0, 0.0),
    point("leaky_relu", ad.leaky_relu, 0.0, 0.01),
    point("leaky_relu(0.3)", lambda x: ad.leaky_relu(x, negative_slope=0.3), 0.0, 0.3),
    point("elu", ad.elu, 0.0, 1.0),
    point("elu(alpha=0.5)", lambda x: ad.elu(x, alpha=0.5), 0.0, 0.75),
    point("selu", ad.selu, 0.0, SELU_SCALE * (1 + SELU_ALPHA) / 2),
    point("softsign", ad.softsign, 0.0, 1.0),
    # abs and its aliases
    point("abs", ad.abs, 0.0, 0.0),
    point("abs", ad.abs, -0.0, 0.0),
    point("builtin abs", abs, 0.0, 0.0),
    point("np.abs", np.abs, 0.0, 0.0),
    point("np.fabs", np.fabs, 0.0, 0.0),
    point("hypot(x, 0)", lambda x: ad.hypot(x, 0.0), 0.0, 0.0),
    point("hypot", ad.hypot, (0.0, 0.0), 0.0, 0.0),
    # steps: zero everywhere
    *(
        point(op, getattr(ad, op), x, 0.0)
        for op in ("sign", "floor", "ceil", "round", "step")
        for x in (0.0, 0.5, -2.0)
    ),
    # ties
    point("maximum", ad.maximum, (2.0, 2.0), 0.5, 0.5),
    point("minimum", ad.minimum, (2.0, 2.0), 0.5, 0.5),
    point("maximum(x, x)", lambda x: ad.maximum(x, x), 2.0, 1.0),
    point("minimum(x, x)", lambda x: ad.minimum(x, x), 2.0, 1.0),
    point("maximum with a constant", lambda x: ad.maximum(x, 0.0), 0.0, 0.5),
    along("max", ad.max, [1.0, 3.0, 3.0, 2.0], [0.0, 0.5, 0.5, 0.0]),
    along("max of equal data", ad.max, [[2.0, 2.0], [2.0, 2.0]], [[0.25, 0.25], [0.25, 0.25]]),
    along("max by row", lambda x: ad.max(x, axis=1), [[2.0, 2.0], [2.0, 1.0]], [[0.5, 0.5], [1.0, 0.0]]),
    along("min", ad.min, [1.0, 1.0, 1.0, 2.0], [1 / 3, 1 / 3, 1 / 3, 0.0]),
    # clip: 1 inside and at the bounds
    point("clip below", lambda x: ad.clip(x, -1.0, 2.0), -1.5, 0.0),
    point("clip at low", lambda x: ad.clip(x, -1.0, 2.0), -1.0, 1.0),
    point("clip inside", lambda x: ad.clip(x, -1.0, 2.0), 0.0, 1.0),
    point("clip at high", lambda x: ad.clip(x, -1.0, 2.0), 2.0, 1.0),
    point("clip above", lambda x: ad.clip(x, -1.0, 2.0), 2.5, 0.0),
    point("clip, all nodes, above", ad.clip, (3.0, -1.0, 2.0), 0.0, 0.0, 1.0),
    point("clip, all nodes, below", ad.clip, (-3.0, -1.0, 2.0), 0.0, 1.0, 0.0),
    point("clip, bounds crossed", ad.clip, (0.0, 1.0, -1.0), 0.0, 0.0, 1.0),  # np.clip gives the upper bound
    # infinite slopes
    point("sqrt", ad.sqrt, 0.0, inf),
    point("sqrt of a square", lambda x: ad.sqrt(x * x), 0.0, nan),  # inf * 0: use abs or norm
    point("cbrt", ad.cbrt, 0.0, inf),
    point("log", ad.log, 0.0, inf),
    point("log2", ad.log2, 0.0, inf),
    point("log10", ad.log10, 0.0, inf),
    point("log1p", ad.log1p, -1.0, inf),
    point("arcsin", ad.arcsin, 1.0, inf),
    point("arccos", ad.arccos, -1.0, -inf),
    point("arctanh", ad.arctanh, 1.0, inf),
    point("arccosh", ad.arccosh, 1.0, inf),
    # powers
    point("x**0 at 0", lambda x: ad.power(x, 0.0), 0.0, 0.0),
    point("x**0 at inf", lambda x: ad.power(x, 0.0), inf, 0.0),
    point("x**0 at nan", lambda x: ad.power(x, 0.0), nan, 0.0),
    point("x**1 at 0", lambda x: ad.power(x, 1.0), 0.0, 1.0),
    point("x**2 at 0", lambda x: ad.power(x, 2.0), 0.0, 0.0),
    point("x**0.5 at 0", lambda x: ad.power(x, 0.5), 0.0, inf),
    point("x**-1 at 0", lambda x: ad.power(x, -1.0), 0.0, -inf),
    point("x**3 at -2", lambda x: ad.power(x, 3.0), -2.0, 12.0),
    point("0**b", ad.power, (0.0, 2.0), 0.0, 0.0),
    point("0**b", ad.power, (0.0, 0.5), inf, 0.0),
    point("0**b, constant base", lambda b: ad.power(0.0, b), 2.0, 0.0),
    point("0**0", ad.power, (0.0, 0.0), 0.0, -inf),
    point("negative base", ad.power, (-2.0, 3.0), 12.0, nan),
    point("negative base, whole negative exponent", ad.power, (-2.0, -1.0), -0.25, nan),
    point("negative base, constant", lambda b: ad.power(-2.0, b), 3.0, nan),
    point("negative base, fraction", ad.power, (-2.0, 0.5), nan, nan),
    # division as IEEE 754
    point("1 / 0", ad.div, (1.0, 0.0), inf, -inf),
    point("-1 / 0", ad.div, (-1.0, 0.0), inf, inf),
    point("1 / -0", ad.div, (1.0, -0.0), -inf, -inf),
    point("0 / 0", ad.div, (0.0, 0.0), inf, nan),
    point("reciprocal", ad.reciprocal, 0.0, -inf),
    # norms and spreads
    along("norm of zeros", ad.norm, [0.0, 0.0], [0.0, 0.0]),
    along("norm by row", lambda x: ad.norm(x, axis=1), [[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [0.6, 0.8]]),
    along("std of constant data", ad.std, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    along("std of one number", ad.std, [2.0], [0.0]),
    along("std by row", lambda x: ad.std(x, axis=1), [[2.0, 2.0], [1.0, 3.0]], [[0.0, 0.0], [-0.5, 0.5]]),
    # products with zeros
    along("prod without zeros", ad.prod, [2.0, 3.0, 4.0], [12.0, 8.0, 6.0]),
    along("prod with one zero", ad.prod, [2.0, 0.0, 4.0], [0.0, 8.0, 0.0]),
    along("prod with two zeros", ad.prod, [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    along("cumprod with one zero", ad.cumprod, [2.0, 0.0, 4.0], [1.0, 2.0 + 8.0, 0.0]),
    along("cumprod with two zeros", ad.cumprod, [0.0, 3.0, 0.0], [1.0 + 3.0, 0.0, 0.0]),
    # where masks, so an infinity from above does not leak into the branch not taken
    along("where", lambda x: ad.where(np.array([True, False]), x, 0.0), [1.0, nan], [1.0, 0.0]),
    # but one that its own inner derivative makes cannot be masked: 0 * inf. The remedy is to choose twice
    along("where alone", lambda x: ad.where(x > 0, ad.log(x), 0.0), [2.0, 0.0, -1.0], [0.5, nan, 0.0]),
    along(
        "double where",
        lambda x: ad.where(x > 0, ad.log(ad.where(x > 0, x, 1.0)), 0.0),
        [2.0, 0.0, -1.0],
        [0.5, 0.0, 0.0],
    ),
    # logsumexp and its relatives with -inf
    along("logsumexp of -inf", ad.logsumexp, [-inf, -inf], [0.0, 0.0]),
    along("logsumexp, some -inf", ad.logsumexp, [-inf, 1.0, 1.0], [0.0, 0.5, 0.5]),
    along("logsumexp by row", lambda x: ad.logsumexp(x, axis=1), [[-inf, -inf], [0.0, 0.0]], [[0.0, 0.0], [0.5, 0.5]]),
    point("logaddexp of -inf", ad.logaddexp, (-inf, -inf), 0.0, 0.0),
    point("logaddexp, one -inf", ad.logaddexp, (-inf, 1.0), 0.0, 1.0),
]

# Orders two and three: (name, f, point, second derivative, third)
HIGHER = [
    ("x**2", lambda x: ad.power(x, 2.0), 0.0, 2.0, 0.0),
    ("x**3", lambda x: ad.power(x, 3.0), 0.0, 0.0, 6.0),
    ("x**1", lambda x: ad.power(x, 1.0), 0.0, 0.0, 0.0),
    ("x**0", lambda x: ad.power(x, 0.0), 0.0, 0.0, 0.0),
    ("square", ad.square, 0.0, 2.0, 0.0),
    ("relu", ad.relu, 0.0, 0.0, 0.0),
    ("abs", ad.abs, 0.0, 0.0, 0.0),
    ("maximum(x, 0)", lambda x: ad.maximum(x, 0.0), 0.0, 0.0, 0.0),
    ("clip at a bound", lambda x: ad.clip(x, 0.0, 1.0), 0.0, 0.0, 0.0),
    ("floor", ad.floor, 0.0, 0.0, 0.0),
]

# Data of a product, and its Hessian: the products of all but two elements
PRODUCTS = [
    ([2.0, 3.0, 4.0], [[0.0, 4.0, 3.0], [4.0, 0.0, 2.0], [3.0, 2.0, 0.0]]),
    ([0.0, 3.0, 4.0], [[0.0, 4.0, 3.0], [4.0, 0.0, 0.0], [3.0, 0.0, 0.0]]),
    ([2.0, 0.0, 0.0], [[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 2.0, 0.0]]),
    ([0.0, 0.0, 0.0], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
]
