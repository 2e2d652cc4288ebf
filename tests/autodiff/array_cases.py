"""One table of cases for every structural row and every composite: what is called, and what NumPy says it gives.

A case is a function of arrays, a reference written in plain NumPy, and the shapes of the operands. The tests demand
that every registered row and every composite has at least one, and run every check on every case.
"""

import inspect
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import autodiff
from autodiff import functions
from autodiff.primitive import REGISTRY, Elementwise

from .numeric import on_grid

row = SimpleNamespace(**REGISTRY, cumprod=autodiff.cumprod)  # the table's verbs as attributes
fun = functions


class Case(NamedTuple):
    """One call of one operation."""

    name: str
    call: Callable[..., Any]
    reference: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def label(self) -> str:
        return f"{self.name} of {' '.join(map(str, self.shapes))}"


def cases(name, call, reference, *shapes):
    """Return a case for every entry of shapes: a shape for one operand, a list of shapes for several."""
    return [Case(name, call, reference, tuple(entry) if isinstance(entry, list) else (entry,)) for entry in shapes]


def with_params(name, call, reference, shapes, *params):
    """Return the cases of all shapes with all sets of keyword parameters."""
    return [
        case
        for p in params
        for case in cases(name, lambda *xs, p=p: call(*xs, **p), lambda *xs, p=p: reference(*xs, **p), *shapes)
    ]


def with_args(name, call, reference, shape, *args):
    """Return the cases of one shape with all tuples of further positional arguments."""
    return [
        case for a in args for case in cases(name, lambda x, a=a: call(x, *a), lambda x, a=a: reference(x, *a), shape)
    ]


# ---- references that NumPy lacks -----------------------------------------------------------------------------------


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def softmax(x, axis=-1):
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def log_softmax(x, axis=-1):
    return x - logsumexp(x, axis=axis, keepdims=True)


def norm(x, axis=None, keepdims=False):
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def cross_entropy(x, t, axis=-1, keepdims=False):
    return -np.sum(t * log_softmax(x, axis), axis=axis, keepdims=keepdims)


def mean_squared_error(a, b, axis=None, keepdims=False):
    return np.mean((a - b) ** 2, axis=axis, keepdims=keepdims)


def mean_cross_entropy(z, t, axis=None, keepdims=False):
    return np.mean(np.log1p(np.exp(z)) - z * t, axis=axis, keepdims=keepdims)


def scattered(x, index, shape):
    out = np.zeros(shape)
    np.add.at(out, index, x)
    return out


# ---- reductions: every axis, keepdims and shape --------------------------------------------------------------------

REDUCED_SHAPES = [(), (1,), (3,), (0,), (2, 3), (1, 3), (3, 1), (0, 2), (2, 0), (2, 3, 2), (2, 1, 3), (2, 0, 3)]
AXES = [None, 0, -1, 1, (0, 1), (-1, 0), (1,), ()]
REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "var": np.var,
    "std": np.std,
    "norm": norm,
    "logsumexp": logsumexp,
}
DDOF = {"axis": 0, "ddof": 1}
REDUCTION_PARAMS = [{"axis": axis, "keepdims": keep} for axis, keep in itertools.product(AXES, (False, True))]


def is_valid(reference, shape, params):
    """Whether NumPy accepts the axes for the shape, and the result is not one of nothing."""
    try:
        axes = np.lib.array_utils.normalize_axis_tuple(
            range(len(shape)) if params["axis"] is None else params["axis"], len(shape)
        )
    except ValueError:
        return False
    return reference in (np.sum, np.prod, norm) or 0 not in [shape[i] for i in axes]


def reduction_cases():
    found = []
    for name, reference in REDUCTIONS.items():
        for params in REDUCTION_PARAMS:
            shapes = [shape for shape in REDUCED_SHAPES if is_valid(reference, shape, params)]
            found += with_params(name, getattr(row, name), reference, shapes, params)
    for name, reference in (
        ("mean_squared_error", mean_squared_error),
        ("mean_binary_cross_entropy_with_logits", mean_cross_entropy),
    ):
        pairs = [[(), ()], [(3,), (3,)], [(2, 3), (2, 3)], [(2, 1), (2, 1)]]
        found += with_params(name, getattr(row, name), reference, pairs, {}, {"axis": None, "keepdims": True})
        found += with_params(
            name, getattr(row, name), reference, pairs[2:], {"axis": 0}, {"axis": (1, 0)}, {"axis": -1}
        )
    for name in ("var", "std"):
        found += with_params(name, getattr(row, name), REDUCTIONS[name], [(3,), (3, 2)], DDOF)
    return found


def softmax_cases():
    shapes = [(3,), (1,), (2, 3), (2, 1), (0, 3), (2, 3, 2)]
    found = []
    for axis in (0, -1):
        fitting = [shape for shape in shapes if shape[axis]]
        found += with_params("softmax", row.softmax, softmax, fitting, {"axis": axis})
        found += with_params("log_softmax", row.log_softmax, log_softmax, fitting, {"axis": axis})
        pairs = [[shape, shape] for shape in fitting]
        for keep in (False, True):
            params = {"axis": axis, "keepdims": keep}
            found += with_params("softmax_cross_entropy", row.softmax_cross_entropy, cross_entropy, pairs, params)
    found += with_params("softmax", row.softmax, softmax, [(2, 3, 2)], {"axis": (0, 2)})
    found += with_params("log_softmax", row.log_softmax, log_softmax, [(2, 3, 2)], {"axis": (0, 2)}, {})
    return found


def running_cases():
    shapes = [(3,), (1,), (0,), (5,), (2, 3), (3, 1), (0, 2), (2, 0), (2, 3, 2)]
    found = []
    for name in ("cumsum", "cumprod"):
        for axis in (None, 0, -1, 1):
            fitting = [shape for shape in shapes if axis is None or -len(shape) <= axis < len(shape)]
            found += with_params(name, getattr(row, name), getattr(np, name), fitting, {"axis": axis})
    return found


# ---- layout --------------------------------------------------------------------------------------------------------


def layout_cases():
    def reshaped(old, new):
        return cases("reshape", lambda x: row.reshape(x, shape=new), lambda x: np.reshape(x, new), old)

    def wide(old, new):
        return cases("broadcast_to", lambda x: row.broadcast_to(x, shape=new), lambda x: np.broadcast_to(x, new), old)

    def narrow(old, new, axes):
        return cases("sum_to", lambda x: row.sum_to(x, shape=new), lambda x: np.sum(x, axis=axes).reshape(new), old)

    found = [
        *reshaped((2, 3), (3, 2)), *reshaped((2, 3), (-1,)), *reshaped((2, 3), (1, 6, 1)), *reshaped((1,), ()),
        *reshaped((), (1, 1)), *reshaped((0, 2), (2, 0, 3)), *reshaped((2, 3), (2, -1)),
        *wide((), (2, 3)), *wide((1,), (3,)), *wide((3, 1), (2, 3, 4)), *wide((2, 3), (2, 3)), *wide((1,), (0,)),
        *wide((3,), (0, 3)),
        *narrow((2, 3), (3,), 0), *narrow((2, 3), (2, 1), 1), *narrow((2, 3), (), None),
        *narrow((2, 3, 4), (3, 1), (0, 2)),
        *narrow((0, 3), (3,), 0), *narrow((2, 3), (2, 3), ()),
    ]  # fmt: skip
    found += with_params(
        "transpose", row.transpose, lambda x, axes=None: np.transpose(x, axes), [(2, 3, 4)],
        {}, {"axes": (1, 2, 0)}, {"axes": (-1, 0, 1)}, {"axes": (0, 1, 2)},
    )  # fmt: skip
    found += with_params("transpose", row.transpose, lambda x: x.T, [(), (3,), (0, 2)], {})
    found += cases("cast", lambda x: row.cast(x, dtype=np.float64), lambda x: x, (2, 3), ())
    found += cases("item", row.item, lambda x: x.reshape(()), (), (1,), (1, 1))
    return found


def composite_layout_cases():
    return [
        *with_args("ravel", fun.ravel, np.ravel, (2, 3), ()),
        *with_args("ravel", fun.ravel, np.ravel, (), ()),
        *with_args("swapaxes", fun.swapaxes, np.swapaxes, (2, 3, 4), (0, 1), (0, -1), (1, 1)),
        *with_args("moveaxis", fun.moveaxis, np.moveaxis, (2, 3, 4), (0, -1), (2, 0), ((0, 1), (2, 0))),
        *with_args("moveaxis", fun.moveaxis, np.moveaxis, (2, 3, 4), ((-1, 0), (0, 1))),
        *with_args("expand_dims", fun.expand_dims, np.expand_dims, (2, 3), (0,), (-1,), (1,), ((0, -1),), ((0, 2),)),
        *with_args("expand_dims", fun.expand_dims, np.expand_dims, (), (0,), ((0, 1),)),
        *with_args("squeeze", fun.squeeze, np.squeeze, (1, 3, 1), (), (0,), (-1,), ((0, 2),)),
        *with_args("repeat", fun.repeat, np.repeat, (2, 3), (2,), (3, 0), (2, -1), ([1, 0, 2], 1), (0, 0)),
        *with_args("repeat", fun.repeat, np.repeat, (3,), (1,), ([2, 0, 1],)),
        *with_args("tile", fun.tile, np.tile, (2, 3), (2,), ((2, 1),), ((2, 3, 1),), ((1, 1),), ((0, 2),)),
        *with_args("tile", fun.tile, np.tile, (), (3,), ((2, 2),)),
        *with_args("pad", fun.pad, np.pad, (2, 3), (1,), (0,), ((1, 2),), (((1, 0), (0, 2)),)),
        *with_args("pad", fun.pad, np.pad, (0,), (2,)),
        *with_params("pad", lambda x, **p: fun.pad(x, 1, **p), lambda x, **p: np.pad(x, 1, **p), [(2,)],
                     {"constant_values": 3.5}),
        *with_args("flip", fun.flip, np.flip, (2, 3), (), (0,), (-1,), ((0, 1),), ((),)),
        *with_args("roll", fun.roll, np.roll, (2, 3), (1,), (-2,), (1, 0), (5, -1), (0, 1)),
        *with_args("roll", fun.roll, np.roll, (0,), (1,), (1, 0)),
        *with_args("triu", fun.triu, np.triu, (3, 4), (), (1,), (-1,), (5,)),
        *with_args("triu", fun.triu, np.triu, (2, 3, 3), ()),
        *with_args("tril", fun.tril, np.tril, (3, 4), (), (1,), (-1,), (-5,)),
        *with_args("tril", fun.tril, np.tril, (0, 3), ()),
        *with_args("diagonal", fun.diagonal, np.diagonal, (3, 4), (), (1,), (-1,), (3,), (4,), (-3,)),
        *with_args("diagonal", fun.diagonal, np.diagonal, (2, 3, 4), (0, 1, 2), (1, 2, 0), (-1, 0, -1)),
        *with_args("trace", fun.trace, np.trace, (3, 4), (), (1,), (-2,)),
        *with_args("trace", fun.trace, np.trace, (2, 3, 4), (0, 1, 2)),
    ]  # fmt: skip


# ---- indexing ------------------------------------------------------------------------------------------------------

INDICES = [
    ((5,), 2), ((5,), -1), ((5,), slice(None, None, -1)), ((5,), slice(4, 0, -2)), ((5,), slice(3, 3)), ((5,), None),
    ((5,), ...), ((5,), [0, 0, 3]), ((5,), [-1, 4, 4]), ((5,), np.array([], dtype=int)),
    ((5,), np.zeros(5, dtype=bool)), ((5,), np.array([True, False, True, True, False])), ((5,), ()),
    ((), ()), ((), None), ((), ...), ((), True), ((), False),
    ((3, 4), 1), ((3, 4), (1, 2)), ((3, 4), (slice(None), 2)), ((3, 4), (..., -1)),
    ((3, 4), (slice(None, None, -1), slice(None, None, 2))),
    ((3, 4), ([0, 2, 0], [1, 3, 1])), ((3, 4), ([0, 2],)), ((3, 4), (slice(1, None), [3, 3, 0])),
    ((3, 4), (np.array([[0], [2]]), [1, 1])), ((3, 4), np.arange(12).reshape(3, 4) % 3 == 0),
    ((3, 4), np.zeros((3, 4), dtype=bool)), ((3, 4), (np.array([True, False, True]), 1)),
    ((3, 4), (None, 1, ..., None)),
    ((3, 4), np.array([[0, 1], [1, 0]])), ((0, 3), slice(None)), ((0, 3), np.zeros(0, dtype=int)),
    ((2, 3, 4), (0, slice(None), [1, 1])), ((2, 3, 4), ([0, 1], slice(None), [1, 1])), ((2, 3, 4), (..., None, 2)),
    ((2, 3, 4), (slice(None), np.array([True, False, True]))),
]  # fmt: skip


def index_cases():
    found = []
    for shape, index in INDICES:
        found += cases("getitem", lambda x, i=index: row.getitem(x, index=i), lambda x, i=index: x[i], shape)
        part = np.zeros(shape)[index].shape
        found += cases(
            "scatter",
            lambda x, i=index, s=shape: row.scatter(x, index=i, shape=s),
            lambda x, i=index, s=shape: scattered(x, i, s),
            part,
        )
    found += with_params(
        "take", fun.take, lambda x, indices, axis=None: np.take(x, indices, axis), [(3, 4)],
        {"indices": 5}, {"indices": [0, 0, 11]}, {"indices": [[1, 1], [2, 0]], "axis": 0}, {"indices": -1, "axis": 1},
        {"indices": np.zeros(0, dtype=int), "axis": -1},
    )  # fmt: skip
    found += with_args("sort", fun.sort, np.sort, (3, 4), (), (0,), (-1,), (None,))
    found += with_args("sort", fun.sort, np.sort, (0,), ())
    found += with_args("sort", fun.sort, np.sort, (2, 3, 2), (1,))
    return found


# ---- joining and splitting -----------------------------------------------------------------------------------------


def joining_cases():
    def whole(f):
        return lambda *xs: f(list(xs))

    return [
        *cases("concatenate", row.concatenate, lambda *xs: np.concatenate(xs), [(2,), (3,)], [(0,), (2,)], [(2, 3)],
               [(2, 3)] * 3),
        *with_params("concatenate", lambda *xs, **p: fun.concatenate(xs, **p), lambda *xs, **p: np.concatenate(xs, **p),
                     [[(2, 3), (2, 3)], [(2, 1), (2, 1)]], {"axis": -1}, {"axis": 1}, {"axis": None}),
        *with_params("concatenate", lambda *xs, **p: fun.concatenate(xs, **p), lambda *xs, **p: np.concatenate(xs, **p),
                     [[(2, 1), (2, 3)], [(2, 0), (2, 2)]], {"axis": -1}),
        *cases("concatenate", lambda x: fun.concatenate([x, x]), lambda x: np.concatenate([x, x]), (3,), (2, 3)),
        *with_params("stack", lambda *xs, **p: fun.stack(xs, **p), lambda *xs, **p: np.stack(xs, **p),
                     [[(2, 3)] * 2, [(3, 3)]], {"axis": 0}, {"axis": -1}, {"axis": 1}),
        *cases("stack", whole(fun.stack), whole(np.stack), [(), ()], [(0,), (0,)]),
        *cases("stack", lambda x: fun.stack([x, x]), lambda x: np.stack([x, x]), (3,)),
        *cases("from_values", row.from_values, lambda *xs: np.array(xs), [(), (), ()], [()]),
        *cases("from_values", lambda x: row.from_values(x, x, 2.0), lambda x: np.array([x, x, 2.0]), ()),
        *cases("split", lambda x: fun.split(x, 3)[1], lambda x: np.split(x, 3)[1], (6,), (3, 2)),
        *cases("split", lambda x: fun.split(x, [1, 1, 4])[2], lambda x: np.split(x, [1, 1, 4])[2], (6,)),
        *cases("split", lambda x: fun.split(x, 2, -1)[0], lambda x: np.split(x, 2, -1)[0], (3, 4)),
        *cases("split", lambda x: row.mul(*fun.split(x, 2)), lambda x: np.multiply(*np.split(x, 2)), (4,)),
        *cases("split", lambda x: fun.split(x, [2, 9])[1], lambda x: np.split(x, [2, 9])[1], (5,)),
        *cases("split", lambda x: fun.split(x, [-2])[0], lambda x: np.split(x, [-2])[0], (5,)),
        *cases("split", lambda x: fun.split(x, [3, 1])[1], lambda x: np.split(x, [3, 1])[1], (5,)),
    ]  # fmt: skip


# ---- contractions --------------------------------------------------------------------------------------------------

BATCHES = {1: [None], 2: [()], 3: [(3,), (1,)], 4: [(2, 3), (2, 1), (1, 1)]}
EINSUMS = [
    ("ii->", [(3, 3)]), ("ii->i", [(3, 3)]), ("iij->ij", [(2, 2, 3)]), ("iii->i", [(2, 2, 2)]), ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]), ("ij->j", [(2, 3)]), ("ij", [(2, 3)]), ("ba", [(2, 3)]), ("ii", [(2, 2)]), ("->", [()]),
    ("i,i->", [(3,), (3,)]), ("i,i->i", [(3,), (3,)]), ("i,j->ij", [(2,), (3,)]), ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]), ("ij,ij->i", [(2, 3), (2, 3)]), ("ii,i->", [(3, 3), (3,)]),
    ("ij,k->k", [(2, 3), (2,)]),
    ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]), ("ij,jk->ik", [(2, 0), (0, 3)]), ("ij,jk->ik", [(0, 2), (2, 3)]),
    ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 3)]), ("i,i,i->i", [(3,), (3,), (3,)]), (",ij->ij", [(), (2, 3)]),
    ("...i->...", [(2, 3, 2)]), ("...i,...i->...", [(2, 3), (2, 3)]), ("...ij,...jk->...ik", [(2, 3, 2), (2, 2)]),
    ("i...,i...->...", [(3, 2), (3,)]), ("...", [(2, 3)]), ("...i,...i->...", [(2, 1, 3), (4, 3)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("i...->...i", [(2, 3, 4)]),
]  # fmt: skip
TENSORDOTS = [
    ([(2, 3), (3, 4)], 1), ([(2, 3), (2, 3)], 2), ([(2,), (3,)], 0), ([(2, 3, 4), (4, 3, 2)], ((1, 2), (1, 0))),
    ([(2, 3), (4, 3)], ((1,), (1,))), ([(2, 3), (3, 4)], (1, 0)), ([(2, 3), (4, 2)], (-2, -1)), ([(2, 0), (0, 3)], 1),
    ([(2, 3), (3, 2)], ((), ())),
]  # fmt: skip


def matmul_cases():
    found = []
    for left, right, inner in itertools.product(BATCHES, BATCHES, (2, 0, 1)):
        for first, second in itertools.product(BATCHES[left], BATCHES[right]):
            a = (inner,) if first is None else (*first, 2, inner)
            b = (inner,) if second is None else (*second, inner, 3)
            found += cases("matmul", row.matmul, np.matmul, [a, b])
    return found


def contraction_cases():
    found = []
    for subscripts, shapes in EINSUMS:
        found += cases(
            "einsum", lambda *xs, s=subscripts: fun.einsum(s, *xs), lambda *xs, s=subscripts: np.einsum(s, *xs), shapes
        )
    for shapes, axes in TENSORDOTS:
        found += cases(
            "tensordot", lambda a, b, n=axes: fun.tensordot(a, b, n), lambda a, b, n=axes: np.tensordot(a, b, n), shapes
        )
    affine = [
        [(2, 3), (4, 3), (4,)],
        [(3,), (4, 3), (4,)],
        [(2, 2, 3), (4, 3), (4,)],
        [(0, 3), (4, 3), (4,)],
        [(2, 0), (3, 0), (3,)],
    ]
    return [
        *found,
        *cases("linear", row.linear, lambda x, w, b: x @ w.T + b, *affine),
        *cases("einsum", lambda x: fun.einsum("ij,jk->ik", x, x), lambda x: x @ x, (3, 3)),
        *cases("matmul", lambda x: row.matmul(x, x), lambda x: x @ x, (3, 3), (3,), (2, 3, 3)),
        *cases("dot", fun.dot, np.dot, [(), (2, 3)], [(3,), ()], [(3,), (3,)], [(2, 3), (3,)], [(3,), (3, 2)],
               [(2, 3), (3, 2)],
               [(2, 3), (2, 3, 2)], [(2, 2, 3), (3,)], [(2, 2, 3), (2, 3, 2)], [(2, 2, 3), (3, 2)], [(3,), (2, 3, 2)]),
        *cases("inner", fun.inner, np.inner, [(), (2, 3)], [(3,), (3,)], [(2, 3), (3,)], [(2, 3), (4, 3)],
               [(2, 2, 3), (2, 3)]),
        *cases("outer", fun.outer, np.outer, [(2,), (3,)], [(2, 2), (3,)], [(), (3,)], [(0,), (3,)]),
        *cases("vdot", fun.vdot, np.vdot, [(3,), (3,)], [(2, 3), (2, 3)], [(0,), (0,)], [(), ()]),
    ]  # fmt: skip


CASES = [
    *reduction_cases(),
    *softmax_cases(),
    *running_cases(),
    *layout_cases(),
    *composite_layout_cases(),
    *index_cases(),
    *joining_cases(),
    *matmul_cases(),
    *contraction_cases(),
]
BY_NAME = {name: [case for case in CASES if case.name == name] for name in dict.fromkeys(case.name for case in CASES)}
COMPOSITES = {
    name
    for name, f in vars(autodiff).items()
    if inspect.isfunction(f) and f.__module__ in ("autodiff.functions", "autodiff.array_rules") and name[0] != "_"
}
# `where` is stored as an ArrayOp but behaves like an elementwise row; test_rules.py has it
BUILT_IN = {name: op for name, op in REGISTRY.items() if op.built_in}  # nn may have added some
EXPECTED = {name for name, op in BUILT_IN.items() if not isinstance(op, Elementwise)} - {"where"} | COMPOSITES


def draw(case, seed=1):
    """Return the operands: random, and pairwise at least 0.07 apart so that no maximum or order has a tie."""
    rng = np.random.default_rng([seed, len(case.label)])
    arrays = []
    for shape in case.shapes:
        size = int(np.prod(shape))
        spread = (rng.permutation(size) + rng.uniform(0.3, 0.7, size)) / max(size, 4)
        arrays.append(on_grid((3 * spread - 1.2).reshape(shape)))
    return arrays
