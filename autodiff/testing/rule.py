"""check_rule: everything that must hold of one operation of the table, ours or a user's."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GradientError
from ..primitive import ArrayOp, Elementwise, Primitive, Reduction
from ..transforms import elementwise_grad, flatten, jvp, vjp
from .check import check_gradients
from .numeric import complex_step, derivative, step_for
from .report import Reference, Report, compared

__all__ = ["check_rule"]

POINTS = 200
LARGEST = 20.0  # of drawn operands; exp and the powers still have room
# Where corner cases live: they are judged like all points, or skipped if the operation has no derivative there.
SPECIAL = (0.0, 1.0, -1.0, 0.5, 2.0, -3.0)
FIRST_EXACT = 1e-12  # against the complex step of one operation: a few roundings
FIRST, SECOND, THIRD = 1e-7, 1e-6, 1e-4  # against differences, of lower and lower orders of our own
SAME = 1e-12  # two ways to the same number
# Shapes to try an array operation on of which nothing is known
SHAPES = ((2, 3), (3, 3), (4,))
FEW = 8  # up to so many elements third derivatives of array operations are judged too, which cost the most
# What to ask of a reduction, beside the default
ALONG: tuple[dict[str, Any], ...] = ({"axis": 0}, {"axis": -1, "keepdims": True})
FLOAT_DIFFERENCE = 8  # units in the last place between the kernels for floats and for arrays


def check_rule(primitive: Primitive, *operands: Any, points: int = POINTS, seed: int = 0, **params: Any) -> Report:
    """Judge an operation by all that the engine relies on; raise GradientError, with a report, if something is wrong.

    Compared are: first derivatives with the complex step or a difference quotient, second derivatives with differences
    of the first, third with the second, forward with reverse mode, the kernel for floats with that for arrays; that
    pullbacks are linear, repeatable and change nothing (and own what they return, if the operation says it is fresh);
    broadcasting, the same operand twice, tied operands, float32; a reduction also along an axis.

    Args:
        primitive: an operation, as `autodiff.elementwise`, `autodiff.array_op` and `autodiff.reduction` return it.
        operands: example operands, floats or arrays. An elementwise operation needs none: it is judged at points drawn
            from its domain. Other operations are tried on arrays of a few shapes if none are given.
        points: how many points to draw for an elementwise operation.
        seed: of the points.
        params: metadata to call the operation with, as axis=0.

    Points without a derivative are skipped; if they are more than 20 % of all, that is an error as well.
    Returns the report. Raises GradientError, and TypeError if example operands are needed.

    >>> import numpy as np
    >>> import autodiff as ad
    >>> cube = ad.elementwise("cube", lambda x: x**3, lambda x: x**3, lambda y, x: 3 * ad.square(x))
    >>> check_rule(cube).ok
    True
    >>> square = ad.elementwise("wrong_square", lambda x: x * x, np.square, lambda y, x: x)
    >>> check_rule(square)  # doctest: +ELLIPSIS, +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    autodiff.errors.GradientError: wrong_square: wrong gradient by operand 0 at ...
    """
    report, given = Report(primitive.name), operands
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        if isinstance(primitive, Elementwise) and not operands:
            drawn = _draw(primitive, points, rng)
            _check_raw(report, primitive, drawn, params)
            if report.ok:
                _check_points(report, primitive, drawn, params)
            operands = tuple(_draw(primitive, 3, rng, special=False))
        examples = [operands] if operands else _examples(primitive, params, rng)
        calls: list[tuple[Sequence[Any], dict[str, Any]]] = [(example, {}) for example in examples]
        if isinstance(primitive, Reduction) and not params and np.ndim(examples[0][0]) > 0:
            calls += [(examples[0], more) for more in ALONG]
        for example, more in calls:
            if report.ok:
                _Example(report, primitive, example, {**params, **more}, seed).check(_where(example, given, more))
    if not report.ok:
        raise GradientError(str(report), report)
    return report


# ---- where to look -----------------------------------------------------------------------------------------------


def _domain(row: Elementwise) -> list[tuple[float, float]]:
    return list(row.domain) if row.arity is not None else list(row.domain) * 3


def _inside(interval: tuple[float, float], n: int, rng: np.random.Generator) -> Any:
    """Numbers inside an open interval, those of an infinite one over several magnitudes."""
    low, high = interval
    if np.isfinite(low) and np.isfinite(high):
        return low + (high - low) * rng.uniform(0.02, 0.98, n)
    magnitude = np.exp(rng.uniform(np.log(0.02), np.log(LARGEST), n))
    if np.isfinite(low):
        return low + magnitude
    if np.isfinite(high):
        return high - magnitude
    return np.where(rng.random(n) < 0.5, rng.uniform(-4, 4, n), rng.choice([-1, 1], n) * magnitude)


def _draw(row: Elementwise, n: int, rng: np.random.Generator, *, special: bool = True) -> list[Any]:
    """One array an operand; the first points are special ones, in combinations inside the domain, a quarter at most."""
    domain = _domain(row)
    # six digits, so that a report can print the very point
    drawn = [np.array([float(f"{x:.6g}") for x in _inside(interval, n, rng)]) for interval in domain]
    if special:
        held = [[x for x in SPECIAL if low < x < high] for low, high in domain]
        corners = list(itertools.product(*held))
        chosen = rng.permutation(len(corners))[: n // 4]  # most points shall be anywhere
        for k, x in enumerate(drawn):
            x[: len(chosen)] = [corners[i][k] for i in chosen]
    return drawn


def _examples(primitive: Primitive, params: dict[str, Any], rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Operands of a few shapes that the operation takes."""
    found: list[tuple[Any, ...]] = []
    for shape in SHAPES:
        count = primitive.arity or 2
        smooth = _differentiated(primitive, count)
        # an operand that is never differentiated is a condition
        operands = tuple(rng.uniform(0.5, 2.0, shape) if i in smooth else rng.random(shape) < 0.5 for i in range(count))
        try:
            primitive(*map(np.array, operands), **params)
        except (TypeError, ValueError, IndexError):
            continue
        found.append(operands)
    if not found:
        raise TypeError(
            f"{primitive.name} takes none of the operands tried; give examples: check_rule({primitive.name}, "
            "np.ones((2, 3)), ..., with metadata by keyword)"
        )
    return found


def _where(example: Sequence[Any], given: Sequence[Any], more: dict[str, Any]) -> str:
    """What of an example the user has not given himself, for the report."""
    facts = [f"{key}={value}" for key, value in more.items()]
    if example is not given:
        facts.append(f"operands of shape {', '.join(str(np.shape(x)) for x in example)}")
    return f" ({', '.join(facts)})" if facts else ""


def _differentiated(row: Primitive, count: int) -> tuple[int, ...]:
    if isinstance(row, ArrayOp) and row.arity is not None:
        return tuple(i for i, pullback in enumerate(row.pullbacks) if pullback is not None)
    return tuple(range(count))


# ---- an elementwise operation at many points at once ---------------------------------------------------------------


def _derivative_by(f: Callable[..., Any], path: Sequence[int]) -> Callable[..., Any]:
    """F differentiated by these operands, one after the other, element by element."""
    for i in path:
        f = elementwise_grad(f, i)
    return f


def _check_points(report: Report, row: Elementwise, xs: list[Any], params: dict[str, Any]) -> None:
    f = lambda *at: row(*at, **params)
    kernel = row.array if row.analytic else None
    # Every mixed derivative once would be many for many operands: third order is by the same operand throughout.
    paths: list[tuple[int, ...]] = [(i,) for i in range(len(xs))]
    paths += itertools.combinations_with_replacement(range(len(xs)), 2)
    paths += [(i, i, i) for i in range(len(xs))]
    for path in paths:
        tolerance = (FIRST, SECOND, THIRD)[len(path) - 1]
        _compare_points(report, row, f, path, xs, tolerance, kernel if len(path) == 1 else None)
        if report.wrong:
            return
    _check_floats(report, row, xs, params)


def _compare_points(
    report: Report,
    row: Elementwise,
    f: Callable[..., Any],
    path: tuple[int, ...],
    xs: list[Any],
    tolerance: float,
    kernel: Callable[..., Any] | None,
) -> None:
    """One derivative at every point against the numerical derivative of the order below."""
    *lower, i = path
    mine = np.broadcast_to(_derivative_by(f, path)(*xs), xs[0].shape)
    below = _derivative_by(f, lower)
    step = step_for(xs[i])

    def moved(t: Any) -> list[Any]:
        return [x + t * step if k == i else x for k, x in enumerate(xs)]

    scale = np.where(np.isfinite(mine), np.abs(mine), 0.0) * step
    estimate = derivative(lambda t: np.broadcast_to(below(*moved(t)), xs[0].shape), scale=scale)
    exact = complex_step(lambda t: kernel(*[x + t * (k == i) for k, x in enumerate(xs)])) if kernel else None
    part = ("gradient", "second derivative", "third derivative")[len(path) - 1]
    by = f"operand {i}" if len(path) == 1 else "operands " + ", ".join(map(str, path))
    for n in range(len(xs[0])):
        at = ", ".join(f"{x[n]:.6g}" for x in xs)
        place = f"{by} at {row.name}({at})"
        unit = step[n]
        reference = Reference(estimate.value[n] / unit, estimate.error[n] / unit, estimate.step[n] * unit)
        allowed = tolerance
        if exact is not None and abs(exact[n] - reference.value) <= reference.error + 1e-6 * abs(exact[n]):
            reference, allowed = Reference(float(exact[n]), 0.0, 1e-20, "complex step"), FIRST_EXACT
        size = float(estimate.size[n] * step_for(1.0) / unit)
        kink = bool(estimate.kink[n])
        comparison = compared(part, place, (), float(mine[n]), reference, allowed, 0.0, size, kink)
        report.comparisons.append(comparison)


def _check_floats(report: Report, row: Elementwise, xs: list[Any], params: dict[str, Any]) -> None:
    """Floats and arrays are one operation: values, and gradients of Values and Tensors, agree."""

    def f(*at: Any) -> Any:
        return row(*at, **params)

    values = f(*xs)
    slopes = vjp(f, *xs)[1](np.ones(xs[0].shape))
    for n, at in enumerate(zip(*(x.tolist() for x in xs), strict=True)):
        try:
            problem = _unlike_array(row, at, params, values[n]) or _unlike_tensor(f, at, [slope[n] for slope in slopes])
        except (ArithmeticError, ValueError) as error:
            problem = f"floats raise {type(error).__name__} where arrays do not; write it with autodiff's functions"
        if problem:
            report.problems.append(f"at {row.name}({', '.join(f'{x:.6g}' for x in at)}): {problem}")
            return


def _unlike_array(row: Elementwise, at: Sequence[float], params: dict[str, Any], value: Any) -> str:
    """In what an operation on floats is not that on arrays; nothing if it is."""
    y = row(*at, **params)
    if type(y) is not float:
        return f"of floats it is a {type(y).__name__}, expected a float"
    if not _near(y, value, FLOAT_DIFFERENCE):
        return f"the kernel for floats gives {y!r}, that for arrays {float(value)!r}"
    for i, partial in enumerate(row.partials(y, *at, **params) if row.arity is None else row.partials):
        slope = partial(y, *at, **params) if callable(partial) else partial
        if type(slope) not in (float, int, bool):
            return f"of floats its partial {i} is a {type(slope).__name__}; write it with autodiff's functions"
    return ""


def _unlike_tensor(f: Callable[..., Any], at: Sequence[float], slopes: Sequence[Any]) -> str:
    """In what the gradients of Values are not those of Tensors."""
    for i, (got, expected) in enumerate(zip(vjp(f, *at)[1](1.0), slopes, strict=True)):
        if not _near(got, expected, 1e4):  # 2e-12: the partials of both are computed from different kernels
            return f"the gradient by operand {i} is {got!r} for Values, {float(expected)!r} for Tensors"
    return ""


def _near(a: float, b: float, ulps: float) -> bool:
    a, b = float(a), float(b)
    same = a == b or (np.isnan(a) and np.isnan(b))
    return bool(same or abs(a - b) <= ulps * np.spacing(max(abs(a), abs(b), 1e-300)))


# ---- any operation, on example operands ----------------------------------------------------------------------------


class _Example:
    """One call of an operation, and all that is to be judged about it."""

    def __init__(
        self, report: Report, row: Primitive, operands: Sequence[Any], params: dict[str, Any], seed: int
    ) -> None:
        self.report, self.row, self.params, self.seed = report, row, params, seed
        self.differentiated = _differentiated(row, len(operands))
        if not self.differentiated:
            raise TypeError(f"{row.name} has no derivative by any operand")
        self.xs = [np.array(x) if np.asarray(x).dtype == bool else np.array(x, dtype=np.float64) for x in operands]

    def check(self, where: str) -> None:
        """Judge everything; ``where`` says in the report which example it was."""
        self.where = where
        _check_raw(self.report, self.row, self.xs, self.params)
        if isinstance(self.row, ArrayOp) and self.row.scalar is not None:
            self._check_scalar()
        few = not isinstance(self.row, Elementwise) and sum(self.xs[i].size for i in self.differentiated) <= FEW
        self._judge("", self.f, *self.xs, order=3 if few else 2, argnums=self.differentiated)
        self._judge(" in float32", self.f, *map(_single, self.xs), argnums=self.differentiated)
        self._check_alone()
        self._check_broadcast()
        self._check_repeated()
        if not self.report.wrong and not self.report.problems:
            _check_pullback(self.report, self._moving, [self.xs[i] for i in self.differentiated])

    def f(self, *operands: Any) -> Any:
        return self.row(*operands, **self.params)

    def _moving(self, *operands: Any) -> Any:
        """The operation as a function of those operands alone that it is differentiated by."""
        xs = list(self.xs)
        for i, x in zip(self.differentiated, operands, strict=True):
            xs[i] = x
        return self.f(*xs)

    def _judge(self, what: str, function: Callable[..., Any], *args: Any, order: int = 1, argnums: Any = None) -> None:
        if self.report.wrong or self.report.problems:
            return
        try:
            found = check_gradients(function, *args, order=order, argnums=argnums, seed=self.seed, name=self.row.name)
        except GradientError as error:
            if not isinstance(error.report, Report):
                raise
            found = error.report
        what = self.where + what
        found.comparisons = [replace(c, argument=f"{c.argument}{what}") for c in found.comparisons]
        found.problems = [problem + what for problem in found.problems]
        self.report.merge(found)

    def _check_alone(self) -> None:
        """By one operand, the others being constants: then a rule meets nodes and plain data side by side."""
        for i in self.differentiated if len(self.xs) > 1 and not isinstance(self.row, Elementwise) else ():
            alone = lambda x, i=i: self.f(*self.xs[:i], x, *self.xs[i + 1 :])
            self._judge(f" (operand {i} alone)", alone, self.xs[i], order=2)

    def _check_broadcast(self) -> None:
        shape, count = self.xs[0].shape, len(self.xs)
        if not isinstance(self.row, Elementwise) or count == 1 or any(x.shape != shape or shape == () for x in self.xs):
            return
        few = [x.ravel()[:3] for x in self.xs]
        spread = [x.reshape((*[1] * k, -1, *[1] * (count - 1 - k))) for k, x in enumerate(few)]
        self._judge(" where they broadcast", self.f, *spread)

    def _check_repeated(self) -> None:
        """The same operand twice, and equal elements in one."""
        xs, smooth = self.xs, self.differentiated
        one_domain = not isinstance(self.row, Elementwise) or len(set(self.row.domain)) == 1
        if len(smooth) > 1 and len({x.shape for x in xs}) == 1 and one_domain:
            self._judge(" where all operands are one", lambda *x: self._moving(*x * len(smooth)), xs[smooth[0]])
        for i in smooth:
            if xs[i].size > 1 and not isinstance(self.row, Elementwise):
                ties = np.arange(xs[i].size) // 2
                tied = lambda *u, i=i, ties=ties: self.f(*xs[:i], u[0][ties].reshape(xs[i].shape), *xs[i + 1 :])
                self._judge(f" with ties in operand {i}", tied, xs[i].ravel()[: ties[-1] + 1])

    def _check_scalar(self) -> None:
        """The kernel for floats against that for arrays."""
        for n in range(min(8, max(x.size for x in self.xs)) if all(x.size for x in self.xs) else 0):
            at = [float(x.flat[n % x.size]) for x in self.xs]
            of_floats, of_arrays = self.f(*at), self.row.array(*map(np.asarray, at), **self.params)
            if not np.array_equal(of_floats, of_arrays, equal_nan=True):
                self.report.problems.append(
                    f"at {self.row.name}({', '.join(f'{x:.6g}' for x in at)}): the kernel for floats gives "
                    f"{of_floats!r}, that for arrays {of_arrays!r}"
                )
                return


def _single(x: Any) -> Any:
    return x.astype(np.float32) if x.dtype == np.float64 else x


def _check_pullback(report: Report, f: Callable[..., Any], xs: list[Any]) -> None:
    """Linear in g, zero for zero, and the transpose of forward mode."""
    y, back = vjp(f, *xs)
    rng = np.random.default_rng(0)
    g = np.asarray(rng.uniform(0.5, 1.5, np.shape(y)) * rng.choice([-1, 1], np.shape(y)))
    h = np.asarray(-np.sign(g) * rng.uniform(0.1, 0.5, np.shape(y)))  # of the other sign, which abs(g) does not survive
    first, second, both, nothing = back(g), back(h), back(2.0 * g + h), back(0.0 * g)
    size = max(float(np.max(np.abs(a), initial=0.0)) for a in (*first, *second))
    if any(np.any(np.abs(2.0 * a + b - c) > SAME * size) for a, b, c in zip(first, second, both, strict=True)):
        report.problems.append("the pullback is not linear: that of 2g + h is not twice that of g plus that of h")
    if any(np.any(a != 0.0) for a in nothing):
        report.problems.append("the pullback of a zero gradient is not zero")
    ts = [rng.uniform(-1, 1, x.shape) for x in xs]
    forward = float(np.sum(g * jvp(f, tuple(xs), tuple(ts))[1]))
    reverse = float(sum(np.sum(t * a) for t, a in zip(ts, first, strict=True)))
    if abs(forward - reverse) > SAME * size * max(1, sum(t.size for t in ts)):
        report.problems.append(f"forward mode gives {forward:.12g} where reverse mode gives {reverse:.12g}")


def _check_raw(report: Report, row: Primitive, xs: list[Any], params: dict[str, Any]) -> None:
    """The kernel and the rules themselves, on plain arrays: repeatable, and changing nothing that is not theirs."""
    y = row.array(*map(np.array, xs), **params)
    for what, rule, given in _rules(row, xs, y, params):
        handed = [np.array(x) for x in given]
        first, _ = flatten(rule(*handed, **params))
        if any(not np.array_equal(old, new, equal_nan=True) for old, new in zip(given, handed, strict=True)):
            report.problems.append(f"its {what} changes an array that it is given; work on a copy")
            continue
        if row.fresh and not row.built_in:
            made = [part for part in first if what == "kernel" or not np.shares_memory(part, handed[0])]  # else it is g
            lent = [*handed, *params.values(), *flatten(rule(*handed, **params))[0]]
            borrowed = any(np.shares_memory(part, x) for part in made for x in lent if isinstance(x, np.ndarray))
            if borrowed or any(isinstance(part, np.ndarray) and not part.flags.writeable for part in made):
                report.problems.append(f"its {what} returns an array that it does not own; leave out fresh=True")
                continue
        first = [np.array(part) for part in first]
        again, _ = flatten(rule(*handed, **params))
        if any(not np.array_equal(old, new, equal_nan=True) for old, new in zip(first, again, strict=True)):
            report.problems.append(f"its {what} gives something else when it is called again")
    before = np.array(y)
    row.array(*[np.roll(x, 1) for x in xs], **params)
    if not np.array_equal(before, y, equal_nan=True):
        report.problems.append("its kernel writes over the array that it returned before; return a new one")
    kind = getattr(row.array(*map(_single, xs), **params), "dtype", None)
    if kind == np.float64 and any(x.ndim for x in xs) and "dtype" not in params:  # floats without axes are float64
        report.problems.append("its kernel gives float64 for float32; keep the dtype of the operands")


def _rules(
    row: Primitive, xs: list[Any], y: Any, params: dict[str, Any]
) -> list[tuple[str, Callable[..., Any], Sequence[Any]]]:
    """(name, function, operands) of everything that a row consists of."""
    g = np.ones(np.shape(y))
    found: list[tuple[str, Callable[..., Any], Sequence[Any]]] = [("kernel", row.array, xs)]
    if isinstance(row, ArrayOp):
        pullbacks = row.pullbacks if row.arity is not None else (row.pullbacks,)
        found += [(f"pullback {i}", back, (g, y, *xs)) for i, back in enumerate(pullbacks) if back is not None]
        found += [
            (f"pushforward {i}", push, (xs[i], y, *xs)) for i, push in enumerate(row.pushforwards) if push and row.arity
        ]
    elif isinstance(row, Elementwise):
        partials = row.partials if row.arity is not None else (row.partials,)
        found += [(f"partial {i}", partial, (y, *xs)) for i, partial in enumerate(partials) if callable(partial)]
    elif isinstance(row, Reduction):
        kept = np.reshape(y, row.kept(params, np.shape(xs[0])))
        found += [(f"weight {i}", weight, (kept, *xs)) for i, weight in enumerate(row.weights) if callable(weight)]
    return found
