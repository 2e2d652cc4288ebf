"""Layers over Tensors."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import autodiff
from autodiff import ShapeError, Tensor, linear, matmul

from .module import Module

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "LeakyReLU",
    "Linear",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
]


class Linear(Module):
    """y = x @ weight.T + bias.

    Args:
        in_features, out_features: sizes of the last axis of x and of y.
        bias: whether there is one.
        rng: a numpy Generator or a seed; both are uniform in +-1/sqrt(in_features).
        dtype: of the parameters.

    Attributes:
        weight: (out_features, in_features), torch's layout.
        bias: (out_features,) or None.

    Raises ShapeError if the last axis of the input is not in_features, ValueError for a negative size.

    >>> layer = Linear(2, 3, rng=0)
    >>> layer, layer(np.ones((5, 2))).shape
    (Linear(in_features=2, out_features=3, bias=True), (5, 3))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        if in_features < 0 or out_features < 0:
            raise ValueError(f"Linear needs sizes of at least 0, got {in_features} and {out_features}")
        rng = np.random.default_rng(rng)
        bound = 1.0 / math.sqrt(in_features) if in_features else 0.0
        self.weight = Tensor(rng.uniform(-bound, bound, (out_features, in_features)), dtype=dtype)
        self.bias = Tensor(rng.uniform(-bound, bound, out_features), dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """(..., in_features) to (..., out_features)."""
        if not hasattr(x, "shape"):
            x = np.asarray(x, dtype=self.weight.dtype)
        try:
            return matmul(x, self.weight.T) if self.bias is None else linear(x, self.weight, self.bias)
        except ShapeError as error:
            n_in = self.weight.shape[1]
            if x.shape and x.shape[-1] == n_in:
                raise
            raise ShapeError(f"{self} takes inputs of shape (..., {n_in}), got {x.shape}") from error

    def _describe(self) -> str:
        n_out, n_in = self.weight.shape
        return f"in_features={n_in}, out_features={n_out}, bias={self.bias is not None}"


class Activation(Module):
    """An elementwise function as a module, for use in a Sequential.

    Args:
        function: a function of a Tensor.
        options: keyword arguments passed on at each call.

    Shapes, dtypes and errors are the function's.

    >>> Activation(autodiff.sin)(np.zeros(2))
    array([0., 0.])
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function = function
        self.options = options

    def forward(self, x: Any) -> Any:
        """The function of x, element by element."""
        return self.function(x, **self.options)

    def _describe(self) -> str:
        shown = [f"{key}={value}" for key, value in self.options.items()]
        if type(self) is Activation:
            shown.insert(0, getattr(self.function, "name", getattr(self.function, "__name__", "?")))
        return ", ".join(shown)


class ReLU(Activation):
    """max(0, x).

    Takes any shape and keeps it and its dtype. The derivative at 0 is 0.
    Raises TypeError for an input that is not numeric.

    >>> ReLU()(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.relu)


class LeakyReLU(Activation):
    """x where positive, else negative_slope * x.

    Takes any shape and keeps it and its dtype. The derivative at 0 is negative_slope.
    Raises TypeError for an input that is not numeric.

    >>> LeakyReLU(0.5)(np.array([-1.0, 0.0, 2.0]))
    array([-0.5,  0. ,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(autodiff.leaky_relu, negative_slope=negative_slope)


class ELU(Activation):
    """x where positive, else alpha * (exp(x) - 1).

    Takes any shape and keeps it and its dtype. The derivative at 0 is the mean of its sides, (1 + alpha) / 2.
    Source: Clevert et al. 2015, arXiv:1511.07289.
    Raises TypeError for an input that is not numeric.

    >>> ELU()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.6321,  0.    ,  2.    ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(autodiff.elu, alpha=alpha)


class SELU(Activation):
    """ELU with the constants that keep mean 0 and variance 1.

    Takes any shape and keeps it and its dtype. The derivative at 0 is the mean of its sides.
    Source: Klambauer et al. 2017, arXiv:1706.02515.
    Raises TypeError for an input that is not numeric.

    >>> SELU()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-1.1113,  0.    ,  2.1014])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.selu)


class GELU(Activation):
    """x * Phi(x) with the normal distribution's Phi, the exact form.

    Takes any shape and keeps it and its dtype.
    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.
    Raises TypeError for an input that is not numeric.

    >>> GELU()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.1587,  0.    ,  1.9545])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.gelu)


class SiLU(Activation):
    """x * sigmoid(x), also called swish.

    Takes any shape and keeps it and its dtype.
    Source: Elfwing et al. 2017, arXiv:1702.03118.
    Raises TypeError for an input that is not numeric.

    >>> SiLU()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.2689,  0.    ,  1.7616])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.silu)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)), without overflow.

    Takes any shape and keeps it and its dtype.
    Raises TypeError for an input that is not numeric.

    >>> Sigmoid()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([0.2689, 0.5   , 0.8808])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.sigmoid)


class Tanh(Activation):
    """The hyperbolic tangent.

    Takes any shape and keeps it and its dtype.
    Raises TypeError for an input that is not numeric.

    >>> Tanh()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.7616,  0.    ,  0.964 ])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.tanh)


class Softplus(Activation):
    """log(1 + exp(x)), without overflow.

    Takes any shape and keeps it and its dtype.
    Raises TypeError for an input that is not numeric.

    >>> Softplus()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([0.3133, 0.6931, 2.1269])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.softplus)


class Softsign(Activation):
    """x / (1 + |x|).

    Takes any shape and keeps it and its dtype.
    Raises TypeError for an input that is not numeric.

    >>> Softsign()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.5   ,  0.    ,  0.6667])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.softsign)


class Sequential(Module):
    """Modules one after the other.

    Indexing gives a module, slicing a Sequential; parameters are named "0.weight", "0.bias", ...
    Raises TypeError for anything but modules; a call raises what they raise.

    >>> net = Sequential(Linear(2, 4, rng=0), ReLU(), Linear(4, 1, rng=1))
    >>> net[0].weight.shape, len(net), [name for name, _ in net.named_parameters()]
    ((4, 2), 3, ['0.weight', '0.bias', '2.weight', '2.bias'])
    """

    def __init__(self, *modules: Module) -> None:
        for module in modules:
            if not isinstance(module, Module):
                raise TypeError(f"Sequential takes modules, got {module!r}: wrap functions in Activation")
        self._chain = list(modules)

    def forward(self, x: Any) -> Any:
        """x through every module in turn."""
        for module in self._chain:
            x = module(x)
        return x

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield from ((str(i), module) for i, module in enumerate(self._chain))

    def __len__(self) -> int:
        return len(self._chain)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._chain)

    def __getitem__(self, index: Any) -> Any:
        return Sequential(*self._chain[index]) if isinstance(index, slice) else self._chain[index]
