"""Every optimizer beside a few lines of plain NumPy from its paper, and beside PyTorch's recorded path."""

import json
import math

import numpy as np
import pytest

from autodiff import Tensor, Value
from nn import optim

from .recorded import GOLDEN, assert_near

RECORDED = dict(np.load(GOLDEN / "optim.npz"))
CASES = json.loads(str(RECORDED["cases"]))["path"]

# ---- references, from the formulas of the papers: generators that take gradients and yield parameters ---------------


def sgd(p, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    velocity = None
    while True:
        g = (yield p) + weight_decay * p
        velocity = g if velocity is None else momentum * velocity + (1 - dampening) * g
        p = p - lr * (g + momentum * velocity if nesterov else velocity)


def adagrad(p, lr, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
    squares, t = initial_accumulator_value, 0
    while True:
        g = (yield p) + weight_decay * p
        squares, t = squares + g**2, t + 1
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(squares) + eps)


def adadelta(p, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    mean_g2 = mean_dx2 = 0.0
    while True:
        g = (yield p) + weight_decay * p
        mean_g2 = rho * mean_g2 + (1 - rho) * g**2
        dx = -np.sqrt(mean_dx2 + eps) / np.sqrt(mean_g2 + eps) * g
        mean_dx2 = rho * mean_dx2 + (1 - rho) * dx**2
        p = p + lr * dx


def rmsprop(p, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    mean_g2 = mean_g = velocity = 0.0
    while True:
        g = (yield p) + weight_decay * p
        mean_g2 = alpha * mean_g2 + (1 - alpha) * g**2
        mean_g = alpha * mean_g + (1 - alpha) * g if centered else 0.0
        velocity = momentum * velocity + g / (np.sqrt(mean_g2 - mean_g**2) + eps)
        p = p - lr * velocity


def adam(p, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, decoupled=False):
    m = v = v_max = 0.0
    t = 0
    while True:
        g = yield p
        t += 1
        p, g = (p - lr * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        v_max = np.maximum(v_max, v) if amsgrad else v
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v_max / (1 - betas[1] ** t)) + eps)


def adamw(p, **options):
    return adam(p, **{"weight_decay": 1e-2} | options, decoupled=True)


def adamax(p, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    m = u = 0.0
    t = 0
    while True:
        g = (yield p) + weight_decay * p
        t += 1
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        p = p - lr / (1 - betas[0] ** t) * m / u


def nadam(p, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3, decoupled_weight_decay=False):
    m = v = 0.0
    t, mu_of = 0, lambda t: betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    while True:
        g = yield p
        t += 1
        p, g = (p - lr * weight_decay * p, g) if decoupled_weight_decay else (p, g + weight_decay * p)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        product = math.prod(map(mu_of, range(1, t + 1)))
        m_hat = mu_of(t + 1) * m / (1 - product * mu_of(t + 1)) + (1 - mu_of(t)) * g / (1 - product)
        p = p - lr * m_hat / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


REFERENCES = {
    "SGD": sgd,
    "Adagrad": adagrad,
    "Adadelta": adadelta,
    "RMSprop": rmsprop,
    "Adam": adam,
    "AdamW": adamw,
    "Adamax": adamax,
    "NAdam": nadam,
}


def test_every_optimizer_of_the_module_has_a_reference_and_recorded_paths():
    rules = {
        name
        for name, cls in vars(optim).items()
        if isinstance(cls, type) and issubclass(cls, optim.Optimizer) and "update" in dir(cls) and name[0] != "_"
    } - {"Optimizer", "LBFGS", "GradientDescent"}
    assert rules == set(REFERENCES) == {name for name, _ in CASES.values()}


@pytest.mark.promise(21)
@pytest.mark.parametrize("kind", [Value, Tensor])
@pytest.mark.parametrize("case", CASES)
def test_a_thousand_steps_are_those_of_the_papers_formula(case, kind, figure):
    name, options = CASES[case]
    options = {"lr": 0.02} | options
    curvature, noise = np.array([0.3, 1.0, 3.0]), np.random.default_rng(0).normal(size=(1000, 3))
    start = np.array([2.0, -1.0, 0.5])
    reference = REFERENCES[name](start, **options)
    expected = next(reference)
    parameters = [Value(x) for x in start] if kind is Value else [Tensor(start[:2]), Tensor(start[2:])]
    parts = [0, 1, 2] if kind is Value else [slice(2), slice(2, 3)]
    optimizer = getattr(optim, name)(parameters, **options)
    apart = 0.0
    for i in range(1000):
        now = np.hstack([p.data for p in parameters])
        gradient = curvature * now + noise[i]
        for p, part in zip(parameters, parts, strict=True):
            p.grad = gradient[part]
        expected = reference.send(curvature * expected + noise[i])
        optimizer.step()
        now = np.hstack([p.data for p in parameters])
        apart = max(apart, float(np.max(np.abs(now - expected) / (1.0 + np.abs(expected)))))
    # Rounding differs by a few ulp a step; the quadratic bowl lets older differences shrink
    figure("1,000 steps of an optimizer beside its reference, error by 1 + size", apart, 1e-12)
    assert apart <= 1e-12
    assert np.abs(expected - start).min() > 0.02


# ---- PyTorch's recorded paths ---------------------------------------------------------------------------------------


def walk(optimizer, parameters, loss):
    """Return the parameters, side by side, after each of 100 steps."""
    places = []
    for step in range(100):
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
        places.append(np.hstack([np.ravel(p.data) for p in parameters]))
    return np.array(places)


@pytest.mark.promise(21)
@pytest.mark.parametrize("case", CASES)
def test_a_hundred_steps_of_Tensors_are_those_that_PyTorch_made(case):
    name, options = CASES[case]
    matrix, vector = tensors = [Tensor(RECORDED["start/0"]), Tensor(RECORDED["start/1"])]

    def loss(step):
        slopes = RECORDED["noise"][step]
        bowl = (matrix * matrix).sum() / 2 + (vector * vector).sum() * 1.5
        return bowl + (matrix.reshape(-1) * slopes[:4]).sum() + (vector * slopes[4:]).sum()

    assert_near(walk(getattr(optim, name)(tensors, **options), tensors, loss), RECORDED[f"path/{case}"])


@pytest.mark.promise(21)
@pytest.mark.parametrize("case", CASES)
def test_Values_walk_the_path_of_Tensors(case):
    name, options = CASES[case]
    values = [Value(x) for start in ("start/0", "start/1") for x in RECORDED[start].ravel()]

    def loss(step):
        slopes = RECORDED["noise"][step]
        return (
            sum(v * v / 2 for v in values[:4])
            + sum(v * v * 1.5 for v in values[4:])
            + sum(v * s for v, s in zip(values, slopes.tolist(), strict=True))
        )

    assert_near(walk(getattr(optim, name)(values, **options), values, loss), RECORDED[f"path/{case}"])
