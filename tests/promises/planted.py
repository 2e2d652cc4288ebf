"""Planted faults, as data: wrong elementwise rows of the table. The kit has to catch them all.

A row is registered as a user would and given to check_rule with default settings. Beside it stands the same function
done rightly, so that the test can see whether the place that the report names is one where the derivative is wrong.
Operations on whole arrays are in planted_arrays.py, gradients written by hand in planted_gradients.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import autodiff as ad
from autodiff.primitive import Primitive, raw


class Rule(NamedTuple):
    """A wrong row."""

    kind: str
    build: Callable[[], Primitive]
    right: Callable[..., Any]
    operands: tuple[Any, ...] = ()
    params: dict[str, Any] | None = None
    says: str = ""  # what the report says of a fault that is no wrong number


def numbers(*shape: int, seed: int = 0) -> Any:
    """Return an array of numbers of both signs, none of them near 0, none with few digits."""
    rng = np.random.default_rng(seed)
    signs = rng.permutation(int(np.prod(shape))).reshape(shape) % 2 - 0.5
    return rng.uniform(0.6, 3.4, shape) * signs


def elementwise(
    name: str, function: Any, right: Any, *partials: Any, kind: str, says: str = "", scalar: Any = None, **facts: Any
) -> Rule:
    """Return a wrong elementwise row; its kernel for floats is the one for arrays unless another is given."""
    of_floats = scalar or (lambda *xs: float(function(*xs)))
    return Rule(kind, lambda: ad.elementwise(name, of_floats, function, *partials, **facts), right, says=says)


def where_far(limit: float, far: Any, near: Any) -> Callable[..., Any]:
    """Return a partial that is ``far`` beyond |x| = limit."""
    return lambda y, x: ad.where(np.abs(raw(x)) > limit, far(y, x), near(y, x))


def at_point(point: float, there: float, partial: Any) -> Callable[..., Any]:
    """Return a partial that has another value at one point."""
    return lambda y, x: ad.where(np.equal(raw(x), point), there, partial(y, x))


def single(x: Any) -> Any:
    """Return x rounded to float32 and back; nodes stay nodes."""
    return ad.add(x, np.float64(np.float32(raw(x))) - raw(x))


cos_of = lambda y, x: ad.cos(x)
REAL, POSITIVE = (-np.inf, np.inf), (0.0, np.inf)


def silent_cos() -> Primitive:
    """Return a cosine whose derivative is right, but cannot be differentiated again."""
    return ad.elementwise("silent_cos", lambda x: float(np.cos(x)), np.cos, lambda y, x: -np.sin(raw(x)))


def without_third() -> Primitive:
    cos = silent_cos()
    return ad.elementwise("sin_to_second_order", lambda x: float(np.sin(x)), np.sin, lambda y, x: cos(x))


def noisy() -> Primitive:
    rng = np.random.default_rng(0)
    noise = lambda x: 1.0 + 1e-9 * float(rng.normal())
    return ad.elementwise("noisy_exp", lambda x: float(np.exp(x)), np.exp, lambda y, x: ad.mul(y, noise(x)))


def kept_by_shape() -> Primitive:
    """Return a row whose partial is computed once for every shape."""
    kept: dict[Any, Any] = {}
    slope = lambda y, x: kept.setdefault(np.shape(raw(x)), ad.cos(raw(x)))
    return ad.elementwise("kept_sin", lambda x: float(np.sin(x)), np.sin, slope)


def one_buffer() -> Primitive:
    """Return a row that gives the same memory every time."""
    buffers: dict[Any, Any] = {}

    def kernel(x: Any) -> Any:
        buffer = buffers.setdefault((x.shape, x.dtype), np.empty_like(x))
        return np.sin(x, out=buffer)

    return ad.elementwise("buffered_sin", lambda x: float(np.sin(x)), kernel, cos_of)


def clearing(_y: Any, x: Any) -> Any:
    """Return a right partial, and leave the operand empty."""
    slope = ad.cos(x)
    if isinstance(x, np.ndarray):
        x[...] = 0.0
    return slope


ELEMENTWISE = [
    elementwise("scaled_sin", np.sin, ad.sin, lambda y, x: 1.0005 * ad.cos(x), kind="scaled by 1.0005"),
    elementwise("nearly_exp", np.exp, ad.exp, lambda y, x: (1 + 1e-8) * y, kind="1e-8 off, beside a complex step"),
    elementwise(
        "nearly_softplus", lambda x: np.logaddexp(x, 0.0), ad.softplus, lambda y, x: (1 + 1e-5) * ad.sigmoid(x),
        kind="1e-5 off, beside a difference",
    ),
    elementwise("flipped_cos", np.cos, ad.cos, lambda y, x: ad.sin(x), kind="sign flipped"),
    elementwise(
        "flipped_arctan2", np.arctan2, ad.arctan2, lambda y, a, b: b / (a * a + b * b),
        lambda y, a, b: a / (a * a + b * b), kind="sign flipped, as of a conjugate", domain=[REAL, POSITIVE],
    ),
    elementwise(
        "short_silu", lambda x: x / (1 + np.exp(-x)), ad.silu, lambda y, x: ad.sigmoid(x), kind="a term dropped"
    ),
    elementwise("half_square", np.square, ad.square, lambda y, x: x, kind="factor 2 missing"),
    elementwise("double_sub", np.subtract, ad.sub, 1.0, -2.0, kind="factor 2"),
    elementwise("swapped_mul", np.multiply, ad.mul, lambda y, a, b: a, lambda y, a, b: b, kind="partials swapped"),
    elementwise("tanh_of_y", np.tanh, ad.tanh, lambda y, x: 1 - ad.square(ad.tanh(y)), kind="taken at y, not at x"),
    elementwise("log_of_y", np.log, ad.log, lambda y, x: 1.0 / y, kind="taken at y, not at x", domain=[(1.5, np.inf)]),
    elementwise(
        "half_elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), ad.elu, 1.0,
        kind="wrong for negative operands", kinks=lambda x: x,
    ),
    elementwise(
        "near_arctan", np.arctan, ad.arctan, where_far(10.0, lambda y, x: 1e-3 * y, lambda y, x: 1 / (1 + x * x)),
        kind="wrong beyond 10",
    ),
    elementwise("zero_sin", np.sin, ad.sin, at_point(0.0, 0.0, cos_of), kind="wrong at 0"),
    elementwise("one_exp", np.exp, ad.exp, at_point(1.0, 2.0, lambda y, x: y), kind="wrong at 1"),
    elementwise(
        "one_hypot", np.hypot, ad.hypot, lambda y, a, b: ad.where(np.equal(raw(b), -3.0), 0.0, a / y),
        lambda y, a, b: b / y, kind="wrong at -3", domain=[POSITIVE, REAL],
    ),
    elementwise(
        "greedy_maximum", np.maximum, ad.maximum, lambda y, a, b: 1.0 * (raw(a) >= raw(b)),
        lambda y, a, b: 1.0 * (raw(b) >= raw(a)), kind="wrong at ties", kinks=lambda a, b: a - b,
    ),
    elementwise(
        "open_clip", np.clip, ad.clip, 1.0, lambda y, x, a, b: 1.0 * (raw(x) < raw(a)),
        lambda y, x, a, b: 1.0 * (raw(x) > raw(b)), kind="1 outside of the bounds",
        kinks=lambda x, a, b: (x - a) * (x - b) * (a - b), domain=[(-3.0, 3.0), (-2.0, -1.0), (1.0, 2.0)],
    ),
    elementwise(
        "sqrt_with_eps", np.sqrt, ad.sqrt, lambda y, x: 0.5 / ad.sqrt(x + 1e-8), kind="eps inside", domain=[POSITIVE]
    ),
    elementwise(
        "clipped_log", np.log, ad.log, lambda y, x: 1.0 / ad.maximum(x, 0.05), kind="clipped", domain=[POSITIVE]
    ),
    elementwise("first_order_sin", np.sin, ad.sin, lambda y, x: np.cos(raw(x)), kind="second order lost"),
    elementwise(
        "scaled_second", np.exp, ad.exp, lambda y, x: ad.add(1.001 * y, -0.001 * raw(y)), kind="second order wrong"
    ),
    Rule("third order lost", without_third, ad.sin),
    elementwise(
        "single_softplus", lambda x: np.logaddexp(x, 0.0), ad.softplus, lambda y, x: single(ad.sigmoid(x)),
        kind="rounded to float32",
    ),
    elementwise("single_exp", np.exp, ad.exp, lambda y, x: single(y), kind="rounded to float32"),
    elementwise(
        "coarse_float_exp", np.exp, ad.exp, lambda y, x: y, kind="floats unlike arrays",
        scalar=lambda x: 2.718281828**x, says="the kernel for floats gives",
    ),
    elementwise(
        "float_sign_cos", np.cos, ad.cos, lambda y, x: ad.sin(x) if type(raw(x)) is float else ad.neg(ad.sin(x)),
        kind="floats unlike arrays", says="for Values",
    ),
    elementwise(
        "numpy_cos", np.sin, ad.sin, lambda y, x: np.cos(x), kind="a float gives a float64",
        says="of floats its partial 0 is a float64",
    ),
    elementwise(
        "dividing", lambda a, b: np.asarray(a) / np.asarray(b), ad.div, lambda y, a, b: 1 / b, lambda y, a, b: -y / b,
        kind="floats raise an error", scalar=lambda a, b: a / b, says="floats raise ZeroDivisionError",
    ),
    elementwise(
        "wide_sin", lambda x: np.sin(x, dtype=np.float64), ad.sin, cos_of, kind="float32 becomes float64",
        says="its kernel gives float64 for float32",
    ),
    elementwise(
        "writing_sin", lambda x: np.sin(x, out=x), ad.sin, cos_of, kind="operand changed",
        scalar=lambda x: float(np.sin(x)), says="its kernel changes an array that it is given",
    ),
    elementwise(
        "clearing_sin", np.sin, ad.sin, clearing, kind="operand changed",
        says="its partial 0 changes an array that it is given",
    ),
    Rule("not repeatable", noisy, ad.exp, says="its partial 0 gives something else when it is called again"),
    Rule("stale cache", kept_by_shape, ad.sin, says="for Values"),
    Rule("aliased buffer", one_buffer, ad.sin, says="its kernel writes over"),
]  # fmt: skip
