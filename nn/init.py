"""What parameters are before training. Every function fills a parameter and returns it; the names are PyTorch's.

All random numbers come from one ``numpy.random.Generator`` (or a seed), never from NumPy's global state.

A parameter of shape (out, in, ...), such as a weight, has in * (the product of the rest) inputs for an output, its
fan-in, and out * (the product of the rest) outputs for an input, its fan-out.
"""

import math
from typing import Any, Literal

import numpy as np

from autodiff import Tensor

# fmt: off
__all__ = [
    "calculate_gain", "constant_", "fan_in_uniform_", "glorot_normal_", "glorot_uniform_", "he_normal_", "he_uniform_",
    "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "orthogonal_", "uniform_", "xavier_normal_",
    "xavier_uniform_", "zeros_",
]
# fmt: on

Rng = np.random.Generator | int | None
Fan = Literal["fan_in", "fan_out"]


def fan_in_uniform(shape: tuple[int, ...], fan_in: int, rng: Rng) -> np.ndarray:
    """Numbers uniform in +-1/sqrt(fan_in), or zeros if there are no inputs."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
    return np.random.default_rng(rng).uniform(-bound, bound, shape)


def _filled(parameter: Tensor, numbers: Any) -> Tensor:
    parameter.data = numbers
    return parameter


def _shape(parameter: Tensor) -> tuple[int, ...]:
    if not isinstance(parameter, Tensor):
        raise TypeError(f"init fills a Tensor, such as layer.weight, got {type(parameter).__name__}")
    return parameter.shape


def _fans(parameter: Tensor) -> tuple[int, int]:
    """(fan-in, fan-out)."""
    shape = _shape(parameter)
    if len(shape) < 2:
        raise ValueError(f"a parameter of shape {shape} has no fan-in and fan-out; it needs two axes or more")
    rest = math.prod(shape[2:])
    return shape[1] * rest, shape[0] * rest


def _inverse_root(fan: float) -> float:
    """1 / sqrt(fan); without any inputs or outputs there is nothing to fill, and any number will do."""
    return 1.0 / math.sqrt(fan) if fan else 0.0


def zeros_(parameter: Tensor) -> Tensor:
    """Fill with 0. For weights of a hidden layer this is a trap: all its units stay equal for ever.

    Takes a Tensor of any shape and keeps its dtype. Raises TypeError for anything else.

    >>> zeros_(Tensor([1.0, 2.0])).data
    array([0., 0.])
    """
    return constant_(parameter, 0.0)


def ones_(parameter: Tensor) -> Tensor:
    """Fill with 1.

    Takes a Tensor of any shape and keeps its dtype. Raises TypeError for anything else.

    >>> ones_(Tensor([0.0, 2.0])).data
    array([1., 1.])
    """
    return constant_(parameter, 1.0)


def constant_(parameter: Tensor, value: float) -> Tensor:
    """Fill with one number.

    Takes a Tensor of any shape and keeps its dtype. Raises TypeError for anything else.

    >>> constant_(Tensor([0.0, 2.0]), 0.5).data
    array([0.5, 0.5])
    """
    return _filled(parameter, np.full(_shape(parameter), float(value)))


def uniform_(parameter: Tensor, low: float = 0.0, high: float = 1.0, *, rng: Rng = None) -> Tensor:
    """Fill with numbers uniform in [low, high).

    Takes a Tensor of any shape and keeps its dtype. Raises TypeError for anything else.

    >>> uniform_(Tensor([0.0, 0.0]), -1.0, 1.0, rng=0).data.round(4)
    array([ 0.2739, -0.4604])
    """
    return _filled(parameter, np.random.default_rng(rng).uniform(low, high, _shape(parameter)))


def normal_(parameter: Tensor, mean: float = 0.0, std: float = 1.0, *, rng: Rng = None) -> Tensor:
    """Fill with normally distributed numbers of this mean and standard deviation.

    Takes a Tensor of any shape and keeps its dtype. Raises TypeError for anything else, ValueError for a negative std.

    >>> normal_(Tensor([0.0, 0.0]), rng=0).data.round(4)
    array([ 0.1257, -0.1321])
    """
    return _filled(parameter, np.random.default_rng(rng).normal(mean, std, _shape(parameter)))


def fan_in_uniform_(parameter: Tensor, *, fan_in: int | None = None, rng: Rng = None) -> Tensor:
    """Fill with numbers uniform in +-1/sqrt(fan-in), the default of ``Linear``.

    Args:
        parameter: a Tensor, which keeps its dtype.
        fan_in: for a bias, which does not show it in its shape.
        rng: a numpy Generator or a seed.

    Raises TypeError for anything but a Tensor, ValueError if neither the shape nor fan_in tells the fan-in.

    >>> weight = fan_in_uniform_(Tensor(np.zeros((100, 4))), rng=0)
    >>> bool(abs(weight.data).max() <= 0.5)
    True
    """
    return _filled(parameter, fan_in_uniform(_shape(parameter), _fans(parameter)[0] if fan_in is None else fan_in, rng))


def xavier_uniform_(parameter: Tensor, gain: float = 1.0, *, rng: Rng = None) -> Tensor:
    """Fill with numbers uniform in +-gain * sqrt(6 / (fan-in + fan-out)); also called ``glorot_uniform_``.

    Takes a Tensor of two axes or more and keeps its dtype.
    Source: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    Raises TypeError for anything but a Tensor, ValueError for one with fewer axes.

    >>> weight = xavier_uniform_(Tensor(np.zeros((4, 2))), rng=0)
    >>> bool(abs(weight.data).max() <= 1.0)
    True
    """
    bound = gain * math.sqrt(6.0) * _inverse_root(sum(_fans(parameter)))
    return uniform_(parameter, -bound, bound, rng=rng)


def xavier_normal_(parameter: Tensor, gain: float = 1.0, *, rng: Rng = None) -> Tensor:
    """Fill with normal numbers of deviation gain * sqrt(2 / (fan-in + fan-out)); also called ``glorot_normal_``.

    Takes a Tensor of two axes or more and keeps its dtype. Source and errors as for ``xavier_uniform_``.

    >>> weight = xavier_normal_(Tensor(np.zeros((300, 100))), rng=0)
    >>> round(float(weight.data.std() / np.sqrt(2 / 400)), 1)
    1.0
    """
    return normal_(parameter, 0.0, gain * math.sqrt(2.0) * _inverse_root(sum(_fans(parameter))), rng=rng)


def kaiming_uniform_(
    parameter: Tensor, a: float = 0.0, mode: Fan = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Rng = None
) -> Tensor:
    """Fill with numbers uniform in +-gain * sqrt(3 / fan); also called ``he_uniform_``.

    Args:
        parameter: a Tensor of two axes or more, which keeps its dtype.
        a: the negative slope of leaky relu; with 0, which is relu, the gain is sqrt(2).
        mode: "fan_in" keeps the size of numbers on the way forward, "fan_out" that of gradients on the way back.
        nonlinearity: the function after the layer, as for ``calculate_gain``.
        rng: a numpy Generator or a seed.

    Source: He et al. 2015, arXiv:1502.01852.
    Raises TypeError for anything but a Tensor, ValueError for one with fewer axes or an unknown mode or function.

    >>> weight = kaiming_uniform_(Tensor(np.zeros((5, 6))), rng=0)
    >>> bool(abs(weight.data).max() <= 1.0)
    True
    """
    bound = math.sqrt(3.0) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform_(parameter, -bound, bound, rng=rng)


def kaiming_normal_(
    parameter: Tensor, a: float = 0.0, mode: Fan = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Rng = None
) -> Tensor:
    """Fill with normal numbers of deviation gain / sqrt(fan); also called ``he_normal_``.

    Arguments, source and errors are those of ``kaiming_uniform_``.

    >>> weight = kaiming_normal_(Tensor(np.zeros((300, 200))), rng=0)
    >>> round(float(weight.data.std() / np.sqrt(2 / 200)), 1)
    1.0
    """
    return normal_(parameter, 0.0, _kaiming_std(parameter, a, mode, nonlinearity), rng=rng)


def _kaiming_std(parameter: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'mode must be "fan_in" or "fan_out", got {mode!r}')
    fan_in, fan_out = _fans(parameter)
    return calculate_gain(nonlinearity, a) * _inverse_root(fan_in if mode == "fan_in" else fan_out)


GAINS = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def calculate_gain(nonlinearity: str, slope: float = 0.01) -> float:
    """By how much weights should be larger because of the activation that follows, as PyTorch has it.

    Args:
        nonlinearity: "linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        slope: the negative slope of leaky relu.

    Raises ValueError for an unknown name.

    >>> calculate_gain("tanh"), calculate_gain("leaky_relu", 1.0)
    (1.6666666666666667, 1.0)
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if nonlinearity not in GAINS:
        known = ", ".join([*GAINS, "leaky_relu"])
        raise ValueError(f"no gain is known for {nonlinearity!r}; choose from {known}")
    return GAINS[nonlinearity]


def orthogonal_(parameter: Tensor, gain: float = 1.0, *, rng: Rng = None) -> Tensor:
    """Fill with gain times a random matrix whose rows (or columns, if they are fewer) are orthonormal.

    Takes a Tensor of two axes or more, whose first axis counts the rows, and keeps its dtype.
    Source: Saxe et al. 2013, arXiv:1312.6120; the signs are chosen as in Mezzadri 2007, arXiv:math-ph/0609050, so that
    all orthogonal matrices are equally likely.
    Raises TypeError for anything but a Tensor, ValueError for one with fewer axes.

    >>> weight = orthogonal_(Tensor(np.zeros((2, 5))), rng=0).data
    >>> np.allclose(weight @ weight.T, np.eye(2))
    True
    """
    _fans(parameter)
    rows, columns = parameter.shape[0], math.prod(parameter.shape[1:])
    tall = np.random.default_rng(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
    return _filled(parameter, gain * (q if rows >= columns else q.T).reshape(parameter.shape))


glorot_uniform_, glorot_normal_ = xavier_uniform_, xavier_normal_
he_uniform_, he_normal_ = kaiming_uniform_, kaiming_normal_
