"""Values and derivatives of the stable functions in 50-digit arithmetic whose exponents know no overflow: the oracle.

Every formula here adds terms of one sign only, or leaves the small difference to mpmath's own expm1 and log1p, so that
all 50 digits are right also where the textbook formula would lose hundreds of them (1 + 1e-304 has no 50-digit form).
"""

import mpmath

mp = mpmath.mp.clone()  # a context of our own: nobody else's precision is changed
mp.dps = 50


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def softplus(x):
    return mp.log1p(mp.exp(x))


# Functions of one number: (value, derivative)
ELEMENTWISE = {
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "softplus": (softplus, sigmoid),
    "log_sigmoid": (lambda x: -softplus(-x), lambda x: sigmoid(-x)),
    "tanh": (mp.tanh, lambda x: mp.sech(x) ** 2),
    "expm1": (mp.expm1, mp.exp),
    "log1p": (mp.log1p, lambda x: 1 / (1 + x)),
}


def binary_cross_entropy(z, t):
    return t * softplus(-z) + (1 - t) * softplus(z)


def binary_cross_entropy_slope(z, t):
    """The derivative by z: sigmoid(z) - t, whose two terms cancel only where it is 0."""
    return (1 - t) * sigmoid(z) - t * sigmoid(-z)


# ---- functions of a list of numbers ----------------------------------------------------------------------------------


def split_off_largest(xs):
    """Return (largest, the sum of exp(x - largest) over the others)."""
    top = max(range(len(xs)), key=xs.__getitem__)
    return xs[top], mp.fsum(mp.exp(x - xs[top]) for i, x in enumerate(xs) if i != top)


def logsumexp(xs):
    top, rest = split_off_largest(xs)
    return top + mp.log1p(rest)


def softmax(xs):
    top, rest = split_off_largest(xs)
    return [mp.exp(x - top) / (1 + rest) for x in xs]


def log_softmax(xs):
    top, rest = split_off_largest(xs)
    return [(x - top) - mp.log1p(rest) for x in xs]


def others(xs):
    """1 - softmax(xs), as the sum of the probabilities of the others."""
    p = softmax(xs)
    return [mp.fsum(p[:i] + p[i + 1 :]) for i in range(len(xs))]


def softmax_jacobian(xs):
    """Row i has the derivatives of probability i: p_i (1 - p_i) on the diagonal, -p_i p_j elsewhere."""
    p, rest = softmax(xs), others(xs)
    return [[p[i] * rest[i] if i == j else -p[i] * p[j] for j in range(len(xs))] for i in range(len(xs))]


def log_softmax_jacobian(xs):
    """Row i has the derivatives of log-probability i: 1 - p_i on the diagonal, -p_j elsewhere."""
    p, rest = softmax(xs), others(xs)
    return [[rest[i] if i == j else -p[j] for j in range(len(xs))] for i in range(len(xs))]


def cross_entropy(xs, label):
    return -log_softmax(xs)[label]


def cross_entropy_slope(xs, label):
    p, rest = softmax(xs), others(xs)
    return [-rest[i] if i == label else p[i] for i in range(len(xs))]
