"""NumPy's functions and methods by our rules: what ``np.sum(node)``, ``np.stack([node])`` and ``tensor.mean(0)`` call.

Importing this module fills in the table that Node's ``__array_function__`` looks into, and Tensor's methods.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import array_rules as rows
from . import functions
from .errors import ShapeError
from .node import NUMPY_FUNCTIONS, Node
from .primitive import Primitive
from .rules import clip, where
from .rules import round as round_half_even
from .shapes import normalize_axes
from .tensor import Tensor


def _numpy_signature(op: Primitive, *names: str) -> Callable[..., Any]:
    """The primitive with NumPy's signature: metadata may be positional; what we do not support is refused."""

    def call(*args: Any, **params: Any) -> Any:
        arity = op.arity or 1
        params.update(zip(names, args[arity:], strict=False))
        foreign = [k for k, v in params.items() if k not in names and v is not None]
        if foreign or len(args) > arity + len(names):
            raise TypeError(f"np.{op.name} of a node takes {', '.join(names)}; got {', '.join(foreign) or args}")
        return op(*args[:arity], **{k: v for k, v in params.items() if k in names})

    call.__name__, call.__doc__ = op.name, op.__doc__
    return call


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    axes = normalize_axes(axis, x.ndim)
    if (axis is not None or ord is not None) and (len(axes) not in (1, 2) or (ord == "fro" and len(axes) == 1)):
        raise ShapeError(f"np.linalg.norm: a vector has 1 axis and a matrix 2; got axis={axis}, ord={ord} of {x.shape}")
    if ord not in (None, 2, "fro") or (ord == 2 and len(axes) == 2):
        raise TypeError(f"np.linalg.norm of a node is the Euclidean norm only, got ord={ord!r}")
    return rows.norm(x, axis=axes, keepdims=keepdims)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    return clip(x, -np.inf if low is None else low, np.inf if high is None else high)


def _pad(x: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Any:
    if mode != "constant":
        raise TypeError(f"np.pad of a node supports mode='constant', got {mode!r}")
    return functions.pad(x, pad_width, constant_values=constant_values)


_PLAIN: tuple[Callable[..., Any], ...] = (
    *(np.argmax, np.argmin, np.argsort, np.nonzero, np.count_nonzero, np.any, np.all),
    *(np.allclose, np.isclose, np.array_equal, np.full_like),
)
_SHAPES: tuple[Callable[..., Any], ...] = (np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like)


def _on_data(function: Callable[..., Any], attribute: str = "data") -> Callable[..., Any]:
    """A function whose answer has no derivative sees the plain data."""

    def plain(x: Any) -> Any:
        if isinstance(x, Node):
            return getattr(x, attribute)
        return [plain(y) for y in x] if isinstance(x, (list, tuple)) else x

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*map(plain, args), **{key: plain(x) for key, x in kwargs.items()})

    return call


def _where(condition: Any, *branches: Any) -> Any:
    return where(condition, *branches) if branches else _on_data(np.where)(condition)


def _einsum(subscripts: str, *operands: Any, optimize: Any = False) -> Any:  # noqa: ARG001  # changes no number
    return functions.einsum(subscripts, *operands)


_REDUCED = ("axis", "keepdims")
_OURS: dict[Any, Callable[..., Any]] = {
    **{
        getattr(np, op.name): _numpy_signature(op, *_REDUCED)
        for op in (rows.sum, rows.mean, rows.prod, rows.max, rows.min)
    },
    **{getattr(np, name): getattr(functions, name) for name in functions.__all__ if name not in ("pad", "take")},
    np.var: _numpy_signature(rows.var, *_REDUCED, "ddof"),
    np.std: _numpy_signature(rows.std, *_REDUCED, "ddof"),
    np.cumsum: _numpy_signature(rows.cumsum, "axis"),
    np.reshape: _numpy_signature(rows.reshape, "shape"),
    np.transpose: _numpy_signature(rows.transpose, "axes"),
    np.broadcast_to: _numpy_signature(rows.broadcast_to, "shape"),
    np.take: lambda x, indices, axis=None: functions.take(x, indices, axis=axis),
    np.where: _where,
    np.einsum: _einsum,
    np.around: round_half_even,
    np.amax: _numpy_signature(rows.max, *_REDUCED),
    np.amin: _numpy_signature(rows.min, *_REDUCED),
    np.clip: _clip,
    np.round: round_half_even,
    np.pad: _pad,
    np.linalg.norm: _norm,
}

NUMPY_FUNCTIONS.update(_OURS)
NUMPY_FUNCTIONS.update({function: _on_data(function) for function in _PLAIN})
NUMPY_FUNCTIONS.update({function: _on_data(function, "_data") for function in _SHAPES})  # not the numbers themselves


def _as_method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **params: Any) -> Any:
        return function(self, *args, **params)

    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method


for _rows, _names in (
    ((rows.sum, rows.mean, rows.prod, rows.max, rows.min, rows.norm, rows.logsumexp), _REDUCED),
    ((rows.var, rows.std), (*_REDUCED, "ddof")),
    ((rows.cumsum, rows.softmax, rows.log_softmax), ("axis",)),
):
    for _row in _rows:
        setattr(Tensor, _row.name, _as_method(_numpy_signature(_row, *_names)))
for _name in ("ravel", "squeeze", "swapaxes", "repeat", "diagonal", "trace", "take", "cumprod"):
    setattr(Tensor, _name, _as_method(getattr(functions, _name)))
