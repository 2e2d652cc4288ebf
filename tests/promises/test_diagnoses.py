"""Promise 28, the diagnoses: wrong backward passes as students write them, and the name of the mistake in each.

Five programs with a backward pass written by hand in NumPy. Its steps are arguments, so a mistake is one step replaced;
what the right step is stands in the signature.
"""

import functools
import math
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.testing.diagnose import MISTAKES, diagnose

pytestmark = pytest.mark.promise(28)

SEEDS = range(5)
RATE = 0.1  # of gradient descent, where a parameter changes too early
PENALTY = 0.3  # lambda


# ---- linear regression, mean squared error -----------------------------------------------------------------------


def regression(w, b, x, t):
    return np.mean((x @ w + b - t) ** 2)


def regression_arguments(rng):
    return rng.normal(size=3), rng.normal(), rng.normal(size=(7, 3)), rng.normal(size=7)


def regression_backward(
    w,
    b,
    x,
    t,
    error=lambda p, t: p - t,
    slope=lambda e: 2 * e,
    average=lambda g: g / len(g),
    by_w=lambda x, g: x.T @ g,
    by_b=lambda g: g.sum(),
):
    g = average(slope(error(x @ w + b, t)))
    return by_w(x, g), by_b(g)


def overwritten_in_a_loop(x, g):
    dw = np.zeros(x.shape[1])
    for row, e in zip(x, g, strict=True):
        dw = row * e
    return dw


def only_the_first_feature(x, g):
    dw = np.zeros(x.shape[1])
    dw[0] = x[:, 0] @ g
    return dw


def without_the_last_feature(x, g):
    dw = np.zeros(x.shape[1])
    for j in range(x.shape[1] - 1):
        dw[j] = x[:, j] @ g
    return dw


def with_one_wrong_element(x, g):
    dw = x.T @ g
    dw[1] += 1
    return dw


def in_integers(x, g):
    dw = np.zeros(x.shape[1], dtype=int)
    dw[:] = x.T @ g
    return dw


# ---- two layers with tanh, over a batch --------------------------------------------------------------------------


def network(w1, b1, w2, b2, x, t):
    return np.sum((np.tanh(x @ w1 + b1) @ w2 + b2 - t) ** 2) / len(t)


def network_arguments(rng):
    return tuple(rng.normal(size=shape) for shape in [(3, 4), (4,), (4, 4), (4,), (6, 3), (6, 4)])


def network_backward(
    w1,
    b1,
    w2,
    b2,
    x,
    t,
    error=lambda p, t: 2 * (p - t) / len(t),
    by_w2=lambda h, g: h.T @ g,
    by_h=lambda g, w2: g @ w2.T,
    by_z=lambda g, h, z: g * (1 - h**2),
    by_w1=lambda x, g: x.T @ g,
    by_b=lambda g: g.sum(axis=0),
    early=0.0,
):
    """With early, the second layer has taken its step before the gradient goes through it."""
    z = x @ w1 + b1
    h = np.tanh(z)
    g = error(h @ w2 + b2, t)
    gz = by_z(by_h(g, w2 - early * (h.T @ g)), h, z)
    return by_w1(x, gz), by_b(gz), by_w2(h, g), by_b(g)


def in_single_precision(x, g):
    far = np.float32(1000) + x.astype(np.float32)  # as data that nobody centred
    return (far - np.float32(1000)).T @ g.astype(np.float32)


# ---- a softmax classifier ----------------------------------------------------------------------------------------


def classifier(w, b, x, t):
    return -np.sum(t * ad.log_softmax(x @ w + b)) / len(t)


def classifier_arguments(rng):
    labels = rng.permutation([0, 1, 2, 0, 1, 2, 1, 0])
    return rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(8, 5)), np.eye(3)[labels]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def classifier_backward(
    w, b, x, t, error=lambda p, t: (p - t) / len(t), by_w=lambda x, g: x.T @ g, by_b=lambda g: g.sum(axis=0)
):
    g = error(softmax(x @ w + b), t)
    return by_w(x, g), by_b(g)


def squared_classifier(w, b, x, t):
    return np.sum((ad.softmax(x @ w + b) - t) ** 2)


def squared_classifier_backward(w, b, x, t, by_z=lambda g, p: p * (g - np.sum(p * g, axis=1, keepdims=True))):
    p = softmax(x @ w + b)
    g = by_z(2 * (p - t), p)
    return x.T @ g, g.sum(axis=0)


# ---- logistic regression with a penalty --------------------------------------------------------------------------


def logistic(w, b, x, t):
    p = 1 / (1 + np.exp(-(x @ w + b)))
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p)) + PENALTY / 2 * np.sum(w**2)


def logistic_arguments(rng):
    return rng.normal(size=4), rng.normal(), rng.normal(size=(9, 4)), rng.permutation([0.0, 1.0] * 4 + [1.0])


def logistic_backward(
    w,
    b,
    x,
    t,
    by_z=lambda p, t: (p - t) / len(t),
    by_w=lambda x, g: x.T @ g,
    by_b=lambda g: g.sum(),
    penalty=lambda w: PENALTY * w,
):
    p = 1 / (1 + np.exp(-(x @ w + b)))
    g = by_z(p, t)
    return by_w(x, g) + penalty(w), by_b(g)


# ---- smaller ones ------------------------------------------------------------------------------------------------


def rectified(w1, w2, x, t):
    return np.mean((np.maximum(x @ w1, 0) @ w2 - t) ** 2)


def rectified_arguments(rng):
    return rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(8, 3)), rng.normal(size=8)


def rectified_backward(w1, w2, x, t, by_z=lambda g, z: g * (z > 0)):
    z = x @ w1
    g = 2 * (np.maximum(z, 0) @ w2 - t) / len(t)
    return x.T @ by_z(np.outer(g, w2), z), np.maximum(z, 0).T @ g


def embedded(table, w, words):
    return np.sum((np.tanh(table[words]) @ w) ** 2)


def embedded_arguments(rng):
    return rng.normal(size=(4, 3)), rng.normal(size=3), np.array([2, 0, 2, 1, 0, 2])


def embedded_backward(table, w, words, scatter=np.add.at):
    h = np.tanh(table[words])
    g = 2 * h @ w
    found = np.zeros_like(table)
    scatter(found, words, np.outer(g, w) * (1 - h**2))
    return found, h.T @ g


def assigned(found, words, g):
    found[words] = g


def fused_classifier(w, b, x, t):
    return np.mean(ad.softmax_cross_entropy(x @ w + b, t))


def fused_logistic(w, b, x, t):
    return ad.mean_binary_cross_entropy_with_logits(x @ w + b, t)


def dense(x, w, b, t):
    return np.sum((ad.linear(x, w, b) - t) ** 2)


def dense_arguments(rng):
    return tuple(rng.normal(size=shape) for shape in [(5, 4), (4, 4), (4,), (5, 4)])


def dense_backward(
    x, w, b, t, by_x=lambda g, w: g @ w, by_w=lambda g, x: g.T @ x, by_b=lambda g: g.sum(axis=0), early=0.0
):
    """With early, the parameters have taken their step before the gradient is computed."""
    g = 2 * (x @ w.T + b - t)
    if early:
        x, w, b = (p - early * dp for p, dp in zip((x, w, b), dense_backward(x, w, b, t), strict=True))
        g = 2 * (x @ w.T + b - t)
    return by_x(g, w), by_w(g, x), by_b(g)


def weighted(a, weights):
    return np.sum(weights * np.tanh(a))


def weighted_backward(a, weights, by_a=lambda weights, slope: weights * slope):
    return by_a(weights, 1 - np.tanh(a) ** 2), np.tanh(a)


def volume(a, b):
    return np.sum(a * b)


# ---- an engine for single numbers --------------------------------------------------------------------------------


class Number:
    """A student's own engine: every operation pushes its gradient to its operands."""

    def __init__(self, data, operands=(), rule=None):
        self.data, self.operands, self.rule, self.grad = data, operands, rule, 0.0

    def __add__(self, other):
        return Number(self.data + lift(other).data, (self, lift(other)), "add")

    def __sub__(self, other):
        return Number(self.data - lift(other).data, (self, lift(other)), "sub")

    def __mul__(self, other):
        return Number(self.data * lift(other).data, (self, lift(other)), "mul")

    def __pow__(self, n):
        return Number(self.data**n, (self, Number(n)), "pow")

    def tanh(self):
        return Number(math.tanh(self.data), (self,), "tanh")

    def exp(self):
        return Number(math.exp(self.data), (self,), "exp")


def lift(x):
    return x if isinstance(x, Number) else Number(x)


RULES = {
    "add": lambda y, a, b: (1, 1),
    "sub": lambda y, a, b: (1, -1),
    "mul": lambda y, a, b: (b, a),
    "pow": lambda y, a, n: (n * a ** (n - 1), 0),
    "tanh": lambda y, a: (1 - y**2,),
    "exp": lambda y, a: (y,),
}


def engine_backward(f, arguments, receive=lambda old, new: old + new, **wrong):
    """Differentiate f on Numbers; a mistake is another way to receive a gradient, or another rule."""
    inputs = [Number(x) for x in arguments]
    root, order, seen = f(*inputs), [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for operand in node.operands:
                visit(operand)
            order.append(node)

    visit(root)
    root.grad = 1.0
    for node in reversed(order):
        if node.rule:
            slopes = (RULES | wrong)[node.rule](node.data, *(x.data for x in node.operands))
            for x, slope in zip(node.operands, slopes, strict=True):
                x.grad = receive(x.grad, node.grad * slope)
    return [x.grad for x in inputs]


def reused(a, b):
    c = a * b
    d = np.tanh(c + a) * 3.0 + c * c
    return d - b * np.exp(a)


def neuron(w1, w2, b, x1, x2):
    return (np.tanh(w1 * x1 + w2 * x2 + b) - 0.7) ** 2.0 + w1**3.0 * 0.1


def difference(a, b):
    return (np.tanh(a) - b * 2.0) * (a * b - a) + b**3.0


# ---- the mistakes ------------------------------------------------------------------------------------------------


class Program(NamedTuple):
    """A function with arguments, and its backward pass written by hand."""

    f: object
    arguments: object
    backward: object


REGRESSION = Program(regression, regression_arguments, regression_backward)
COARSE = Program(regression, lambda rng: tuple(20 * arg for arg in regression_arguments(rng)), regression_backward)
NETWORK = Program(network, network_arguments, network_backward)
CLASSIFIER = Program(classifier, classifier_arguments, classifier_backward)
SQUARED = Program(squared_classifier, classifier_arguments, squared_classifier_backward)
FUSED = Program(fused_classifier, classifier_arguments, classifier_backward)
FUSED_LOGISTIC = Program(fused_logistic, logistic_arguments, partial(logistic_backward, penalty=np.zeros_like))
RECTIFIED = Program(rectified, rectified_arguments, rectified_backward)
EMBEDDED = Program(embedded, embedded_arguments, embedded_backward)
DENSE = Program(dense, dense_arguments, dense_backward)
WEIGHTED = Program(weighted, lambda rng: (rng.normal(size=6), rng.uniform(1, 2, 6)), weighted_backward)
VOLUME = Program(
    volume,
    lambda rng: (rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))),
    lambda a, b, turn=np.copy: (turn(b), turn(a)),
)
LOGISTIC = Program(logistic, logistic_arguments, logistic_backward)


def on_numbers(f, count):
    return Program(
        f, lambda rng: tuple(rng.uniform(0.3, 1.5, count)), lambda *args, **wrong: engine_backward(f, args, **wrong)
    )


REUSED, NEURON, DIFFERENCE = on_numbers(reused, 2), on_numbers(neuron, 5), on_numbers(difference, 2)
PROGRAMS = [
    *(REGRESSION, COARSE, NETWORK, CLASSIFIER, SQUARED, FUSED, LOGISTIC, FUSED_LOGISTIC, RECTIFIED, EMBEDDED, DENSE),
    *(WEIGHTED, VOLUME, REUSED, NEURON, DIFFERENCE),
]

AT_OUTPUT = "activation derivative taken at the output instead of the input"
AT_INPUT = "activation derivative taken at the input instead of the output"
OVERWRITTEN = {"receive": lambda old, new: new}

CASES = [
    # mistake, program, argument, the wrong step
    ("sum instead of mean", REGRESSION, 0, {"average": lambda g: g}),
    ("sum instead of mean", REGRESSION, 1, {"average": lambda g: g}),
    ("sum instead of mean", NETWORK, 0, {"error": lambda p, t: 2 * (p - t)}),
    ("sum instead of mean", NETWORK, 3, {"error": lambda p, t: 2 * (p - t)}),
    ("sum instead of mean", CLASSIFIER, 0, {"error": lambda p, t: p - t}),
    ("sum instead of mean", LOGISTIC, 1, {"by_z": lambda p, t: p - t}),
    ("sum instead of mean", LOGISTIC, 0, {"by_z": lambda p, t: p - t}),  # the penalty is right
    ("mean instead of sum", REGRESSION, 1, {"by_b": np.mean}),
    ("mean instead of sum", NETWORK, 1, {"by_b": lambda g: g.mean(axis=0)}),
    ("mean instead of sum", DENSE, 1, {"by_w": lambda g, x: g.T @ x / len(x)}),
    ("mean instead of sum", DENSE, 2, {"by_b": lambda g: g.mean(axis=0)}),
    ("mean instead of sum", CLASSIFIER, 1, {"by_b": lambda g: g.mean(axis=0)}),
    ("mean instead of sum", SQUARED, 0, {"by_z": lambda g, p: p * (g - np.sum(p * g, axis=1, keepdims=True)) / len(g)}),
    ("off by a factor", REGRESSION, 0, {"slope": lambda e: e}),
    ("off by a factor", REGRESSION, 1, {"slope": lambda e: 4 * e}),
    ("off by a factor", NETWORK, 2, {"error": lambda p, t: (p - t) / len(t)}),
    ("off by a factor", CLASSIFIER, 0, {"error": lambda p, t: -3.7 * (p - t) / len(t)}),
    ("off by a factor", CLASSIFIER, 1, {"error": lambda p, t: 2 * (p - t)}),
    ("sign flipped", REGRESSION, 0, {"error": lambda p, t: t - p}),
    ("sign flipped", NETWORK, 0, {"error": lambda p, t: 2 * (t - p) / len(t)}),
    ("sign flipped", CLASSIFIER, 1, {"error": lambda p, t: (t - p) / len(t)}),
    ("not summed over the batch", REGRESSION, 0, {"by_w": lambda x, g: x * g[:, None]}),
    ("not summed over the batch", REGRESSION, 1, {"by_b": lambda g: g}),
    ("not summed over the batch", NETWORK, 1, {"by_b": lambda g: g}),
    ("not summed over the batch", NETWORK, 0, {"by_w1": lambda x, g: x[:, :, None] * g[:, None, :]}),
    ("not summed over the batch", CLASSIFIER, 1, {"by_b": lambda g: g}),
    ("not summed over the batch", LOGISTIC, 1, {"by_b": lambda g: g}),
    ("not summed over the batch", REGRESSION, 0, {"by_w": overwritten_in_a_loop}),
    ("not summed over the batch", NETWORK, 1, {"by_b": lambda g: g[0]}),
    ("not summed over the batch", CLASSIFIER, 0, {"by_w": lambda x, g: np.outer(x[-1], g[-1])}),
    ("not summed over the batch", LOGISTIC, 1, {"by_b": lambda g: g[0]}),
    ("not summed over the batch", DENSE, 1, {"by_w": lambda g, x: np.outer(g[0], x[0])}),
    ("not summed over the batch", DENSE, 2, {"by_b": lambda g: g[-1]}),
    ("summed over an axis too many", NETWORK, 1, {"by_b": np.sum}),
    ("summed over an axis too many", NETWORK, 3, {"by_b": lambda g: np.full(4, g.sum())}),
    ("summed over an axis too many", CLASSIFIER, 0, {"by_w": lambda x, g: (x.T @ g).sum(axis=0)}),
    ("transposed", NETWORK, 0, {"by_w1": lambda x, g: g.T @ x}),
    ("transposed", NETWORK, 2, {"by_w2": lambda h, g: g.T @ h}),
    ("transposed", CLASSIFIER, 0, {"by_w": lambda x, g: g.T @ x}),
    ("reshaped instead of transposed", NETWORK, 0, {"by_w1": lambda x, g: (g.T @ x).reshape(3, 4)}),
    ("reshaped instead of transposed", CLASSIFIER, 0, {"by_w": lambda x, g: (g.T @ x).reshape(5, 3)}),
    ("wrong shape", REGRESSION, 0, {"by_w": lambda x, g: x.T @ g[:, None]}),
    ("wrong shape", NETWORK, 1, {"by_b": lambda g: g.sum(axis=0, keepdims=True)}),
    ("wrong shape", CLASSIFIER, 0, {"by_w": lambda x, g: (x.T @ g).ravel()}),
    ("transposed product", NETWORK, 0, {"by_h": lambda g, w2: g @ w2}),
    ("transposed product", NETWORK, 1, {"by_h": lambda g, w2: g @ w2}),
    ("transposed product", DENSE, 0, {"by_x": lambda g, w: g @ w.T}),
    ("missing activation derivative", NETWORK, 0, {"by_z": lambda g, h, z: g}),
    ("missing activation derivative", NETWORK, 1, {"by_z": lambda g, h, z: g}),
    ("missing activation derivative", LOGISTIC, 0, {"by_z": lambda p, t: (p - t) / (p * (1 - p)) / len(t)}),
    ("missing activation derivative", REUSED, 0, {"tanh": lambda y, a: (1,)}),
    ("missing activation derivative", NEURON, 3, {"tanh": lambda y, a: (1,)}),
    (AT_OUTPUT, NETWORK, 0, {"by_z": lambda g, h, z: g * (1 - np.tanh(h) ** 2)}),
    (AT_OUTPUT, NETWORK, 1, {"by_z": lambda g, h, z: g * (1 - np.tanh(h) ** 2)}),
    (AT_OUTPUT, NEURON, 1, {"tanh": lambda y, a: (1 - math.tanh(y) ** 2,)}),
    (AT_OUTPUT, REUSED, 0, {"exp": lambda y, a: (math.exp(y),)}),
    (AT_INPUT, NETWORK, 0, {"by_z": lambda g, h, z: g * (1 - z**2)}),
    (AT_INPUT, NETWORK, 1, {"by_z": lambda g, h, z: g * (1 - z**2)}),
    (AT_INPUT, REUSED, 1, {"tanh": lambda y, a: (1 - a**2,)}),
    ("activation instead of its derivative", NETWORK, 0, {"by_z": lambda g, h, z: g * h}),
    ("activation instead of its derivative", DIFFERENCE, 0, {"tanh": lambda y, a: (y,)}),
    ("activation derivative applied twice", NETWORK, 0, {"by_z": lambda g, h, z: g * (1 - h**2) ** 2}),
    ("activation derivative applied twice", LOGISTIC, 0, {"by_z": lambda p, t: (p - t) * p * (1 - p) / len(t)}),
    ("activation derivative applied twice", FUSED_LOGISTIC, 0, {"by_z": lambda p, t: (p - t) * p * (1 - p) / len(t)}),
    ("activation derivative applied twice", FUSED, 0, {"error": lambda p, t: (p - t) * p * (1 - p) / len(t)}),
    ("softmax differentiated element by element", SQUARED, 0, {"by_z": lambda g, p: g * p * (1 - p)}),
    ("softmax differentiated element by element", SQUARED, 1, {"by_z": lambda g, p: g * p * (1 - p)}),
    ("mask taken from the gradient", RECTIFIED, 0, {"by_z": lambda g, z: g * (g > 0)}),
    ("missing activation derivative", RECTIFIED, 0, {"by_z": lambda g, z: g}),
    ("overwritten instead of accumulated", EMBEDDED, 0, {"scatter": assigned}),
    ("overwritten instead of accumulated", REUSED, 0, OVERWRITTEN),
    ("overwritten instead of accumulated", REUSED, 1, OVERWRITTEN),
    ("overwritten instead of accumulated", DIFFERENCE, 0, OVERWRITTEN),
    ("overwritten instead of accumulated", DIFFERENCE, 1, OVERWRITTEN),
    ("local derivatives exchanged", REUSED, 1, {"mul": lambda y, a, b: (a, b)}),
    ("local derivatives exchanged", DIFFERENCE, 0, {"mul": lambda y, a, b: (a, b)}),
    ("exponent not lowered", NEURON, 3, {"pow": lambda y, a, n: (n * a**n, 0)}),
    ("exponent not lowered", DIFFERENCE, 1, {"pow": lambda y, a, n: (n * a**n, 0)}),
    ("missing local derivative", DIFFERENCE, 1, {"pow": lambda y, a, n: (1, 0)}),
    ("missing local derivative", REUSED, 0, {"mul": lambda y, a, b: (1, a)}),
    ("sign flipped at one place", REUSED, 1, {"sub": lambda y, a, b: (1, 1)}),
    ("sign flipped at one place", DIFFERENCE, 0, {"sub": lambda y, a, b: (1, 1)}),
    ("off by a factor at one place", NEURON, 0, {"pow": lambda y, a, n: (a ** (n - 1) if n == 3 else n * a, 0)}),
    ("off by a factor at one place", DIFFERENCE, 1, {"pow": lambda y, a, n: (2 * n * a ** (n - 1), 0)}),
    ("a term left out", CLASSIFIER, 0, {"error": lambda p, t: p / len(t)}),
    ("a term left out", FUSED, 0, {"error": lambda p, t: p / len(t)}),
    ("a term left out", FUSED, 1, {"error": lambda p, t: -t / len(t)}),
    ("a term left out", FUSED_LOGISTIC, 0, {"by_z": lambda p, t: p / len(t)}),
    ("a term left out", DIFFERENCE, 1, {"pow": lambda y, a, n: (0, 0)}),
    ("regularisation term missing", LOGISTIC, 0, {"penalty": np.zeros_like}),
    ("regularisation term missing", LOGISTIC, 0, {"penalty": lambda w: PENALTY / 2 * w}),
    ("regularisation term too large", LOGISTIC, 0, {"penalty": lambda w: 2 * PENALTY * w}),
    ("off by a constant", LOGISTIC, 0, {"penalty": lambda w: PENALTY * w + 1}),
    ("off by a constant", REGRESSION, 0, {"by_w": lambda x, g: x.T @ g + 0.25}),
    ("one row or column only", REGRESSION, 0, {"by_w": only_the_first_feature}),
    ("one row or column only", CLASSIFIER, 0, {"by_w": lambda x, g: np.eye(5)[:, 2:3] * (x.T @ g)}),
    ("some entries missing", REGRESSION, 0, {"by_w": without_the_last_feature}),
    ("some entries missing", CLASSIFIER, 0, {"by_w": lambda x, g: x.T @ g * [1, 1, 0]}),
    ("axes permuted", VOLUME, 0, {"turn": lambda b: b.swapaxes(1, 2)}),
    ("axes permuted", VOLUME, 1, {"turn": lambda a: a.swapaxes(0, 1)}),
    ("transposed", VOLUME, 0, {"turn": np.transpose}),
    ("off by an elementwise factor", WEIGHTED, 0, {"by_a": lambda weights, slope: slope}),
    ("off by an elementwise factor", WEIGHTED, 0, {"by_a": lambda weights, slope: weights**2 * slope}),
    ("off by an elementwise factor", VOLUME, 0, {"turn": np.square}),
    ("axis reversed", REGRESSION, 0, {"by_w": lambda x, g: x[:, ::-1].T @ g}),
    ("axis reversed", CLASSIFIER, 1, {"by_b": lambda g: g.sum(axis=0)[::-1]}),
    ("axis permuted", NETWORK, 2, {"by_w2": lambda h, g: np.roll(h, 1, axis=1).T @ g}),
    ("axis permuted", FUSED_LOGISTIC, 0, {"by_w": lambda x, g: x[:, [2, 0, 3, 1]].T @ g}),
    ("sign flipped in part", NETWORK, 0, {"by_w1": lambda x, g: x.T @ g * [1, -1, 1, 1]}),
    ("sign flipped in part", CLASSIFIER, 1, {"by_b": lambda g: g.sum(axis=0) * [1, 1, -1]}),
    ("off by a factor per row or column", NETWORK, 0, {"by_w1": lambda x, g: x.T @ g * [[1.3], [2.1], [0.7]]}),
    ("off by a factor per row or column", CLASSIFIER, 0, {"by_w": lambda x, g: x.T @ g * [1.3, 2.1, 0.7]}),
    ("taken at other values", NETWORK, 0, {"early": RATE}),
    ("taken at other values", NETWORK, 1, {"early": RATE}),
    ("taken at other values", DENSE, 0, {"early": RATE}),
    ("taken at other values", DENSE, 2, {"early": RATE}),
    ("truncated to integers", COARSE, 0, {"by_w": in_integers}),
    ("computed in low precision", NETWORK, 0, {"by_w1": in_single_precision}),
    ("accurate to a few digits only", REGRESSION, 0, {"by_w": lambda x, g: np.round(x.T @ g, 4)}),
    ("right but for some entries", REGRESSION, 0, {"by_w": with_one_wrong_element}),
    ("all zeros", REGRESSION, 0, {"by_w": lambda x, g: np.zeros(3)}),
    ("all zeros", NETWORK, 3, {"by_b": lambda g: np.zeros(4)}),
    ("no gradient returned", REGRESSION, 0, {"by_w": lambda x, g: None}),
    ("nan or inf", NETWORK, 2, {"by_w2": lambda h, g: (h.T @ g) / np.array([1, 1, 0, 1])}),
]


class Outcome(NamedTuple):
    """What `diagnose` said of one wrong gradient."""

    planted: str
    found: str | None
    what: str


@functools.cache
def outcomes(mistake):
    """Return the diagnoses of every case of a mistake, with as many different data as there are seeds."""
    found = []
    for name, program, argnum, wrong in CASES:
        for seed in SEEDS if name == mistake else ():
            args = program.arguments(np.random.default_rng(seed))
            with np.errstate(divide="ignore"):  # of the case that divides by zero
                mine = program.backward(*args, **wrong)[argnum]
            diagnosis = diagnose(mine, f=program.f, args=args, argnum=argnum)
            found.append(Outcome(name, diagnosis.mistake, f"{program.f.__name__}, args[{argnum}]:\n{diagnosis}"))
    return found


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_hand_written_backward_pass_is_called_by_its_name(mistake):
    found = outcomes(mistake)
    assert found, "no case plants this mistake"
    assert [outcome.what for outcome in found if outcome.found != mistake] == []


def test_at_least_twelve_kinds_of_mistakes_are_diagnosed_right(figure):
    found = [outcome for mistake in MISTAKES for outcome in outcomes(mistake)]
    kinds = {outcome.planted for outcome in found}
    right = sum(outcome.found == outcome.planted for outcome in found)
    figure(f"{len(kinds)} kinds of mistakes in {len(PROGRAMS)} backward passes: {right:,} of {len(found):,} diagnosed")
    assert len(found) == len(CASES) * len(SEEDS)
    assert len(kinds) >= 12
    assert right == len(found)


def test_a_missing_division_by_n_is_diagnosed_by_name():
    args = regression_arguments(np.random.default_rng(0))
    mine, _ = regression_backward(*args, average=lambda g: g)
    found = diagnose(mine, f=regression, args=args)
    assert found.mistake == "sum instead of mean"
    assert found.evidence.startswith(
        "Yours is 7 times the right gradient, and n = 7 is the length of axis 0 of args[2]; "
        "mean (operation 5 of 5) divides by it"
    )
    assert found.remedy == "Divide by n: the function takes a mean."


def test_a_transposed_product_is_diagnosed_by_name():
    args = network_arguments(np.random.default_rng(0))
    mine, *_ = network_backward(*args, by_h=lambda g, w2: g @ w2)
    found = diagnose(mine, f=network, args=args)
    assert found.mistake == "transposed product"
    assert found.evidence.startswith(
        "A reverse pass that computes g @ b from what arrives, g, at matmul (operation 4 of"
    )
    mine, *_ = network_backward(*args, by_w1=lambda x, g: g.T @ x)
    assert diagnose(mine, f=network, args=args).mistake == "transposed"


def central_difference(f, args, argnum, h):
    """Return the gradient as students check theirs."""
    x = np.asarray(args[argnum], dtype=float)
    found = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        ends = []
        for step in (h, -h):
            moved = x.copy()
            moved[index] += step
            ends.append(f(*args[:argnum], moved if x.shape else moved.item(), *args[argnum + 1 :]))
        found[index] = (ends[0] - ends[1]) / (2 * h)
    return found


def test_a_right_backward_pass_is_never_called_wrong(figure):
    """Compared with our gradient, and with difference quotients, which have an error of their own."""
    verdicts = []
    for seed in range(20):
        for program in PROGRAMS:
            args = program.arguments(np.random.default_rng(seed))
            for argnum, mine in enumerate(program.backward(*args)):
                references = [central_difference(program.f, args, argnum, h) for h in (1e-4, 1e-5, 1e-6)]
                for reference in [None, *references]:
                    found = diagnose(mine, reference, f=program.f, args=args, argnum=argnum)
                    verdicts.append((found.correct, found.mistake, program.f.__name__, argnum))
    wrong = [verdict for verdict in verdicts if verdict[:2] != (True, None)]
    figure(f"right gradients diagnosed: {len(verdicts):,}, called wrong: {len(wrong)}")
    assert wrong == []


def test_a_mistake_is_named_alike_if_the_reference_is_a_difference_quotient(figure):
    wrong = []
    for mistake, program, argnum, step in CASES:
        args = program.arguments(np.random.default_rng(0))
        with np.errstate(divide="ignore"):
            mine = program.backward(*args, **step)[argnum]
        reference = central_difference(program.f, args, argnum, 1e-5)
        if diagnose(mine, reference, f=program.f, args=args, argnum=argnum).mistake != mistake:
            wrong.append((mistake, program.f.__name__, argnum))
    figure(f"diagnosed against difference quotients: {len(CASES) - len(wrong)} of {len(CASES)}")
    assert wrong == []


@settings(max_examples=2000)
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_unrelated_arrays_are_never_explained(seed, data):
    rng = np.random.default_rng(seed)
    shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)
    shape = data.draw(shapes)
    other = data.draw(st.just(shape) | shapes)
    scale = 10.0 ** data.draw(st.integers(-3, 3))
    found = diagnose(scale * rng.normal(size=other), rng.normal(size=shape))
    assert not found.correct
    assert (found.mistake, found.others) == (None, ())


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), program=st.sampled_from(PROGRAMS))
def test_an_unrelated_array_is_not_explained_by_any_planted_mistake(seed, program):
    rng = np.random.default_rng(seed)
    args = program.arguments(rng)
    for argnum, right in enumerate(program.backward(*args)[:2]):
        found = diagnose(rng.normal(size=np.shape(right)), f=program.f, args=args, argnum=argnum)
        assert (found.correct, found.mistake) == (False, None), str(found)
