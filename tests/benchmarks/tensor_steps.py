"""One training step of a network of arrays: forward, loss, backward, gradient descent; ours, by hand, and the peers.

Every contestant is a class with `step()`, which is what the clock sees, and `gradients()`, which shows what the last
step computed, so that the runner can refuse to compare contestants that compute different things. All start from the
same weights and all work in float64 unless their name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import by_hand

Array = NDArray[np.float64]
RATE = 0.01


@dataclass(frozen=True)
class Problem:
    """A network and its data. One output means a logit and binary targets, several mean classes."""

    sizes: tuple[int, ...]
    batch: int
    activation: str
    by_hand: Callable[..., tuple[float, list[Array]]]

    @property
    def classes(self) -> bool:
        return self.sizes[-1] > 1

    def parameters(self) -> list[Array]:
        """The same start for everybody: [w1, b1, w2, b2, ...]."""
        rng = np.random.default_rng(1)
        start = []
        for nin, nout in pairwise(self.sizes):
            bound = nin**-0.5
            start += [rng.uniform(-bound, bound, (nout, nin)), rng.uniform(-bound, bound, nout)]
        return start

    def data(self) -> tuple[Array, NDArray[Any]]:
        """x (batch, in); y (batch,) labels, or (batch, 1) zeros and ones."""
        rng = np.random.default_rng(2)
        x = rng.standard_normal((self.batch, self.sizes[0]))
        if self.classes:
            return x, rng.integers(0, self.sizes[-1], self.batch)
        return x, (x.prod(axis=1, keepdims=True) > 0).astype(np.float64)

    def layers(self, linear: Any, activation: Any) -> list[Any]:
        """Modules, for the libraries that have them: linear, activation, linear, ..., linear."""
        modules = []
        for nin, nout in pairwise(self.sizes):
            modules += [linear(nin, nout), activation()]
        return modules[:-1]


PROBLEMS = {
    "tensor-2-4-1": Problem((2, 4, 1), 64, "relu", by_hand.relu_then_logit),
    "tensor-2-15-1": Problem((2, 15, 1), 400, "arctan", by_hand.arctan_then_logit),
    "tensor-2-4-5-8-4-1": Problem((2, 4, 5, 8, 4, 1), 400, "tanh", by_hand.tanh_then_logit),
    "tensor-784-512-512-10": Problem((784, 512, 512, 10), 64, "relu", by_hand.relu_relu_then_classes),
    "tensor-2-10000-1": Problem((2, 10000, 1), 200, "relu", by_hand.relu_then_logit),
}


class Contestant(Protocol):
    def step(self) -> Any: ...

    def gradients(self) -> list[Array]: ...


class ByHand:
    """NumPy, backpropagation written out: see by_hand.py."""

    def __init__(self, problem: Problem) -> None:
        self.function = problem.by_hand
        self.parameters = problem.parameters()
        self.x, self.y = problem.data()

    def step(self) -> Any:
        loss, self.last = self.function(self.parameters, self.x, self.y)
        by_hand.descend(self.parameters, self.last, RATE)
        return loss

    def gradients(self) -> list[Array]:
        return self.last


class Ours:
    """Written as our users write it, on plain NumPy data."""

    def __init__(self, problem: Problem) -> None:
        import autodiff
        import nn

        arctan = partial(nn.Activation, autodiff.arctan)
        activation = {"relu": nn.ReLU, "arctan": arctan, "tanh": nn.Tanh}[problem.activation]
        self.model = nn.Sequential(*problem.layers(nn.Linear, activation))
        for p, start in zip(self.model.parameters(), problem.parameters(), strict=True):
            p.data = start
        self.loss_fn = nn.CrossEntropyLoss() if problem.classes else nn.BCEWithLogitsLoss()
        self.optimizer = nn.SGD(self.model.parameters(), lr=RATE)
        self.x, self.y = problem.data()

    def step(self) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss_fn(self.model(self.x), self.y)
        loss.backward(keep_grads=False)
        self.optimizer.step()
        return loss

    def gradients(self) -> list[Array]:
        return [p.grad for p in self.model.parameters()]


class OursCompiled(Ours):
    """The same training loop with the loss as a compiled function; recording it is not timed.

    Class numbers are integers, so with classes the model is compiled and the loss is not.
    """

    def __init__(self, problem: Problem) -> None:
        import autodiff

        super().__init__(problem)
        model, loss_fn = self.model, self.loss_fn
        if problem.classes:
            self.model = autodiff.compile(model)
        else:
            self.model, self.loss_fn = (lambda x: x), autodiff.compile(lambda x, y: loss_fn(model(x), y))
        self.parameters = model.parameters()

    def gradients(self) -> list[Array]:
        return [p.grad for p in self.parameters]


class PyTorch:
    """Eager mode, default number of threads."""

    dtype = "float64"

    def __init__(self, problem: Problem) -> None:
        import torch

        class Arctan(torch.nn.Module):  # torch has the function, not the module
            def forward(self, x: Any) -> Any:
                return torch.arctan(x)

        dtype = getattr(torch, self.dtype)
        activation = {"relu": torch.nn.ReLU, "arctan": Arctan, "tanh": torch.nn.Tanh}[problem.activation]
        self.model = torch.nn.Sequential(*problem.layers(torch.nn.Linear, activation)).to(dtype)
        for p, start in zip(self.model.parameters(), problem.parameters(), strict=True):
            p.data = torch.tensor(start, dtype=dtype)
        self.loss_fn = torch.nn.CrossEntropyLoss() if problem.classes else torch.nn.BCEWithLogitsLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)
        x, y = problem.data()
        self.x = torch.tensor(x, dtype=dtype)
        self.y = torch.tensor(y) if problem.classes else torch.tensor(y, dtype=dtype)

    def step(self) -> Any:
        self.optimizer.zero_grad()
        loss = self.loss_fn(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def gradients(self) -> list[Array]:
        return [p.grad.numpy() for p in self.model.parameters()]


class PyTorchFloat32(PyTorch):
    """What PyTorch's users run by default; half the bytes."""

    dtype = "float32"


def functional_loss(np_like: Any, problem: Problem) -> Callable[..., Any]:
    """The loss as a function of the parameters, for libraries that differentiate NumPy code."""
    activation = {"relu": lambda a: np_like.maximum(a, 0.0), "arctan": np_like.arctan, "tanh": np_like.tanh}[
        problem.activation
    ]
    rows = np.arange(problem.batch)

    def loss(parameters: list[Any], x: Any, y: Any) -> Any:
        z = x
        for i in range(0, len(parameters), 2):
            z = np_like.matmul(z if i == 0 else activation(z), parameters[i].T) + parameters[i + 1]
        if problem.classes:
            z = z - np_like.max(z, axis=1, keepdims=True)
            return np_like.mean(np_like.log(np_like.sum(np_like.exp(z), axis=1)) - z[rows, y])
        return np_like.mean(np_like.logaddexp(0.0, z) - z * y)

    return loss


class Autograd:
    """HIPS autograd: value_and_grad of NumPy code."""

    def __init__(self, problem: Problem) -> None:
        import autograd
        import autograd.numpy

        self.function = autograd.value_and_grad(functional_loss(autograd.numpy, problem))
        self.parameters = problem.parameters()
        self.x, self.y = problem.data()

    def step(self) -> Any:
        loss, self.last = self.function(self.parameters, self.x, self.y)
        by_hand.descend(self.parameters, self.last, RATE)
        return loss

    def gradients(self) -> list[Array]:
        return list(self.last)


class MyGrad:
    """MyGrad: NumPy code on its tensors."""

    def __init__(self, problem: Problem) -> None:
        import mygrad

        self.function = functional_loss(mygrad, problem)
        self.parameters = [mygrad.tensor(p) for p in problem.parameters()]
        self.x, self.y = problem.data()

    def step(self) -> Any:
        loss = self.function(self.parameters, self.x, self.y)
        loss.backward()
        for p in self.parameters:
            p.data -= RATE * p.grad
        return loss

    def gradients(self) -> list[Array]:
        return [p.grad for p in self.parameters]


class Jax:
    """JAX with the whole step compiled by XLA; compilation itself is not timed."""

    def __init__(self, problem: Problem) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        value_and_grad = jax.value_and_grad(functional_loss(jax.numpy, problem))

        @jax.jit
        def step(parameters: list[Any], x: Any, y: Any) -> Any:
            loss, gradients = value_and_grad(parameters, x, y)
            return loss, gradients, [p - RATE * g for p, g in zip(parameters, gradients, strict=True)]

        self.function = step
        self.wait = jax.block_until_ready
        self.parameters = [jax.numpy.asarray(p) for p in problem.parameters()]
        self.x, self.y = map(jax.numpy.asarray, problem.data())

    def step(self) -> Any:
        loss, self.last, self.parameters = self.wait(self.function(self.parameters, self.x, self.y))
        return loss

    def gradients(self) -> list[Array]:
        return [np.asarray(g) for g in self.last]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """For networks so small that handing work to a second thread costs more than the work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Entry:
    """Who takes part: name in the table, module that must be importable, and how exactly it must agree with NumPy."""

    name: str
    module: str
    contestant: Callable[[Problem], Contestant]
    tolerance: float = 1e-10
    setting: Callable[[], AbstractContextManager[None]] = nullcontext


ENTRIES = (
    Entry("numpy", "numpy", ByHand),
    Entry("autodiff", "autodiff", Ours, 1e-12),
    Entry("autodiff, compiled", "autodiff", OursCompiled, 1e-12),
    Entry("pytorch", "torch", PyTorch),
    Entry("pytorch, one thread", "torch", PyTorch, setting=one_torch_thread),
    Entry("pytorch, float32", "torch", PyTorchFloat32, 1e-3),
    Entry("jax, jit", "jax", Jax),
    Entry("autograd", "autograd", Autograd),
    Entry("mygrad", "mygrad", MyGrad),
)


def disagreement(problem: Problem, contestant: Contestant) -> float:
    """Error of a fresh contestant's first loss and gradients against NumPy's, relative to the largest of each array."""
    reference = ByHand(problem)
    loss = reference.step().item()
    errors = [abs(contestant.step().item() - loss) / abs(loss)]
    for got, wanted in zip(contestant.gradients(), reference.gradients(), strict=True):
        if got.shape != wanted.shape:
            return float("inf")
        errors.append(np.abs(got - wanted).max() / np.abs(wanted).max())
    return float(np.max(errors))  # np.max, unlike max, lets a nan through
