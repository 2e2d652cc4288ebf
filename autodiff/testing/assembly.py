"""How random programs are put together: which operation goes on which results, with which metadata.

A ``Builder`` computes a program while it grows, so every step fits the data that it meets: shapes match, operands
lie inside the operation's domain and away from its kinks. All random choices are made by one function ``pick``,
which takes one entry of a sequence; Hypothesis, or any generator, can stand behind it.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..functions import moveaxis
from ..primitive import EVERYWHERE, REGISTRY, Elementwise, Interval, Reduction
from ..shapes import reduced_size
from .programs import Operand, Program, Step

__all__ = ["CLEARANCE", "SHAPES", "Builder", "Pick", "UnfitError", "interior", "known_operations"]

Shape = tuple[int, ...]
Pick = Callable[[Sequence[Any]], Any]

SHAPES: list[Shape] = [(), (1,), (3,), (2, 1), (2, 3), (2, 1, 3)]
"""The shapes of inputs: all of them broadcast with each other."""

LARGEST, DEEPEST = 24, 4  # elements and axes of a result, if no input has more: enough for every rule
# exp(5) = 148, 0.1**-5 = 1e5: whatever an operation makes of such operands, no derivative of it over- or underflows
MARGIN, REACH = 0.1, 5.0
CLEARANCE = 0.05  # from a kink: difference quotients with steps of 1e-3 do not reach it through slopes of up to 50
SHIFTS = (0.3, -0.3, 0.7, -0.7, 1.1)  # out of the way of a kink
STRIDES = (1.0, 2.0, -1.0, -2.0, 3.0, -3.0)  # into a domain
NUMBERS = (1.0, 0.5, -1.0, 2.0, 0.3, -0.7, 1.6, -2.5)  # constants


class UnfitError(Exception):
    """An operation does not fit what was picked for it; the builder takes back what it began."""


def interior(interval: Interval, reach: float) -> Interval:
    """The part of an interval that keeps away from its ends, and goes no farther out than ``reach``.

    >>> interior((0.0, math.inf), 5.0), interior((-1.0, 1.0), 5.0)
    ((0.1, 5.0), (-0.9, 0.9))
    """
    low, high = interval
    margin = min(MARGIN, (high - low) / 8)
    least = low + margin if math.isfinite(low) else high - reach if math.isfinite(high) else -reach
    most = high - margin if math.isfinite(high) else low + reach if math.isfinite(low) else reach
    return least, most


def within(x: Any, interval: Interval) -> bool:
    """Whether all elements lie inside the interval, neither near its ends nor far out."""
    least, most = interior(interval, REACH)
    return bool(np.all((least <= np.asarray(x)) & (np.asarray(x) <= most)))


def _bring_into(interval: Interval, x: Any, call: Callable[..., Any]) -> Any:
    """Any number brought into an interval by bounded smooth functions; arctan, because it flattens what is steep."""
    low, high = interval
    bounded = call("arctan", x)
    if math.isfinite(low) and math.isfinite(high):
        narrow = call("mul", bounded, (high - low) / 4)  # |arctan| < 1.6: at most 0.8 of the way to either end
        return call("add", narrow, (low + high) / 2) if low + high else narrow
    if math.isinf(low) and math.isinf(high):
        return bounded
    above = call("exp", bounded)
    if math.isinf(low):
        return call("sub", high, above)
    return call("add", above, low) if low else above


class Builder:
    """A program under construction.

    Args:
        inputs: the numbers and arrays to start from.
        pick: takes one entry of a sequence; the first is the simplest.
    """

    def __init__(self, inputs: Sequence[Any], pick: Pick) -> None:
        self.inputs = tuple(inputs)
        self.results: list[Any] = list(inputs)
        self.shapes = [np.shape(x) for x in inputs]
        self.steps: list[Step] = []
        self.pick = pick
        self.largest = max([LARGEST, *map(np.size, inputs)])
        self.deepest = max([DEEPEST, *map(np.ndim, inputs)])

    def grow(self, name: str, max_nodes: int) -> None:
        """Apply one operation to what is picked for it; where it does not fit, nothing happens."""
        before = len(self.steps)
        try:
            _use(name)(self, name)
            _need(len(self.steps) <= max_nodes)
        except UnfitError:
            del self.steps[before:]
            del self.results[len(self.inputs) + before :], self.shapes[len(self.inputs) + before :]

    def program(self) -> Program:
        """What the last result depends on. Raises UnfitError if nothing has fitted."""
        _need(bool(self.steps))
        return Program(self.inputs, self._needed())

    def _needed(self) -> tuple[Step, ...]:
        """The steps that the last result depends on, numbered anew."""
        first = len(self.inputs)
        wanted = {len(self.results) - 1}
        for i in reversed(range(first, len(self.results))):
            if i in wanted:
                wanted.update(x for x in self.steps[i - first].operands if type(x) is int)
        kept = [*range(first), *(i for i in range(first, len(self.results)) if i in wanted)]
        number = {old: new for new, old in enumerate(kept)}
        return tuple(
            Step(step.name, tuple(number[x] if type(x) is int else x for x in step.operands), step.params)
            for step in (self.steps[i - first] for i in kept[first:])
        )

    # ---- operands ----

    def data(self, x: Operand) -> Any:
        """The numbers behind an operand."""
        return self.results[x] if type(x) is int else x

    def shape(self, x: Operand) -> Shape:
        """The shape of an operand."""
        return self.shapes[x] if type(x) is int else np.shape(x)

    def array(self, fits: Callable[[Shape], bool] = lambda shape: True) -> int:
        """An earlier result as ``result`` gives it, if it is an array; a number has no layout."""
        x = self.result(fits)
        _need(not isinstance(self.data(x), float))
        return x

    def result(self, fits: Callable[[Shape], bool] = lambda shape: True) -> int:
        """An earlier result whose shape fits; mostly the latest, so that programs grow deep."""
        fitting = self._fitting(fits)
        _need(bool(fitting))
        return int(self.pick(self.pick((fitting[:1], fitting[:1], fitting[:1], fitting))))

    def _fitting(self, fits: Callable[[Shape], bool]) -> list[int]:
        """The results whose shapes fit, newest first."""
        return [x for x in reversed(range(len(self.shapes))) if fits(self.shapes[x])]

    def constant(self, shape: Shape) -> Operand:
        """A number, or an array of them."""
        first = self.pick(range(len(NUMBERS)))
        return np.resize(np.roll(NUMBERS, -first), shape) if shape else NUMBERS[first]

    def partner(self, fits: Callable[[Shape], bool], *shapes: Shape) -> Operand:
        """Another operand: a constant of one of the shapes, or a result that fits.

        Mostly a result that nothing has used so far, so that little is computed in vain; often the latest, which is
        likely to be the other operand as well.
        """
        fitting = self._fitting(fits)
        used = {x for step in self.steps for x in step.operands if type(x) is int}
        unused = [x for x in fitting if x not in used] or fitting
        group = self.pick(((), unused, unused, fitting[:1], fitting))
        return self.pick(group) if group else self.constant(self.pick(shapes))

    def broadcasting(self, count: int) -> list[Operand]:
        """So many operands that broadcast with each other; one at least is an earlier result."""
        x = self.result()
        joint, operands = self.shape(x), [x]
        for _ in range(count - 1):
            fits = partial(_broadcasts, joint)
            wide = [] if isinstance(self.data(x), float) else [shape for shape in [joint, *SHAPES] if fits(shape)]
            operands.append(self.partner(fits, (), *wide))
            joint = np.broadcast_shapes(joint, self.shape(operands[-1]))
        place = self.pick(range(count))
        return [*operands[1 : place + 1], x, *operands[place + 1 :]]

    # ---- steps ----

    def add(self, name: str, *operands: Operand, **params: Any) -> int:
        """Append one step and return its number. Raises UnfitError for a result that is empty or too large."""
        step = Step(name, operands, params)
        y = step(self.results)
        if not 0 < np.size(y) <= self.largest or np.ndim(y) > self.deepest:
            raise UnfitError
        self.steps.append(step)
        self.results.append(y)
        self.shapes.append(np.shape(y))
        return len(self.results) - 1

    def call(self, name: str, *operands: Operand, domain: Sequence[Interval] = (), **params: Any) -> int:
        """Append an operation: its operands in their domains (by default anywhere), and clear of its kinks."""
        domain = domain or (EVERYWHERE,) * len(operands)
        inside = [self._inside(interval, x) for interval, x in zip(domain, operands, strict=True)]
        first, *others = inside
        values = [self.data(x) for x in inside]
        trial = Step(name, tuple(range(len(inside))), params)
        if trial.clearance(values) >= CLEARANCE:
            return self.add(name, *inside, **params)
        for shift in _shifts(values[0]):
            values[0] = self.data(first) + shift
            if within(values[0], domain[0]) and trial.clearance(values) >= CLEARANCE:
                moved = self.add("add", first, shift) if type(first) is int else values[0]
                return self.add(name, moved, *others, **params)
        raise UnfitError

    def _inside(self, interval: Interval, x: Operand) -> Operand:
        call = self.add if type(x) is int else lambda name, *xs: REGISTRY[name](*xs)
        if within(self.data(x), interval):
            return x
        for shift in STRIDES:
            if within(self.data(x) + shift, interval):
                return call("add", x, shift)
        return _bring_into(interval, x, call)


def _shifts(x: Any) -> Iterator[Any]:
    """What may be added to an operand to bring it away from a kink; arrays at last, to bring ties apart."""
    yield from SHIFTS
    if np.ndim(x):
        yield from (slope * np.arange(np.size(x), dtype=np.float64).reshape(np.shape(x)) for slope in (0.15, -0.25))


def _broadcasts(*shapes: Shape) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


# ---- metadata: a function of the operand's shape for every structural operation of one operand ----------------

Metadata = Callable[[Pick, Shape], dict[str, Any]]


def _need(condition: bool) -> None:
    if not condition:
        raise UnfitError


def _axis(pick: Pick, shape: Shape) -> int:
    _need(bool(shape))
    return pick(range(-len(shape), len(shape)))  # type: ignore[no-any-return]  # an entry


def _axes(pick: Pick, shape: Shape) -> Any:
    n = len(shape)
    return pick([None, *range(-n, n), *itertools.combinations(range(n), 2), ()])


def _axis_or_none(pick: Pick, shape: Shape) -> dict[str, Any]:
    return {"axis": pick([None, *range(-len(shape), len(shape))])}


def _reduced(pick: Pick, shape: Shape) -> dict[str, Any]:
    return {"axis": _axes(pick, shape), "keepdims": pick((False, True)) if shape else False}


def _spread(pick: Pick, shape: Shape) -> dict[str, Any]:
    params = _reduced(pick, shape)
    return params | {"ddof": pick((0, 1) if reduced_size(shape, params["axis"]) > 1 else (0,))}


def _reshaped(pick: Pick, shape: Shape) -> dict[str, Any]:
    size = math.prod(shape)
    pairs = [(n, size // n) for n in range(1, size + 1) if size % n == 0]
    return {"shape": pick([(-1,), *pairs, *((n, 1, m) for n, m in pairs), *([()] if size == 1 else [])])}


def _wider(pick: Pick, shape: Shape) -> dict[str, Any]:
    return {"shape": pick([(2, *shape), tuple(3 if n == 1 else n for n in shape), shape])}


def _narrower(pick: Pick, shape: Shape) -> dict[str, Any]:
    return {"shape": pick([(), shape[1:], (1,) * len(shape), (*shape[:-1], 1)[: len(shape)], shape])}


def _index(pick: Pick, shape: Shape) -> dict[str, Any]:
    kind = pick(("basic", "integers", "mask")) if shape else "basic"
    if kind == "mask":
        mask = (np.arange(math.prod(shape)) % pick((2, 3)) == 0).reshape(shape)
        return {"index": (_nested(mask.tolist()),)}
    if kind == "integers":
        axis = pick(range(len(shape)))
        chosen = pick(((0, 0), (-1, 0, 0), ((0, -1), (0, 0))))  # repeated elements accumulate
        return {"index": ((slice(None),) * axis + (chosen,))}
    front = pick(((), (None,), (Ellipsis,)))
    return {"index": (*front, *(pick((slice(None), -1, slice(None, None, -1), slice(n // 2, None))) for n in shape))}


def _nested(x: Any) -> Any:
    return tuple(map(_nested, x)) if isinstance(x, list) else x


def _scattered(pick: Pick, shape: Shape) -> dict[str, Any]:
    if not shape:
        return {"index": (1,), "shape": (2,)}
    n = shape[0]
    index = pick(((slice(0, n),), (slice(None, 0, -1),), ((0,) * n,)))
    return {"index": index, "shape": (n + 1, *shape[1:])}


def _padded(pick: Pick, shape: Shape) -> dict[str, Any]:
    _need(bool(shape))
    return {"pad_width": pick((1, (0, 1), ((1, 0),) * len(shape))), "constant_values": pick((0.0, 1.5))}


def _diagonals(pick: Pick, shape: Shape) -> dict[str, Any]:
    _need(len(shape) >= 2)
    return {"offset": pick([0, *([1] if shape[1] > 1 else []), *([-1] if shape[0] > 1 else [])])}


def _triangle(pick: Pick, shape: Shape) -> dict[str, Any]:
    _need(len(shape) >= 2)
    return {"k": pick((0, 1, -1))}


def _one(_pick: Pick, shape: Shape) -> dict[str, Any]:
    _need(math.prod(shape) == 1)
    return {}


METADATA: dict[str, Metadata] = {
    "reshape": _reshaped,
    "transpose": lambda pick, shape: {"axes": pick([None, *itertools.permutations(range(len(shape)))])},
    "broadcast_to": _wider,
    "sum_to": _narrower,
    "cast": lambda pick, shape: {"dtype": "float64"},
    "item": _one,
    "getitem": _index,
    "scatter": _scattered,
    "softmax": lambda pick, shape: {"axis": _axes(pick, shape)},
    "log_softmax": lambda pick, shape: {"axis": _axes(pick, shape)},
    "cumsum": _axis_or_none,
    "cumprod": _axis_or_none,
    "sort": _axis_or_none,
    "ravel": lambda pick, shape: {},
    "swapaxes": lambda pick, shape: {"axis1": _axis(pick, shape), "axis2": _axis(pick, shape)},
    "moveaxis": lambda pick, shape: {"source": _axis(pick, shape), "destination": _axis(pick, shape)},
    "expand_dims": lambda pick, shape: {"axis": pick((0, -1))},
    "squeeze": lambda pick, shape: {},
    "repeat": lambda pick, shape: {"repeats": 2, **_axis_or_none(pick, shape)},
    "tile": lambda pick, shape: {"reps": pick((2, (2, 1)))},
    "pad": _padded,
    "flip": lambda pick, shape: {"axis": _axes(pick, shape)},
    "roll": lambda pick, shape: {"shift": pick((1, -2)), **_axis_or_none(pick, shape)},
    "triu": _triangle,
    "tril": _triangle,
    "diagonal": _diagonals,
    "trace": _diagonals,
    "take": lambda pick, shape: {"indices": pick((0, (0, 0, -1))), **_axis_or_none(pick, shape)},
    "var": _spread,
    "std": _spread,
}
ELEMENTWISE: dict[str, Sequence[dict[str, float]]] = {
    "leaky_relu": ({}, {"negative_slope": 0.3}),
    "elu": ({}, {"alpha": 0.7}),
}
FACTORS = {"prod": (-1.6, 1.6), "cumprod": (-1.6, 1.6)}  # products of two dozen numbers stay below 1e5

# ---- use: appends an operation to a program, or raises UnfitError -----------------------------------------------


def _elementwise(b: Builder, name: str) -> None:
    row = REGISTRY[name]
    assert isinstance(row, Elementwise)  # who calls has looked
    operands = b.broadcasting(row.arity or b.pick((1, 3, 5)))
    domain = row.domain if row.arity else row.domain * len(operands)
    b.call(name, *operands, domain=domain, **b.pick(ELEMENTWISE.get(name, ({},))))


def _reduction(b: Builder, name: str) -> None:
    row = REGISTRY[name]
    assert isinstance(row, Reduction)  # who calls has looked
    x = b.result()
    shape = b.shape(x)
    _need(row.default_axis is None or bool(shape))
    others = [b.partner(lambda other: other == shape, shape) for _ in row.weights[1:]]
    domain = (FACTORS.get(name, EVERYWHERE),) * (1 + len(others))
    b.call(name, x, *others, domain=domain, **METADATA.get(name, _reduced)(b.pick, shape))


def _structural(b: Builder, name: str) -> None:
    x = b.array()
    b.call(name, x, domain=(FACTORS.get(name, EVERYWHERE),), **METADATA[name](b.pick, b.shape(x)))


def _where(b: Builder, name: str) -> None:
    x, y = b.broadcasting(2)
    shape = np.broadcast_shapes(b.shape(x), b.shape(y))
    if isinstance(b.data(x), float) and isinstance(b.data(y), float):
        b.call(name, b.pick((1.0, 0.0)), x, y)
    else:
        mask = (np.arange(math.prod(shape)) % b.pick((2, 3)) == 0).reshape(shape)
        b.add(name, mask, x, y)


def _from_values(b: Builder, name: str) -> None:
    x = b.result()
    parts: list[Operand] = []
    for _ in range(b.pick((1, 2, 3))):
        at = tuple(b.pick((0, -1)) for _ in b.shape(x))
        parts.append(x if isinstance(b.data(x), float) else b.add("item", b.add("getitem", x, index=at)))
    b.add(name, *parts, *b.pick(((), (0.5,))))


def _joined(b: Builder, name: str) -> None:
    x = b.array()
    shape = b.shape(x)
    if name == "stack":
        axis, fits = b.pick((0, -1)), lambda other: other == shape
    else:
        axis = _axis(b.pick, shape)
        rest = moveaxis(np.empty(shape), axis, 0).shape[1:]
        fits = lambda other: len(other) == len(shape) and moveaxis(np.empty(other), axis, 0).shape[1:] == rest
    others = [b.partner(fits, shape) for _ in range(b.pick((1, 0, 2)))]
    place = b.pick(range(len(others) + 1))
    b.call(name, *others[:place], x, *others[place:], axis=axis)


def _matmul(b: Builder, name: str) -> None:
    x = b.array(bool)
    shape = b.shape(x)
    if b.pick((True, False)):
        b.call(name, x, b.partner(lambda other: _multiplies(shape, other), (shape[-1], 2), shape[-1:]))
    else:
        inner = shape[-2:][0]
        b.call(name, b.partner(lambda other: _multiplies(other, shape), (2, inner), (inner,)), x)


def _multiplies(a: Shape, b: Shape) -> bool:
    """Whether matmul takes these shapes."""
    if not a or not b or a[-1] != b[-2:][0]:
        return False
    return _broadcasts(a[:-2], b[:-2])


def _linear(b: Builder, name: str) -> None:
    x = b.array(bool)
    inner = b.shape(x)[-1]
    weight = b.partner(lambda other: len(other) == 2 and other[-1] == inner, (2, inner))
    out = b.shape(weight)[:1]
    b.call(name, x, weight, b.partner(lambda other: other == out, out))


def _product(b: Builder, name: str) -> None:
    """A contraction of two operands of one shape, where that makes sense."""
    x = b.array(lambda shape: len(shape) < 3)
    shape = b.shape(x)
    y = b.partner(lambda other: other == shape, shape)
    if name == "tensordot":
        b.call(name, x, y, axes=b.pick((len(shape), 0)))
    else:
        _need(name != "dot" or len(shape) < 2 or shape[0] == shape[1])
        b.call(name, x, y)


EINSUMS = {
    0: [("->", 1), (",->", 2)],
    1: [("i->", 1), ("i->i", 1), ("i,i->", 2), ("i,j->ij", 2), ("i,i->i", 2), ("i,i,i->i", 3)],
    2: [("ij->ji", 1), ("ij->", 1), ("ij->j", 1), ("ij,ij->i", 2), ("ij,kj->ik", 2), ("...i,...i->...", 2)],
    3: [("ijk->ikj", 1), ("ijk->j", 1), ("ijk,ijk->ik", 2), ("...,...,...->...", 3), ("i...->...i", 1)],
}


def _einsum(b: Builder, name: str) -> None:
    x = b.array(lambda shape: len(shape) in EINSUMS)
    shape = b.shape(x)
    square = len(shape) == 2 and shape[0] == shape[1]
    subscripts, count = b.pick(
        [*EINSUMS[len(shape)], *([("ii->", 1), ("ii->i", 1), ("ii,ij->j", 2)] if square else [])]
    )
    others = [b.partner(lambda other: other == shape, shape) for _ in range(count - 1)]
    b.call(name, x, *others, subscripts=subscripts)


USES: dict[str, Callable[[Builder, str], None]] = {
    **{name: _structural for name in METADATA if name not in ("var", "std")},
    **dict.fromkeys(("concatenate", "stack"), _joined),
    **dict.fromkeys(("dot", "inner", "outer", "vdot", "tensordot"), _product),
    "where": _where,
    "from_values": _from_values,
    "matmul": _matmul,
    "linear": _linear,
    "einsum": _einsum,
}


def _use(name: str) -> Callable[[Builder, str], None]:
    return USES[name] if name in USES else _elementwise if isinstance(REGISTRY[name], Elementwise) else _reduction


def known_operations(scalar: bool) -> list[str]:
    """Every operation that random programs can use; for programs of numbers those that take and give numbers."""
    elementwise = [name for name, row in REGISTRY.items() if isinstance(row, Elementwise)]
    reductions = {name: row for name, row in REGISTRY.items() if isinstance(row, Reduction)}
    if not scalar:
        return [*elementwise, *reductions, *USES]
    over_any_axis = [name for name, row in reductions.items() if row.default_axis is None]
    return [*elementwise, "where", *(name for name in over_any_axis if name != "std")]  # std has its kink at one number
