"""What NumPy is asked, for every operation: the calls that are compared, as data.

An entry has our function, NumPy's (or the same written in plain NumPy where NumPy has none), and calls: shapes of
operands with sides 0, 1, 2 and 3, and further arguments, right ones and wrong ones. Both functions take the same.

Left out are accidents of NumPy's that our documentation does not promise: counts and axes that are no integers (np.pad
of a number by 1.5, np.linalg.norm along 1.0), indices out of range that go unnoticed because an array is empty
(np.take), spaces within the dots of an einsum, and np.split into 0 parts, which is a ZeroDivisionError there and a
ShapeError here.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import autodiff as ad
from autodiff.primitive import REGISTRY, Elementwise

row = SimpleNamespace(**REGISTRY)

SHAPES = [shape for rank in range(4) for shape in itertools.product((0, 1, 2, 3), repeat=rank)]
FLAT = [shape for shape in SHAPES if len(shape) <= 2]
SOLID = [(2, 3, 2), (2, 2, 2), (1, 3, 1), (3, 0, 2)]
FEW = [(), (1,), (3,), (2,), (0,), (2, 1), (2, 3), (1, 0)]

# Multiples of 1/8, whose sums and products are exact also in float32: the order of adding makes no difference to them.
# Their number is prime, so that no side of a shape divides it.
EXACT = np.random.default_rng(0).permutation(np.arange(-14, 15)) / 8
POWERS_OF_TWO = np.array([1, -2, 0.5, 4, -0.25, -1, 2, 0.5, -0.5, 1, 2])
SPECIAL = np.array([0.5, -0.0, np.inf, 1, -2, np.nan, 3, 0, -np.inf, 1e30, -1, 40, -1e-30, 0.7, -0.3, 2, 1e-38])
SORTABLE = np.concatenate([EXACT, [np.nan, np.inf, -np.inf, 0.5]])


DOUBLE, SINGLE, MIXED = (np.float64,), (np.float32,), (np.float32, np.float64)


class Call(NamedTuple):
    """The shapes of the operands, and what else a function is given."""

    shapes: tuple[tuple[int, ...], ...]
    args: tuple[Any, ...] = ()
    params: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        named = [f"{key}={value}" for key, value in self.params.items()]
        return ", ".join([*map(str, self.shapes), *map(repr, self.args), *named])


class Entry(NamedTuple):
    """One operation, NumPy's form of it and the calls to compare.

    Attributes:
        pool: the numbers that operands are filled with, over and over.
        ulps: 0 where both run the same kernel, or numbers of which every result is exact; else how many units in the
            last place of the larger of 1 and the result are granted, for formulas written in another way.
        dtypes: patterns of dtypes, whose entries the operands get in turn; the result must have NumPy's.
        takes_tensors: whether NumPy's form is made of functions that accept our Tensor.
    """

    name: str
    ours: Callable[..., Any]
    numpys: Callable[..., Any]
    calls: Callable[[], Iterable[Call]]
    pool: np.ndarray = EXACT
    ulps: int = 0
    dtypes: tuple[tuple[type, ...], ...] = (DOUBLE, SINGLE, MIXED)
    takes_tensors: bool = True


def calls(shapes: Iterable[Any], args: Iterable[Any] = ((),), params: Iterable[Any] = ({},)) -> Callable[[], Any]:
    """Return what makes a call for every shape (or tuple of shapes), arguments and parameters."""
    shapes = [shape if shape and isinstance(shape[0], tuple) else (shape,) for shape in shapes]
    return lambda: itertools.starmap(Call, itertools.product(shapes, args, params))


def pairs(first: Iterable[Any], second: Iterable[Any] | None = None) -> list[Any]:
    first = list(first)
    return list(itertools.product(first, first if second is None else list(second)))


ALL_PAIRS = pairs(SHAPES)
TRIPLES = list(itertools.product(FEW, repeat=3))


def joined(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f with its operands in one list."""
    return lambda *xs, **params: f(list(xs), **params)


def method(name: str) -> Callable[..., Any]:
    """Return the function that calls a method of its operand."""
    return lambda x, *args, **params: getattr(x, name)(*args, **params)


# ---- elementwise rows ------------------------------------------------------------------------------------------------

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _normal_cdf(x: Any) -> Any:
    return (0.5 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype)


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


# Rows that are no ufunc of NumPy's: the formula, and the units in the last place that its rounding may cost
FORMULAS: dict[str, tuple[Callable[..., Any], int]] = {
    "power": (np.power, 0),
    "clip": (np.clip, 0),
    "weighted_sum": (lambda b, w, x: b + w * x, 0),
    "sech2": (lambda x: 1 / np.cosh(x) ** 2, 8),
    "sigmoid": (_logistic, 4),
    "log_sigmoid": (lambda x: -np.log1p(np.exp(-x)), 4),
    "softplus": (lambda x: np.log1p(np.exp(x)), 4),
    "relu": (lambda x: np.maximum(x, 0), 0),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), 0),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), 1),
    "selu": (lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)), 1),
    "normal_cdf": (_normal_cdf, 4),
    "gelu": (lambda x: x * _normal_cdf(x), 8),
    "silu": (lambda x: x * _logistic(x), 8),
    "softsign": (lambda x: x / (1 + np.abs(x)), 0),
    "squared_error": (lambda a, b: (a - b) ** 2, 0),
    "logistic_error": (lambda z, t: _logistic(z) - t, 8),
    "binary_cross_entropy_with_logits": (lambda z, t: np.log1p(np.exp(z)) - z * t, 16),
    "step": (lambda x: np.heaviside(x, 0), 0),
}  # fmt: skip
ALIASES = [("abs", np.fabs), ("power", np.float_power), ("round", np.round), ("round", np.around)]


def elementwise_entries() -> Iterator[Entry]:
    for name, op in REGISTRY.items():
        if isinstance(op, Elementwise) and (isinstance(op.array, np.ufunc) or name in FORMULAS):
            numpys, ulps = FORMULAS.get(name, (op.array, 0))
            shapes = {1: SHAPES, 2: ALL_PAIRS}.get(op.arity or 3, TRIPLES)
            pool = EXACT if ulps else SPECIAL
            tensors = name not in ("normal_cdf", "gelu", "step")
            yield Entry(name, op, numpys, calls(shapes), pool, ulps, takes_tensors=tensors)
    for name, numpys in ALIASES:
        dtypes = (DOUBLE,) if name == "power" else (DOUBLE, SINGLE)  # np.float_power computes in float64 only
        shapes = pairs(FLAT) if name == "power" else SHAPES
        yield Entry(name, getattr(row, name), numpys, calls(shapes), SPECIAL, dtypes=dtypes)
    conditions = [(np.resize([True, False, False], shape),) for shape in FEW]
    where = lambda f: lambda a, b, condition: f(condition, a, b)
    yield Entry("where", where(row.where), where(np.where), calls(pairs(FEW), conditions), SPECIAL)


# ---- reductions ------------------------------------------------------------------------------------------------------

INTEGERS = [*range(-4, 4)]  # for three axes out of range at both ends
TUPLES = [
    (), (0,), (-1,), (3,), (0, 1), (1, 0), (-1, 0), (0, 2), (2, 1), (0, -3), (0, 0), (0, -1), (1, -1), (0, 3),
    (0, 1, 2), (2, -2, 0),
]  # fmt: skip
NOT_AXES = [1.0, "0"]
KEEP = [{"keepdims": False}, {"keepdims": True}]
AXES = [{"axis": axis, **keep} for axis in [None, *INTEGERS, *TUPLES, *NOT_AXES] for keep in KEEP]
DDOF = [{**params, "ddof": ddof} for params in AXES for ddof in (0, 1, 2)]


def need_one_shape(a: Any, b: Any) -> None:
    if a.shape != b.shape:
        raise ValueError("shapes differ")


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    top = np.max(x, axis=axis, keepdims=True)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=keepdims))
    return y + (top if keepdims else np.reshape(top, y.shape))


def softmax(x: Any, axis: Any = -1) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: Any = -1) -> Any:
    return x - logsumexp(x, axis=axis, keepdims=True)


def cross_entropy(x: Any, t: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    need_one_shape(x, t)
    return -np.sum(t * log_softmax(x, axis), axis=axis, keepdims=keepdims)


def mean_squared_error(a: Any, b: Any, **params: Any) -> Any:
    need_one_shape(a, b)
    return np.mean((a - b) ** 2, **params)


def mean_cross_entropy(z: Any, t: Any, **params: Any) -> Any:
    need_one_shape(z, t)
    return np.mean(np.log1p(np.exp(z)) - z * t, **params)


def norm(x: Any, **params: Any) -> Any:
    return np.sqrt(np.sum(np.square(x), **params))


def tensors_norm(x: Any, **params: Any) -> Any:
    """np.linalg.norm, which autodiff has under this name only, by way of a Tensor if x is none."""
    return np.linalg.norm(x if isinstance(x, ad.Node) else ad.Tensor(x), **params)


def reduction_entries() -> Iterator[Entry]:
    for name in ("sum", "mean", "max", "min", "prod"):
        for shapes, pool in ((SHAPES, EXACT), (FLAT, SPECIAL)):
            yield Entry(name, getattr(row, name), getattr(np, name), calls(shapes, params=AXES), pool)
    for name in ("var", "std"):
        yield Entry(name, getattr(row, name), getattr(np, name), calls(SHAPES, params=DDOF))
    for name in ("sum", "mean", "max", "min", "prod", "var", "std"):  # with positional arguments
        positional = [(axis,) for axis in (None, *INTEGERS, *TUPLES, *NOT_AXES)]
        yield Entry(name, method(name), method(name), calls(FLAT, positional, KEEP))
    yield Entry("norm", row.norm, norm, calls(SHAPES, params=AXES))
    vectors_and_matrices = [{"axis": axis, **keep} for axis in [None, *INTEGERS, *TUPLES] for keep in KEEP]
    yield Entry("norm", tensors_norm, np.linalg.norm, calls(SHAPES, params=vectors_and_matrices))
    frobenius = [{"ord": "fro", **params} for params in vectors_and_matrices]
    yield Entry("norm", tensors_norm, np.linalg.norm, calls(SHAPES, params=frobenius))
    # Of a matrix the order 2 is another norm than Euclid's, which we refuse
    euclidean = [{"ord": 2, "axis": axis, **keep} for axis in INTEGERS for keep in KEEP]
    yield Entry("norm", tensors_norm, np.linalg.norm, calls(SHAPES, params=euclidean))
    losses = [(shape, shape) for shape in SHAPES] + [((2, 3), (3,)), ((2, 3), (2, 1)), ((2,), ()), ((0,), (1,))]
    yield Entry("mean_squared_error", row.mean_squared_error, mean_squared_error, calls(losses, params=AXES))
    name = "mean_binary_cross_entropy_with_logits"
    yield Entry(name, getattr(row, name), mean_cross_entropy, calls(losses, params=AXES), ulps=16)
    # NumPy's sum lets axis 0 and -1 of a number pass; these, which are not NumPy's, do not
    yield Entry("logsumexp", row.logsumexp, logsumexp, calls(SHAPES[1:], params=AXES), ulps=8)
    losses = [shapes for shapes in losses if shapes[0] != ()]
    yield Entry("softmax_cross_entropy", row.softmax_cross_entropy, cross_entropy, calls(losses, params=AXES), ulps=32)
    axes = [{"axis": axis} for axis in (None, *INTEGERS, *TUPLES, *NOT_AXES)]
    yield Entry("softmax", row.softmax, softmax, calls(SHAPES[1:], params=axes), ulps=4)
    yield Entry("log_softmax", row.log_softmax, log_softmax, calls(SHAPES[1:], params=axes), ulps=16)


def running_entries() -> Iterator[Entry]:
    for name, ours in (("cumsum", row.cumsum), ("cumprod", ad.cumprod)):
        pool = POWERS_OF_TWO  # of which also long products are exact
        axes = [None, *INTEGERS, *TUPLES, *NOT_AXES]
        yield Entry(name, ours, getattr(np, name), calls(SHAPES, params=[{"axis": axis} for axis in axes]), pool)
        yield Entry(name, method(name), method(name), calls(SHAPES, [(), *((axis,) for axis in axes)]), pool)
    yield Entry("sort", ad.sort, np.sort, calls(SHAPES, [(), *((axis,) for axis in axes)]), SORTABLE)


# ---- layout ----------------------------------------------------------------------------------------------------------

TARGETS = [
    (), 1, 2, 6, -1, -2, (-1,), (0,), (3,), (6,), (1, -1), (-1, 1), (2, -1), (-1, 0), (0, -1), (-1, -1), (2, 3), (3, 2),
    (1, 1), (0, 3), (3, 0, 2), (3, 1, 2), (2, 1, 3, 1), (1.5,), (-2, 3),
]  # fmt: skip
PERMUTATIONS = [p for rank in range(4) for p in itertools.permutations(range(rank))]
ORDERS = [*PERMUTATIONS, (-1, 0), (-1, 0, 1), (0, 0), (0, 0, 1), (0, 2), (0, 1, 3), (0, -1, 1), (1.0, 0)]
SEVERAL_AXES = [(), (0,), (0, 1), (1, 0), (0, -1), (0, 0), (2, 0, 1), (0, 3)]


def layout_entries() -> Iterator[Entry]:
    yield Entry("reshape", lambda x, to: row.reshape(x, shape=to), np.reshape, calls(SHAPES, [(to,) for to in TARGETS]))
    yield Entry("reshape", method("reshape"), method("reshape"), calls(SHAPES, [(to,) for to in TARGETS]))
    yield Entry(
        "reshape", method("reshape"), method("reshape"), calls(SHAPES, [(), *(to for to in TARGETS if np.ndim(to))])
    )
    yield Entry(
        "broadcast_to",
        lambda x, shape: row.broadcast_to(x, shape=shape),
        np.broadcast_to,
        calls(SHAPES, [(to,) for to in (*SHAPES, *TARGETS, (2, 1, 2, 3))]),
    )
    orders = [None, *ORDERS]
    yield Entry("transpose", lambda x, o: row.transpose(x, axes=o), np.transpose, calls(SHAPES, [(o,) for o in orders]))
    yield Entry("transpose", method("transpose"), method("transpose"), calls(SHAPES, [(), *ORDERS]))
    yield Entry("ravel", ad.ravel, np.ravel, calls(SHAPES))
    yield Entry("swapaxes", ad.swapaxes, np.swapaxes, calls(SHAPES, [*pairs(INTEGERS), (1.0, 0)]))
    ends = [*pairs(INTEGERS), *pairs(SEVERAL_AXES), (0, (1,)), ((0, 1), 0), (0, 1.0)]
    yield Entry("moveaxis", ad.moveaxis, np.moveaxis, calls(SHAPES, ends))
    news = [*range(-5, 5), *SEVERAL_AXES, (-1, -2), (4, 0), (5,), 1.0]
    yield Entry("expand_dims", ad.expand_dims, np.expand_dims, calls(SHAPES, [(axis,) for axis in news]))
    olds = [None, *INTEGERS, *TUPLES, 1.0]
    yield Entry("squeeze", ad.squeeze, np.squeeze, calls(SHAPES, [(axis,) for axis in olds]))
    axes = [None, *INTEGERS]
    repeats = [0, 1, 2, -1, [1], [2, 1], [0, 3], [1, 0, 2], [2, -1], [], [[1, 2]]]
    yield Entry("repeat", ad.repeat, np.repeat, calls(SHAPES, pairs(repeats, axes)))
    reps = [0, 1, 2, (2,), (1, 2), (2, 0), (), (2, 1, 2), (1, 1, 1, 2), 1.5, -1, (1, -1)]
    yield Entry("tile", ad.tile, np.tile, calls(SHAPES, [(r,) for r in reps]))
    widths = [
        0, 1, (1, 2), ((1, 2),), ((0, 1), (2, 0)), ((1, 0), (0, 0), (2, 1)), ((1,), (2,)), -1, (1, -1), (1, 2, 3), 1.5
    ]  # fmt: skip
    borders = [{}, {"constant_values": 2.5}]
    yield Entry("pad", ad.pad, np.pad, calls(SHAPES[1:], [(w,) for w in widths], borders))
    yield Entry("pad", ad.pad, np.pad, calls([()], [(w,) for w in widths if w != 1.5], borders))
    yield Entry("flip", ad.flip, np.flip, calls(SHAPES, [(axis,) for axis in (None, *INTEGERS, *TUPLES, 1.0)]))
    shifts = [0, 1, -1, 2, 7, 1.5, (1, 2), (1, -1, 3)]
    yield Entry("roll", ad.roll, np.roll, calls(SHAPES, pairs(shifts, [*axes, *TUPLES, 1.0])))
    for name in ("triu", "tril"):
        yield Entry(name, getattr(ad, name), getattr(np, name), calls(SHAPES, [(k,) for k in range(-4, 5)]))
    diagonals = [(k,) for k in range(-4, 5)] + [(0, *axes) for axes in pairs(INTEGERS)] + [(1, 2, 0), (-1, -1, 0)]
    yield Entry("diagonal", ad.diagonal, np.diagonal, calls(SHAPES, diagonals))
    yield Entry("trace", ad.trace, np.trace, calls(SHAPES, diagonals))


def conversion_entries() -> Iterator[Entry]:
    """Rows that NumPy has as a method, or has not. A Value is a Python float, so some are for float64 only."""

    def sum_to(x: Any, shape: Any) -> Any:
        lead = np.ndim(x) - len(shape)
        ones = [lead + i for i, n in enumerate(shape) if n == 1]
        return np.reshape(np.sum(x, axis=(*range(lead), *ones)), shape)

    narrower = [((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3), ()), ((0, 3), (3,)), ((2, 0), (2, 1)), ((3, 2, 1), (2, 1))]
    narrowed = lambda: (Call((shape,), (to,)) for shape, to in narrower)
    yield Entry("sum_to", lambda x, shape: row.sum_to(x, shape=shape), sum_to, narrowed)
    ours, numpys = lambda x, dtype: row.cast(x, dtype=dtype), lambda x, dtype: x.astype(dtype)
    yield Entry("cast", ours, numpys, calls(SHAPES, [(np.float64,), (np.float32,)]))
    yield Entry("item", row.item, lambda x: x.reshape(()), calls(SHAPES), dtypes=(DOUBLE,))
    values = [((),) * n for n in (1, 2, 3)]
    yield Entry(
        "from_values", row.from_values, lambda *xs: np.array(xs), calls(values), dtypes=(DOUBLE,), takes_tensors=False
    )


# ---- indexing --------------------------------------------------------------------------------------------------------

INDICES = [
    0, -1, 2, 3, -4, None, ..., True, False, slice(None), slice(None, None, -1), slice(1, None, 2), slice(2, 0, -1),
    slice(5, 9), slice(-9, 9, 3), slice(None, None, 0), slice(1.5), (), (0,), (0, 0), (0, 0, 0), (0, 0, 0, 0),
    (slice(None), 1), (..., 0), (..., None), (None, ...), (0, ..., -1), (..., slice(None, None, -1)), (..., ...),
    (None, 0, None), [0], [], [0, 0, 1], [2, -3], [3], [[0, 1], [1, 0]], ([0, 1], [1, 0]), ([0], ..., [0]),
    ([0, 1], [0, 1, 1]),
    (slice(None), [1, 0]), ([[0], [1]], [1, 0]), ([0, 0], slice(None), [1, 1]), (0, slice(None), [0, 0]),
    [True], [True, False], [True, False, True], [False, False, False], (slice(None), [False, True]),
    1.0, [0.0], "a", np.array(0), np.array([1, 1], dtype=np.int8), np.zeros((0, 2), dtype=int),
]  # fmt: skip


def index_calls() -> Iterator[Call]:
    for shape in SHAPES:
        masks = [np.zeros(shape, bool), np.ones(shape, bool), np.arange(int(np.prod(shape))).reshape(shape) % 2 == 0]
        for index in [*INDICES, *masks]:
            yield Call((shape,), (index,))


def scatter_calls() -> Iterator[Call]:
    for call in index_calls():
        (shape,), (index,) = call.shapes, call.args
        try:
            part = np.zeros(shape)[index].shape
        except (IndexError, TypeError, ValueError):
            continue
        yield Call((part,), (index, shape))


def scattered(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, x.dtype)
    np.add.at(out, index, x)
    return out


def goes_unnoticed(call: Call) -> bool:
    """Whether an index out of range escapes NumPy because the result is empty anyway."""
    (shape,), (indices,), axis = call.shapes, call.args, call.params["axis"]
    if axis is None or not -len(shape) <= axis < len(shape) or not np.size(indices):
        return False
    inside = np.less(indices, shape[axis]) & np.greater_equal(indices, -shape[axis])
    return 0 in np.delete(shape, axis) and not inside.all()


def index_entries() -> Iterator[Entry]:
    getitem = lambda x, index: x[index]
    yield Entry("getitem", lambda x, index: row.getitem(x, index=index), getitem, index_calls)
    scatter = lambda x, index, shape: row.scatter(x, index=index, shape=shape)
    yield Entry("scatter", scatter, scattered, scatter_calls, takes_tensors=False)
    empty = np.zeros((0, 2), dtype=int)
    indices = [(i,) for i in (0, -1, 2, -4, [0, 0, 1], [[0, 1], [1, 0]], [3], [-3, 2], [], empty, [True, False], 1.0)]
    axes = [{"axis": axis} for axis in (None, *INTEGERS)]
    every = calls(SHAPES, indices, axes)
    yield Entry("take", ad.take, np.take, lambda: itertools.filterfalse(goes_unnoticed, every()))
    yield Entry("take", method("take"), method("take"), calls([(1,), (3,), (2, 3)], indices, axes))


# ---- joining and splitting -------------------------------------------------------------------------------------------


def joining_entries() -> Iterator[Entry]:
    shapes = [*pairs(FLAT), *pairs(SOLID), *pairs(SOLID, FEW), *((shape,) for shape in [(3,), (2, 3), ()])]
    axes = [{"axis": axis} for axis in INTEGERS]
    fixed = [shape if isinstance(shape[0] if shape else None, tuple) else (shape,) for shape in shapes]
    anywhere = [{}, {"axis": None}, *axes]
    yield Entry("concatenate", joined(ad.concatenate), joined(np.concatenate), calls(fixed, params=anywhere))
    yield Entry("concatenate", row.concatenate, lambda *xs, **p: np.concatenate(xs, **p), calls(fixed, params=axes))
    yield Entry("stack", joined(ad.stack), joined(np.stack), calls(fixed, params=[{}, *axes]))
    parts = [1, 2, 3, 4, -1, [1], [0, 2], [-1], [2, 1], [], [5], (1, 1)]
    yield Entry("split", ad.split, np.split, calls(SHAPES, pairs(parts, INTEGERS)))


# ---- contractions ----------------------------------------------------------------------------------------------------

RANK_4 = [(1, 2, 2, 3), (2, 1, 3, 2), (2, 3, 0, 2), (1, 1, 3, 3), (3, 2, 2, 0), (2, 2, 1, 1)]
CONTRACTED = [
    0, 1, (0, 0), (-1, 0), (1, -2), ((0,), (1,)), ((0, 1), (1, 0)), ((0, 1), (0,)), ((), ()), (5, 0), ((0, 0), (0, 0)),
]  # fmt: skip
ONE_OPERAND = [
    "ii->", "ii->i", "iij->ij", "iii->i", "ij->ji", "ij->", "ij->j", "ij", "ba", "ii", "->", "", "i->", "i->i", "...",
    "...i->...", "...ii->...i", "i...->...i", "...ij->...ji", "ij...->...", "ij->k", "i->ii", "ij->ijj", "i,i->",
    "i->j", "i-j", "1->1", "ijk->kij", " i j -> j i ",
    "i...j...->", "......", "i->......", "i->...", "i.j", ".",
]  # fmt: skip
TWO_OPERANDS = [
    "i,i->", "i,i->i", "i,j->ij", "ij,jk->ik", "ij,jk", "ij,ij->i", "ii,i->", "ij,k->k", ",ij->ij", "ij,->ij",
    "...ij,...jk->...ik", "...i,...i->...", "i...,...i->...", "...,...", "i,i,i->", "i->i", "ij,kj->ik",
]  # fmt: skip


def affine(x: Any, w: Any, b: Any) -> Any:
    """A bias longer than the only output would widen it, which is no layer: refused."""
    y = x @ w.T
    if np.broadcast_shapes(y.shape, b.shape) != y.shape:
        raise ValueError("the bias does not fit")
    return y + b


def contraction_entries() -> Iterator[Entry]:
    deep = [*pairs(RANK_4), *pairs(RANK_4, SHAPES), *pairs(SHAPES, RANK_4)]
    yield Entry("matmul", row.matmul, np.matmul, calls([*ALL_PAIRS, *deep]))
    yield Entry("matmul", lambda a, b: a @ b, lambda a, b: a @ b, calls(pairs(FLAT)))
    for name in ("dot", "inner", "vdot"):
        yield Entry(name, getattr(ad, name), getattr(np, name), calls(ALL_PAIRS))
    some = [*pairs(FLAT), *pairs(SOLID), *pairs(SOLID, FLAT), *pairs(FLAT, SOLID)]
    yield Entry("outer", ad.outer, np.outer, calls(some))
    yield Entry("tensordot", ad.tensordot, np.tensordot, calls(some, [(axes,) for axes in CONTRACTED]))
    yield Entry("tensordot", ad.tensordot, np.tensordot, calls(some, [(), (2,), (3,), (-1,)]))

    def with_subscripts(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *xs: f(xs[-1], *xs[:-1])

    one = calls(SHAPES, [(text,) for text in ONE_OPERAND])
    safe = lambda: (call for call in one() if not reads_foreign_memory(call))
    yield Entry("einsum", with_subscripts(ad.einsum), with_subscripts(np.einsum), safe)
    two = calls(some, [(text,) for text in TWO_OPERANDS])
    yield Entry("einsum", with_subscripts(ad.einsum), with_subscripts(np.einsum), two)
    three = list(itertools.product([(2, 3), (3, 2), (2, 2), (1, 2), (0, 2)], repeat=3))
    yield Entry("einsum", with_subscripts(ad.einsum), with_subscripts(np.einsum), calls(three, [("ij,jk,kl->il",)]))
    weights = [(3, 2), (2, 3), (1, 1), (3, 0), (0, 2), (2, 1)]
    layers = itertools.product(SHAPES[1:], weights, [(), (3,), (1,), (2,), (0,)])
    yield Entry("linear", row.linear, affine, calls(layers), dtypes=(DOUBLE, SINGLE, MIXED, MIXED[::-1]))


def reads_foreign_memory(call: Call) -> bool:
    """Whether np.einsum takes a diagonal of which one side is 0 and one is not: a bug of NumPy's (2.4); we refuse."""
    text, shape = call.args[0], call.shapes[0]
    sides = {"...ii->...i": shape[-2:], "ii->i": shape, "iij->ij": shape[:2], "iii->i": shape}.get(text, ())
    return 0 in sides and any(sides)


ENTRIES = [
    *elementwise_entries(),
    *reduction_entries(),
    *running_entries(),
    *layout_entries(),
    *conversion_entries(),
    *index_entries(),
    *joining_entries(),
    *contraction_entries(),
]
BY_NAME = {
    name: [entry for entry in ENTRIES if entry.name == name] for name in dict.fromkeys(entry.name for entry in ENTRIES)
}

# ---- making the calls ------------------------------------------------------------------------------------------------


def asked(entry: Entry, dtypes: tuple[type, ...]) -> Iterator[Call]:
    """Yield the calls of an entry: for other dtypes than float64, those without operands of three axes."""
    for call in entry.calls():
        if len(call.shapes) >= len(dtypes) and (dtypes == DOUBLE or all(len(shape) < 3 for shape in call.shapes)):
            yield call


@functools.cache
def operand(pool: bytes, shape: tuple[int, ...], position: int, dtype: type) -> np.ndarray:
    """Return an array filled with the numbers of the pool, beginning elsewhere at each position."""
    numbers = np.roll(np.frombuffer(pool), -7 * position).astype(dtype)
    array = np.resize(numbers, shape) if shape else np.array(numbers[0])
    array.flags.writeable = False
    return array


def operands_of(entry: Entry, call: Call, dtypes: tuple[type, ...]) -> list[np.ndarray]:
    """Return the arrays that one call is made with."""
    pool = entry.pool.astype(np.float64).tobytes()
    return [operand(pool, shape, i, dtypes[i % len(dtypes)]) for i, shape in enumerate(call.shapes)]


def outcome(f: Callable[..., Any], operands: Iterable[Any], call: Call) -> Any:
    """Return what f gives, or the exception that it raises."""
    try:
        return f(*operands, *call.args, **call.params)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
        return error
