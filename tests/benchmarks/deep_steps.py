"""Training steps of deeper networks, ours, by hand and PyTorch's eager mode: batch norm with dropout; convolutions.

Ours and NumPy by hand compute the same numbers, dropout included: they draw the same masks from equal generators.
PyTorch draws others, so only the times can be compared.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from . import by_hand, tensor_steps

Array = NDArray[np.float64]
RATE, BATCH = 0.01, 64


class Ours(tensor_steps.Ours):
    """A network of ours with its data, its loss and SGD."""

    def __init__(self, modules: list[Any], x: Array) -> None:
        import nn

        self.model, self.loss_fn = nn.Sequential(*modules), nn.CrossEntropyLoss()
        self.optimizer = nn.SGD(self.model.parameters(), lr=RATE)
        self.x, self.y = x, labels()

    def parameters(self) -> list[Array]:
        return [p.data.copy() for p in self.model.parameters()]


class PyTorch(tensor_steps.PyTorch):
    """The same, eager, in float64."""

    def __init__(self, modules: list[Any], x: Array) -> None:
        import torch

        self.model, self.loss_fn = torch.nn.Sequential(*modules).double(), torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)
        self.x, self.y = torch.tensor(x), torch.tensor(labels())


def labels() -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, 10, BATCH)


# ---- 784-265-64-32-10 with batch norm, relu and dropout after every hidden layer ------------------------------------

SIZES, P, EPS, MOMENTUM = (784, 265, 64, 32, 10), 0.5, 1e-5, 0.1


def vectors() -> Array:
    return np.random.default_rng(2).normal(size=(BATCH, SIZES[0]))


def normalized_layers(library: Any, **seeded: Any) -> list[Any]:
    """The modules of this network, ours or PyTorch's; ours take the seeds."""
    modules: list[Any] = []
    for i, (nin, nout) in enumerate(pairwise(SIZES)):
        seed = dict.fromkeys(seeded, i)
        modules.append(library.Linear(nin, nout, **seed))
        if nout != SIZES[-1]:
            modules += [library.BatchNorm1d(nout), library.ReLU(), library.Dropout(P, **seed)]
    return modules


class NormalizedByHand:
    """Batch norm, relu and dropout with their derivatives, in place where that is faster."""

    def __init__(self, parameters: list[Array]) -> None:
        self.p, self.x, self.y = parameters, vectors(), labels()
        self.generators = [np.random.default_rng(i) for i in range(len(SIZES) - 2)]
        self.mean = [np.zeros(n) for n in SIZES[1:-1]]
        self.variance = [np.ones(n) for n in SIZES[1:-1]]

    def step(self) -> Any:
        h, saved = self.x, []
        for i in range(len(self.mean)):
            h, kept = self._forward(i, h)
            saved.append(kept)
        w, b = self.p[-2:]
        loss, dz = by_hand.cross_entropy(by_hand.linear(h, w, b), self.y)
        gradients = [dz.sum(axis=0), dz.T @ h]
        g = dz @ w
        for i in reversed(range(len(saved))):
            dz, found = self._backward(i, g, *saved[i][1:])
            gradients += [*found, dz.sum(axis=0), dz.T @ saved[i][0]]
            if i:
                g = dz @ self.p[4 * i]
        by_hand.descend(self.p, gradients[::-1], RATE)
        return loss

    def _forward(self, i: int, h: Array) -> tuple[Array, tuple[Array, ...]]:
        w, b, gamma, beta = self.p[4 * i : 4 * i + 4]
        z = by_hand.linear(h, w, b)
        mean = z.sum(axis=0) / BATCH
        z -= mean
        variance = (z * z).sum(axis=0) / BATCH
        self.mean[i] += MOMENTUM * (mean - self.mean[i])
        self.variance[i] += MOMENTUM * (variance * (BATCH / (BATCH - 1)) - self.variance[i])
        inverse = 1.0 / np.sqrt(variance + EPS)
        z *= inverse
        y = z * gamma
        y += beta
        np.maximum(y, 0.0, out=y)
        mask = np.multiply(self.generators[i].random(y.shape, dtype=np.float32) >= P, 1.0 / (1.0 - P))
        mask *= y > 0
        return y * mask, (h, z, inverse, mask)

    def _backward(self, i: int, g: Array, z: Array, inverse: Array, mask: Array) -> tuple[Array, list[Array]]:
        """The gradient of what the linear map gave, and those of beta and gamma."""
        g *= mask
        dbeta, dgamma = g.sum(axis=0), (g * z).sum(axis=0)
        z *= dgamma / BATCH
        g -= dbeta / BATCH
        g -= z
        g *= self.p[4 * i + 2] * inverse
        return g, [dbeta, dgamma]


# ---- two convolutions with pooling, 28 x 28 -------------------------------------------------------------------------


def images() -> Array:
    return np.random.default_rng(2).normal(size=(BATCH, 1, 28, 28))


def convolutions(library: Any, **seeded: Any) -> list[Any]:
    """The modules of this network, ours or PyTorch's; ours take the seeds."""
    modules: list[Any] = []
    for i, (nin, nout) in enumerate(((1, 8), (8, 16))):
        seed = dict.fromkeys(seeded, i)
        modules += [library.Conv2d(nin, nout, 3, padding=1, **seed), library.ReLU(), library.MaxPool2d(2)]
    return [*modules, library.Flatten(), library.Linear(784, 10, **dict.fromkeys(seeded, 2))]


class ConvolutionsByHand:
    """Convolutions as products of matrices (im2col), pooling over blocks."""

    def __init__(self, parameters: list[Array]) -> None:
        self.p, self.x, self.y = parameters, images(), labels()

    def step(self) -> Any:
        x, saved = self.x, []
        for i in (0, 2):
            columns = im2col(x)
            n, _, height, width = x.shape
            w, b = self.p[i], self.p[i + 1]
            y = (w.reshape(len(w), -1) @ columns + b[:, None]).reshape(len(w), n, height, width).transpose(1, 0, 2, 3)
            np.maximum(y, 0.0, out=y)
            blocks = y.reshape(n, len(w), height // 2, 2, width // 2, 2)
            top = blocks.max(axis=(3, 5), keepdims=True)
            saved.append((x.shape, columns, y, blocks == top))
            x = top[:, :, :, 0, :, 0]
        flat = x.reshape(BATCH, -1)
        loss, dz = by_hand.cross_entropy(by_hand.linear(flat, self.p[4], self.p[5]), self.y)
        gradients = [dz.sum(axis=0), dz.T @ flat]
        g = (dz @ self.p[4]).reshape(x.shape)
        for i in (2, 0):
            shape, columns, y, mask = saved[i // 2]
            spread = (mask * (g / mask.sum(axis=(3, 5)))[:, :, :, None, :, None]).reshape(y.shape)
            spread *= y > 0
            rows = spread.transpose(1, 0, 2, 3).reshape(len(self.p[i]), -1)
            gradients += [rows.sum(axis=1), (rows @ columns.T).reshape(self.p[i].shape)]
            if i:
                g = col2im(self.p[i].reshape(len(self.p[i]), -1).T @ rows, shape)
        by_hand.descend(self.p, gradients[::-1], RATE)
        return loss


def im2col(x: Array) -> Array:
    """The 3 x 3 surroundings of every pixel as columns: (channels * 9, n * height * width)."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    views = sliding_window_view(x, (3, 3), axis=(2, 3))
    return views.transpose(1, 4, 5, 0, 2, 3).reshape(x.shape[1] * 9, -1)


def col2im(columns: Array, shape: tuple[int, ...]) -> Array:
    """Columns back to where they came from, added up: the transpose of im2col."""
    n, channels, height, width = shape
    columns = columns.reshape(channels, 3, 3, n, height, width)
    out = np.zeros((channels, n, height + 2, width + 2))
    for i in range(3):
        for j in range(3):
            out[:, :, i : i + height, j : j + width] += columns[:, i, j]
    return out[:, :, 1:-1, 1:-1].transpose(1, 0, 2, 3)


PROBLEMS = {
    "deep-batch-norm-dropout": (normalized_layers, vectors, NormalizedByHand),
    "deep-convolutions": (convolutions, images, ConvolutionsByHand),
}


def contestants(name: str, *, peers: bool) -> dict[str, Any]:
    """Those who take part in a problem, by name; ours and NumPy by hand start from the same weights."""
    import nn

    layers, data, hand = PROBLEMS[name]
    ours = Ours(layers(nn, rng=0), data())
    found = {"numpy": hand(ours.parameters()), "autodiff": ours}
    if peers:
        import torch

        found["pytorch"] = PyTorch(layers(torch.nn), data())
    return found


def disagreement(name: str, steps: int = 3) -> float:
    """The largest error of our losses and parameters over some steps, relative to the largest of NumPy's numbers."""
    both = contestants(name, peers=False)
    errors = []
    for _ in range(steps):
        expected, got = both["numpy"].step(), both["autodiff"].step().item()
        errors.append(abs(got - expected) / abs(expected))
    for got, expected in zip(both["autodiff"].parameters(), both["numpy"].p, strict=True):
        errors.append(np.abs(got - expected).max() / np.abs(expected).max())
    return float(np.max(errors))  # np.max, unlike max, lets a nan through
