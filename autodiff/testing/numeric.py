"""Derivatives from function values alone, with an honest bound on their error.

Nothing here knows a rule of differentiation. A function g of one real number t, with numbers or arrays as values, is
evaluated beside t = 0, and every element of its value is judged by itself: what is its derivative, how far may that be
off, and is there a derivative at all.
"""

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Estimate", "complex_step", "derivative", "step_for"]

EPSILON = float(np.finfo(np.float64).eps)

# Seven samples, at -3 ... 3 steps. The weights give the derivative with an error of h**6 and of h**4; their difference
# bounds the truncation error of the first.
SIX_POINT = np.array([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0]) / 60.0
FOUR_POINT = np.array([0.0, 1.0, -8.0, 0.0, 8.0, -1.0, 0.0]) / 12.0
# Fourth differences of a smooth function are h**4 times its fourth derivative, next to nothing; what they show is the
# rounding of the samples, magnified by sqrt(1 + 16 + 36 + 16 + 1).
FOURTH = np.array([np.roll([1.0, -4.0, 6.0, -4.0, 1.0, 0.0, 0.0], i) for i in range(3)])
FOURTH_GAIN = 70.0
# The kink detector: the least-squares quadratic through five of the samples, as the matrix that gives what it misses.
FIVE = np.array([0, 2, 3, 4, 6])
_POWERS = np.vander((FIVE - 3.0), 3)
MISFIT = np.eye(5) - _POWERS @ np.linalg.pinv(_POWERS)

ROUNDING = 4 * EPSILON  # of a function value, relative: a few roundings in a well-written function
SINGLE_ROUNDING = 4 * float(np.finfo(np.float32).eps)
ROUGH = 0.01  # an estimate with a relative error below this casts doubt on others; at corners and jumps there is none
TRUSTED = 1e-7  # an estimate with a relative error below this needs no other step
# Steps to try where the first does not do: shorter beside kinks and borders, longer where rounding drowns the signal.
# The truncation error of long ones is measured like that of all.
OTHER_STEPS = (1 / 16, 1 / 256, 1 / 4096, 8.0, 64.0, 512.0)


class Estimate(NamedTuple):
    """What is known of a derivative; every field has the shape of the function's value."""

    value: Any
    """The derivative."""
    error: Any
    """A bound on the error of ``value``: truncation, measured, and rounding, measured."""
    step: Any
    """The step that gave it."""
    kink: Any
    """Whether the function has no derivative here: a corner, a jump, or values that are not finite beside the point."""
    size: Any
    """The largest value sampled: a derivative far below it is lost in rounding."""


class _Samples(NamedTuple):
    """Seven values of a function and what they tell."""

    value: Any
    truncation: Any
    noise: Any
    step: Any
    misfit: Any
    rounding: Any
    size: Any
    single: Any

    @property
    def error(self) -> Any:
        """A bound on the error of the value; four standard deviations of the noise."""
        return self.truncation + 4 * np.maximum(self.rounding, self.noise) / self.step


def step_for(x: Any) -> Any:
    """The step of a difference quotient at x: cbrt(eps) * max(1, |x|), rounded to a power of two.

    A sixth-order difference could take longer steps; this one meets few kinks, and its error, rounding / step, is about
    1e-10 of the function's value. Adding a power of two to x rounds next to nothing away.
    """
    x = np.asarray(x, dtype=np.float64)
    return np.exp2(np.round(np.log2(np.cbrt(EPSILON) * np.maximum(1.0, np.abs(np.where(np.isfinite(x), x, 1.0))))))


def derivative(g: Callable[[float], Any], *, scale: Any = 0.0) -> Estimate:
    """The derivative of g at 0 by a six-point central difference, with its error, element by element.

    Args:
        g: a function of a float t, counted in steps of a length the caller chose (see step_for): it returns a number
            or an array. The derivative is by t.
        scale: derivatives of this size matter; errors far below it need no better step.

    >>> at_2 = derivative(lambda t: np.log(2.0 + t * 2.0**-17))
    >>> round(float(at_2.value) * 2.0**17, 9), bool(at_2.kink)
    (0.5, False)
    >>> bool(derivative(lambda t: abs(t)).kink)
    True
    """
    with np.errstate(all="ignore"):
        first = _sample(g, 1.0)
        enough = _smooth(first) & (first.error <= TRUSTED * np.maximum(np.abs(first.value), scale)) & ~first.single
        if np.all(enough):
            return Estimate(first.value, first.error, first.step, np.zeros(first.value.shape, bool), first.size)
        every = _rounded_to_single(_pooled([first, *(_sample(g, factor) for factor in OTHER_STEPS)]))
        best = every[0]
        for other in every[1:]:
            better = (other.error < best.error) | ~np.isfinite(best.error)
            best = _Samples(*(np.where(better, new, old) for new, old in zip(other, best, strict=True)))
        # The error of a corner or a jump is of its own size; one that is small may be rounding that looks like a jump.
        harmless = best.error <= 10 * TRUSTED * np.maximum(np.abs(best.value), scale)
        kink = ~np.isfinite(best.value) | (_misfit_stays(every) & ~harmless)
        error = np.where(kink, np.inf, _doubted(best, every))
        return Estimate(best.value, error, best.step, kink, first.size)


def _sample(g: Callable[[float], Any], step: float) -> _Samples:
    values = np.stack([np.asarray(g(k * step), dtype=np.float64) for k in range(-3, 4)])
    flat = values.reshape(7, -1)
    six, four = SIX_POINT @ flat / step, FOUR_POINT @ flat / step
    size = np.max(np.abs(flat), axis=0)
    noise = np.sqrt(np.mean(np.square(FOURTH @ flat), axis=0) / FOURTH_GAIN)
    misfit = np.max(np.abs(MISFIT @ flat[FIVE]), axis=0)
    # 0, 1 or 2.5 are of float16 too and tell nothing
    single = np.all(flat.astype(np.float32) == flat, axis=0) & np.any(flat.astype(np.float16) != flat, axis=0)
    shape = values.shape[1:]
    parts = (six, np.abs(six - four), noise, np.full(six.shape, step), misfit, ROUNDING * size, size, single)
    return _Samples(*(part.reshape(shape) for part in parts))


def _pooled(every: Sequence[_Samples]) -> list[_Samples]:
    """The same, with no noise below that of shorter steps.

    Three differences measure noise badly, and the step whose noise came out too small by chance would be taken for the
    best. A kink farther away than short steps reach does not count in theirs.
    """
    return [
        samples._replace(noise=np.max([other.noise for other in every if np.all(other.step <= samples.step)], axis=0))
        for samples in every
    ]


def _rounded_to_single(every: Sequence[_Samples]) -> list[_Samples]:
    """The same, with the error of float32 for a function that computes in it: all its values are float32 numbers.

    They may be by chance too, where the function is straight.
    """
    single = np.all([samples.single for samples in every], axis=0)
    single &= np.any([samples.misfit > 16 * samples.rounding for samples in every], axis=0)
    return [
        samples._replace(rounding=np.where(single, SINGLE_ROUNDING * samples.size, samples.rounding))
        for samples in every
    ]


def _misfit_stays(every: Sequence[_Samples]) -> Any:
    """Whether it looks like a corner or a jump, however near one looks.

    When the step becomes 16 times shorter, the misfit of a smooth function falls by 4096, that of a corner or a jump by
    no more than 16. One that is lost in rounding proves nothing.
    """
    first, second = every[:2]
    stays = (second.misfit > 32 * second.rounding) & (first.misfit < 128 * second.misfit)
    for longer, shorter in pairwise(every[1:4]):
        stays &= (shorter.misfit <= 32 * shorter.rounding) | (longer.misfit < 128 * shorter.misfit)
    return stays


def _doubted(best: _Samples, every: Sequence[_Samples]) -> Any:
    """The error of the best estimate, no less than its distance from others that are certain enough.

    To short steps a function rounded to a few digits is flat, so there the best estimate is worth nothing.
    """
    error = best.error
    for other in every:
        gap = np.abs(other.value - best.value)
        contradicts = (other.error < ROUGH * np.abs(other.value)) & (gap > 3 * (other.error + best.error))
        error = np.where(contradicts, np.maximum(error, gap + other.error), error)
    return error


def _smooth(samples: _Samples) -> Any:
    """Whether a quadratic explains the samples, up to rounding and a curvature that the error knows of."""
    return samples.misfit <= 1e-6 * np.abs(samples.value) * samples.step + 16 * samples.rounding


def complex_step(g: Callable[[complex], Any], step: float = 1e-20) -> Any:
    """The derivative of g at 0 as Im g(i*step) / step: no difference, so nothing cancels; None if g refuses.

    Right only for analytic g: abs, maximum and comparisons give nonsense, which the caller finds by comparison with
    a difference quotient. Source: Squire and Trapp 1998, SIAM Review 40(1).

    >>> round(float(complex_step(lambda t: np.log(2.0 + t))), 15)
    0.5
    """
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # it has lost the imaginary part
            y = np.asarray(g(1j * step))
    except Exception:  # noqa: BLE001  # whatever a function written for real numbers makes of complex ones
        return None
    return np.imag(y) / step if y.dtype.kind == "c" else None
