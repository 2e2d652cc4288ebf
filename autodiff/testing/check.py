"""check_gradients: is this gradient right? Ours, a hand-written one, or that of another framework."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..array_rules import shape_of
from ..array_rules import sum as sum_all
from ..errors import GradientError
from ..modes import no_grad
from ..node import Node
from ..rules import add, mul
from ..tensor import Tensor
from ..transforms import flatten, grad, jvp, vjp
from ..value import Value
from .diagnose import diagnose
from .numeric import EPSILON, complex_step, derivative, step_for
from .report import EXACT, Comparison, Reference, Report, compared

__all__ = ["check_gradients"]

Function = Callable[..., Any]
Place = tuple[int, tuple[int, ...]]  # the leaf's number and the element's index

EVERY = 64  # up to so many elements, each is judged alone; of more, signed random directions through all of them
DIRECTIONS = 8
AGAIN = 5  # evaluations at one point: a random mask of four elements is the same in two of them by luck once in 16
# float32 keeps 7 digits of every intermediate result; a few hundred of them leave this much.
SINGLE = 1e-3
# What may be left of a derivative that is zero, in units of the derivative below it: terms of its size that cancel.
CANCELLED = 1e-12
PARTS = {1: "gradient", 2: "second derivative", 3: "third derivative"}
TOLERANCES = {1: 1e-6, 2: 1e-6, 3: 1e-4}


class _Leaf(NamedTuple):
    """One float or array among the arguments."""

    name: str
    argument: int
    value: Any


def check_gradients(
    f: Function,
    *args: Any,
    gradient: Function | None = None,
    order: int = 1,
    modes: Sequence[str] = ("reverse", "forward"),
    argnums: int | Sequence[int] | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Report:
    """Compare the gradient of f with difference quotients; raise GradientError, with a report, if they disagree.

    Args:
        f: any function of the arguments that returns a number, an array or nested containers of them. With
            ``gradient=`` it is called with plain floats and arrays and returns one number.
        args: floats, arrays, Values, Tensors or nested containers of them: the point to judge at. Integers, booleans,
            strings and None, also arrays of them, are passed on and not differentiated.
        gradient: the gradient to judge, called after f with the same arguments, these and others: it returns one float
            or array an argument (a tuple if there are several). Without it, f is differentiated by autodiff.
        order: judge the derivatives up to this order, 1 to 3.
        modes: of autodiff's, which to judge: "reverse", "forward" or both.
        argnums: judge only the derivative by this argument, or by these; by default by all.
        tolerance: the relative error allowed; by default 1e-6, and 1e-4 in third order.
        seed: of the random directions and of the weights of several outputs.
        name: what to call f in the report.

    Up to 64 elements are judged one by one, more along signed random directions. A reference is the complex step where
    f takes complex numbers and it agrees with a difference; otherwise a six-point difference with a measured error.
    Points without a derivative are not judged; if they are more than 20 % of all, that is an error as well. A gradient
    must also have the argument's shape and dtype, share no memory, be the same when it is computed again, and not be
    kept from an earlier call.

    Returns the report. Raises GradientError if a derivative is wrong or could not be judged, TypeError or ValueError
    for arguments that make no sense.

    >>> import numpy as np
    >>> def loss(w, x, y):
    ...     return np.mean((x @ w - y) ** 2)
    >>> def loss_gradient(w, x, y):
    ...     return 2 * x.T @ (x @ w - y)
    >>> x, y = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([1.0, 2.0])
    >>> print(check_gradients(loss, np.array([0.5, -0.5]), x, y, argnums=0))  # doctest: +ELLIPSIS
    loss: right (4 derivatives compared; ...
    >>> check_gradients(loss, np.array([0.5, -0.5]), x, y, argnums=0, gradient=loss_gradient)
    ... # doctest: +ELLIPSIS, +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    autodiff.errors.GradientError: loss: wrong gradient by argument 0 (w) at (1,) ...
    """
    if order not in PARTS:
        raise ValueError(f"order must be 1, 2 or 3, got {order!r}")
    chosen = (modes,) if isinstance(modes, str) else tuple(modes)
    if not chosen or set(chosen) - {"reverse", "forward"}:
        raise ValueError(f"modes are 'reverse', 'forward' or both, got {modes!r}")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"tolerance must be a positive number, got {tolerance!r}")
    if gradient is not None and order != 1:
        raise ValueError("a gradient= of one's own is judged in first order; pass order=1")
    problem = _Problem(f, args, gradient, argnums, seed)
    report = Report(name or str(getattr(f, "__name__", type(f).__name__)))
    for part in range(1, order + 1):
        problem.check(report, PARTS[part], tolerance or TOLERANCES[part], chosen if part == 1 else ("reverse",))
        if not report.ok:
            break
        if part < order:
            problem.differentiate()
    if not report.ok:
        raise GradientError(str(report), report)
    return report


class _Problem:
    """A function of a list of leaves that returns one number, with its gradient."""

    def __init__(
        self,
        f: Function,
        args: Sequence[Any],
        gradient: Function | None,
        argnums: int | Sequence[int] | None,
        seed: int,
    ) -> None:
        self.f, self.gradient = f, gradient
        self.rng = np.random.default_rng(seed)
        self.args = [_plain(arg) for arg in args]
        self.argnums = _numbers(argnums, args)
        if gradient is not None and argnums is None:
            self.argnums = tuple(i for i in self.argnums if _differentiable(self.args[i]))
        self.leaves = _leaves(f, self.args, self.argnums)
        if not self.leaves:
            raise TypeError("there is nothing to differentiate by: no argument holds floating numbers")
        self.originals = [leaf.value for leaf in self.leaves]
        self.point = [np.array(x, dtype=np.float64) for x in self.originals]
        self.weights: list[Any] | None = None
        self.below = self.largest = 0.0  # derivative of a lower order, and of any so far; the function counts as one
        self.function: Function = self._projected

    # ---- the function ----

    def _filled(self, xs: Sequence[Any]) -> list[Any]:
        """The arguments with their leaves replaced."""
        found = iter(xs)
        args = list(self.args)
        for i in self.argnums:
            flat, rebuild = flatten(args[i])
            args[i] = rebuild([next(found) if _differentiable(x) else x for x in flat])
        return args

    def _projected(self, *xs: Any) -> Any:
        """F, made one number: its outputs weighted at random, so that no error can hide behind another."""
        outputs, _ = flatten(self.f(*self._filled(xs)))
        if self.gradient is not None:
            shapes = [np.shape(_data(y)) for y in outputs]
            if [np.prod(shape) for shape in shapes] != [1]:
                raise ValueError(f"with gradient= the function must return one number, got shapes {shapes}")
            return outputs[0]
        if self.weights is None:
            self.weights = [_signed(self.rng, shape_of(y)) if shape_of(y) else 1.0 for y in outputs]
        return _weighted(outputs, self.weights)

    def value(self, xs: Sequence[np.ndarray]) -> float:
        """The number at a point."""
        args = _alike(xs, self.originals)
        if self.gradient is None:
            args = [Tensor(x) if isinstance(x, np.ndarray) else Value(x) for x in args]
        with no_grad():
            return float(np.asarray(_data(self.function(*args))).item())

    def _moved(self, direction: Sequence[np.ndarray], t: Any) -> list[Any]:
        return [x + t * d for x, d in zip(self.point, direction, strict=True)]

    def _value_along(self, direction: Sequence[np.ndarray], t: float) -> float:
        return self.value(self._moved(direction, t))

    def slopes(self, xs: Sequence[Any]) -> list[Any]:
        """The gradient to be judged, one entry a leaf."""
        if self.gradient is None:
            return list(vjp(self.function, *xs)[1](1.0))
        args = self._filled(xs)
        self.f(*args)  # a backward pass may use what the forward pass has left
        result = self.gradient(*args)
        alone = len(self.argnums) == 1 and not (isinstance(result, tuple) and len(result) == 1)
        parts = (result,) if alone else result
        if not isinstance(parts, (tuple, list)) or len(parts) != len(self.argnums):
            count = len(parts) if isinstance(parts, (tuple, list)) else 1
            raise GradientError(
                f"gradient= must return one gradient for each of {len(self.argnums)} arguments, got {count}; say with "
                "argnums= which arguments it differentiates by"
            )
        found = []
        for i, part in zip(self.argnums, parts, strict=True):
            gs, xs = flatten(part)[0], flatten(self.args[i])[0]
            if len(gs) != len(xs):
                raise GradientError(
                    f"the gradient by argument {i} must have the argument's form, but is a {type(part).__name__} of "
                    f"{len(gs)}; return an array for an array"
                )
            found += [_data(g) for g, x in zip(gs, xs, strict=True) if _differentiable(x)]
        return found

    def differentiate(self) -> None:
        """Go on with a directional derivative: a random projection of the gradient, differentiated next."""
        inner = self.function
        self.below = self.largest
        along = [_signed(self.rng, x.shape) if x.shape else float(_signed(self.rng, ())) for x in self.point]

        def projected(*xs: Any) -> Any:
            return _weighted(grad(inner, tuple(range(len(xs))))(*xs), along)

        self.function = projected

    # ---- the judgement ----

    def check(self, report: Report, part: str, tolerance: float, modes: Sequence[str]) -> None:
        """Compare everything at this order."""
        if len({repr(self.value(self.point)) for _ in range(AGAIN)}) > 1:
            report.problems.append("gives different values for the same arguments; fix the seed of its random numbers")
            return
        judged = []
        if "reverse" in modes or self.gradient is not None:
            mine = self._gradient_with_manners(report)
            if report.problems:
                return
            judged.append((part, lambda ds: _dot(mine, ds)))
            scales = [float(np.max(np.abs(g), initial=0.0, where=np.isfinite(g))) for g in mine]
        else:
            scales = [0.0] * len(self.leaves)
        if "forward" in modes and self.gradient is None:
            judged.append(("forward mode", self._pushed))
        for leaf, index, direction in self._directions():
            scale = scales[leaf] if leaf is not None else 0.0
            found = self._compare(judged, leaf, index, direction, scale, tolerance)
            if leaf is None and any(c.verdict == "wrong" for c in found):
                suspects = self._everything()
                located = [self._locate(*way, suspects, tolerance) for way in judged]
                report.comparisons += [there or c for there, c in zip(located, found, strict=True)]
                break
            report.comparisons += found
        self.largest = max([self.largest, *scales])
        if judged[0][0] == PARTS[1]:
            if report.wrong:
                self._explain(report, mine)
            elif report.judged:
                self._elsewhere(report, mine, tolerance)

    def _args(self) -> tuple[Any, ...]:
        return tuple(_alike(self.point, self.originals))

    def _pushed(self, direction: Sequence[Any]) -> float:
        """The derivative along a direction by forward mode."""
        return float(jvp(self.function, self._args(), tuple(_alike(direction, self.originals)))[1])

    def _gradient_with_manners(self, report: Report) -> list[np.ndarray]:
        """The gradient, after a look at everything about it that is not a number."""
        xs = _alike(self.point, self.originals)
        keep = [np.array(x) for x in (*xs, *self.originals)]
        try:
            found = self.slopes(xs)
        except GradientError as error:
            report.problems.append(str(error))
            return []
        shown = [np.array(g) for g in found]
        for leaf, x, g in zip(self.leaves, xs, found, strict=True):
            if g is None:
                report.problems.append(f"the gradient by {leaf.name} is None")
            elif np.shape(g) != np.shape(x):
                report.problems.append(
                    f"the gradient by {leaf.name} has shape {np.shape(g)}, but the argument has {np.shape(x)}"
                )
            elif np.asarray(g).dtype != np.asarray(x).dtype:
                expected = np.asarray(x).dtype
                report.problems.append(
                    f"the gradient by {leaf.name} has dtype {np.asarray(g).dtype}, expected {expected}"
                )
            elif isinstance(g, np.ndarray) and any(np.shares_memory(g, x) for x in xs if isinstance(x, np.ndarray)):
                report.problems.append(f"the gradient by {leaf.name} shares its memory with an argument; copy it")
        if any(not _same(before, now) for before, now in zip(keep, (*xs, *self.originals), strict=True)):
            report.problems.append("the arguments were changed in place; work on copies")
        if not report.problems:
            self._repeat(report, found, shown)
            self._single_precision(report, shown)
        if report.problems and all(g is not None for g in found):
            self._explain(report, found)
        return [np.asarray(g, dtype=np.float64) for g in shown] if not report.problems else []

    def _repeat(self, report: Report, found: list[Any], shown: list[np.ndarray]) -> None:
        """Call again, elsewhere and here: results must not be overwritten, and must be the same bits."""
        elsewhere = [np.asarray(x + step_for(x)) for x in self.point]
        self.slopes(_alike(elsewhere, self.originals))
        overwritten = [not _same(before, g) for before, g in zip(shown, found, strict=True)]
        again = self.slopes(_alike(self.point, self.originals))
        for leaf, lost, before, now in zip(self.leaves, overwritten, shown, again, strict=True):
            if lost:
                report.problems.append(f"the gradient by {leaf.name} was overwritten by a later call; return a copy")
            elif not _same(before, now):
                report.problems.append(f"the gradient by {leaf.name} differs when it is computed again")

    def _elsewhere(self, report: Report, here: list[np.ndarray], tolerance: float) -> None:
        """A gradient that is the same at another point must be right there too, or it was kept from an earlier call."""
        point = self.point
        # Towards 0, where most domains extend to; what is 0 moves a little away from it
        self.point = [np.asarray(np.where(x == 0, 0.1, x) * self.rng.uniform(0.8, 0.95, x.shape)) for x in point]
        found = []
        try:
            with np.errstate(all="ignore"):
                there = self.slopes(_alike(self.point, self.originals))
                kept = {k for k, g in enumerate(here) if _same(g, there[k])}
                suspects = [place for place in self._everything() if place[0] in kept]
                way = ("gradient at another point (kept from an earlier call?)", functools.partial(_dot, here))
                if suspects:
                    (judged,) = self._compare([way], None, None, self._through(suspects), 0.0, tolerance)
                    if judged.verdict == "wrong":
                        found = [self._locate(*way, suspects, tolerance)]
        except Exception:  # noqa: BLE001  # the point was not the user's; perhaps it makes no sense to f
            return
        finally:
            self.point = point
        report.comparisons += [comparison for comparison in found if comparison is not None]

    def _single_precision(self, report: Report, mine: list[np.ndarray]) -> None:
        """Float32 arguments: the gradient is float32, and that of float64 to single precision."""
        singles = [x if isinstance(x, np.ndarray) and x.dtype == np.float32 else None for x in self.originals]
        if self.function != self._projected or all(x is None for x in singles):
            return
        found = self.slopes([p if x is None else x for p, x in zip(self.point, singles, strict=True)])
        for leaf, x, g, exact in zip(self.leaves, singles, found, mine, strict=True):
            if x is None:
                continue
            if np.asarray(g).dtype != np.float32:
                report.problems.append(f"the gradient by {leaf.name}, float32, has dtype {np.asarray(g).dtype}")
            elif not np.all(np.abs(g - exact) <= SINGLE * np.max(np.abs(exact), initial=1e-30)):
                report.problems.append(f"the float32 gradient by {leaf.name} is not that of float64")

    def _directions(self) -> list[tuple[int | None, tuple[int, ...] | None, list[np.ndarray]]]:
        """(leaf, index, step of every leaf) for every derivative to compare."""
        if sum(x.size for x in self.point) <= EVERY:
            return [self._unit(k, index) for k, index in self._everything()]
        signs = [[self.rng.choice([-1.0, 1.0], x.shape) for x in self.point] for _ in range(DIRECTIONS)]
        steps = [step_for(x) for x in self.point]
        return [(None, None, [np.asarray(a * b) for a, b in zip(row, steps, strict=True)]) for row in signs]

    def _unit(self, k: int, index: tuple[int, ...]) -> tuple[int | None, tuple[int, ...] | None, list[np.ndarray]]:
        direction = [np.zeros(x.shape) for x in self.point]
        direction[k][index] = step_for(self.point[k][index])
        return k, index, direction

    def _compare(
        self,
        judged: Sequence[tuple[str, Callable[[list[Any]], float]]],
        leaf: int | None,
        index: tuple[int, ...] | None,
        direction: list[np.ndarray],
        scale: float,
        tolerance: float,
    ) -> list[Comparison]:
        """One directional derivative, in every way that is judged, against the reference."""
        length = max(float(np.max(np.abs(d), initial=0.0)) for d in direction)
        mine = [along(direction) / length for _, along in judged]
        scale = max([scale, *(abs(slope) for slope in mine if np.isfinite(slope))])
        estimate = derivative(functools.partial(self._value_along, direction), scale=scale * length)
        value, error = float(estimate.value) / length, float(estimate.error) / length
        difference = Reference(value, error + CANCELLED * self.below, float(estimate.step) * length)
        unit = max(float(estimate.size) * float(step_for(1.0)) / length, self.below)
        self.largest = max(self.largest, unit)
        exact = None if estimate.kink else self._complex_step(direction, length)
        analytic = exact is not None and abs(exact - value) <= error
        place = self.leaves[leaf].name if leaf is not None else "all arguments"
        found = []
        for (part, _), slope in zip(judged, mine, strict=True):
            reference = difference
            if exact is not None and analytic:
                # beside the rounding of the gradient, what lies below that of the function's values
                rounding = EXACT * max(scale, abs(exact)) + EPSILON * unit
                if abs(exact - slope) <= rounding:
                    reference = Reference(exact, rounding, 1e-20, "complex step")
                else:  # f may have a small part that is not analytic, so the difference has to contradict as well
                    reference = difference._replace(value=exact, method="six-point difference and complex step")
            kink = bool(estimate.kink)
            found.append(compared(part, place, index, slope, reference, tolerance, scale, unit, kink, analytic))
        return found

    def _complex_step(self, direction: list[np.ndarray], length: float) -> float | None:
        if self.function != self._projected:
            return None
        found = complex_step(lambda t: _data(self._projected(*self._moved(direction, t))))
        return float(np.ravel(found)[0]) / length if found is not None else None

    def _locate(
        self, part: str, along: Callable[[list[Any]], float], suspects: Sequence[Place], tolerance: float
    ) -> Comparison | None:
        """The element whose derivative is wrong, found by halving the set of suspects."""
        way = [(part, along)]
        while len(suspects) > 1:
            half = suspects[: len(suspects) // 2]
            rest = suspects[len(half) :]
            errors = [self._compare(way, None, None, self._through(s), 0.0, tolerance)[0].error for s in (half, rest)]
            suspects = rest if errors[1] > errors[0] or np.isnan(errors[1]) else half
        (found,) = self._compare(way, *self._unit(*suspects[0]), 0.0, tolerance)
        return found if found.verdict == "wrong" else None

    def _everything(self) -> list[Place]:
        return [(k, index) for k, x in enumerate(self.point) for index in np.ndindex(x.shape)]

    def _through(self, places: Sequence[Place]) -> list[np.ndarray]:
        """A signed direction through some elements only."""
        direction = [np.zeros(x.shape) for x in self.point]
        for k, index in places:
            direction[k][index] = self.rng.choice([-1.0, 1.0]) * step_for(self.point[k][index])
        return direction

    def _explain(self, report: Report, mine: Sequence[Any]) -> None:
        """Ask what the mistake looks like, of the argument that is farthest off."""
        worst = report.worst
        names = [leaf.name for leaf in self.leaves]
        k = names.index(worst.argument) if worst is not None and worst.argument in names else 0
        if report.problems:
            k = next((i for i, g in enumerate(mine) if np.shape(g) != self.point[i].shape), k)
        f = self._projected if self.gradient is not None else None  # without one, it is f's own gradient that is wrong
        try:
            right = self._numeric_gradient(k) if f is None else grad(f, k)(*self._args())
        except Exception:  # noqa: BLE001  # f need not be written for our nodes: then the numbers must do
            right = self._numeric_gradient(k)
        try:
            diagnosis = diagnose(mine[k], right, f=f, args=self._args(), argnum=k)
        except Exception:  # noqa: BLE001  # an explanation that fails must not hide the finding
            return
        if not diagnosis.correct:  # as it is where the fault is no wrong number
            report.diagnosis = diagnosis

    def _numeric_gradient(self, k: int) -> Any:
        found = np.zeros(self.point[k].shape)
        for index in np.ndindex(found.shape):
            _, _, direction = self._unit(k, index)
            estimate = derivative(functools.partial(self._value_along, direction))
            found[index] = estimate.value / direction[k][index]
        return found


def _numbers(argnums: int | Sequence[int] | None, args: Sequence[Any]) -> tuple[int, ...]:
    if argnums is None:
        return tuple(range(len(args)))
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if any(not -len(args) <= i < len(args) for i in chosen):
        raise IndexError(f"argnums={argnums}, but there are {len(args)} arguments")
    numbers = tuple(i % len(args) for i in chosen)
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"argnums={argnums} names an argument twice")
    return numbers


def _data(x: Any) -> Any:
    """A node's data, another framework's array as NumPy's; all else as it is."""
    if isinstance(x, Node):
        return x.data
    if isinstance(x, (np.ndarray, np.generic)) or not (hasattr(x, "detach") or hasattr(x, "__array__")):
        return x
    return np.asarray(x.detach() if hasattr(x, "detach") else x)


def _plain(arg: Any) -> Any:
    flat, rebuild = flatten(arg)
    return rebuild([np.array(_data(x)) if isinstance(_data(x), np.ndarray) else _data(x) for x in flat])


def _differentiable(x: Any) -> bool:
    leaves, _ = flatten(x)
    return any(
        isinstance(leaf, (float, np.floating)) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f")
        for leaf in leaves
    )


def _leaves(f: Function, args: Sequence[Any], argnums: Sequence[int]) -> list[_Leaf]:
    """Every float and floating array among the chosen arguments, named as f names its parameters."""
    try:
        parameters = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        parameters = []
    found = []
    for i in argnums:
        own = f" ({parameters[i]})" if i < len(parameters) else ""
        flat, rebuild = flatten(args[i])
        paths, _ = flatten(_paths(rebuild(list(range(len(flat))))))
        for x, path in zip(flat, paths, strict=True):
            if _differentiable(x):
                found.append(_Leaf(f"argument {i}{own}{path}", i, x))
    return found


def _paths(tree: Any, path: str = "") -> Any:
    """The same tree with the way to each leaf in its place: "['w'][1]"."""
    if isinstance(tree, dict):
        return {key: _paths(branch, f"{path}[{key!r}]") for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_paths(branch, f"{path}[{i}]") for i, branch in enumerate(tree)]
    return path


def _alike(xs: Sequence[Any], originals: Sequence[Any]) -> list[Any]:
    """Fresh copies, arrays where the originals are arrays and floats where they are floats."""
    return [np.array(x) if isinstance(old, np.ndarray) else float(x) for x, old in zip(xs, originals, strict=True)]


def _signed(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))


def _weighted(ys: Sequence[Any], weights: Sequence[Any]) -> Any:
    """The sum of all elements, each times its weight."""
    terms = [sum_all(mul(w, y)) if shape_of(y) else mul(w, y) for y, w in zip(ys, weights, strict=True)]
    return functools.reduce(add, terms)


def _dot(gradients: Sequence[Any], directions: Sequence[Any]) -> float:
    return float(sum(np.sum(g * d, where=d != 0) for g, d in zip(gradients, directions, strict=True)))  # 0 times a nan


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
