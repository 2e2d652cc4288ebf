"""Values and derivatives of the stable functions in 60-digit decimal arithmetic, which knows no overflow."""

import decimal
from decimal import Decimal

CONTEXT = decimal.Context(prec=60, Emin=-999999, Emax=999999)


def exp(x: Decimal) -> Decimal:
    return CONTEXT.exp(x)


def log(x: Decimal) -> Decimal:
    return CONTEXT.ln(x)


def sigmoid(x):
    return 1 / (1 + exp(-x))


def softplus(x):
    """log(1 + e**x); for small e**x the series, since 60 digits cannot hold 1 + 1e-304."""
    e = exp(x)
    return e - e * e / 2 if e < Decimal("1e-40") else log(1 + e)


SMALL = Decimal("1e-16")  # below it a few terms of the series give 45 digits; 60 digits cannot hold 1 + 1e-300


def tanh(x):
    return x - x**3 / 3 + 2 * x**5 / 15 if abs(x) < SMALL else (exp(x) - exp(-x)) / (exp(x) + exp(-x))


def expm1(x):
    return x + x**2 / 2 + x**3 / 6 if abs(x) < SMALL else exp(x) - 1


def log1p(x):
    return x - x**2 / 2 + x**3 / 3 if abs(x) < SMALL else log(1 + x)


# name: (value, derivative) as functions of a Decimal
ELEMENTWISE = {
    "sigmoid": (sigmoid, lambda x: exp(-abs(x)) / (1 + exp(-abs(x))) ** 2),
    "softplus": (softplus, sigmoid),
    "log_sigmoid": (lambda x: -softplus(-x), lambda x: sigmoid(-x)),
    "tanh": (tanh, lambda x: 4 / (exp(x) + exp(-x)) ** 2),
    "expm1": (expm1, exp),
    "log1p": (log1p, lambda x: 1 / (1 + x)),
}


def cross_entropy(z, t):
    return (softplus(z) if t == 0 else softplus(-z)) if t in (0, 1) else softplus(z) - z * t


def cross_entropy_slope(z, t):
    return sigmoid(z) if t == 0 else -sigmoid(-z) if t == 1 else sigmoid(z) - t


def softmax(xs):
    total = sum(exp(x) for x in xs)
    return [exp(x) / total for x in xs]


def logsumexp(xs):
    """The largest term apart, so that digits of the small ones are not lost."""
    top = max(xs)
    rest = list(xs)
    rest.remove(top)
    tail = sum(exp(x - top) for x in rest)
    return top + (tail - tail * tail / 2 if tail < Decimal("1e-40") else log(1 + tail))


def log_softmax(xs):
    top = max(xs)
    shifted = [x - top for x in xs]
    tail = logsumexp(shifted)
    return [x - tail for x in shifted]


def with_digits(f, *args):
    """Call f on exact copies of floats, or lists of them, with 60 digits; return floats."""
    with decimal.localcontext(CONTEXT):
        exact = [[Decimal(x) for x in arg] if isinstance(arg, list) else Decimal(arg) for arg in args]
        y = f(*exact)
        return [float(v) for v in y] if isinstance(y, list) else float(y)
