"""Numerical references for the tests of the engine, and the engine's own derivatives in the form they compare.

The references use nothing of the engine but forward values. Complex step: the imaginary part of f(x + ih) / h is the
derivative without any cancellation, for analytic kernels. Six-point difference: central, of order h**6.
"""

import numpy as np

from autodiff import Node, Tensor
from autodiff.backward import reverse
from autodiff.forward import tangents
from autodiff.graph import topological_order

# A power of two, so that x + kh is exact for the inputs that `on_grid` prepares. At distance d from a singularity the
# truncation error is below (h / d)**6 times a modest factor: under 1e-9 for d >= 0.25.
STEP = 2.0**-10
# Rounding in f, some 10 ulp, is magnified by 1 / STEP; measured in units of |f| it stays below this.
NOISE = 4e-12
# Of 0.0 and -0.0 either is the larger. NumPy leaves the choice to the processor; most give the second, as our floats do
SECOND_ZERO = all(np.signbit(f(a, -a)) == np.signbit(-a) for f in (np.maximum, np.minimum) for a in (0.0, -0.0))
WEIGHTS = {-3: -1 / 60, -2: 9 / 60, -1: -45 / 60, 1: 45 / 60, 2: -9 / 60, 3: 1 / 60}


def on_grid(x):
    """Round to multiples of 2**-30, so that adding multiples of STEP is exact for |x| < 2**20."""
    return np.asarray(np.round(np.asarray(x, dtype=np.float64) * 2.0**30) / 2.0**30)  # NumPy makes 0-d arrays scalars


def complex_step(f, xs, i):
    """Return the derivative of f by operand i, element by element; exact to the accuracy of the complex kernel."""
    shifted = [x + 1e-20j if k == i else x + 0j for k, x in enumerate(xs)]
    return np.imag(f(*shifted)) / 1e-20


def six_point(f, xs, i, direction=1.0):
    """Return (derivative of f along a direction of operand i, bound on the rounding noise in it)."""
    total, largest = 0.0, 0.0
    for k, weight in WEIGHTS.items():
        y = np.asarray(f(*[x + k * STEP * direction if n == i else x for n, x in enumerate(xs)]))
        total = total + weight * y
        largest = np.maximum(largest, np.abs(y))
    return total / STEP, NOISE * largest


def assert_close(got, expected, rtol, noise=0.0, label=""):
    """Assert that |got - expected| <= rtol * |expected| + noise, with the worst element in the message.

    Return the largest share of what is allowed that an element took; without noise, its relative error is rtol times
    that share.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{label}: shape {got.shape}, expected {expected.shape}"
    assert np.array_equal(np.isnan(got), np.isnan(expected)), f"{label}: nan in different places"
    with np.errstate(invalid="ignore"):
        error, allowed = np.abs(got - expected), rtol * np.abs(expected) + noise
        same = (got == expected) | np.isnan(expected)
        wrong = ~same & (~(error <= allowed) | np.isinf(expected))  # nothing finite is near what is infinite
    if np.any(wrong):
        excess = np.where(wrong, np.nan_to_num(error - allowed, nan=np.inf), -np.inf)
        at = np.unravel_index(np.argmax(excess), excess.shape)
        raise AssertionError(f"{label}: got {got[at]!r}, expected {expected[at]!r} at {at}, relative tolerance {rtol}")
    shares = np.divide(error, allowed, out=np.zeros(np.shape(got)), where=~same)
    return float(np.max(shares, initial=0.0))


def assert_within_ulps(got, expected, ulps=2, label=""):
    """Assert equality up to a few units in the last place; nan equals nan and infinities their own sign.

    Return the largest distance in such units.
    """
    with np.errstate(all="ignore"):  # inf - inf, and the spacing of the largest float
        spacing = np.spacing(np.maximum(np.abs(got), np.abs(expected)))
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        distance = np.where(same, 0.0, np.abs(np.subtract(got, expected)) / spacing)
        near = np.isfinite(got) & np.isfinite(expected) & ~(distance > ulps)
    if not np.all(same | near):
        got, expected = np.broadcast_arrays(got, expected)
        at = tuple(np.argwhere(~np.atleast_1d(same | near))[0]) if got.ndim else ()
        raise AssertionError(f"{label}: got {got[at]!r}, expected {expected[at]!r} at {at}, tolerance {ulps} ulp")
    return float(np.max(distance, initial=0.0))


def reverse_by(y, nodes, seed=None, on_nodes=False):
    """Return the gradient of y (times the seed, by default ones) by each node: zeros where y does not depend on it."""
    if seed is None:
        seed = 1.0 if type(y.data) is float else np.ones_like(y.data)
    grads = reverse(y, type(y)(seed) if on_nodes else seed, on_nodes=on_nodes)
    return [grads[x] if x in grads else np.zeros(x.shape) for x in nodes]


def gradients(f, xs, seed=None):
    """Return the gradients of f at plain arrays xs, as plain arrays."""
    nodes = [Tensor(x) for x in xs]
    return reverse_by(f(*nodes), nodes, seed)


def derivative(f, xs, path):
    """Differentiate f elementwise by the operands in path, one after the other, in reverse mode over reverse mode."""
    nodes = [Tensor(x) for x in xs]
    y = f(*nodes)
    for i in path:
        if not isinstance(y, Node) or nodes[i] not in set(topological_order(y)):  # a set: == on Tensors is elementwise
            return np.zeros(np.broadcast_shapes(*(x.shape for x in nodes)))
        (y,) = reverse_by(y, [nodes[i]], on_nodes=True)
    return y.data if isinstance(y, Node) else y


def forward_along(f, xs, directions):
    """Return the tangent of f at xs along a direction per operand (None: constant), in forward mode."""
    nodes = [Tensor(x) for x in xs]
    y = f(*nodes)
    found = tangents([y], {n: t for n, t in zip(nodes, directions, strict=True) if t is not None})
    return found.get(y, np.zeros(y.shape))
