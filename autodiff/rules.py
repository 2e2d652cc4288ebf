"""THE TABLE, elementwise rows: each operation once, for floats, arrays, Values and Tensors alike.

A row: name, kernel for floats, kernel for arrays, then one local derivative per operand as a function of the
output y and the inputs. The derivatives are written in the verbs of this very table, so given nodes they
record a graph of their own, and every order of derivative follows from the first.

``kinks`` is a function whose zeros are the points without a derivative (or without a second one); what a row
returns there is the convention: zero at a local optimum, the mean of the two sides otherwise, the limit where
it is infinite.
"""

import itertools
import math
import operator
from typing import Any

import numpy as np

from . import floats
from .primitive import FLOAT64, array_op, elementwise, predicate

REAL = (-np.inf, np.inf)
POSITIVE = (0.0, np.inf)
UNIT = (-1.0, 1.0)
LOG2, LOG10 = math.log(2.0), math.log(10.0)

# ---- questions: which side of a kink? Plain answers that carry no derivative --------------------------------

positive = predicate("positive", lambda x: x > 0.0, lambda x: np.greater(x, 0))
equal = predicate("equal", operator.eq, np.equal)
between = predicate("between", lambda x, a, b: a <= x <= b and a < b, lambda x, a, b: (a <= x) & (x <= b) & (a < b))
# where the bounds coincide, the upper one has the slope
lowered = predicate("lowered", lambda x, a, b: x > b or a >= b, lambda x, a, b: (x > b) | (a >= b))
raised = predicate("raised", lambda x, a, b: x < a < b, lambda x, a, b: (x < a) & (a < b))
sign_of = predicate("sign_of", floats.sign, np.sign)


def _share(a: Any, b: Any) -> Any:
    wins = 0.5 * np.add(np.greater(a, b), np.greater_equal(a, b), dtype=np.result_type(a, b))
    return np.where(np.isnan(a) | np.isnan(b), np.nan, wins)


# 1 if a > b, 1/2 at a tie, else 0; nan if either is
share = predicate("share", lambda a, b: 0.5 * ((a > b) + (a >= b)) if a == a and b == b else math.nan, _share)

# ---- choosing ------------------------------------------------------------------------------------------------
# `where` is linear in the values it chooses between, so it masks gradients instead of multiplying by 0 or 1:
# a nan that arrives from above cannot leak into the branch not taken.

where = array_op(
    "where",
    np.where,
    None,
    lambda g, y, c, a, b: where(c, g, 0.0),
    lambda g, y, c, a, b: where(c, 0.0, g),
    pushforwards=(None, lambda t, y, c, a, b: where(c, t, 0.0), lambda t, y, c, a, b: where(c, 0.0, t)),
    scalar=lambda c, a, b: a if c else b,
)

# ---- arithmetic ----------------------------------------------------------------------------------------------

add = elementwise("add", operator.add, np.add, 1.0, 1.0, symbol="+", latex="{0} + {1}")
sub = elementwise("sub", operator.sub, np.subtract, 1.0, -1.0, symbol="-", latex="{0} - {1}")
mul = elementwise(
    "mul", operator.mul, np.multiply, lambda y, a, b: b, lambda y, a, b: a, symbol="*", latex=r"{0} \cdot {1}"
)
div = elementwise(
    "div",
    floats.div,
    np.divide,
    lambda y, a, b: div(1.0, b),
    lambda y, a, b: neg(div(y, b)),
    domain=(REAL, POSITIVE),
    symbol="/",
    latex=r"\frac{{{0}}}{{{1}}}",
)
neg = elementwise("neg", operator.neg, np.negative, -1.0, symbol="-", latex="-{0}")
# Exponents for which NumPy has a function that is many times faster than its pow
FAST_POWERS = {1.0: lambda a, b: np.positive(a), 2.0: lambda a, b: np.square(a)}
power = elementwise(
    "power",
    floats.power,
    lambda a, b: FAST_POWERS.get(b, np.power)(a, b) if type(b) is float else np.power(a, b),
    lambda y, a, b: _power_slope(a, b),
    lambda y, a, b: where(zero_base(a, b), 0.0, mul(y, log(where(zero_base(a, b), 1.0, a)))),
    domain=(POSITIVE, REAL),
    symbol="**",
    latex="{0}^{{{1}}}",
)
# x**0 near 0, where x**-1 and its derivatives would overflow; elsewhere the derivative by the exponent is wanted too
always_one = predicate(
    "always_one",
    lambda a, b: b == 0.0 and not abs(a) > 1e-100,
    lambda a, b: np.equal(b, 0) & ~np.greater(np.abs(a), 1e-100),
)


def _power_slope(a: Any, b: Any) -> Any:
    """b * a**(b - 1), and 0 where that would be 0 * inf. A constant exponent, the usual case, needs no masks."""
    if type(b) is float and b != 0.0:
        return mul(b, power(a, sub(b, 1.0)))
    zero = always_one(a, b)
    return where(zero, 0.0, mul(b, power(a, where(zero, 1.0, sub(b, 1.0)))))


zero_base = predicate("zero_base", lambda a, b: a == 0.0 and b > 0.0, lambda a, b: np.equal(a, 0) & np.greater(b, 0))
square = elementwise("square", floats.square, np.square, lambda y, x: mul(2.0, x), symbol="**2", latex="{0}^2")
sqrt = elementwise("sqrt", floats.sqrt, np.sqrt, lambda y, x: div(0.5, y), domain=(POSITIVE,), latex=r"\sqrt{{{0}}}")
cbrt = elementwise("cbrt", floats.cbrt, np.cbrt, lambda y, x: div(1.0, mul(3.0, square(y))), kinks=lambda x: x)
reciprocal = elementwise(
    "reciprocal", floats.reciprocal, np.reciprocal, lambda y, x: neg(square(y)), domain=(POSITIVE,)
)
abs = elementwise(
    "abs", operator.abs, np.abs, lambda y, x: sign(x), kinks=lambda x: x, symbol="|·|", latex=r"\left|{0}\right|"
)
hypot = elementwise(
    "hypot",
    math.hypot,
    np.hypot,
    lambda y, a, b: div(a, where(equal(y, 0.0), 1.0, y)),
    lambda y, a, b: div(b, where(equal(y, 0.0), 1.0, y)),
    kinks=lambda a, b: hypot(a, b),
)
weighted_sum = elementwise(
    "weighted_sum",
    floats.weighted_sum,
    floats.weighted_sum,  # arrays add and multiply alike
    lambda y, first, *terms: [1.0, *itertools.chain(*reversed(floats.halves(terms)))],  # x1 .. xn, w1 .. wn
    variadic=True,
    symbol="b+w·x",
)


# ---- exponentials and logarithms -----------------------------------------------------------------------------

exp = elementwise("exp", floats.exp, np.exp, lambda y, x: y, latex="e^{{{0}}}")
exp2 = elementwise("exp2", floats.exp2, np.exp2, lambda y, x: mul(LOG2, y), latex="2^{{{0}}}")
expm1 = elementwise("expm1", floats.expm1, np.expm1, lambda y, x: exp(x))
log = elementwise("log", floats.log, np.log, lambda y, x: div(1.0, x), domain=(POSITIVE,), latex=r"\ln {0}")
log2 = elementwise("log2", floats.log2, np.log2, lambda y, x: div(1 / LOG2, x), domain=(POSITIVE,))
log10 = elementwise("log10", floats.log10, np.log10, lambda y, x: div(1 / LOG10, x), domain=(POSITIVE,))
log1p = elementwise("log1p", floats.log1p, np.log1p, lambda y, x: div(1.0, add(1.0, x)), domain=((-1.0, np.inf),))
logaddexp = elementwise(
    "logaddexp",
    floats.logaddexp,
    np.logaddexp,
    lambda y, a, b: _logaddexp_partial(a, b),
    lambda y, a, b: _logaddexp_partial(b, a),
)


def _logaddexp_partial(a: Any, b: Any) -> Any:
    """sigmoid(a - b), and 0 where both are -inf."""
    undefined = equal(a, b) & equal(a, -np.inf)
    return sigmoid(sub(a, where(undefined, 0.0, b)))


# ---- trigonometric and hyperbolic functions ------------------------------------------------------------------

sin = elementwise("sin", floats.sin, np.sin, lambda y, x: cos(x))
cos = elementwise("cos", floats.cos, np.cos, lambda y, x: neg(sin(x)))
tan = elementwise("tan", floats.tan, np.tan, lambda y, x: add(1.0, square(y)), domain=((-math.pi / 2, math.pi / 2),))
arcsin = elementwise(
    "arcsin", floats.arcsin, np.arcsin, lambda y, x: div(1.0, sqrt(mul(sub(1.0, x), add(1.0, x)))), domain=(UNIT,)
)
arccos = elementwise(
    "arccos", floats.arccos, np.arccos, lambda y, x: div(-1.0, sqrt(mul(sub(1.0, x), add(1.0, x)))), domain=(UNIT,)
)
arctan = elementwise("arctan", math.atan, np.arctan, lambda y, x: div(1.0, add(1.0, square(x))))
arctan2 = elementwise(
    "arctan2",
    math.atan2,
    np.arctan2,
    lambda y, a, b: div(div(b, hypot(a, b)), hypot(a, b)),  # a**2 + b**2 would over- or underflow
    lambda y, a, b: neg(div(div(a, hypot(a, b)), hypot(a, b))),
    domain=(REAL, POSITIVE),
    kinks=lambda a, b: hypot(a, b),
)
sinh = elementwise("sinh", floats.sinh, np.sinh, lambda y, x: cosh(x))
cosh = elementwise("cosh", floats.cosh, np.cosh, lambda y, x: sinh(x))
tanh = elementwise("tanh", math.tanh, np.tanh, lambda y, x: sech2(x))
arcsinh = elementwise("arcsinh", math.asinh, np.arcsinh, lambda y, x: div(1.0, hypot(1.0, x)))
arccosh = elementwise(
    "arccosh",
    floats.arccosh,
    np.arccosh,
    lambda y, x: div(1.0, mul(sqrt(sub(x, 1.0)), sqrt(add(x, 1.0)))),
    domain=((1.0, np.inf),),
)
arctanh = elementwise(
    "arctanh", floats.arctanh, np.arctanh, lambda y, x: div(1.0, mul(sub(1.0, x), add(1.0, x))), domain=(UNIT,)
)


def _sech2(x: Any) -> Any:
    e = np.exp(-2 * np.abs(x))
    return 4 * e / np.square(1 + e)


# 1 - tanh(x)**2 cancels for large |x|; this keeps every digit down to the smallest float
sech2 = elementwise(
    "sech2",
    lambda x: 4.0 * (e := math.exp(-2.0 * math.fabs(x))) / (1.0 + e) ** 2,
    _sech2,
    lambda y, x: mul(-2.0, mul(y, tanh(x))),
)

# ---- activations ---------------------------------------------------------------------------------------------


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


# By dtype: where exp is still far from overflow, and 1. As arrays: NumPy takes them faster than floats.
_EXP_LIMIT_AND_ONE = {
    np.dtype(char): (np.array(limit, char), np.array(1.0, char))
    for char, limit in (("e", 10.0), ("f", 87.0), ("d", 700.0), ("g", 700.0))
}


def _logistic_error(z: Any, t: Any) -> Any:
    """sigmoid(z) - t from q = e**-z: 1 / (1 + q) and its complement q / (1 + q) both keep their digits."""
    limit, one = _EXP_LIMIT_AND_ONE[getattr(z, "dtype", FLOAT64)]
    q = np.exp(np.minimum(-z, limit))
    error = (one - t) - t * q
    error /= one + q
    return error


sigmoid = elementwise(
    "sigmoid",
    floats.sigmoid,
    _sigmoid,
    lambda y, x: mul(y, sigmoid(neg(x))),  # y * (1 - y) would cancel for large x
    symbol="σ",
    latex=r"\sigma({0})",
)
log_sigmoid = elementwise(
    "log_sigmoid", lambda x: -floats.softplus(-x), lambda x: -np.logaddexp(-x, 0), lambda y, x: sigmoid(neg(x))
)
softplus = elementwise("softplus", floats.softplus, lambda x: np.logaddexp(x, 0), lambda y, x: sigmoid(x))
relu = elementwise(
    "relu", floats.relu, lambda x: np.maximum(x, 0.0), lambda y, x: sign_of(y), kinks=lambda x: x, symbol="ReLU"
)
leaky_relu = elementwise(
    "leaky_relu",
    lambda x, negative_slope=0.01: x if x > 0.0 else negative_slope * x,
    lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    lambda y, x, negative_slope=0.01: where(positive(x), 1.0, negative_slope),
    kinks=lambda x: x,
)


def _elu_partial(x: Any, alpha: float, scale: float = 1.0) -> Any:
    """Scale times 1 above 0, alpha * exp(x) below, the mean of the two at 0."""
    above = share(x, 0.0)
    return add(scale * above, mul(scale * alpha * (1.0 - above), exp(minimum(x, 0.0))))


elu = elementwise(
    "elu",
    lambda x, alpha=1.0: x if x >= 0.0 else alpha * math.expm1(x),
    lambda x, alpha=1.0: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))),
    lambda y, x, alpha=1.0: _elu_partial(x, alpha),
    kinks=lambda x: x,
    source="Clevert et al. 2015, arXiv:1511.07289",
)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
selu = elementwise(
    "selu",
    lambda x: SELU_SCALE * (x if x >= 0.0 else SELU_ALPHA * math.expm1(x)),
    lambda x: SELU_SCALE * np.where(x >= 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    lambda y, x: _elu_partial(x, SELU_ALPHA, SELU_SCALE),
    kinks=lambda x: x,
    source="Klambauer et al. 2017, arXiv:1706.02515",
)
normal_cdf = elementwise(
    "normal_cdf",
    lambda x: 0.5 * math.erfc(-x * math.sqrt(0.5)),
    None,  # NumPy has no erfc
    lambda y, x: mul(1 / math.sqrt(2 * math.pi), exp(mul(-0.5, square(x)))),
    symbol="Φ",
)
gelu = elementwise(
    "gelu",
    lambda x: x * normal_cdf(x),
    lambda x: x * normal_cdf(x),
    lambda y, x: add(normal_cdf(x), mul(x, mul(1 / math.sqrt(2 * math.pi), exp(mul(-0.5, square(x)))))),
    source="Hendrycks and Gimpel 2016, arXiv:1606.08415, the exact form x * Phi(x)",
)
silu = elementwise(
    "silu",
    lambda x: x * floats.sigmoid(x),
    lambda x: x * _sigmoid(x),
    lambda y, x: mul(sigmoid(x), add(1.0, mul(x, sigmoid(neg(x))))),
    source="x * sigmoid(x), Elfwing et al. 2017, arXiv:1702.03118",
)
softsign = elementwise(
    "softsign",
    lambda x: x / (1.0 + math.fabs(x)),
    lambda x: x / (1 + np.abs(x)),
    lambda y, x: square(reciprocal(add(1.0, abs(x)))),
    kinks=lambda x: x,  # of the second derivative
)

# ---- losses, element by element --------------------------------------------------------------------------------


def _binary_cross_entropy(z: Any, t: Any) -> Any:
    """log(1 + e**z) - z*t as log(e**(-z*t) + e**(z*(1 - t))), which cancels nothing for t in [0, 1]."""
    return np.logaddexp(-(z * t), z * (1.0 - t))


squared_error = elementwise(
    "squared_error",
    lambda a, b: floats.square(a - b),
    lambda a, b: np.square(a - b),
    lambda y, a, b: mul(2.0, sub(a, b)),
    lambda y, a, b: mul(2.0, sub(b, a)),
)
# sigmoid(z) - t without cancellation: the slope of the binary cross-entropy
logistic_error = elementwise(
    "logistic_error", floats.logistic_error, _logistic_error, lambda y, z, t: mul(sigmoid(z), sigmoid(neg(z))), -1.0
)
binary_cross_entropy_with_logits = elementwise(
    "binary_cross_entropy_with_logits",
    lambda z, t: floats.logaddexp(-(z * t), z * (1.0 - t)),
    _binary_cross_entropy,
    lambda y, z, t: logistic_error(z, t),
    lambda y, z, t: neg(z),
    symbol="BCE",
)

# ---- steps, and the larger or smaller of two -----------------------------------------------------------------

sign = elementwise("sign", floats.sign, np.sign, 0.0, kinks=lambda x: x)
step = elementwise(
    "step",
    lambda x: 1.0 if x > 0.0 else x if math.isnan(x) else 0.0,
    lambda x: np.heaviside(x, 0.0),
    0.0,
    kinks=lambda x: x,
)
floor = elementwise("floor", floats.floor, np.floor, 0.0, kinks=lambda x: x - np.round(x))
ceil = elementwise("ceil", floats.ceil, np.ceil, 0.0, kinks=lambda x: x - np.round(x))
round = elementwise("round", floats.rint, np.rint, 0.0, kinks=lambda x: x - np.floor(x) - 0.5)
maximum = elementwise(
    "maximum",
    floats.maximum,
    np.maximum,
    lambda y, a, b: share(a, b),
    lambda y, a, b: share(b, a),
    kinks=lambda a, b: a - b,
    symbol="max",
)
minimum = elementwise(
    "minimum",
    floats.minimum,
    np.minimum,
    lambda y, a, b: share(b, a),
    lambda y, a, b: share(a, b),
    kinks=lambda a, b: a - b,
    symbol="min",
)
clip = elementwise(
    "clip",
    floats.clip,
    np.clip,
    lambda y, x, low, high: between(x, low, high),
    lambda y, x, low, high: raised(x, low, high),
    lambda y, x, low, high: lowered(x, low, high),
    kinks=lambda x, low, high: (x - low) * (x - high) * (low - high),
)
