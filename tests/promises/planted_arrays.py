"""Planted faults, as data: wrong rows of operations on whole arrays; see planted.py."""

from typing import Any

import numpy as np

import autodiff as ad
from autodiff.primitive import Primitive, raw

from .planted import Rule, numbers

VECTOR, SQUARE, WIDE, TALL = numbers(4), numbers(3, 3), numbers(2, 3), numbers(3, 2)
MASK = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
PUSHES = (None, lambda t, y, c, a, b: ad.where(c, t, 0.0), lambda t, y, c, a, b: ad.where(c, 0.0, t))
REPEATED = {"index": [0, 2, 0]}


def array_op(
    name: str,
    kernel: Any,
    right: Any,
    *pullbacks: Any,
    kind: str,
    operands: tuple[Any, ...] = (),
    params: Any = None,
    says: str = "",
    **facts: Any,
) -> Rule:
    """Return a wrong row of an operation on whole arrays."""
    return Rule(kind, lambda: ad.array_op(name, kernel, *pullbacks, **facts), right, operands, params, says)


def doubling(g: Any, *_: Any) -> Any:
    """Return what is right for y = 2x, but leave g doubled behind."""
    if isinstance(g, np.ndarray):
        g *= 2
        return g
    return 2 * g


def silent_softmax(g: Any, y: Any, _x: Any) -> Any:
    """Return the right gradient, but cut off from the graph."""
    g, y = raw(g), raw(y)
    return y * (g - np.sum(y * g, axis=-1, keepdims=True))


def noisy_double() -> Primitive:
    rng = np.random.default_rng(0)
    return ad.array_op("noisy_double", lambda x: 2 * x, lambda g, y, x: g * (2 + 1e-9 * float(rng.normal())))


def kept_square() -> Primitive:
    kept: dict[Any, Any] = {}
    return ad.array_op(
        "kept_square",
        lambda x: x * x,
        lambda g, y, x: g * kept.setdefault(np.shape(raw(x)), 2 * raw(x)),
        pushforwards=[lambda t, y, x: 2 * x * t],
    )


def kept_ones() -> Primitive:
    ones = np.ones(WIDE.shape)
    slope = lambda g, y, x: ones if np.all(raw(g) == 1.0) else ad.broadcast_to(g, shape=x.shape)
    return ad.array_op("kept_ones", lambda x: np.sum(x), slope, fresh=True)


def third_lost() -> Primitive:
    """Return x**3 with a derivative 3 x**2 that can be differentiated once, but not twice."""
    silent = ad.array_op("silent_slope", lambda x: 3 * x * x, lambda g, y, x: 6 * raw(x) * g, pushforwards=[None])
    slope = lambda t, y, x: t * silent(x)
    return ad.array_op("cubes_to_second_order", lambda x: x**3, slope, pushforwards=[slope])


def assigned(g: Any, _y: Any, x: Any, *, index: Any) -> Any:
    found = np.zeros(np.shape(raw(x)))
    found[index] = raw(g)
    return found


def softmax_slope(t: Any, y: Any, _x: Any) -> Any:
    """Return the right pullback, which is the right pushforward as well."""
    return y * (t - ad.sum(y * t, axis=-1, keepdims=True))


def _softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def weight_along_0(_y: Any, x: Any, **_: Any) -> Any:
    """Return the weight of a logsumexp, divided by its sum along axis 0."""
    e = ad.exp(x)
    return e / ad.sum(e, axis=0, keepdims=True)


ARRAYS = [
    array_op(
        "square_transpose", lambda x: x.T, ad.transpose, lambda g, y, x: g, kind="transposed", operands=(SQUARE,)
    ),
    array_op(
        "crossed_matmul", np.matmul, ad.matmul, lambda g, y, a, b: g @ b, lambda g, y, a, b: ad.transpose(a) @ g,
        kind="transposed product", operands=(SQUARE, numbers(3, 3, seed=1)),
    ),
    array_op(
        "turned_matmul", np.matmul, ad.matmul, lambda g, y, a, b: g @ ad.transpose(b),
        lambda g, y, a, b: ad.transpose(g) @ a, kind="transposed product", operands=(WIDE, numbers(3, 3, seed=1)),
    ),
    array_op(
        "softmax_without_sum", _softmax, ad.softmax, lambda g, y, x: y * g, kind="only reverse mode wrong",
        operands=(WIDE,), pushforwards=[softmax_slope],
    ),
    array_op(
        "push_softmax", _softmax, ad.softmax, softmax_slope, kind="only forward mode wrong", operands=(WIDE,),
        pushforwards=[lambda t, y, x: y * t],
    ),
    array_op(
        "first_order_softmax", _softmax, ad.softmax, silent_softmax, kind="second order lost", operands=(WIDE,),
        pushforwards=[softmax_slope],
    ),
    array_op(
        "forward_cumsum", lambda x: np.cumsum(x, axis=0), lambda x: ad.cumsum(x, axis=0),
        lambda g, y, x: ad.cumsum(g, axis=0), kind="not reversed", operands=(TALL,),
    ),
    array_op(
        "sum_over_axis_0", lambda x, *, axis: np.sum(x, axis=axis, keepdims=True),
        lambda x, axis: ad.sum(x, axis=axis, keepdims=True),
        lambda g, y, x, *, axis: ad.broadcast_to(ad.transpose(g), shape=np.shape(raw(x))), kind="wrong axis",
        operands=(SQUARE,), params={"axis": 1},
    ),
    array_op(
        "averaged_sum", np.sum, ad.sum, lambda g, y, x: ad.broadcast_to(g / x.size, shape=x.shape), kind="mean for sum",
        operands=(WIDE,),
    ),
    array_op(
        "cumsum_without_axis", lambda x, *, axis: np.cumsum(x, axis=axis), ad.cumsum,
        lambda g, y, x, *, axis: ad.flip(ad.cumsum(ad.flip(g, 0), axis=0), 0), kind="metadata ignored",
        operands=(SQUARE,), params={"axis": 1},
    ),
    array_op(
        "assigned_take", lambda x, *, index: x[index], ad.getitem, assigned, kind="assigned, not accumulated",
        operands=(VECTOR,), params=REPEATED,
    ),
    array_op(
        "shifted_flip", lambda x: np.flip(x, 0), lambda x: ad.flip(x, 0),
        lambda g, y, x: ad.roll(ad.flip(g, 0), 1, axis=0), kind="off by one", operands=(VECTOR,),
    ),
    array_op(
        "column_missing", lambda x: 3 * x, lambda x: 3 * x,
        lambda g, y, x: ad.where(np.arange(len(x.T)) < 1, 3 * g, 0.0), kind="a column missing", operands=(TALL,),
    ),
    array_op(
        "leaking_where", np.where, ad.where, None, lambda g, y, c, a, b: g, lambda g, y, c, a, b: ad.where(c, 0.0, g),
        kind="the branch not taken", operands=(MASK, WIDE, numbers(2, 3, seed=1)), pushforwards=PUSHES,
    ),
    array_op(
        "squared_pullback", lambda x: 2 * x, lambda x: 2 * x, lambda g, y, x: 2 * g * g, kind="not linear",
        operands=(WIDE,),
    ),
    array_op(
        "absolute_pullback", np.sum, ad.sum, lambda g, y, x: ad.broadcast_to(ad.abs(g), shape=x.shape),
        kind="not linear", operands=(WIDE,), says="the pullback is not linear",
    ),
    array_op(
        "restless_double", lambda x: 2 * x, lambda x: 2 * x, lambda g, y, x: 2 * g + 1e-6, kind="not zero for zero",
        operands=(WIDE,),
    ),
    array_op(
        "hardly_restless_double", lambda x: 2 * x, lambda x: 2 * x, lambda g, y, x: 2 * g + 1e-12,
        kind="not zero for zero", operands=(WIDE,), says="the pullback of a zero gradient is not zero",
    ),
    array_op(
        "doubling", lambda x: 2 * x, lambda x: 2 * x, doubling, kind="upstream changed", operands=(WIDE,),
        says="its pullback 0 changes an array that it is given",
    ),
    Rule(
        "not repeatable", noisy_double, lambda x: 2 * x, (WIDE,),
        says="its pullback 0 gives something else when it is called again",
    ),
    Rule("stale cache", kept_square, ad.square, (WIDE,)),
    array_op(
        "borrowed_identity", lambda x: x, lambda x: x, lambda g, y, x: g, kind="not fresh", operands=(WIDE,),
        fresh=True, says="its kernel returns an array that it does not own; leave out fresh=True",
    ),
    array_op(
        "borrowed_slope", lambda x: x * x / 2, lambda x: x * x / 2,
        lambda g, y, x: x if np.all(raw(g) == 1.0) else g * x, kind="not fresh", operands=(WIDE,), fresh=True,
        pushforwards=[lambda t, y, x: t * x], says="its pullback 0 returns an array that it does not own",
    ),
    Rule(
        "not fresh", kept_ones, ad.sum, (WIDE,),
        says="its pullback 0 returns an array that it does not own",
    ),
    Rule("third order lost", third_lost, lambda x: x**3, (WIDE,)),
    array_op(
        "float_where", np.where, ad.where, None, lambda g, y, c, a, b: ad.where(c, g, 0.0),
        lambda g, y, c, a, b: ad.where(c, 0.0, g), kind="floats unlike arrays", scalar=lambda c, a, b: b if c else a,
        operands=(MASK, WIDE, numbers(2, 3, seed=1)), pushforwards=PUSHES, says="the kernel for floats gives",
    ),
    array_op(
        "integer_pullback", lambda x: 2.5 * x, lambda x: 2.5 * x, lambda g, y, x: np.trunc(2.5 * raw(g)),
        kind="truncated to integers", operands=(WIDE,),
    ),
    Rule(
        "wrong axis", lambda: ad.reduction("logsumexp_along_0", _logsumexp, weight_along_0), ad.logsumexp, (SQUARE,),
        {"axis": 1},
    ),
    Rule(
        "wrong at ties",
        lambda: ad.reduction("greedy_max", np.max, lambda y, x, **params: 1.0 * np.equal(raw(x), raw(y))),
        ad.max, (WIDE,),
    ),
    Rule("mean for sum", lambda: ad.reduction("mean_as_sum", np.mean, 1.0), ad.mean, (WIDE,)),
    Rule(
        "metadata ignored",
        lambda: ad.reduction("variance", np.var, lambda y, x, **params: 2 * (x - ad.mean(x)) / x.size),
        ad.var, (WIDE,), {"axis": 1},
    ),
]  # fmt: skip
