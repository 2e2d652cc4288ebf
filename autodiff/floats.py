"""Kernels for Python floats that behave as IEEE-754 arrays do where ``math`` or an operator raises.

``math.log(0)`` raises and ``np.log(0.0)`` is -inf; a Value must not differ from a 0-d Tensor, so the
float kernels here return what NumPy returns, without its warnings.
"""

import math
import operator
from collections.abc import Callable
from math import copysign, inf, isinf, isnan, nan
from typing import Any

import numpy as np


def _ieee(
    f: Callable[[float], float], overflow: Callable[[float], float] | None = None, pole: float | None = None
) -> Callable[[float], float]:
    """f with nan for a domain error, ``overflow(x)`` for an overflow and -inf (or +-inf) at its pole."""

    def kernel(x: float) -> float:
        try:
            return f(x)
        except ValueError:
            if pole is not None and abs(x) == abs(pole):
                return copysign(inf, x) if pole else -inf
            return nan
        except OverflowError:
            return overflow(x) if overflow else inf

    kernel.__name__ = f.__name__
    return kernel


def _signed_infinity(x: float) -> float:
    return copysign(inf, x)


exp = _ieee(math.exp)
exp2 = _ieee(math.exp2)
expm1 = _ieee(math.expm1)
sinh = _ieee(math.sinh, overflow=_signed_infinity)
cosh = _ieee(math.cosh)
log = _ieee(math.log, pole=0.0)
log2 = _ieee(math.log2, pole=0.0)
log10 = _ieee(math.log10, pole=0.0)
sqrt = _ieee(math.sqrt)
sin = _ieee(math.sin)
cos = _ieee(math.cos)
tan = _ieee(math.tan)
arcsin = _ieee(math.asin)
arccos = _ieee(math.acos)
arccosh = _ieee(math.acosh)
arctanh = _ieee(math.atanh, pole=1.0)


def cbrt(x: float) -> float:
    """NumPy's cube root: the C library's can differ from it in the third-last bit."""
    return float(np.cbrt(x))


def log1p(x: float) -> float:
    """log(1 + x), with -inf at x = -1 and nan below."""
    return math.log1p(x) if x > -1.0 else -inf if x == -1.0 else nan if x < -1.0 else x


def div(a: float, b: float) -> float:
    """a / b with IEEE's signed infinities and nan where Python raises."""
    try:
        return a / b
    except ZeroDivisionError:
        return nan if a == 0.0 or isnan(a) else copysign(inf, a) * copysign(1.0, b)


def reciprocal(x: float) -> float:
    """1 / x, infinite at 0."""
    return div(1.0, x)


def power(a: float, b: float) -> float:
    """a ** b as C's pow: nan for a negative base with a fractional exponent, inf for 0 ** negative."""
    if b == 0.5:
        return sqrt(a)  # as NumPy does, whose square root of -inf is nan
    try:
        return math.pow(a, b)
    except ValueError:
        if a != 0.0:
            return nan
        return copysign(inf, a) if b % 2.0 == 1.0 else inf
    except OverflowError:
        return -inf if a < 0.0 and b % 2.0 == 1.0 else inf


def square(x: float) -> float:
    """x * x."""
    return x * x


def sign(x: float) -> float:
    """-1, 0 or 1; nan stays nan."""
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else x if isnan(x) else 0.0


def _rounding(f: Callable[[float], float]) -> Callable[[float], float]:
    """A rounding function that keeps inf, nan and the sign of zero, as NumPy's do."""

    def kernel(x: float) -> float:
        return x if isinf(x) or isnan(x) else copysign(float(f(x)), x)

    return kernel


floor = _rounding(math.floor)
ceil = _rounding(math.ceil)
rint = _rounding(round)


def maximum(a: float, b: float) -> float:
    """The larger, of equal numbers the second; nan if either is nan."""
    return a if a > b or isnan(a) else b


def minimum(a: float, b: float) -> float:
    """The smaller, of equal numbers the second; nan if either is nan."""
    return a if a < b or isnan(a) else b


def clip(x: float, low: float, high: float) -> float:
    """x limited to [low, high]; x itself, with the sign of its zero, where it equals a bound."""
    return minimum(high, maximum(low, x))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow on either side."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def logistic_error(z: float, t: float) -> float:
    """sigmoid(z) - t without cancellation; by NumPy's exp, as a last digit of it may be the first of the result."""
    q = float(np.exp(min(-z, 700.0)))
    return ((1.0 - t) - t * q) / (1.0 + q)


def softplus(x: float) -> float:
    """log(1 + exp(x)) without overflow."""
    return maximum(x, 0.0) + math.log1p(math.exp(-abs(x)))


def logaddexp(a: float, b: float) -> float:
    """log(exp(a) + exp(b)) without overflow."""
    if a == b:  # also two infinities of one sign, whose difference would be nan
        return a + math.log(2.0)
    return maximum(a, b) + math.log1p(math.exp(-abs(a - b)))


def relu(x: float) -> float:
    """x where positive, else 0; nan stays nan."""
    return x if x > 0.0 or isnan(x) else 0.0


def halves(terms: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Weights and inputs; TypeError if there are not as many of one as of the other."""
    if len(terms) % 2:
        raise TypeError(f"weighted_sum needs b and as many weights as inputs, got b and {len(terms)} more operands")
    return terms[: len(terms) // 2], terms[len(terms) // 2 :]


def weighted_sum(first: float, *terms: float) -> float:
    """first + w1*x1 + ... + wn*xn for the terms w1 .. wn, x1 .. xn."""
    return sum(map(operator.mul, *halves(terms)), first)
