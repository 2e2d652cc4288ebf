"""Node: what Value and Tensor share: operators, recording, backward().

A node holds its data and, unless it is a leaf, the primitive and the operands it came from. It points only to
what it was computed from, so a graph has no cycles and dies with its last root.
"""

import operator
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .array_rules import matmul
from .backward import reverse
from .errors import GraphCopyError, NoGraphError, StaleGraphError
from .graph import clock
from .primitive import REGISTRY, Elementwise, Primitive
from .rules import abs as absolute
from .rules import add, div, mul, neg, power, sub

__all__ = ["MODES", "NUMPY_FUNCTIONS", "Node", "read", "watcher"]

MODES: ContextVar[tuple[Any, ...]] = ContextVar("autodiff_modes", default=())
"""The open blocks of no_grad, detect_anomaly and the like (see modes.py), innermost last."""

NUMPY_FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""What stands in for a NumPy function called on nodes; numpy_api.py fills it in."""

_DATA = operator.attrgetter("_data")
_NO_GRAPH = -1  # the recording time of a result computed under no_grad


# ---- operators: written once, for Value and Tensor -----------------------------------------------------------

Operator = Callable[["Node", Any], Any]


def _binary(op: Primitive) -> tuple[Operator, Operator]:
    """The operator and its reflection. Two floats take a short way; everything else goes by the primitive."""
    scalar = op.scalar

    def method(self: "Node", other: Any) -> Any:
        x = self._data
        if type(x) is float and scalar is not None:
            y = other if type(other) is float else other._data if type(other) is type(self) else None
            if y is not None:
                node = (cls := type(self)).__new__(cls)
                node._left, node._right = self, other
                return node._finish(op, scalar(x, y), None)
        return op(self, other) if _is_operand(other) else NotImplemented

    def reflected(self: "Node", other: Any) -> Any:
        return op(other, self) if _is_operand(other) else NotImplemented

    return method, reflected


def _comparison(operation: Operator) -> Operator:
    return lambda self, other: operation(read(self), _data_of(other))


def _method(op: Primitive) -> Callable[..., Any]:
    def method(self: "Node", *others: Any, **params: Any) -> Any:
        return op(self, *others, **params)

    method.__name__, method.__doc__ = op.name, op.__doc__
    return method


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Node, float, int, np.ndarray, np.number, np.bool_, list, tuple))


class Node:
    """A number or an array in a graph. Abstract: use Value or Tensor."""

    __slots__ = (
        "__weakref__",
        "_data",
        "_left",
        "_origin",
        "_params",
        "_rebound",
        "_recorded",
        "_right",
        "grad",
        "name",
        "op",
    )
    # Operands without a container of their own, which the cyclic collector would have to walk: the one or two operands
    # of a fixed-arity operation in _left and _right. Of three, or of any number, a tuple in _left, and in _right the
    # tuple of those that are nodes.

    _data: Any
    _left: Any
    _right: Any
    _params: Any
    _origin: Any
    grad: Any
    name: str | None
    op: Primitive | None
    _class_for: ClassVar[dict[type, type["Node"]]] = {}
    _no_grad_value: ClassVar[Any] = None

    if TYPE_CHECKING:  # every elementwise function of the table is also a method, attached below

        def __getattr__(self, name: str) -> Callable[..., Any]: ...

    def __init_subclass__(cls, holds: type, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Node._class_for[holds] = cls

    def __init__(self) -> None:
        raise TypeError("Node is abstract; make a Value (a float) or a Tensor (an array)")

    def _become_leaf(self, data: Any, name: str | None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, got {type(name).__name__}: {name!r}")
        self._data = data
        self.grad = self._no_grad_value
        self.name = name
        self.op = self._left = self._right = self._params = self._origin = None
        self._recorded = self._rebound = clock.now

    # ---- the graph ----

    @property
    def operands(self) -> tuple[Any, ...]:
        """What the node was computed from, in order: nodes, and constants as floats or arrays."""
        left, right = self._left, self._right
        if type(left) is tuple:
            return left
        return () if left is None else (left,) if right is None else (left, right)

    @property
    def parents(self) -> tuple["Node", ...]:
        """The operands that are nodes, in order; ``a * a`` has ``a`` twice."""
        left, right = self._left, self._right
        if left is None:
            return ()
        if type(left) is tuple:
            return right  # type: ignore[no-any-return]  # a tuple of nodes, see __slots__
        if right is None:
            return (left,)
        if isinstance(left, Node):
            return (left, right) if isinstance(right, Node) else (left,)
        return (right,)

    @property
    def params(self) -> dict[str, Any]:
        """The metadata of the operation: axis, shape, index, ..."""
        return dict(self._params or {})

    @property
    def is_leaf(self) -> bool:
        """Whether the node was made by the user, not by an operation that was recorded."""
        return self.op is None

    @property
    def _prev(self) -> tuple["Node", ...]:
        """micrograd's name for parents."""
        return self.parents

    @property
    def _op(self) -> str:
        """micrograd's name for the operation's symbol."""
        return self.op.symbol if self.op else ""

    # ---- recording ----

    @staticmethod
    def __record__(op: Primitive, operands: tuple[Any, ...], xs: list[Any], y: Any, params: dict[str, Any]) -> "Node":
        """The node for y = op(*xs), xs being the plain data of the operands: how primitives meet nodes."""
        if type(y) is np.ndarray:
            if y.dtype.kind != "f":
                raise TypeError(f"a node holds real floating numbers, but {op.name} gave dtype {y.dtype}")
            if y.base is not None or not op.fresh or id(y) in map(id, xs):
                y = np.array(y, order="C")  # a result has memory of its own; a user's kernel may return a user's array
        cls = Node._class_for[type(y)]
        node = cls.__new__(cls)
        if op.arity == 2:
            node._left, node._right = operands
        elif op.arity == 1:
            node._left, node._right = operands[0], None
        else:
            node._left = operands
            constants = not {float, np.ndarray}.isdisjoint(map(type, operands))
            node._right = tuple([x for x in operands if isinstance(x, Node)]) if constants else operands
        return node._finish(op, y, params or None)

    def _finish(self, op: Primitive, y: Any, params: dict[str, Any] | None) -> Self:
        """Fill in the rest of a recorded node, or make it a leaf under no_grad."""
        self._data = y
        self.grad = self._no_grad_value
        self.name = self._origin = None
        self.op, self._params = op, params
        self._recorded = self._rebound = clock.now
        if modes := MODES.get():
            for mode in modes:
                mode.saw_output(self)
            if not next((mode.records for mode in reversed(modes) if mode.records is not None), True):
                self.op = self._left = self._right = self._params = self._origin = None
                self._recorded = _NO_GRAPH
        return self

    def _check_current(self) -> None:
        """Raise StaleGraphError if this node or an operand was rebound after this node was recorded."""
        recorded = self._recorded
        for i, x in enumerate((*self.operands, self)):
            if isinstance(x, Node) and x._rebound > recorded:
                what = "the result" if x is self else f"operand {i}"
                label = f" ({x.name})" if x.name else ""
                raise StaleGraphError(
                    f"{what}{label} of {self.op.name if self.op else 'a leaf'} got new data after the operation had "
                    "used the old; its local derivatives are out of date. Run the forward computation again, then "
                    "call backward"
                )

    # ---- differentiation ----

    def _require_graph(self) -> None:
        if self._recorded == _NO_GRAPH:
            raise NoGraphError(
                "this node was computed under no_grad(), so nothing was recorded to go back through; compute it "
                "outside the block"
            )

    def backward(self, seed: Any = None, *, keep_grads: bool = True) -> None:
        """Differentiate this node by every node it depends on; the results go to their ``grad``.

        Leaves accumulate: call ``zero_grad`` between steps. Inner nodes are overwritten.

        Args:
            seed: the gradient of this node: a float for a Value, an array of its shape for a Tensor. By default 1
                for a Value or a one-element Tensor.
            keep_grads: False leaves inner nodes without a gradient and frees theirs early.

        Raises SeedError (a seed is missing or has the wrong shape), NoGraphError (computed under no_grad),
        StaleGraphError (data was rebound since). If anything raises, no ``grad`` has changed.

        >>> from autodiff import Value
        >>> a, b = Value(2.0), Value(1.0)
        >>> ((a + b) * (b + 1)).backward()
        >>> a.grad, b.grad
        (2.0, 5.0)
        """
        self._require_graph()
        seed = self._seed(seed)
        grads = reverse(self, seed, keep=keep_grads, watch=watcher())
        self._publish(grads)

    @staticmethod
    def _publish(grads: dict[Any, Any]) -> None:
        """Write gradients to ``grad``; no array is handed out twice or shared with data."""
        taken = set(map(id, map(_DATA, grads)))
        news = []
        for node, g in grads.items():
            if node.op is None and (old := node.grad) is not node._no_grad_value and old is not None:
                g = old + g
            if type(node._data) is float:
                g = float(g)  # a user's rule may be written in NumPy
            else:
                if type(g) is not np.ndarray:
                    g = np.asarray(g)  # NumPy made a scalar of a 0-d sum
                if g.base is not None or id(g) in taken:
                    g = g.copy()
                taken.add(id(g))
            news.append((node, g))
        for node, g in news:
            node.grad = g

    def zero_grad(self) -> None:
        """Forget the gradient: 0.0 for a Value, None for a Tensor."""
        self.grad = self._no_grad_value

    def detach(self) -> Self:
        """A new leaf with the same data and no history."""
        leaf: Any = type(self)
        return leaf(read(self))  # type: ignore[no-any-return]  # Value and Tensor take their data

    # ---- behaving like a number ----

    __add__, __radd__ = _binary(add)
    __sub__, __rsub__ = _binary(sub)
    __mul__, __rmul__ = _binary(mul)
    __truediv__, __rtruediv__ = _binary(div)
    __pow__, __rpow__ = _binary(power)
    __matmul__, __rmatmul__ = _binary(matmul)
    __neg__ = _method(neg)
    __abs__ = _method(absolute)

    def __pos__(self) -> Self:
        return self

    def __bool__(self) -> bool:
        return bool(read(self))

    def __float__(self) -> float:
        raise TypeError(
            f"float() would drop the graph of this {type(self).__name__}: use .item() for the number, or autodiff's "
            "functions instead of math's"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"converting a {type(self).__name__} to an array would drop its graph: use .data for the numbers, or "
            "autodiff.stack / Tensor.from_values to build a Tensor"
        )

    def __format__(self, spec: str) -> str:
        return format(self._data, spec) if spec else str(self)

    __lt__, __le__, __gt__, __ge__ = map(_comparison, (operator.lt, operator.le, operator.gt, operator.ge))

    def __copy__(self) -> Self:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        rebuild, args = self.__reduce__()
        twin: Self = rebuild(*args)
        memo[id(self)] = twin
        return twin

    def __reduce__(self) -> Any:
        if self.op is not None:
            raise GraphCopyError(
                f"this {type(self).__name__} is the result of {self.op.name}; a node inside a graph cannot be copied "
                "or pickled. Save the leaves (parameters) or .data, or copy .detach(); to plot it, plot .data"
            )
        return _restore, (type(self), read(self), self.grad, self.name)

    # ---- NumPy's protocols ----

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """np.sin(node), np.float64(2) * node, array + node: NumPy's functions with our derivatives."""
        if method == "__call__" and not kwargs:
            if ufunc in _UFUNCS:
                return _UFUNCS[ufunc](*inputs)
            if ufunc in _PLAIN_UFUNCS:
                return ufunc(*map(_data_of, inputs))
        call = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
        options = f" with {', '.join(kwargs)}" if kwargs else ""
        raise TypeError(
            f"{call}{options} has no derivative here; use .data for plain numbers, or register the operation with "
            "autodiff.elementwise"
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """np.sum(node), np.concatenate([node, ...]): NumPy's functions with our derivatives."""
        if function in NUMPY_FUNCTIONS:
            return NUMPY_FUNCTIONS[function](*args, **kwargs)
        raise TypeError(
            f"np.{function.__name__} of a node is not supported; use .data for plain numbers, or compose it from "
            "autodiff's functions"
        )


def read(node: Node) -> Any:
    """The numbers of a node, for whoever asks: what is computed from them is not in the graph."""
    for mode in MODES.get():
        mode.saw_reading(node)
    return node._data


def watcher() -> Callable[[Node, int, Any], None] | None:
    """What the open modes want to see of a reverse pass, if anything."""
    modes = MODES.get()
    return next((mode.saw_gradient for mode in reversed(modes) if mode.saw_gradient), None) if modes else None


def _data_of(x: Any) -> Any:
    return read(x) if isinstance(x, Node) else x


def _restore(cls: Any, data: Any, grad: Any, name: str | None) -> Any:
    node = cls(data, name=name)
    node.grad = grad.copy() if isinstance(grad, np.ndarray) else grad
    return node


for _op in REGISTRY.values():  # every elementwise function is a method too
    if isinstance(_op, Elementwise) and _op.arity is not None:
        setattr(Node, _op.name, _method(_op))

_UFUNCS: dict[Any, Callable[..., Any]] = {
    op.array: op for op in REGISTRY.values() if isinstance(op.array, np.ufunc)
} | {np.power: power, np.matmul: matmul, np.float_power: power, np.fabs: absolute, np.positive: lambda x: x}
_PLAIN_UFUNCS = {
    *(np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal),
    *(np.isnan, np.isfinite, np.isinf, np.signbit),
}
