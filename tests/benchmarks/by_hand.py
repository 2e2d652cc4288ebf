"""Backpropagation written out by hand in NumPy: the yardstick of the benchmarks.

Each network is a function `(parameters, x, y) -> (loss, gradients)`, with parameters `[w1, b1, w2, b2, ...]`, weights
of shape (out, in) as in `nn.Linear`, and gradients in the same order. This is what a careful engineer writes for one
fixed network: in-place where an array is no longer needed, losses that do not overflow, no gradient for the inputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


def linear(x: Array, w: Array, b: Array) -> Array:
    """x (batch, in) -> (batch, out)."""
    z = x @ w.T
    z += b
    return z


def binary_cross_entropy(z: Array, y: Array) -> tuple[float, Array]:
    """Mean binary cross-entropy of logits z against targets y in [0, 1], and its gradient with respect to z."""
    n = z.size
    loss = (np.logaddexp(0.0, z) - z * y).sum() / n
    dz = np.tanh(0.5 * z)  # sigmoid(z) = (tanh(z / 2) + 1) / 2, which cannot overflow
    dz += 1.0
    dz *= 0.5
    dz -= y
    dz /= n
    return loss, dz


def cross_entropy(z: Array, labels: Labels) -> tuple[float, Array]:
    """Mean softmax cross-entropy of logits z (batch, classes), and its gradient with respect to z. Uses up z."""
    n = len(z)
    rows = np.arange(n)
    z -= z.max(axis=1, keepdims=True)  # softmax does not change, and exp cannot overflow
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    loss = (np.log(total).sum() - z[rows, labels].sum()) / n
    p /= total
    p[rows, labels] -= 1.0
    p /= n
    return loss, p


def hinge(z: Array, y: Array) -> tuple[float, Array]:
    """Mean of relu(1 - y*z) for y = -1 or +1, and its gradient with respect to z."""
    n = z.size
    margin = 1.0 - y * z
    return np.maximum(margin, 0.0).sum() / n, np.where(margin > 0, y, 0.0) / -n


def relu_then_logit(parameters: list[Array], x: Array, y: Array) -> tuple[float, list[Array]]:
    """One hidden layer of relu, one logit: 2-4-1 and 2-10000-1."""
    w1, b1, w2, b2 = parameters
    h = linear(x, w1, b1)
    np.maximum(h, 0.0, out=h)
    loss, dz = binary_cross_entropy(linear(h, w2, b2), y)
    dh = dz @ w2
    dh *= h > 0
    return loss, [dh.T @ x, dh.sum(axis=0), dz.T @ h, dz.sum(axis=0)]


def arctan_then_logit(parameters: list[Array], x: Array, y: Array) -> tuple[float, list[Array]]:
    """One hidden layer of arctan, one logit: 2-15-1."""
    w1, b1, w2, b2 = parameters
    a = linear(x, w1, b1)
    h = np.arctan(a)
    loss, dz = binary_cross_entropy(linear(h, w2, b2), y)
    dh = dz @ w2
    a *= a  # arctan'(a) = 1 / (1 + a**2)
    a += 1.0
    dh /= a
    return loss, [dh.T @ x, dh.sum(axis=0), dz.T @ h, dz.sum(axis=0)]


def tanh_then_logit(parameters: list[Array], x: Array, y: Array) -> tuple[float, list[Array]]:
    """Any number of hidden layers of tanh, one logit: 2-4-5-8-4-1."""
    weights, biases = parameters[0::2], parameters[1::2]
    inputs = [x]  # inputs[i] goes into layer i
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = linear(inputs[-1], w, b)
        inputs.append(np.tanh(h, out=h))
    loss, dz = binary_cross_entropy(linear(inputs[-1], weights[-1], biases[-1]), y)

    gradients: list[Array] = []
    for i in range(len(weights) - 1, -1, -1):
        h = inputs[i]
        gradients += [dz.sum(axis=0), dz.T @ h]
        if i > 0:
            dz = dz @ weights[i]
            dz *= 1.0 - h * h  # tanh'(a) = 1 - tanh(a)**2
    return loss, gradients[::-1]


def relu_relu_then_classes(parameters: list[Array], x: Array, y: Labels) -> tuple[float, list[Array]]:
    """Two hidden layers of relu, softmax over the classes: 784-512-512-10."""
    w1, b1, w2, b2, w3, b3 = parameters
    h1 = linear(x, w1, b1)
    np.maximum(h1, 0.0, out=h1)
    h2 = linear(h1, w2, b2)
    np.maximum(h2, 0.0, out=h2)
    loss, dz = cross_entropy(linear(h2, w3, b3), y)
    dh2 = dz @ w3
    dh2 *= h2 > 0
    dh1 = dh2 @ w2
    dh1 *= h1 > 0
    return loss, [dh1.T @ x, dh1.sum(axis=0), dh2.T @ h1, dh2.sum(axis=0), dz.T @ h2, dz.sum(axis=0)]


def relu_relu_then_hinge(parameters: list[Array], x: Array, y: Array, decay: float) -> tuple[float, list[Array]]:
    """Two hidden layers of relu, one score, hinge loss plus decay * (sum of squared parameters): 2-16-16-1."""
    w1, b1, w2, b2, w3, b3 = parameters
    h1 = linear(x, w1, b1)
    np.maximum(h1, 0.0, out=h1)
    h2 = linear(h1, w2, b2)
    np.maximum(h2, 0.0, out=h2)
    loss, dz = hinge(linear(h2, w3, b3), y)
    dh2 = dz @ w3
    dh2 *= h2 > 0
    dh1 = dh2 @ w2
    dh1 *= h1 > 0
    gradients = [dh1.T @ x, dh1.sum(axis=0), dh2.T @ h1, dh2.sum(axis=0), dz.T @ h2, dz.sum(axis=0)]
    for p, g in zip(parameters, gradients, strict=True):
        loss += decay * float(np.vdot(p, p))
        g += 2.0 * decay * p
    return loss, gradients


def descend(parameters: list[Array], gradients: list[Array], rate: float) -> None:
    """One step of gradient descent, in place."""
    for p, g in zip(parameters, gradients, strict=True):
        p -= rate * g
