"""Activation functions as modules."""

from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: F401  # for the examples in the docstrings

import autodiff

from .module import Module

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Arctan",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Tanh",
]


class Activation(Module):
    """An elementwise function as a module, for use in a Sequential.

    Args:
        function: a function of a Value, an array or a Tensor.
        options: keyword arguments passed on at each call.

    Shapes, dtypes and errors are the function's. Raises TypeError for anything but a function.

    >>> import autodiff
    >>> Activation(autodiff.sin)(np.zeros(2))
    array([0., 0.])
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        if isinstance(function, type) or not callable(function):
            raise TypeError(f"Activation takes a function of arrays, as autodiff.sin, got {function!r}")
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


class LogSigmoid(Activation):
    """log(sigmoid(x)), without overflow or cancellation.

    Takes any shape and keeps it and its dtype.
    Raises TypeError for an input that is not numeric.

    >>> LogSigmoid()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-1.3133, -0.6931, -0.1269])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.log_sigmoid)


class Arctan(Activation):
    """The inverse tangent, in (-pi/2, pi/2).

    Takes any shape and keeps it and its dtype.
    Raises TypeError for an input that is not numeric.

    >>> Arctan()(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.7854,  0.    ,  1.1071])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.arctan)


class Step(Activation):
    """1 where x is positive, else 0: the unit of the perceptron, which fires or does not.

    Takes any shape and keeps it and its dtype. The derivative is 0 everywhere, so nothing is learnt through it by
    gradient descent. Source: Rosenblatt 1958, The perceptron, Psychological Review 65.
    Raises TypeError for an input that is not numeric.

    >>> Step()(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 1.])
    """

    def __init__(self) -> None:
        super().__init__(autodiff.step)


class Softmax(Activation):
    """exp(x) / sum(exp(x)) along an axis: numbers that are positive and add up to 1; without overflow.

    Args:
        axis: along which they add up to 1.

    Takes any shape with that axis and keeps it and its dtype.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an input that is not numeric.

    >>> Softmax()(np.array([[2.0, -1.0, 3.0]])).round(4)
    array([[0.2654, 0.0132, 0.7214]])
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__(autodiff.softmax, axis=axis)


class LogSoftmax(Activation):
    """log(softmax(x)) along an axis, without overflow or cancellation.

    Args:
        axis: along which the exponentials add up to 1.

    Takes any shape with that axis and keeps it and its dtype.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an input that is not numeric.

    >>> LogSoftmax()(np.array([[2.0, -1.0, 3.0]])).round(4)
    array([[-1.3266, -4.3266, -0.3266]])
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__(autodiff.log_softmax, axis=axis)
