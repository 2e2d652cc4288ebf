"""Tensor: a floating NumPy array in the graph."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import array_rules as rows
from . import functions
from .errors import SeedError, ShapeError
from .graph import clock
from .node import Node, read

__all__ = ["Tensor"]


class Tensor(Node, holds=np.ndarray):
    """An array that remembers how it was computed.

    Args:
        data: an array or nested lists of numbers; copied. Integers and booleans become float64, float32 stays.
        name: a label for drawings.
        dtype: a floating dtype to convert to.

    ``grad`` is None until a ``backward`` reaches the tensor, then an array of its shape and dtype.
    NumPy's functions work on tensors and record: ``np.exp(t)``, ``np.sum(t, axis=0)``, ``np.concatenate([t, u])``.
    ``==`` compares element by element and gives a plain boolean array; tensors hash by identity.

    Between an operation and ``backward``, writing into an array (``t.data[0] = ...``, or that of a constant operand)
    is not noticed outside ``detect_anomaly`` and makes gradients wrong; rebinding ``t.data`` is noticed.
    Raises TypeError for data that is not numeric (complex numbers included).

    >>> w = Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> (w * w).sum().backward()
    >>> w.grad
    array([[2., 4.],
           [6., 8.]])
    """

    __slots__ = ()
    _data: np.ndarray
    grad: np.ndarray | None
    __hash__ = object.__hash__

    def __init__(self, data: Any, name: str | None = None, *, dtype: Any = None) -> None:
        self._become_leaf(_as_array(data, dtype), name)

    @classmethod
    def from_values(cls, values: Sequence[Any]) -> "Tensor":
        """A vector of Values and numbers; recorded, so gradients flow back to the Values.

        Raises TypeError if nothing in it is a number or Value.

        >>> from autodiff import Value
        >>> a = Value(2.0)
        >>> Tensor.from_values([a, 3.0]).sum().backward()
        >>> a.grad
        1.0
        """
        values = list(values)
        if not any(isinstance(v, Node) for v in values):
            return cls(values)
        if any(rows.shape_of(v) != () for v in values):
            raise ShapeError("from_values takes Values and numbers; to join Tensors use autodiff.stack")
        return rows.gathered(*(v.to_values() if isinstance(v, Tensor) else v for v in values))

    def to_values(self) -> Any:
        """Nested lists of Values with this tensor's shape; recorded, so gradients flow back here.

        >>> t = Tensor([1.0, 2.0])
        >>> first, second = t.to_values()
        >>> (first * second).backward()
        >>> t.grad
        array([2., 1.])
        """
        return rows.item(self) if self.ndim == 0 else [row.to_values() for row in self]

    # ---- data ----

    @property
    def data(self) -> np.ndarray:
        """The array. Rebinding it (also ``p.data -= ...``) makes older graphs through this tensor stale."""
        return read(self)

    @data.setter
    def data(self, data: Any) -> None:
        if data is not self._data:  # else: `p.data -= ...` has written into the array and assigns it again
            read(self)
            data = _as_array(data, self._data.dtype)
            if data.shape != self._data.shape:
                raise ShapeError(f"data of shape {self._data.shape} cannot be replaced by shape {data.shape}")
            self._data = data
        self._rebound = clock.tick()

    def item(self) -> float:
        """The only element as a float. Raises ValueError if there is not exactly one."""
        return float(self.data.item())

    def numpy(self) -> np.ndarray:
        """A copy of the data."""
        return self.data.copy()

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating dtype of the data and the gradient."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def T(self) -> "Tensor":  # noqa: N802  # NumPy's name
        """The axes reversed; recorded."""
        return rows.transpose(self)

    def _zero(self) -> np.ndarray:
        return np.zeros_like(self._data)

    def _seed(self, seed: Any) -> np.ndarray:
        if seed is None:
            if self._data.size != 1:
                raise SeedError(
                    f"backward needs one number to start from, but this Tensor has shape {self.shape}: call "
                    ".sum().backward() or .mean().backward(), or pass a seed of this shape"
                )
            return np.ones(self._data.shape, self._data.dtype) if self._data.ndim else np.array(1.0, self._data.dtype)
        array = np.array(seed.data if isinstance(seed, Node) else seed, dtype=self.dtype)
        if array.shape != self.shape:
            raise SeedError(f"the seed needs the root's shape {self.shape}, got {array.shape}")
        return array

    # ---- behaving like an array ----

    def __eq__(self, other: object) -> Any:
        return self.data == (read(other) if isinstance(other, Node) else other)

    def __ne__(self, other: object) -> Any:
        return self.data != (read(other) if isinstance(other, Node) else other)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> "Tensor":
        entries = index if isinstance(index, tuple) else (index,)
        if any(isinstance(entry, Node) for entry in entries):
            raise TypeError("an index has no derivative and must be plain integers or booleans: use .data")
        return rows.getitem(self, index=tuple(map(_own_index, entries)))

    def __repr__(self) -> str:
        edges = 3 if self.ndim < 3 else 1
        data = self._data if self.ndim < 5 else self._data.ravel()
        numbers = np.array2string(data, separator=", ", threshold=20, edgeitems=edges, prefix="Tensor(")
        label = f", name={self.name!r}" if self.name else ""
        dtype = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        return f"Tensor({' '.join(numbers.split())}, shape={self.shape}{dtype}{label})"

    def reshape(self, shape: Any, /, *more: Any) -> "Tensor":
        """The same elements in another shape: ``t.reshape(2, -1)`` or ``t.reshape((2, -1))``."""
        return rows.reshape(self, shape=(shape, *more) if more else shape)

    def transpose(self, *axes: Any) -> "Tensor":
        """The axes permuted, or reversed if none are given."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return rows.transpose(self, axes=order or None)

    def astype(self, dtype: Any) -> "Tensor":
        """The same numbers in another floating dtype; recorded."""
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"a Tensor holds floating numbers, got dtype {np.dtype(dtype)}; use .data.astype")
        return rows.cast(self, dtype=np.dtype(dtype))

    def dot(self, other: Any) -> "Tensor":
        """As np.dot."""
        return functions.dot(self, other)


def _own_index(entry: Any) -> Any:
    """A copy of an index array or list: the graph refers to it, whatever its owner does with it later."""
    if isinstance(entry, list):
        return np.array(entry, dtype=None if entry else np.intp)
    return entry.copy() if isinstance(entry, np.ndarray) else entry


def _as_array(data: Any, dtype: Any = None) -> np.ndarray:
    """A fresh floating array."""
    if isinstance(data, Node):
        raise TypeError(f"a Tensor holds numbers, got a {type(data).__name__}; use .detach() for one without history")
    if isinstance(data, (list, tuple)) and any(isinstance(x, Node) for x in data):
        raise TypeError("a list of nodes would lose its graph: use Tensor.from_values for Values, stack for Tensors")
    array = np.array(data, order="C")
    if array.dtype.kind not in "fbiu":
        raise TypeError(f"a Tensor holds real numbers, got {type(data).__name__} of dtype {array.dtype}")
    if dtype is None:
        dtype = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.float64
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"a Tensor's dtype must be floating, got {np.dtype(dtype)}")
    return array.astype(dtype, copy=False)
