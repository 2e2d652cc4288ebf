"""Neurons, layers and networks of single numbers: the whole of a network, one Value at a time.

The names and signatures are micrograd's, so that a reader of micrograd is at home.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import autodiff
from autodiff import Value, weighted_sum

from .activations import Activation
from .containers import Sequential
from .layers import Linear
from .module import Module

__all__ = ["MLP", "Layer", "Neuron", "vectorize"]

Rng = np.random.Generator | int | None
Choice = str | Callable[[Any], Any]


def _activation(choice: Choice) -> Callable[[Any], Any]:
    if isinstance(choice, type) and issubclass(choice, Module):
        return choice()
    if callable(choice):
        return choice
    function: Any = getattr(autodiff, choice, None) if choice in autodiff.__all__ else None
    if getattr(function, "arity", None) != 1 or not hasattr(function, "partials"):
        raise ValueError(f"unknown activation {choice!r}; name an elementwise function such as 'relu' or 'tanh'")
    return function  # type: ignore[no-any-return]  # checked just above


class Neuron(Module):
    """activation(b + w1*x1 + ... + wn*xn), or without activation if ``nonlin`` is False.

    Args:
        nin: how many inputs.
        nonlin: whether to apply the activation.
        activation: the name of an elementwise function of autodiff, any function of a Value, or a module such as
            ``LeakyReLU(0.2)``. With "step" the neuron is Rosenblatt's perceptron.
        rng: a numpy Generator or a seed; weights are uniform in [-1, 1], the bias 0.

    The sum is one node of the graph, not one a product: see ``autodiff.weighted_sum``.
    Raises ValueError for a number of inputs that differs from ``nin``, TypeError for an input that is no sequence.

    >>> neuron = Neuron(2, rng=0)
    >>> neuron, len(neuron.parameters())
    (ReLUNeuron(2), 3)
    """

    def __init__(self, nin: int, nonlin: bool = True, *, activation: Choice = "relu", rng: Rng = None) -> None:
        self.w = [Value(w) for w in np.random.default_rng(rng).uniform(-1.0, 1.0, nin)]
        self.b = Value(0.0)
        self.nonlin = nonlin
        self.activation = _activation(activation)

    def forward(self, x: Sequence[Any]) -> Any:
        """The output for a sequence of nin numbers or Values."""
        try:
            n = len(x)
        except TypeError:
            raise TypeError(f"{self} takes a sequence of {len(self.w)} inputs, got {x!r}") from None
        if n != len(self.w):
            raise ValueError(f"{self} takes {len(self.w)} inputs, got {n}")
        s = weighted_sum(self.b, *self.w, *x)
        return self.activation(s) if self.nonlin else s

    def __repr__(self) -> str:
        f = self.activation
        name = getattr(f, "symbol", getattr(f, "__name__", type(f).__name__))
        return f"{name if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """nout neurons side by side, each seeing all nin inputs.

    A call returns the list of outputs, or the one output of a layer with a single neuron.

    >>> Layer(2, 3, rng=0)
    Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)]
    """

    def __init__(self, nin: int, nout: int, *, rng: Rng = None, **options: Any) -> None:
        rng = np.random.default_rng(rng)
        self.neurons = [Neuron(nin, rng=rng, **options) for _ in range(nout)]

    def forward(self, x: Sequence[Any]) -> Any:
        """The outputs for a sequence of nin numbers or Values."""
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """A multilayer perceptron of Values: an activation after every layer but the last, unless told otherwise.

    Args:
        nin: how many inputs.
        nouts: the number of neurons of each layer.
        activation: as for ``Neuron``; or a list with one for each layer, None for a layer without.
        rng: a numpy Generator or a seed; weights are uniform in [-1, 1], biases 0.

    ``parameters()`` goes layer by layer, neuron by neuron, weights then bias. A network with one output returns
    that Value, with several a list.
    Raises TypeError for sizes that are no list, ValueError for none of them, an unknown activation, or a list of
    activations of another length.

    >>> mlp = MLP(3, [4, 4, 1], rng=0)
    >>> len(mlp.parameters()), type(mlp([1.0, 2.0, 3.0])).__name__
    (41, 'Value')
    >>> MLP(2, [1, 1], activation=["tanh", "sigmoid"])
    MLP of [Layer of [tanhNeuron(2)], Layer of [σNeuron(1)]]
    """

    def __init__(
        self, nin: int, nouts: Sequence[int], *, activation: Choice | Sequence[Choice | None] = "relu", rng: Rng = None
    ) -> None:
        if isinstance(nouts, int):
            raise TypeError(f"MLP takes a list of layer sizes, as in MLP({nin}, [{nouts}, 1]), got {nouts!r}")
        rng = np.random.default_rng(rng)
        if not len(nouts):
            raise ValueError("MLP needs the number of neurons of at least one layer, got none")
        choices = activation if isinstance(activation, (list, tuple)) else [activation] * (len(nouts) - 1) + [None]
        if len(choices) != len(nouts):
            raise ValueError(f"MLP needs one activation for each of its {len(nouts)} layers, got {len(choices)}")
        self.layers = [
            Layer(n_in, n_out, nonlin=choice is not None, activation="relu" if choice is None else choice, rng=rng)
            for (n_in, n_out), choice in zip(pairwise([nin, *nouts]), choices, strict=True)
        ]

    def forward(self, x: Sequence[Any]) -> Any:
        """The output for a sequence of nin numbers or Values."""
        out: Any = None
        for layer in self.layers:
            out = layer(x)
            x = out if isinstance(out, list) else [out]
        return out

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


def vectorize(mlp: MLP) -> Sequential:
    """The same network over Tensors: a Sequential of Linear and activation modules with copies of the weights.

    Raises TypeError for anything but an MLP.

    >>> mlp = MLP(2, [3, 1], rng=0)
    >>> net = vectorize(mlp)
    >>> abs(net(np.array([[0.5, -1.0]])).item() - mlp([0.5, -1.0]).item()) < 1e-12
    True
    """
    if not isinstance(mlp, MLP):
        raise TypeError(f"vectorize takes an nn.MLP, got {type(mlp).__name__}")
    modules: list[Module] = []
    for layer in mlp.layers:
        first = layer.neurons[0]
        linear: Any = Linear(len(first.w), len(layer.neurons))
        linear.weight.data = np.array([list(map(_number, neuron.w)) for neuron in layer.neurons])
        linear.bias.data = np.array([_number(neuron.b) for neuron in layer.neurons])
        modules.append(linear)
        if first.nonlin:
            f = first.activation
            modules.append(f if isinstance(f, Module) else Activation(f))
    return Sequential(*modules)


def _number(parameter: Any) -> float:
    """The number of a Value, or of what it is while frozen, a float."""
    return float(parameter.data if isinstance(parameter, Value) else parameter)
