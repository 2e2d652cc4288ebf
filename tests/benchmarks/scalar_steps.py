"""Networks and chains of scalars: ours against micrograd, by the same lines of code."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import by_hand

Array = NDArray[np.float64]
SIZES = (2, 16, 16, 1)
POINTS = 100
RATE = 0.05
DECAY = 1e-4


def moons() -> tuple[list[list[float]], list[float]]:
    """Two interleaved half circles with a little noise; labels -1 and +1. Plain floats, which favour no library."""
    rng = random.Random(1337)
    points, labels = [], []
    for i in range(POINTS):
        angle = math.pi * (i // 2) / (POINTS // 2 - 1)
        upper = i % 2 == 0
        x, y = (math.cos(angle), math.sin(angle)) if upper else (1 - math.cos(angle), 0.5 - math.sin(angle))
        points.append([x + rng.gauss(0, 0.1), y + rng.gauss(0, 0.1)])
        labels.append(-1.0 if upper else 1.0)
    return points, labels


def start() -> list[float]:
    """One number a parameter, in the order of MLP.parameters(): layer by layer, neuron by neuron, weights then bias."""
    rng = random.Random(42)
    values = []
    for nin, nout in pairwise(SIZES):
        for _ in range(nout):
            values += [rng.uniform(-1, 1) for _ in range(nin)] + [0.0]
    return values


class MoonsTraining:
    """The training step of micrograd's demo notebook, in three phases; the classes of nodes and networks are given."""

    def __init__(self, mlp: Callable[..., Any], value: Callable[[float], Any] = float) -> None:
        self.value = value  # what the inputs are wrapped in: micrograd's demo makes them nodes
        self.model = mlp(SIZES[0], list(SIZES[1:]))
        for p, number in zip(self.model.parameters(), start(), strict=True):
            p.data = number
        self.points, self.labels = moons()
        self.loss: Any = None

    def forward(self) -> None:
        inputs = [list(map(self.value, row)) for row in self.points]
        scores = list(map(self.model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(self.labels, scores)]  # noqa: B905 - as in the demo
        data_loss = sum(losses) * (1.0 / len(losses))
        reg_loss = DECAY * sum(p * p for p in self.model.parameters())
        self.loss = data_loss + reg_loss

    def backward(self) -> None:
        self.model.zero_grad()
        self.loss.backward()

    def update(self) -> None:
        for p in self.model.parameters():
            p.data -= RATE * p.grad
        self.loss = None  # letting go of the graph is part of a step, and of neither pass

    def phases(self) -> dict[str, Callable[[], object]]:
        return {"forward": self.forward, "backward": self.backward, "update": self.update}


def moons_by_hand() -> Callable[[], tuple[float, list[Array]]]:
    """The same step for all points at once, in NumPy."""
    parameters = split(start())
    points, labels = moons()
    x, y = np.array(points), np.array(labels)[:, None]

    def step() -> tuple[float, list[Array]]:
        loss, gradients = by_hand.relu_relu_then_hinge(parameters, x, y, DECAY)
        by_hand.descend(parameters, gradients, RATE)
        return loss, gradients

    return step


def split(flat: list[float]) -> list[Array]:
    """Numbers in the order of MLP.parameters() as [w1, b1, w2, b2, ...]."""
    arrays, used = [], 0
    for nin, nout in pairwise(SIZES):
        block = np.reshape(flat[used : used + nout * (nin + 1)], (nout, nin + 1))
        arrays += [block[:, :-1].copy(), block[:, -1].copy()]
        used += block.size
    return arrays


CHAIN_START = (0.7, 1.25, 0.5, 0.4, 1.2)  # x, up, shift, back, down: x stays positive and near 1 however long the chain


class Chain:
    """A long thin graph of five kinds of operation: what one node costs, without a network's code around it."""

    def __init__(self, value: Callable[[float], Any], length: int) -> None:
        self.cycles = length // 5
        self.inputs = [value(number) for number in CHAIN_START]
        self.root: Any = None

    def forward(self) -> None:
        x, up, shift, back, down = self.inputs
        for _ in range(self.cycles):
            x = ((x * up + shift).relu() - back) / down
            up, down = down, up  # so that x neither grows nor vanishes
            shift, back = back, shift
        self.root = x

    def backward(self) -> None:
        for x in self.inputs:
            x.grad = 0.0
        self.root.backward()

    def release(self) -> None:
        self.root = None

    def phases(self) -> dict[str, Callable[[], object]]:
        return {"forward": self.forward, "backward": self.backward, "release": self.release}


def chain_by_hand(length: int) -> tuple[float, list[float]]:
    """Value and gradient of the chain, by the chain rule on plain floats."""
    x, *constants = CHAIN_START
    trail = []
    for i in range(length // 5):
        up, shift, back, down = constants if i % 2 == 0 else constants[::-1]
        trail.append(x)
        x = (max(x * up + shift, 0.0) - back) / down

    dx, gradients, y = 1.0, [0.0] * 4, x
    for i in range(length // 5 - 1, -1, -1):
        up, shift, back, down = constants if i % 2 == 0 else constants[::-1]
        before = trail[i]
        active = 1.0 if before * up + shift > 0 else 0.0
        local = [before * active / down, active / down, -1.0 / down, -y / down]
        local = local if i % 2 == 0 else local[::-1]
        gradients = [g + dx * partial for g, partial in zip(gradients, local, strict=True)]
        dx *= up * active / down
        y = before
    return x, [dx, *gradients]


@contextmanager
def deep_recursion(depth: int) -> Iterator[None]:
    """micrograd's backward recurses once a node; ours needs no such help."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, depth))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
