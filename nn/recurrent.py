"""Recurrent layers over sequences, arrays of shape (time, batch, features), with torch's parameters and their names.

Layer l has weight_ih_l{l} (gates * hidden, inputs) for what comes in, weight_hh_l{l} (gates * hidden, hidden) for its
own last output h, and two biases. h goes from one time to the next.
"""

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from autodiff import ShapeError, Tensor, getitem, linear, matmul, sigmoid, stack, tanh, transpose
from autodiff import relu as relu_function

from .module import Module

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module, ABC):
    """What the three share: parameters, the loop over layers and times.

    A state is a tuple of arrays (batch, hidden), the first of which is the output h.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        if input_size < 1 or hidden_size < 1 or num_layers < 1:
            sizes = f"{input_size}, {hidden_size} and {num_layers}"
            raise ValueError(f"{type(self).__name__} needs sizes of at least 1, got {sizes}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        rng = np.random.default_rng(rng)
        bound = 1.0 / math.sqrt(hidden_size)
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, hidden_size if layer else input_size),
                "weight_hh": (rows, hidden_size),
            }
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                setattr(self, f"{name}_l{layer}", Tensor(rng.uniform(-bound, bound, shape), dtype=dtype))

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        """(time, batch, input_size), and the state to begin with, to the outputs and the last state.

        Args:
            x: the sequence.
            state: an array (num_layers, batch, hidden_size), of an LSTM a pair (h, c) of them; zeros by default.

        Returns the outputs h of the last layer, (time, batch, hidden_size), and the last state of every layer, in the
        form of ``state``.
        """
        if not hasattr(x, "shape"):
            x = np.asarray(x, dtype=np.float64)
        if len(x.shape) != 3 or x.shape[2] != self.input_size or not x.shape[0]:
            raise ShapeError(f"{self} takes inputs of shape (time, batch, {self.input_size}), got {x.shape}")
        begin = self._begin(x, state)
        # Time after time, also the products of the input: of one product for all times, every time would send back a
        # whole sequence of gradients, zeros but for one, and adding these up costs the square of the length
        sequence, last = [getitem(x, index=t) for t in range(x.shape[0])], []
        for layer in range(self.num_layers):
            sequence, final = self._run(layer, sequence, tuple(getitem(part, index=layer) for part in begin))
            last.append(final)
        ends = tuple(stack(list(parts)) for parts in zip(*last, strict=True))
        return stack(sequence), ends[0] if self.states == 1 else ends

    def _begin(self, x: Any, state: Any) -> tuple[Any, ...]:
        shape = (self.num_layers, x.shape[1], self.hidden_size)
        if state is None:
            return (np.zeros(shape, x.dtype),) * self.states
        parts = (state,) if self.states == 1 else tuple(state)
        if len(parts) != self.states or any(np.shape(getattr(part, "data", part)) != shape for part in parts):
            wanted = "one array" if self.states == 1 else f"{self.states} arrays"
            raise ShapeError(f"{self} takes as its state {wanted} of shape {shape} for this input")
        return parts

    def _run(self, layer: int, sequence: list[Any], state: tuple[Any, ...]) -> tuple[list[Any], tuple[Any, ...]]:
        """One layer over all times: its outputs, and its last state."""
        outputs = []
        for x in sequence:
            state = self._step(self._product(x, "ih", layer), self._product(state[0], "hh", layer), state)
            outputs.append(state[0])
        return outputs, state

    def _product(self, x: Any, kind: str, layer: int) -> Any:
        weight = getattr(self, f"weight_{kind}_l{layer}")
        if not self.bias:
            return matmul(x, transpose(weight))
        return linear(x, weight, getattr(self, f"bias_{kind}_l{layer}"))

    @abstractmethod
    def _step(self, driven: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """The next state from the products of the input and of h with their weights, (batch, gates * hidden)."""

    def _split(self, product: Any, gates: int) -> list[Any]:
        """The parts that belong to each gate."""
        edges = range(0, (gates + 1) * self.hidden_size, self.hidden_size)
        return [getitem(product, index=(slice(None), slice(a, b))) for a, b in pairwise(edges)]

    def _describe(self) -> str:
        layers = f", num_layers={self.num_layers}" if self.num_layers > 1 else ""
        return f"{self.input_size}, {self.hidden_size}{layers}{'' if self.bias else ', bias=False'}"


class RNN(_Recurrent):
    """The plain recurrent layer: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        input_size: features of x.
        hidden_size: features of h.
        num_layers: how many layers, each fed with the outputs of the one before.
        bias: whether there are biases.
        nonlinearity: "tanh" or "relu".
        rng: a numpy Generator or a seed; parameters are uniform in +-1/sqrt(hidden_size).
        dtype: of the parameters.

    Takes (time, batch, input_size), and optionally h to begin with, (num_layers, batch, hidden_size); gives outputs
    (time, batch, hidden_size) and the last h. Source: Elman 1990, Finding structure in time, Cognitive Science 14.
    Raises ShapeError for other shapes, ValueError for sizes below 1 or an unknown nonlinearity.

    >>> outputs, h = RNN(3, 5, rng=0)(np.zeros((7, 2, 3)))
    >>> outputs.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    gates = 1

    def __init__(self, *sizes: Any, nonlinearity: str = "tanh", **options: Any) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
        super().__init__(*sizes, **options)
        self.nonlinearity = nonlinearity

    def _step(self, driven: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG002  # only h counts
        return ((tanh if self.nonlinearity == "tanh" else relu_function)(driven + recurrent),)


class GRU(_Recurrent):
    """The gated recurrent unit: h' = (1 - z) n + z h.

    With r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), z likewise, and n = tanh(W_in x + b_in + r (W_hn h + b_hn)). The
    rows of the parameters belong to r, z, n, in this order.

    Args:
        input_size: features of x.
        hidden_size: features of h.
        num_layers: how many layers, each fed with the outputs of the one before.
        bias: whether there are biases.
        rng: a numpy Generator or a seed; parameters are uniform in +-1/sqrt(hidden_size).
        dtype: of the parameters.

    Takes (time, batch, input_size), and optionally h to begin with, (num_layers, batch, hidden_size); gives outputs
    (time, batch, hidden_size) and the last h. Source: Cho et al. 2014, arXiv:1406.1078, in PyTorch's variant.
    Raises ShapeError for other shapes, ValueError for sizes below 1.

    >>> outputs, h = GRU(3, 5, rng=0)(np.zeros((7, 2, 3)))
    >>> outputs.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    gates = 3

    def _step(self, driven: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        (h,) = state
        reset_in, update_in, new_in = self._split(driven, 3)
        reset_own, update_own, new_own = self._split(recurrent, 3)
        update = sigmoid(update_in + update_own)
        new = tanh(new_in + sigmoid(reset_in + reset_own) * new_own)
        return (new + update * (h - new),)


class LSTM(_Recurrent):
    """Long short-term memory: c' = f c + i g, h' = o tanh(c').

    With i, f, o = sigmoid and g = tanh of W_i x + b_i + W_h h + b_h. The rows of the parameters belong to i, f, g, o,
    in this order.

    Args:
        input_size: features of x.
        hidden_size: features of h.
        num_layers: how many layers, each fed with the outputs of the one before.
        bias: whether there are biases.
        rng: a numpy Generator or a seed; parameters are uniform in +-1/sqrt(hidden_size).
        dtype: of the parameters.

    Takes (time, batch, input_size), and optionally (h, c) to begin with, each (num_layers, batch, hidden_size); gives
    outputs (time, batch, hidden_size) and the last (h, c).
    Source: Hochreiter and Schmidhuber 1997, Long short-term memory, Neural Computation 9.
    Raises ShapeError for other shapes, ValueError for sizes below 1.

    >>> outputs, (h, c) = LSTM(3, 5, rng=0)(np.zeros((7, 2, 3)))
    >>> outputs.shape, h.shape, c.shape
    ((7, 2, 5), (1, 2, 5), (1, 2, 5))
    """

    gates = 4
    states = 2

    def _step(self, driven: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        _, c = state
        into, keep, new, out = self._split(driven + recurrent, 4)
        c = sigmoid(keep) * c + sigmoid(into) * tanh(new)
        return sigmoid(out) * tanh(c), c
