"""Expression programs as data: run them on numbers, arrays or nodes, and print them as Python.

A program is a list of calls, each on earlier results or constants. ``strategies.programs`` draws random ones; one
that makes a test fail prints as a script that needs nothing but NumPy and autodiff.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import array_rules, functions, rules
from ..array_rules import grouped, norm, std
from ..primitive import REGISTRY, Elementwise, raw

__all__ = ["Operand", "Program", "Step"]

Operand = Any  # an int: the number of an earlier result; a float or an array: a constant


# ---- how near to a kink ----------------------------------------------------------------------------------------


def _lead(x: Any, axis: Any) -> Any:
    """By how much the largest element is ahead of the second; nothing to compare is no kink."""
    ordered = np.sort(grouped(np.asarray(x), axis), axis=-1)
    return ordered[..., -1] - ordered[..., -2] if ordered.shape[-1] > 1 else math.inf


def _gaps(x: Any, axis: Any) -> Any:
    """The differences between neighbours in sorted order."""
    return np.diff(np.sort(x, axis=axis), axis=-1 if axis is None else axis)


# Zero where a structural operation has no derivative; the elementwise rows say it themselves.
KINKS: dict[str, Callable[..., Any]] = {
    "max": lambda x, *, axis=None, keepdims=False: _lead(x, axis),
    "min": lambda x, *, axis=None, keepdims=False: _lead(-x, axis),
    "norm": norm,
    "sort": lambda x, *, axis=-1: _gaps(x, axis),
    "std": std,
}

# ---- text ------------------------------------------------------------------------------------------------------


class _Name(str):
    """Text that stands for itself inside the repr of a list."""

    __slots__ = ()
    __repr__ = str.__str__


def _literal(x: Any) -> str:
    """A number, an array or a container of them as Python that gives the same bits again."""
    if isinstance(x, np.ndarray):
        return f"np.array({_literal(x.tolist())})"
    if isinstance(x, float):
        return repr(float(x)) if math.isfinite(x) else f"float('{x}')"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(value)}" for key, value in x.items()) + "}"
    if isinstance(x, (tuple, list)):
        entries = ", ".join(map(_literal, x))
        return f"[{entries}]" if isinstance(x, list) else f"({entries},)" if len(x) == 1 else f"({entries})"
    return repr(x)


# ---- programs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One call of an operation.

    Attributes:
        name: of a registered primitive, or of a composite such as ``pad``.
        operands: for each an integer, the number of an earlier result, or a constant: a float or an array.
        params: the metadata of the call.

    >>> Step("sum", (0,), {"axis": -1})
    Step('sum', (0,), {'axis': -1})
    """

    name: str
    operands: tuple[Operand, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def __call__(self, results: Sequence[Any]) -> Any:
        """The result of the call, given all earlier results: plain or nodes."""
        composite = self.name in functions.__all__
        function = getattr(functions, self.name) if composite else REGISTRY[self.name]
        args, params = self._arguments(self._chosen(results))
        return function(*args, **params)

    def clearance(self, results: Sequence[Any]) -> float:
        """How far the operands are from a kink of the operation: infinitely far if it has none, 0 at the kink.

        It is the smallest absolute value of the function whose zeros are the kinks: for ``relu`` of the operand, for
        ``maximum`` of the difference of the operands, for the reduction ``max`` of the lead of the largest element.
        """
        row = REGISTRY.get(self.name)
        elementwise = isinstance(row, Elementwise)
        kinks = row.kinks if isinstance(row, Elementwise) else KINKS.get(self.name)
        if kinks is None:
            return math.inf
        distance = kinks(*map(raw, self._chosen(results)), **({} if elementwise else self.params))
        return float(np.min(np.abs(distance), initial=math.inf))

    def source(self) -> str:
        """The call as Python, with earlier results named x0, x1, ..."""
        row = REGISTRY.get(self.name)
        public = self.name in functions.__all__ or row in (vars(rules).get(self.name), vars(array_rules).get(self.name))
        args, params = self._arguments([_Name(f"x{x}" if type(x) is int else _literal(x)) for x in self.operands])
        call = ", ".join([*map(repr, args), *(f"{key}={_literal(value)}" for key, value in params.items())])
        return f"ad.{self.name}({call})" if public else f"ad.primitive.REGISTRY[{self.name!r}]({call})"

    def _chosen(self, results: Sequence[Any]) -> list[Any]:
        """The operands: earlier results, and constants as they are."""
        return [results[x] if type(x) is int else x for x in self.operands]

    def _arguments(self, operands: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the keyword arguments of the call."""
        if self.name == "einsum":
            return [self.params["subscripts"], *operands], {}
        if self.name in ("concatenate", "stack"):
            return [operands], self.params
        return operands, self.params

    def __repr__(self) -> str:
        params = f", {_literal(self.params)}" if self.params else ""
        return f"Step({self.name!r}, {_literal(self.operands)}{params})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """As repr: Hypothesis and IPython would otherwise spell out the fields, with numbers cut short."""
        printer.text(repr(self))


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A whole computation: example inputs, and the steps that are computed from them one after the other.

    Attributes:
        inputs: floats or arrays, with which the program prints; it runs on any others of the same shapes.
        steps: result number ``len(inputs) + i`` is that of step i; the last one is the program's.

    A program is a function: ``program(*xs)`` takes and gives floats, arrays or nodes, so every transform takes it too.
    Its ``str`` is its source.

    >>> program = Program((2.0, 1.0), (Step("add", (0, 1)), Step("add", (1, 1.0)), Step("mul", (2, 3))))
    >>> program(2.0, 1.0)
    6.0
    >>> import autodiff
    >>> autodiff.grad(program, argnums=1)(2.0, 1.0)
    5.0
    >>> print(program)
    import numpy as np
    import autodiff as ad
    <BLANKLINE>
    x0 = ad.Value(2.0)
    x1 = ad.Value(1.0)
    x2 = ad.add(x0, x1)
    x3 = ad.add(x1, 1.0)
    x4 = ad.mul(x2, x3)
    x4.backward(np.ones(x4.shape))
    print(x4.data, x0.grad, x1.grad)
    """

    inputs: tuple[Any, ...]
    steps: tuple[Step, ...]

    def __call__(self, *inputs: Any) -> Any:
        """The last result. Raises TypeError for another number of inputs than the program has."""
        return self.results(*inputs)[-1]

    def results(self, *inputs: Any) -> list[Any]:
        """The inputs and the results of all steps, in order."""
        if len(inputs) != len(self.inputs):
            raise TypeError(f"the program has {len(self.inputs)} inputs, got {len(inputs)}")
        results = list(inputs)
        for step in self.steps:
            results.append(step(results))
        return results

    def clearance(self, *inputs: Any) -> float:
        """How near the run on these inputs (by default the program's own) comes to a kink; see ``Step.clearance``.

        >>> Program((0.25,), (Step("relu", (0,)), Step("exp", (1,)))).clearance()
        0.25
        """
        results = self.results(*(inputs or self.inputs))
        return min((step.clearance(results) for step in self.steps), default=math.inf)

    def source(self, *inputs: Any) -> str:
        """The program on these inputs (by default its own) as a script that prints its value and its gradients.

        Floats become Values and arrays Tensors, whose gradients are seeded with ones.
        """
        inputs = inputs or self.inputs
        lines = ["import numpy as np", "import autodiff as ad", ""]
        for i, x in enumerate(inputs):
            lines.append(f"x{i} = ad.{'Tensor' if isinstance(x, np.ndarray) else 'Value'}({_literal(x)})")
        lines += [f"x{i} = {step.source()}" for i, step in enumerate(self.steps, len(inputs))]
        last = f"x{len(inputs) + len(self.steps) - 1}"
        gradients = "".join(f", x{i}.grad" for i in range(len(inputs)))
        return "\n".join([*lines, f"{last}.backward(np.ones({last}.shape))", f"print({last}.data{gradients})"])

    def __str__(self) -> str:
        return self.source()

    def __repr__(self) -> str:
        return f"Program({_literal(self.inputs)}, {_literal(self.steps)})"

    _repr_pretty_ = Step._repr_pretty_
