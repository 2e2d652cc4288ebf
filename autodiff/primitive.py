"""A primitive is one differentiable operation as data; the registry holds them all by name.

Three kinds of row differ only in what they store about the derivative:

* ``Elementwise``: one local derivative (partial) per operand, a function of the output and the inputs;
* ``Reduction``: the same for a function that sums up an axis: dy = sum(weight * dx);
* ``ArrayOp``: one pullback per operand and, unless the operation is linear in it, one pushforward.

The reverse pass, forward mode, drawings and explanations all read these rows; nothing is derived twice.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .errors import RegistrationError, ShapeError
from .shapes import kept_shape

# fmt: off
__all__ = [
    "REGISTRY", "ArrayOp", "Elementwise", "Primitive", "Reduction", "array_op", "elementwise", "predicate",
    "reduction",
]
# fmt: on

REGISTRY: dict[str, "Primitive"] = {}
"""Every differentiable primitive by name, in the order of registration."""

_BUILT_IN: set[str] = set()
Kernel = Callable[..., Any]
Interval = tuple[float, float]
_PLAIN = (float, int, str, tuple, np.ndarray, type(None))  # types of metadata, as a rule
_RESULTS = (float, np.ndarray, bool)  # of kernels; a bool is the answer of a predicate
FLOAT64 = np.dtype(np.float64)  # one object, so that `is` compares it
EVERYWHERE: Interval = (-np.inf, np.inf)


def as_data(x: Any) -> Any:
    """A constant operand in canonical form: a Python float or a floating (or complex) array.

    Raises TypeError for anything that is neither a number nor an array of numbers.
    """
    kind = type(x)
    if kind is float:
        return x
    if kind is not np.ndarray:
        if isinstance(x, (bool, int, float, np.bool_, np.integer, np.floating)):
            return float(x)
        if not isinstance(x, (np.ndarray, list, tuple, complex, np.complexfloating)):
            raise TypeError(f"expected a number, an array or a node, got {kind.__name__}: {x!r}")
        x = np.asarray(x)  # also a subclass of array, such as a matrix, which computes in other ways
    if x.dtype.kind in "fcb":  # a boolean array is a mask and stays one
        return x
    if x.dtype.kind not in "iu":
        raise TypeError(
            f"expected an array of numbers, got dtype {x.dtype}; for a list of Values use Tensor.from_values([...])"
        )
    return x.astype(np.float64)


def raw(x: Any) -> Any:
    """What a rule computes on: a node's data, or the constant itself."""
    return x.data if hasattr(type(x), "__record__") else as_data(x)


def _canonical(x: Any) -> Any:
    """An operand as a node, a float or a floating array."""
    return x if hasattr(type(x), "__record__") else as_data(x)


class Primitive:
    """One differentiable operation. Calling it computes, and records if an operand is a node.

    Floats in give a float, arrays an array, nodes a node. ``params`` (axis, shape, ...) are keyword-only.
    """

    arity: int | None
    """How many operands; None for any number."""
    built_in = False
    fresh = False
    """Whether its results are arrays that nobody else holds; else they are copied."""
    is_question = False

    def __init__(
        self,
        name: str,
        arity: int | None,
        *,
        scalar: Kernel | None,
        array: Kernel,
        symbol: str | None = None,
        latex: str | None = None,
        source: str = "",
        doc: str = "",
    ) -> None:
        self.name = name
        self.arity = arity
        self.scalar = scalar
        self.array = array
        self.symbol = symbol or name
        slots = ", ".join(f"{{{i}}}" for i in range(arity or 1))
        self.latex = latex or rf"\operatorname{{{{{name.replace('_', '-')}}}}}\left({slots}\right)"
        self.source = source
        self.__name__ = name
        self.__doc__ = doc or (self._describe() if _BUILT_IN else None)  # row_docs.py has those of built-in rows

    def _describe(self) -> str:
        """The docstring of a row that brings none: its formula, its source and what holds for every row."""
        namesake = f", as np.{self.name}" if hasattr(np, self.name) else ""
        lines = [f"{self.name}: {self.latex.format(*map(chr, range(ord('a'), 1000)))} in LaTeX{namesake}."]
        if self.source:
            lines.append(f"Source: {self.source}.")
        lines.append("Floats give a float, arrays an array, a node (Value or Tensor) among the operands gives a node.")
        lines.append("Raises ShapeError for shapes that do not fit, TypeError for operands that are not numeric.")
        return "\n\n".join(lines)

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """Compute; record, if an operand is a node. This is the one place that asks whether one is."""
        record, node_kind, on_floats = None, None, True
        xs: list[Any] = []
        if len(operands) > 3:  # a neuron with its many operands, usually all nodes
            try:
                xs = [x._data for x in operands]
                record, on_floats = type(operands[0]).__record__, set(map(type, xs)) == {float}
            except AttributeError:
                pass
        for x in operands if record is None else ():
            kind, data = type(x), x
            if kind is node_kind:
                data = x._data
            elif kind is not float and (kind is not np.ndarray or x.dtype is not FLOAT64):
                if (found := getattr(kind, "__record__", None)) is not None:
                    record, node_kind, data = found, kind, x._data
                elif as_data(x) is not x:
                    return self(*map(_canonical, operands), **params)
            if type(data) is not float:
                on_floats = False
            xs.append(data)
        for value in params.values():
            if not isinstance(value, _PLAIN) and hasattr(type(value), "__record__"):
                names = ", ".join(params)
                raise TypeError(f"the metadata {names} of {self.name} must be plain: they have no derivative")
        if len(xs) != self.arity and self.arity is not None:
            raise TypeError(
                f"{self.name} takes {self.arity} operand{'s'[: self.arity != 1]}, got {len(xs)}; "
                "axis, shape and other metadata go by keyword"
            )
        if on_floats and self.scalar is not None:
            y = self.scalar(*xs, **params)
        else:
            try:
                y = self.array(*(map(np.asarray, xs) if on_floats else xs), **params)
            except ValueError as error:
                if isinstance(error, (IndexError, ShapeError)):  # numpy's AxisError says it all
                    raise
                shapes = ", ".join(str(np.shape(x)) for x in xs)
                raise ShapeError(f"{self.name}: {error} (operand shapes: {shapes})") from error
        if type(y) not in _RESULTS:
            y = float(y) if on_floats else np.asarray(y)
        if record is None or (self.is_question and not hasattr(record, "answers")):
            return y
        return record(self, operands, xs, y, params)

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name}>"

    def __reduce__(self) -> Any:
        return _registered, (self.name,)


def _registered(name: str) -> Primitive:
    """Primitives are pickled by name."""
    return REGISTRY[name]


class Elementwise(Primitive):
    """A row whose derivative is one partial per operand, ``partial(y, *xs)``, or a number if it is constant.

    Attributes:
        partials: one an operand. For any number of operands, a single function that returns all of them.
        domain: for each operand the open interval inside which the operation is smooth but for its kinks.
        kinks: a function of the operands whose zeros are the points without a derivative, or None.
    """

    def __init__(
        self,
        name: str,
        arity: int | None,
        partials: Any,
        domain: Sequence[Interval],
        kinks: Kernel | None,
        **facts: Any,
    ) -> None:
        super().__init__(name, arity, **facts)
        self.partials = partials
        self.domain = tuple(domain)
        self.kinks = kinks

    @property
    def analytic(self) -> bool:
        """Whether the array kernel takes complex numbers, so that a complex step gives exact derivatives."""
        return self.kinks is None and any("D->D" in t for t in getattr(self.array, "types", ()))


class Reduction(Primitive):
    """A row for y = reduce(x, axis=...) by dy/dx, element for element.

    Attributes:
        weights: one an operand, ``weight(y, *xs, **params)``, or a number; y keeps its reduced axes as 1.
        averaged: the weights are to be divided by the number of elements reduced.
        default_axis: the axis if none is given; None is all.
    """

    def __init__(
        self, name: str, weights: Sequence[Kernel | float], averaged: bool, default_axis: int | None, **facts: Any
    ) -> None:
        super().__init__(name, len(weights), scalar=None, **facts)
        self.weights = tuple(w if callable(w) else float(w) for w in weights)
        self.averaged = averaged
        self.default_axis = default_axis

    def kept(self, params: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the output for an operand of this shape, had it been asked to keep its axes."""
        return kept_shape(shape, params.get("axis", self.default_axis))


class ArrayOp(Primitive):
    """A row for anything that moves, combines or contracts elements.

    Attributes:
        pullbacks: one an operand, ``pullback(g, y, *xs, **params)``; None for an operand that is never
            differentiated. For any number of operands, a single function that returns a list.
        pushforwards: one an operand, ``pushforward(t, y, *xs, **params)``; None where the operation is
            linear in that operand, so that it is its own pushforward.
    """

    def __init__(
        self, name: str, arity: int | None, pullbacks: Any, pushforwards: Sequence[Kernel | None], **facts: Any
    ) -> None:
        super().__init__(name, arity, **facts)
        self.pullbacks = pullbacks
        self.pushforwards = tuple(pushforwards)


class Predicate(Primitive):
    """A question with a plain answer: nodes in, bool or bool array out, nothing recorded.

    Rules ask predicates which side of a kink an input is on; the answer carries no derivative. Only a program that is
    being written down keeps the question.
    """

    is_question = True

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """The answer. One plain array of float64, which is what rules mostly ask about, takes a short way."""
        if len(operands) == 1 and type(x := operands[0]) is np.ndarray and x.dtype is FLOAT64 and x.ndim:
            return self.array(x, **params)
        return super().__call__(*operands, **params)


def _register(primitive: Primitive) -> Any:
    """Enter a row in the registry. A user's row may replace the user's own, never a built-in one."""
    if not primitive.name.isidentifier():
        raise RegistrationError(f"a primitive's name must be an identifier, got {primitive.name!r}")
    if primitive.name in _BUILT_IN:
        raise RegistrationError(f"{primitive.name!r} is a built-in operation; choose another name")
    REGISTRY[primitive.name] = primitive
    return primitive


def seal_built_ins() -> None:
    """From here on the names registered so far belong to the library, whose rules return arrays of their own."""
    _BUILT_IN.update(REGISTRY)
    for primitive in REGISTRY.values():
        primitive.built_in = primitive.fresh = True


def _lift(scalar: Kernel) -> Kernel:
    """An array kernel from a float kernel, element by element."""

    def kernel(*xs: Any, **params: Any) -> Any:
        dtype = np.result_type(*(x for x in xs if isinstance(x, np.ndarray)))
        return np.vectorize(partial(scalar, **params), otypes=[np.float64])(*xs).astype(dtype, copy=False)

    return kernel


def elementwise(
    name: str,
    scalar: Kernel,
    array: Kernel | None,
    *partials: Kernel | float,
    variadic: bool = False,
    domain: Sequence[Interval] | None = None,
    kinks: Kernel | None = None,
    **facts: str,
) -> Elementwise:
    """Register an operation that works element by element and broadcasts; returns it, ready to call.

    Args:
        name: an identifier; the public name.
        scalar: kernel for Python floats.
        array: kernel for arrays; None lifts the scalar kernel (slow, but right).
        partials: one local derivative per operand, ``partial(y, *xs)``, written in autodiff's own functions
            so that it can be differentiated again; or a number where it is constant.
        variadic: the operation takes any number of operands and the only partial returns a list of all.
        domain: an open interval per operand; tests draw inputs there.
        kinks: a function of the operands that is 0 where there is no derivative.
        facts: ``symbol`` and ``latex`` for drawings and formulas (latex has a slot {0}, {1}, ... per operand),
            ``source`` of a formula that is not school calculus, ``doc`` for the docstring.

    Raises RegistrationError for a built-in's name, no partials or a domain of the wrong length.

    >>> import autodiff as ad
    >>> cube = ad.elementwise("cube", lambda x: x * x * x, lambda x: x * x * x, lambda y, x: 3 * ad.square(x))
    >>> x = ad.Value(2.0)
    >>> cube(x).backward()
    >>> cube(2.0), x.grad
    (8.0, 12.0)
    """
    if not partials:
        raise RegistrationError(f"{name}: give one partial per operand, got none")
    arity = None if variadic else len(partials)
    if domain is None:
        domain = (EVERYWHERE,) * len(partials)
    if len(domain) != len(partials):
        raise RegistrationError(f"{name}: {len(partials)} partials but {len(domain)} intervals in its domain")
    table_partials = partials[0] if variadic else tuple(p if callable(p) else float(p) for p in partials)
    row = Elementwise(name, arity, table_partials, domain, kinks, scalar=scalar, array=array or _lift(scalar), **facts)
    return _register(row)  # type: ignore[no-any-return]  # _register returns what it was given


def array_op(
    name: str,
    kernel: Kernel,
    *pullbacks: Kernel | None,
    pushforwards: Sequence[Kernel | None] | None = None,
    variadic: bool = False,
    scalar: Kernel | None = None,
    fresh: bool = False,
    **facts: str,
) -> ArrayOp:
    """Register an operation on whole arrays; returns it, ready to call.

    Args:
        name: an identifier; the public name.
        kernel: the operation on arrays, ``kernel(*arrays, **params)``.
        pullbacks: one an operand: ``pullback(g, y, *xs, **params)`` is the gradient of that operand, given
            the gradient g of the output y; written in autodiff's functions. None: never differentiated.
        pushforwards: one an operand: ``pushforward(t, y, *xs, **params)`` is the tangent of y for the tangent t
            of that operand; None (for one or for all) where the operation is linear in that operand.
        variadic: any number of operands; the only pullback returns a list with one gradient for each, and
            the operation is linear in all of them together.
        scalar: kernel for all-float operands; without one the array kernel is used.
        fresh: promise that every array which the kernel or a pullback returns is new and writable (a pullback may
            also return g), so that none is copied; ``autodiff.testing.check_rule`` checks it. Large arrays gain a few
            per cent.
        facts: as for ``elementwise``.

    Raises RegistrationError for a built-in's name, no pullback or the wrong number of pushforwards.

    >>> import autodiff as ad
    >>> import numpy as np
    >>> double = ad.array_op("double", lambda x: 2 * x, lambda g, y, x: 2 * g)
    >>> x = ad.Tensor([1.0, 2.0])
    >>> double(x).sum().backward()
    >>> x.grad
    array([2., 2.])
    """
    if not pullbacks:
        raise RegistrationError(f"{name}: give one pullback per operand, got none")
    if pushforwards is None:
        pushforwards = (None,) * len(pullbacks)
    if len(pushforwards) != len(pullbacks):
        raise RegistrationError(f"{name}: {len(pullbacks)} pullbacks but {len(pushforwards)} pushforwards")
    arity, table_pullbacks = (None, pullbacks[0]) if variadic else (len(pullbacks), pullbacks)
    row = ArrayOp(name, arity, table_pullbacks, pushforwards, scalar=scalar, array=kernel, **facts)
    row.fresh = fresh
    return _register(row)  # type: ignore[no-any-return]  # _register returns what it was given


def reduction(
    name: str,
    kernel: Kernel,
    *weights: Kernel | float,
    averaged: bool = False,
    default_axis: int | None = None,
    **facts: str,
) -> Reduction:
    """Register y = kernel(*xs, axis=..., keepdims=...) by its weights dy/dx, one function (or number) an operand.

    Args:
        name: an identifier; the public name.
        kernel: the reduction on arrays; several operands have one shape.
        weights: one an operand: ``weight(y, *xs, **params)`` is dy/dx, element for element; y keeps its axes.
        averaged: the weights are to be divided by the number of elements reduced.
        default_axis: the axis if none is given; None is all.
        facts: as for ``elementwise``.

    >>> import autodiff as ad
    >>> energy = ad.reduction("energy", lambda x, axis=None, keepdims=False: (x * x).sum(axis, keepdims=keepdims),
    ...                       lambda y, x, **params: 2 * x)
    >>> x = ad.Tensor([1.0, 2.0])
    >>> energy(x).backward()
    >>> x.grad
    array([2., 4.])
    """
    row = Reduction(name, weights, averaged, default_axis, array=kernel, **facts)
    return _register(row)  # type: ignore[no-any-return]  # _register returns what it was given


def predicate(name: str, scalar: Kernel, array: Kernel) -> Predicate:
    """A question that rules ask; not differentiable and not in the registry."""
    return Predicate(name, None, scalar=scalar, array=array)
