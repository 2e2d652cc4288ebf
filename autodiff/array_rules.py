"""THE TABLE, structural rows: reductions, layout, indexing and contractions of arrays.

A reduction stores dy/dx element for element (its weight); the reverse pass multiplies by it, forward mode sums
over it. Everything else stores how a gradient is pulled back; an operation that is linear in an operand needs
nothing more, being its own pushforward. A pullback may return the gradient in the broadcast shape: the reverse
pass sums it back to the operand's.
"""

import builtins
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .primitive import Elementwise, array_op, raw, reduction
from .rules import add, binary_cross_entropy_with_logits, div, equal, exp, expm1, mul, neg, squared_error, sub, where
from .shapes import broadcast_axes, inverse_permutation, kept_shape, normalize_axes, reduced_size

INFINITY = np.inf
_add_up: Any = np.add.reduce  # np.sum without its detours


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a float, an array, a node, or nested lists of numbers."""
    shape = getattr(x, "shape", None)
    return shape if shape is not None else () if type(x) is float else np.shape(x)


def size_of(x: Any) -> int:
    """How many numbers there are in a float, an array or a node."""
    return getattr(x, "size", 1)


# ---- layout: each the transpose of the other, or of itself --------------------------------------------------

reshape = array_op(
    "reshape", lambda x, *, shape: np.reshape(x, shape), lambda g, y, x, *, shape: reshape(g, shape=shape_of(x))
)
transpose = array_op(
    "transpose",
    lambda x, *, axes=None: np.transpose(x, axes),
    lambda g, y, x, *, axes=None: transpose(g, axes=inverse_permutation(axes, len(shape_of(x)))),
    symbol="T",
    latex="{0}^T",
)
broadcast_to = array_op(
    "broadcast_to",
    lambda x, *, shape: np.broadcast_to(x, shape),
    lambda g, y, x, *, shape: sum_to(g, shape=shape_of(x)),
)


@lru_cache(maxsize=16)
def _ones(n: int, dtype: str) -> Any:
    ones = np.ones(n, dtype)
    ones.flags.writeable = False
    return ones


def _sum_to(x: Any, *, shape: tuple[int, ...]) -> Any:
    if getattr(x, "ndim", 0) == 2 and shape == x.shape[1:]:
        return _ones(len(x), x.dtype.char).dot(x)  # a bias's gradient; on small arrays much faster than add.reduce
    axes = broadcast_axes(shape, shape_of(x))
    return _add_up(x, axis=axes, keepdims=True).reshape(shape)


sum_to = array_op("sum_to", _sum_to, lambda g, y, x, *, shape: broadcast_to(g, shape=shape_of(x)))
cast = array_op("cast", lambda x, *, dtype: x.astype(dtype), lambda g, y, x, *, dtype: g)
item = array_op("item", lambda x: x.item(), lambda g, y, x: broadcast_to(g, shape=shape_of(x)), scalar=float)


def like(c: Any, x: Any) -> Any:
    """A gradient c brought to the shape, the dtype and the kind (float or array) of its operand x."""
    if type(c) is np.ndarray and type(x) is np.ndarray and c.dtype is x.dtype and c.ndim >= x.ndim:  # nearly always
        return c if c.shape == x.shape else _sum_to(c, shape=x.shape)
    if type(c) is float and type(x) is float:
        return c
    if isinstance(c, np.generic):
        c = np.asarray(c)  # NumPy's operators make scalars of 0-d results
    shape, dtype = shape_of(x), getattr(x, "dtype", None)
    if shape_of(c) != shape:
        c = sum_to(c, shape=shape) if len(shape_of(c)) >= len(shape) else broadcast_to(c, shape=shape)
    if dtype is None:
        return item(c) if hasattr(c, "dtype") else c
    if not hasattr(c, "dtype"):
        c = broadcast_to(c, shape=shape)
    return c if c.dtype == dtype else cast(c, dtype=dtype)


def _is_basic(index: Any) -> bool:
    """Integers, slices, None and Ellipsis never name an element twice."""
    entries = index if isinstance(index, tuple) else (index,)
    return all(e is None or e is Ellipsis or isinstance(e, (int, np.integer, slice)) for e in entries)


def _scatter(g: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, dtype=getattr(g, "dtype", np.float64))
    if _is_basic(index):
        out[index] = g
    elif len(shape) == 1 and type(index) is np.ndarray:
        np.add.at(out, index.ravel(), np.ravel(g))  # NumPy is several times faster where all are vectors
    else:
        np.add.at(out, index, g)  # repeated indices accumulate
    return out


getitem = array_op(
    "getitem",
    lambda x, *, index: x[index],
    lambda g, y, x, *, index: scatter(g, index=index, shape=shape_of(x)),
    symbol="[ ]",
)
scatter = array_op("scatter", _scatter, lambda g, y, x, *, index, shape: getitem(g, index=index))


def _parts(g: Any, y: Any, *xs: Any, axis: int = 0) -> list[Any]:
    """g cut along ``axis`` into pieces as long as the operands."""
    axis %= len(shape_of(y))
    pieces, start = [], 0
    for x in xs:
        stop = start + shape_of(x)[axis]
        pieces.append(getitem(g, index=(slice(None),) * axis + (slice(start, stop),)))
        start = stop
    return pieces


joined = array_op("concatenate", lambda *xs, axis=0: np.concatenate(xs, axis=axis), _parts, variadic=True)
gathered = array_op(
    "from_values",
    lambda *xs: np.array(xs, dtype=np.float64),
    lambda g, y, *xs: [item(getitem(g, index=i)) for i in range(len(xs))],
    variadic=True,
    scalar=lambda *xs: np.array(xs, dtype=np.float64),
)

# ---- reductions ----------------------------------------------------------------------------------------------


def _reducer(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda x, *, axis=None, keepdims=False: ufunc.reduce(x, axis=axis, keepdims=keepdims)


def _mean(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    axes = None if axis is None else normalize_axes(axis, len(shape_of(x)))
    total = _add_up(x, axis=axes, keepdims=keepdims)
    return total / (size_of(x) // total.size if total.size else 1)


def _ties(y: Any, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    """1 shared out among the elements equal to y."""
    hits = equal(x, y)
    return div(hits, np.sum(hits, axis=axis, keepdims=True))


def _where_zero(y: Any, instead: float) -> Any:
    return where(equal(y, 0.0), instead, y)


def _deviation(x: Any, axis: Any) -> Any:
    return sub(x, mean(x, axis=axis, keepdims=True))


def _where_constant(x: Any, axis: Any, y: Any) -> Any:
    """1 where the data are constant along the axis (where rounding may leave a tiny y), else y."""
    data = raw(x)
    if size_of(data) == 0:
        return y
    return where(np.equal(np.max(data, axis=axis, keepdims=True), np.min(data, axis=axis, keepdims=True)), np.inf, y)


def _freedom(x: Any, axis: Any, ddof: float) -> float:
    return reduced_size(shape_of(x), axis) - ddof


sum = reduction("sum", _reducer(np.add), 1.0, symbol="Σ", latex=r"\sum {0}")
mean = reduction("mean", _mean, 1.0, averaged=True, latex=r"\overline{{{0}}}")
max = reduction("max", _reducer(np.maximum), _ties, latex=r"\max {0}")
min = reduction("min", _reducer(np.minimum), _ties, latex=r"\min {0}")
var = reduction(
    "var",
    lambda x, *, axis=None, keepdims=False, ddof=0: np.var(x, axis=axis, keepdims=keepdims, ddof=ddof),
    lambda y, x, *, axis=None, keepdims=False, ddof=0: mul(div(2.0, _freedom(x, axis, ddof)), _deviation(x, axis)),
)
std = reduction(
    "std",
    lambda x, *, axis=None, keepdims=False, ddof=0: np.std(x, axis=axis, keepdims=keepdims, ddof=ddof),
    lambda y, x, *, axis=None, keepdims=False, ddof=0: div(
        _deviation(x, axis), mul(_freedom(x, axis, ddof), _where_constant(x, axis, y))
    ),
)
norm = reduction(
    "norm",
    lambda x, *, axis=None, keepdims=False: np.sqrt(_add_up(np.square(x), axis=axis, keepdims=keepdims)),
    lambda y, x, *, axis=None, keepdims=False: div(x, _where_zero(y, 1.0)),
    symbol="‖·‖",
    latex=r"\left\|{0}\right\|",
)


def grouped(x: Any, axis: Any) -> Any:
    """x with the reduced axes moved to the end and merged into one."""
    ndim = len(shape_of(x))
    axes = normalize_axes(axis, ndim)
    if axes == (ndim - 1,):
        return x
    kept = [i for i in range(ndim) if i not in axes]
    sides = tuple(shape_of(x)[i] for i in kept)
    return reshape(transpose(x, axes=(*kept, *axes)), shape=(*sides, reduced_size(shape_of(x), axis)))


def ungrouped(x: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """The inverse of ``grouped`` for an array of the given original shape."""
    axes = normalize_axes(axis, len(shape))
    if axes == (len(shape) - 1,):
        return x
    order = (*(i for i in range(len(shape)) if i not in axes), *axes)
    sides = tuple(shape[i] for i in order)
    return transpose(reshape(x, shape=sides), axes=inverse_permutation(order, len(shape)))


def _difference(x: Any, top: Any) -> tuple[Any, Any]:
    """x - top and what its rounding lost, which exp would magnify by the size of x (Knuth's TwoSum)."""
    with np.errstate(invalid="ignore"):  # inf - inf
        shifted = x - top
        back = shifted - x
        lost = (x - (shifted - back)) - (top + back)
    return shifted, np.where(np.isfinite(lost), lost, 0)


def _shifted_logs(x: Any) -> tuple[Any, Any, Any, Any]:
    """(max, x - max, log of the sum of exp(x - max)) along the last axis, kept; the sum leaves out its 1."""
    top = np.maximum.reduce(x, axis=-1, keepdims=True)
    shifted, lost = _difference(x, np.where(top == -np.inf, 0, top))
    e = np.exp(shifted, order="C")
    e += e * lost
    lines = e.reshape(-1, x.shape[-1])  # a view: e is contiguous
    lines[np.arange(len(lines)), np.argmax(lines, axis=-1)] = 0
    return top, shifted, lost, np.log1p(_add_up(e, axis=-1, keepdims=True))


def _logsumexp(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    top, _, _, tail = _shifted_logs(grouped(x, axis))
    y = np.where(np.isinf(top), top, top + tail)
    return (y.reshape(kept_shape(x.shape, axis)) if keepdims else y[..., 0])[()]  # a 0-d result as a number


def _log_softmax(x: Any, *, axis: Any = -1) -> Any:
    _, shifted, lost, tail = _shifted_logs(grouped(x, axis))
    return ungrouped(shifted + (lost - tail), x.shape, axis)


def _softmax(x: Any, *, axis: Any = -1) -> Any:
    axes = normalize_axes(axis, len(shape_of(x)))
    shifted, lost = _difference(x, np.maximum.reduce(x, axis=axes, keepdims=True))
    e = np.exp(shifted)
    e += e * lost
    return e / _add_up(e, axis=axes, keepdims=True)


def _logsumexp_weight(y: Any, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    empty = equal(y, -INFINITY)  # all -inf: the weights are 0, not exp(-inf + inf)
    return exp(sub(x, where(empty, 0.0, y)))


logsumexp = reduction("logsumexp", _logsumexp, _logsumexp_weight, latex=r"\ln \sum e^{{{0}}}")


def _softmax_rule(g: Any, y: Any, x: Any, *, axis: Any = -1) -> Any:
    """The Jacobian diag(y) - y y' is symmetric, so this is pullback and pushforward in one."""
    g = sub(g, sum(mul(raw(y), g), axis=axis, keepdims=True))  # else 1 - y would cancel where y is near 1
    return mul(y, sub(g, sum(mul(y, g), axis=axis, keepdims=True)))


softmax = array_op("softmax", _softmax, _softmax_rule, pushforwards=[_softmax_rule])
log_softmax = array_op(
    "log_softmax",
    _log_softmax,
    lambda g, y, x, *, axis=-1: neg(add(mul(g, expm1(y)), mul(exp(y), sub(sum(g, axis=axis, keepdims=True), g)))),
    pushforwards=[lambda t, y, x, *, axis=-1: sub(t, sum(mul(exp(y), t), axis=axis, keepdims=True))],
)


def _cross_entropy_weight(logs: Any, t: Any, axis: Any) -> Any:
    """p * (the other targets) - t * (1 - p), for p = exp(logs)."""
    return add(mul(exp(logs), sub(sum(t, axis=axis, keepdims=True), t)), mul(t, expm1(logs)))


def _cross_entropy(x: Any, t: Any, *, axis: Any = -1, keepdims: bool = False) -> Any:
    if np.shape(x) != np.shape(t):
        raise ValueError("logits and target probabilities need the same shape")
    return -_add_up(t * np.where(t == 0, 0, _log_softmax(x, axis=axis)), axis=axis, keepdims=keepdims)


softmax_cross_entropy = reduction(
    "softmax_cross_entropy",
    _cross_entropy,
    lambda y, x, t, *, axis=-1, keepdims=False: _cross_entropy_weight(log_softmax(x, axis=axis), t, axis),
    lambda y, x, t, *, axis=-1, keepdims=False: neg(log_softmax(x, axis=axis)),
    default_axis=-1,
    symbol="CE",
)


def _mean_of(name: str, row: Elementwise, symbol: str) -> Any:
    """The mean of an elementwise loss as one node: one weight per operand, the partial of the loss."""

    def kernel(a: Any, b: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        if not (type(a) is type(b) is np.ndarray and a.shape == b.shape) and shape_of(a) != shape_of(b):
            raise ValueError("the operands of a mean loss need one shape")
        return _mean(row.array(a, b), axis=axis, keepdims=keepdims)

    def weight(partial: Any) -> Any:
        return partial if type(partial) is float else lambda y, *xs, axis=None, keepdims=False: partial(None, *xs)

    return reduction(name, kernel, *map(weight, row.partials), averaged=True, symbol=symbol)


mean_squared_error = _mean_of("mean_squared_error", squared_error, "MSE")
mean_binary_cross_entropy_with_logits = _mean_of(
    "mean_binary_cross_entropy_with_logits", binary_cross_entropy_with_logits, "BCE"
)

# ---- running sums and products -------------------------------------------------------------------------------


def along(x: Any, axis: int | None) -> tuple[Any, int]:
    """x and one of its axes, not negative. None flattens x; a number has an axis 0 here, as for NumPy."""
    if axis is None or not shape_of(x):
        x, axis = reshape(x, shape=(-1,)), 0 if axis is None else axis
    return x, normalize_axis_index(axis, len(shape_of(x)))


def flipped(x: Any, axis: int) -> Any:
    """x with one axis reversed."""
    axis %= len(shape_of(x))
    return getitem(x, index=(slice(None),) * axis + (slice(None, None, -1),))


def _running_product(rows: Any) -> Any:
    """Running products along the last axis by doubling: log2(n) products of whole arrays, and no division."""
    shift = 1
    while shift < shape_of(rows)[-1]:
        head, tail, old = slice(None, shift), slice(shift, None), slice(None, -shift)
        product = mul(getitem(rows, index=(..., tail)), getitem(rows, index=(..., old)))
        rows = joined(getitem(rows, index=(..., head)), product, axis=-1)
        shift *= 2
    return rows


def cumprod(x: Any, axis: int | None = None) -> Any:
    """Running products along an axis, or of the flattened array, as np.cumprod.

    Takes any shape and keeps it, or gives (size,) for axis None; right for any number of zeros, without division.
    Raises numpy.exceptions.AxisError for an axis out of range, TypeError for an operand that is not numeric.

    >>> cumprod(np.array([2.0, 3.0, 4.0]))
    array([ 2.,  6., 24.])
    """
    x, axis = along(x, axis)
    return ungrouped(_running_product(grouped(x, axis)), shape_of(x), axis)


def _before(x: Any) -> Any:
    """The product of all earlier elements along the last axis (1 for the first)."""
    ones = np.ones((*shape_of(x)[:-1], 1))
    return _running_product(joined(ones, getitem(x, index=(..., slice(None, -1))), axis=-1))


def _others(x: Any) -> Any:
    """The product of all other elements along the last axis; no division, so zeros are no special case."""
    return mul(_before(x), flipped(_before(flipped(x, -1)), -1)) if shape_of(x)[-1] else x


def _cumsum_pullback(g: Any, y: Any, x: Any, *, axis: Any = None) -> Any:
    along = 0 if axis is None else axis
    return reshape(flipped(cumsum(flipped(g, along), axis=along), along), shape=shape_of(x))


cumsum = array_op("cumsum", lambda x, *, axis=None: np.cumsum(x, axis=axis), _cumsum_pullback)
prod = reduction(
    "prod",
    _reducer(np.multiply),
    lambda y, x, *, axis=None, keepdims=False: ungrouped(_others(grouped(x, axis)), shape_of(x), axis),
    symbol="Π",
    latex=r"\prod {0}",
)

# ---- contractions --------------------------------------------------------------------------------------------


def swapped(x: Any) -> Any:
    """The last two axes exchanged."""
    n = len(shape_of(x))
    return transpose(x, axes=(*range(n - 2), n - 1, n - 2))


def _matrices(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """The same product with vectors written as matrices of one row (a) or one column (b)."""
    row, column = len(shape_of(a)) == 1, len(shape_of(b)) == 1
    if row or column:
        stack = shape_of(y)[: len(shape_of(y)) - (not row) - (not column)]
        g = reshape(g, shape=(*stack, 1 if row else shape_of(a)[-2], 1 if column else shape_of(b)[-1]))
        a = reshape(a, shape=(1, *shape_of(a))) if row else a
        b = reshape(b, shape=(*shape_of(b), 1)) if column else b
    return g, a, b


def _matmul_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    g, _, b = _matrices(g, y, a, b)
    return matmul(g, swapped(b))


def _matmul_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    g, a, _ = _matrices(g, y, a, b)
    gradient = matmul(swapped(a), g)
    return gradient if len(shape_of(b)) > 1 else reshape(gradient, shape=shape_of(gradient)[:-1])


def _matmul(a: Any, b: Any) -> Any:
    flat = type(a) is type(b) is np.ndarray and a.ndim == b.ndim == 2
    return a.dot(b) if flat else np.matmul(a, b)  # the same product; dot has less to set up


matmul = array_op("matmul", _matmul, _matmul_left, _matmul_right, symbol="@", latex="{0} {1}")


def _product(a: Any, b: Any) -> Any:
    """matmul in the verbs' language; two matrices go straight to the kernel."""
    return a.dot(b) if type(a) is type(b) is np.ndarray and a.ndim == b.ndim == 2 else matmul(a, b)


def _linear(x: Any, w: Any, b: Any) -> Any:
    if type(x) is not np.ndarray or type(w) is not np.ndarray:
        raise ValueError("x and the weight must be arrays")
    if w.ndim != 2:
        raise ValueError("the weight must have shape (out, in)")
    y = x.dot(w.T) if x.ndim == 2 else np.matmul(x, w.T)
    if y.dtype is not getattr(b, "dtype", None):
        y = y.astype(np.result_type(y, b))
    y += b  # y is ours: no second array of its size, and a bias that would widen it is refused
    return y


def _bias(g: Any, b: Any) -> Any:
    """A bias's gradient, the sum of the rows of a plain matrix; any other is left to the reverse pass to sum."""
    plain = type(g) is type(b) is np.ndarray and g.ndim == 2 and b.ndim == 1
    return _ones(len(g), g.dtype.char).dot(g) if plain else g


def _linear_weight(g: Any, y: Any, x: Any, w: Any, b: Any) -> Any:
    if x.ndim != 2:
        lines = reduced_size(shape_of(x)[:-1], None)
        g, x = reshape(g, shape=(lines, shape_of(g)[-1])), reshape(x, shape=(lines, shape_of(x)[-1]))
    return _product(g.T, x)


linear = array_op(
    "linear",
    _linear,
    lambda g, y, x, w, b: _product(g, w),
    _linear_weight,
    lambda g, y, x, w, b: _bias(g, b),
    pushforwards=[
        lambda t, y, x, w, b: matmul(t, transpose(w)),
        lambda t, y, x, w, b: matmul(x, transpose(t)),
        lambda t, y, x, w, b: broadcast_to(t, shape=shape_of(y)),
    ],
    latex="{0} {1}^T + {2}",
)


def _einsum_pullback(g: Any, y: Any, *xs: Any, inputs: tuple[str, ...], output: str) -> list[Any]:
    return [_einsum_operand(i, g, xs, inputs, output) for i in range(len(xs))]


def _einsum_operand(i: int, g: Any, xs: tuple[Any, ...], inputs: tuple[str, ...], output: str) -> Any:
    """Contract g with the other operands.

    A letter found nowhere else is filled with ones, a repeated letter is spread along the diagonal by an identity
    matrix. Both are ordinary operands of an ordinary einsum.
    """
    terms = [output, *inputs[:i], *inputs[i + 1 :]]
    arrays = [g, *xs[:i], *xs[i + 1 :]]
    known: dict[str, int] = {}
    target = ""
    for term, array in zip(terms, arrays, strict=True):
        for letter, n in zip(term, shape_of(array), strict=True):
            known[letter] = builtins.max(n, known.get(letter, 0))
    spare = iter(sorted(set(map(chr, range(0x61, 0x7B))) - set("".join(inputs))))
    for letter, n in zip(inputs[i], shape_of(xs[i]), strict=True):
        if letter in target:
            fresh = next(spare)
            terms.append(letter + fresh)
            arrays.append(np.eye(n))
            target += fresh
        else:
            if known.get(letter) != n:  # nowhere else, or only with length 1
                terms.append(letter)
                arrays.append(np.ones(n))
            target += letter
    return contracted(*arrays, inputs=tuple(terms), output=target)


def _einsum_pushforward(ts: list[Any], y: Any, *xs: Any, **params: Any) -> Any:
    """An einsum is linear in each operand: one term for each that has a tangent."""
    total = None
    for i, t in enumerate(ts):
        if t is not None:
            term = contracted(*xs[:i], t, *xs[i + 1 :], **params)
            total = term if total is None else add(total, term)
    return total


contracted = array_op(
    "einsum",
    lambda *xs, inputs, output: np.einsum(f"{','.join(inputs)}->{output}", *xs, optimize=len(xs) > 2),
    _einsum_pullback,
    pushforwards=[_einsum_pushforward],
    variadic=True,
)
