"""diagnose: when a hand-written gradient is wrong, say how.

An explanation is a prediction: *with this mistake the gradient would be that*. It is given only if the prediction is
what was found, in every element, and explains practically all of the difference from the right gradient. The mistakes
that show in the two arrays are here; those that show only in the function's graph are in ``mistakes``.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..shapes import inverse_permutation
from ..transforms import grad
from .mistakes import AT_INPUT, AT_OUTPUT, Guess, ReversePass, floating, plain

__all__ = ["MISTAKES", "Diagnosis", "Explanation", "diagnose"]

MISTAKES = {
    # seen in the array alone
    "no gradient returned": "Return the gradient; a function that ends without `return` gives None.",
    "nan or inf": "Look for a division by zero, log(0) or an overflowing exp; write the formula so that it has none.",
    "all zeros": "Look for a result that is never added to the gradient, or a mask that is never true.",
    "truncated to integers": "Collect the gradient in an array of floats; np.zeros_like of integers gives integers.",
    "computed in low precision": "Compute in float64: convert the arguments before the forward pass, not the result.",
    # seen in the two arrays
    "sign flipped": "Multiply by -1; look for a - b where the derivative by b is wanted, or a step that is added.",
    "sum instead of mean": "Divide by n: the function takes a mean.",
    "mean instead of sum": "Do not divide by n: the function takes a sum here, or it was divided by n already.",
    "off by a factor": "Look for the constant in front: the exponent of a power, 1/2 of a square, 1/n of a mean.",
    "transposed": "Transpose the result: for y = x @ w the gradient by w is x.T @ g, not g.T @ x.",
    "axes permuted": "Move the axes of the result back with np.transpose.",
    "reshaped instead of transposed": "Use .T (np.transpose); reshape keeps the order of the numbers in memory.",
    "wrong shape": "The numbers are right: return them in the shape of the argument.",
    "not summed over the batch": "Sum the contributions of all samples: what was broadcast forward is summed backward.",
    "summed over an axis too many": "Sum only over the axes that the argument does not have; each element has its own.",
    "one row or column only": "Go through all indices; look for a loop that returns early or assigns to one slice.",
    "some entries missing": "Go through all indices; look for a range that ends early or a mask at the wrong place.",
    "axis reversed": "Go through the axis in the order of the forward pass, or turn the result around.",
    "axis permuted": "Undo the permutation (a shuffle, a sort, a shift) with its inverse on the way back.",
    "sign flipped in part": "Look for the terms with a minus sign; in some places it was lost or came twice.",
    "off by an elementwise factor": "Look for a product whose other factor was left out or came twice.",
    "regularisation term missing": "Add the gradient of the penalty, lambda * w for lambda / 2 * sum(w**2).",
    "regularisation term too large": "Add the penalty's gradient once; for lambda / 2 * sum(w**2) it is lambda * w.",
    # seen in the graph
    "overwritten instead of accumulated": "Write += instead of =: a value that is used twice gets two contributions.",
    "missing activation derivative": "Multiply what arrives from above by the derivative of this function.",
    AT_OUTPUT: "Put the input of the function into its derivative; for h = tanh(z): 1 - h**2 = 1 - tanh(z)**2.",
    AT_INPUT: "This formula wants the output of the function; for h = tanh(z): 1 - h**2, not 1 - z**2.",
    "activation instead of its derivative": "Multiply what arrives from above by the derivative, not by the function.",
    "activation derivative applied twice": "Multiply by the derivative once; that of the loss may contain it already.",
    "mask taken from the gradient": "Let through where the input of relu was positive, whatever sign the gradient has.",
    "transposed product": "For y = a @ b: the gradient by a is g @ b.T and that by b is a.T @ g.",
    "softmax differentiated element by element": "Use p * (g - sum(p * g)): each output depends on each input.",
    "local derivatives exchanged": "For y = a * b: a receives g * b and b receives g * a.",
    "exponent not lowered": "The derivative of x**n is n * x**(n - 1).",
    "missing local derivative": "Multiply what arrives from above by the derivative of this operation.",
    "a term left out": "Add the contribution of this path: the gradient is the sum over all of them.",
    "sign flipped at one place": "Look at the sign of this term; b in a - b receives -g.",
    "off by a factor at one place": "Look for the constant in front of this term.",
    # seen only after fitting a number, so they count only if nothing else fits
    "off by a constant": "Look for something that was added after the reverse pass.",
    "taken at other values": "Compute all gradients before changing any parameter, then run the forward pass again.",
    "off by a factor per row or column": "Look for a weight or a scale of each row or column that was left out.",
    "accurate to a few digits only": "The formula is nearly right: look for an epsilon or a coarse difference.",
    "right but for some entries": "Look at what is special there: a border, a tie, a kink, an index out of the loop.",
}
"""Every mistake that `diagnose` can name, in the order of preference, and what to do about it."""

# What happens to every path at once has happened at one place as well, which adds nothing
WHOLE = {
    "sign flipped at one place": "sign flipped",
    "off by a factor at one place": "off by a factor",
    "a term left out": "all zeros",
    "missing local derivative": "sum instead of mean",
}

# Two gradients are equal if every element is, to 1e-6: difference quotients of a careful student have no more digits.
# Their error does not shrink with the element, so 1e-8 of the largest element is allowed as well.
RELATIVE = 1e-6
SHARE = 0.01  # of RELATIVE, in units of the largest element
NOTHING = 1e-14  # what rounding leaves of sums that should be 0 but have terms near 1
# A single number of the right size agrees with some of a hundred guesses to 1e-6 by chance once in some 10,000 times,
# and that is too often; so it has to agree to 1e-9.
STRICT = 1e-3
EXPLAINED = 1e-3  # what an explanation may leave of the difference from the right gradient
SINGLE = 1000 * float(np.finfo(np.float32).eps)  # float32, after the roundings of as many operations


class Explanation(NamedTuple):
    """A mistake that explains a wrong gradient, and how one sees it."""

    mistake: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.mistake}: {self.evidence}"


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a gradient; ``str(diagnosis)`` is for people.

    Attributes:
        correct: whether the gradient is right.
        mistake: a key of MISTAKES, or None if it is right or no known mistake explains it.
        evidence: how one sees it, with numbers.
        remedy: what to do.
        others: further explanations that fit equally well.
    """

    correct: bool
    mistake: str | None
    evidence: str
    remedy: str = ""
    others: tuple[Explanation, ...] = ()

    def __str__(self) -> str:
        if self.correct:
            return f"right. {self.evidence}"
        lines = [f"{self.mistake or 'wrong, but none of the mistakes that I know'}. {self.evidence}"]
        if self.remedy:
            lines.append(f"  remedy     {self.remedy}")
        lines += [f"  also fits  {other}" for other in self.others[:3]]
        if len(self.others) > 3:
            lines.append(f"  also fits  {', '.join(other.mistake for other in self.others[3:])}")
        return "\n".join(lines)


def diagnose(
    mine: Any,
    reference: Any = None,
    *,
    f: Callable[..., Any] | None = None,
    args: Sequence[Any] | None = None,
    argnum: int = 0,
) -> Diagnosis:
    """Name the mistake in a gradient, if it is one of MISTAKES.

    Args:
        mine: the gradient under suspicion: a number or an array.
        reference: the right gradient; None computes it from f and args.
        f: the function that was differentiated, written in NumPy or autodiff. With it mistakes inside the reverse pass
            are recognised too. A function of another framework does no harm, but also no good.
        args: the arguments of f.
        argnum: which argument the gradient is by.

    A gradient counts as right if every element agrees to 1e-6 (or 1e-8 of the largest element; float32, to 1e-4 if the
    reference is float32 as well). If several mistakes explain it, the first in the order of MISTAKES is named and the
    others are listed.

    Raises TypeError if there is neither a reference nor a function to compute it from, or for what is no number.

    >>> import numpy as np
    >>> x, t, w = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), np.array([1.0, 0.0, 2.0]), np.array([0.5, -1.0])
    >>> def loss(w, x, t):
    ...     return np.mean((x @ w - t) ** 2)
    >>> found = diagnose(2 * x.T @ (x @ w - t), f=loss, args=(w, x, t))
    >>> found.mistake
    'sum instead of mean'
    >>> print(diagnose(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 3.0], [2.0, 4.0]])))
    transposed. The transpose of yours is the right gradient (residual 0).
      remedy     Transpose the result: for y = x @ w the gradient by w is x.T @ g, not g.T @ x.
    """
    args = None if args is None else [plain(arg) for arg in args]
    if reference is None:
        if f is None or args is None:
            raise TypeError("diagnose needs the right gradient, or f and args to compute it from")
        reference = grad(f, argnum)(*args)
    if mine is None:
        return _named([Explanation("no gradient returned", "The gradient is None.")])
    case = _Case(_array(mine), _array(reference), args, argnum)
    if case.correct:
        return Diagnosis(True, None, f"The largest difference is {case.error:.2g}.")
    if not np.all(np.isfinite(case.reference)):
        return Diagnosis(False, None, "The reference itself is not finite, so nothing can be said.")
    if not case.mine.size or not case.reference.size:
        return Diagnosis(False, None, _unexplained(case))
    if not np.all(np.isfinite(case.mine)):
        return _named([_not_finite(case)])
    reverse_pass = None if f is None or args is None else _open(f, args, argnum)
    ended: list[str] = []
    planted = _while_it_runs(reverse_pass.guesses(), ended) if reverse_pass else ()
    several = case.comparable and case.mine.size > 1  # one number is fitted by one number, which says nothing
    elsewhere = _while_it_runs(reverse_pass.elsewhere(case.mine), ended) if reverse_pass and several else ()
    with np.errstate(all="ignore"):  # a guess may well be inf or nan; then it is none
        for guesses in ((_exact(case, reverse_pass), planted), (_fitted(case), elsewhere)):
            if found := case.explained(itertools.chain(*guesses)):
                return _named(found)
    return Diagnosis(False, None, _unexplained(case), " ".join(ended) if reverse_pass else _more(f))


def _array(x: Any) -> np.ndarray:
    found = np.asarray(plain(x))
    if found.dtype.kind not in "fiub":
        raise TypeError(f"a gradient is a number or an array of numbers, got {type(x).__name__}: {x!r}")
    return found


def _named(found: list[Explanation]) -> Diagnosis:
    first, *others = found
    return Diagnosis(False, *first, MISTAKES[first.mistake], tuple(others))


def _open(f: Callable[..., Any], args: Sequence[Any], argnum: int) -> ReversePass | None:
    """The reverse pass of f, or None if it was not written for our nodes, in whatever way that shows."""
    try:
        return ReversePass(f, args, argnum)
    except Exception:  # noqa: BLE001  # a function of another framework may raise anything
        return None


def _while_it_runs(guesses: Iterator[Guess], ended: list[str]) -> Iterator[Guess]:
    """The guesses, up to an error, which is noted: a rule of the user's may raise anything."""
    try:
        yield from guesses
    except Exception as error:  # noqa: BLE001  # the other guesses are as good as before
        ended.append(f"The search inside the reverse pass ended early, with {type(error).__name__}: {error}.")


def _more(f: Any) -> str:
    if f is None:
        return "Give f and args as well: then mistakes inside the reverse pass can be named too."
    return "f does not run on autodiff's nodes, so only the two gradients could be compared."


def _unexplained(case: "_Case") -> str:
    if not case.comparable:
        return f"Its shape is {case.mine.shape}, the argument's is {case.reference.shape}."
    off = np.abs(case.mine - case.reference)
    at = tuple(int(i) for i in np.unravel_index(np.argmax(off), off.shape))
    place = f" at {at}" if at else ""
    return f"The largest difference is {off[at]:.3g}{place}: {case.mine[at]:.9g} instead of {case.reference[at]:.9g}."


class _Case:
    """A wrong gradient beside the right one, and the judgement whether a guess explains it."""

    def __init__(self, mine: np.ndarray, reference: np.ndarray, args: Sequence[Any] | None, argnum: int) -> None:
        self.args, self.argnum = args, argnum
        self.mine = mine.astype(np.float64)
        self.reference = reference.astype(np.float64)
        self.comparable = mine.shape == reference.shape
        self.expected = SINGLE if reference.dtype == np.float32 else RELATIVE
        self.tolerance = SINGLE if np.float32 in (mine.dtype, reference.dtype) else RELATIVE

    @property
    def correct(self) -> bool:
        """Whether mine is the reference, up to what rounding and difference quotients do."""
        if not self.comparable:
            return False
        with np.errstate(invalid="ignore"):  # inf - inf
            same = close(self.mine, self.reference, self.expected)
            same |= np.abs(self.mine - self.reference) <= NOTHING
        return bool(np.all(same | (np.isnan(self.mine) & np.isnan(self.reference))))

    def explained(self, guesses: Iterator[Guess]) -> list[Explanation]:
        """What explains the wrong gradient, each mistake once, in the order of MISTAKES."""
        found: dict[str, str] = {}
        for guess in guesses:
            if guess.mistake not in found and (evidence := self._judged(guess)):
                found[guess.mistake] = evidence
        for part, whole in WHOLE.items():
            if whole in found:
                found.pop(part, None)
        return [Explanation(mistake, found[mistake]) for mistake in MISTAKES if mistake in found]

    def _judged(self, guess: Guess) -> str | None:
        """The evidence, if the guess explains the wrong gradient."""
        if guess.predicted is None:
            return guess.evidence
        predicted = np.asarray(guess.predicted, dtype=np.float64)
        seen = self.mine if guess.seen is None else guess.seen
        if predicted.shape != seen.shape or not np.all(np.isfinite(predicted)):
            return None
        if seen is self.mine and self.comparable:
            telling = int(np.sum(~close(predicted, self.reference, 10 * self.tolerance)))
            if _size(seen - predicted) > EXPLAINED * _size(seen - self.reference):
                return None
        else:
            telling = int(np.sum(predicted != 0))
        spare = telling - guess.fitted
        if spare < 1 or not np.all(close(seen, predicted, self.tolerance * (STRICT if spare == 1 else 1.0))):
            return None
        return f"{guess.evidence} (residual {_size(seen - predicted):.2g})."

    @property
    def error(self) -> float:
        """The largest difference."""
        with np.errstate(invalid="ignore"):  # inf - inf
            return _size(self.mine - self.reference)


def close(a: Any, b: Any, tolerance: float) -> Any:
    """Where two arrays agree, to a tolerance relative to the element and a hundredth of it relative to the largest."""
    return (np.abs(a - b) <= tolerance * (np.abs(b) + SHARE * _size(b))) | (a == b)


def _size(x: Any) -> float:
    """The largest element, of those that are finite."""
    return float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


def _not_finite(case: _Case) -> Explanation:
    bad = ~np.isfinite(case.mine)
    evidence = f"{_places(bad)} nan or inf"
    if case.comparable and not bad.all() and np.all(close(case.mine, case.reference, case.tolerance)[~bad]):
        evidence += "; the rest is right"
    return Explanation("nan or inf", f"{evidence}.")


def _places(mask: np.ndarray) -> str:
    """Where a mask is true, as the beginning of a sentence: "Row 2 is", "Columns 0, 3 are", "5 of 12 elements are"."""
    for axis in range(mask.ndim):
        lines = np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1)
        at = np.flatnonzero(lines.any(axis=1))
        if lines[at].all() and len(at) <= 5 and not mask.all():
            name = {1: "Element", 2: ("Row", "Column")[axis % 2]}.get(mask.ndim, f"In axis {axis}, slice")
            return f"{name}{'s' * (len(at) > 1)} {', '.join(map(str, at))} {'is' if len(at) == 1 else 'are'}"
    first = tuple(int(i) for i in np.argwhere(mask)[0])
    if mask.sum() == 1:
        return f"Element {first} is"
    return f"{int(mask.sum())} of {mask.size} elements, the first at {first}, are"


# ---- explanations without a fitted number ------------------------------------------------------------------------


def _exact(case: _Case, reverse_pass: ReversePass | None) -> Iterator[Guess]:
    m, r = case.mine, case.reference
    yield Guess("all zeros", "Every element is 0", np.where(np.abs(m) <= NOTHING, m, 0.0))
    yield from _layouts(m, r)
    yield from _sums(m, r)
    if not case.comparable:
        return
    yield Guess("sign flipped", "Yours is -1 times the right gradient", -r)
    flipped = close(m, -r, case.tolerance) & (r != 0)
    if flipped.any() and not flipped.all():
        yield Guess("sign flipped in part", f"{_places(flipped)} of the wrong sign", np.where(flipped, -r, r))
    yield from _constants(case, reverse_pass)
    yield from _by_arguments(case)
    yield from _gaps(m, r)
    yield from _precision(case)


def _layouts(m: np.ndarray, r: np.ndarray) -> Iterator[Guess]:
    """The right numbers in the wrong places."""
    if 2 <= m.ndim == r.ndim <= 4:
        for axes in itertools.permutations(range(m.ndim)):
            if axes == tuple(reversed(range(m.ndim))):
                yield Guess("transposed", "The transpose of yours is the right gradient", r.transpose(axes))
            elif axes != tuple(range(m.ndim)):
                back = inverse_permutation(axes, m.ndim)
                yield Guess("axes permuted", f"np.transpose(yours, {back}) is the right gradient", r.transpose(axes))
    if m.size == r.size and m.shape != r.shape:
        what = f"The numbers are right, but the shape is {m.shape} instead of {r.shape}"
        yield Guess("wrong shape", what, r.reshape(m.shape))
    if m.shape != r.shape:
        return
    if m.ndim == 2 and m.shape[0] != m.shape[1]:
        what = f"Yours is the transpose of the right gradient, reshaped to {m.shape}"
        yield Guess("reshaped instead of transposed", what, r.T.reshape(m.shape))
    for axis in range(m.ndim):
        yield from _orders(m, r, axis)


def _orders(m: np.ndarray, r: np.ndarray, axis: int) -> Iterator[Guess]:
    """The same slices in another order."""
    n = m.shape[axis]
    if n < 2:
        return
    backward = np.flip(r, axis)
    yield Guess("axis reversed", f"Yours is right in the opposite order along axis {axis}", backward)
    lines = [np.moveaxis(x, axis, 0).reshape(n, -1) for x in (m, r)]
    weights = np.cos(np.arange(1.0, lines[0].shape[1] + 1))  # one number a slice, different for different slices
    mine, right = (np.argsort(line @ weights) for line in lines)
    order = np.empty(n, dtype=int)
    order[mine] = right
    permuted = np.take(r, order, axis)
    if not np.all(close(permuted, backward, RELATIVE)):
        shifts = (order - np.arange(n)) % n
        how = f"shifted by {n - shifts[0]}" if np.all(shifts == shifts[0]) else "in another order"
        yield Guess("axis permuted", f"The slices of yours along axis {axis} are right, but {how}", permuted)


def _sums(m: np.ndarray, r: np.ndarray) -> Iterator[Guess]:
    """An axis too many, or one too few."""
    ways: tuple[tuple[str, Callable[..., Any]], ...] = (("sum", np.sum), ("mean", np.mean))
    for way, reduced in ways:
        for axis in range(m.ndim):
            for keep in (False, True):
                seen = reduced(m, axis=axis, keepdims=keep)
                if m.shape[axis] > 1 and np.shape(seen) == r.shape:
                    what = f"The {way} of yours over axis {axis} (of length {m.shape[axis]}) is the right gradient"
                    yield Guess("not summed over the batch", what, r, seen)
        if m.ndim > 1 and r.shape == ():
            yield Guess("not summed over the batch", f"The {way} of yours is the right gradient", r, reduced(m))
        for axes in [*range(r.ndim), tuple(range(r.ndim))] if r.size > 1 else ():
            total = reduced(r, axis=axes, keepdims=True)
            what = f"Yours is the {way} of the right gradient over axis {axes}"
            if total.size == m.size:
                yield Guess("summed over an axis too many", what, total.reshape(m.shape))
            if m.shape == r.shape:
                everywhere = np.broadcast_to(total, r.shape)
                yield Guess("summed over an axis too many", f"{what}, in every place", everywhere)


def _constants(case: _Case, reverse_pass: ReversePass | None) -> Iterator[Guess]:
    """A factor that has a name: 2, n, 1/n and the like."""
    m, r = case.mine, case.reference
    if not np.any(r):
        return
    factor = _factor(m, r)
    averages = reverse_pass.averages() if reverse_pass else {}
    lengths = _lengths(case, reverse_pass)
    names = {2.0: "", 0.5: "", 1 / _norm(r): ", 1 / its norm: it was normalised"}
    for n, what in lengths.items():
        if n in averages and _near(factor, n):
            divided = f"{averages[n]} divides by it"
            yield Guess("sum instead of mean", f"{_times(n)}, and n = {n} is {what}; {divided}", n * r)
        else:
            names |= {float(n): f", and n = {n} is {what}"} | names
        names |= {1 / n: f", 1/n with n = {n}, {what}"} | names
    for n, what in lengths.items():
        formulas = {2.0 * n: "2n", 0.5 * n: "n/2", 2 / n: "2/n", 0.5 / n: "1/(2n)"}
        known = {*lengths, *(1 / k for k in lengths)}  # 6 is n for n = 6 before it is 2n for n = 3
        names |= {c: f", {name} with n = {n}, {what}" for c, name in formulas.items() if c not in known} | names
    for value, name in names.items():
        for sign in (1.0, -1.0):
            if _near(factor, sign * value):
                yield Guess("off by a factor", f"{_times(sign * value)}{name}", sign * value * r)


def _factor(m: np.ndarray, r: np.ndarray) -> float:
    """The number c for which c * r is closest to m."""
    unit = r / _size(r)  # whose squares neither over- nor underflow
    return float(np.sum(m * unit) / np.sum(unit * unit)) / _size(r)


def _norm(r: np.ndarray) -> float:
    return _size(r) * float(np.linalg.norm(r / _size(r)))


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-3 * abs(b)


def _times(factor: float) -> str:
    return f"Yours is {factor:.6g} times the right gradient"


def _lengths(case: _Case, reverse_pass: ReversePass | None) -> dict[int, str]:
    """Every length of at least 2 that a factor may be made of, and what it is the length of."""
    found: dict[int, str] = {}
    arrays = [(f"args[{j}]", getattr(arg, "shape", ())) for j, arg in enumerate(case.args or ())]
    for name, shape in [*arrays, ("the gradient", case.mine.shape)]:
        for axis, n in enumerate(shape):
            found.setdefault(n, f"the length of axis {axis} of {name}")
    found = found | ({} if reverse_pass is None else reverse_pass.sizes() | found)
    found.setdefault(case.mine.size, "the number of elements of the gradient")
    return {n: what for n, what in found.items() if n > 1}


def _by_arguments(case: _Case) -> Iterator[Guess]:
    """An argument as a factor, or as the penalty of a regularisation."""
    m, r = case.mine, case.reference
    for j, arg in enumerate(case.args or ()):
        v = np.asarray(arg if floating(arg) else ())
        if v.size == 0 or not _broadcasts(v.shape, r.shape):
            continue
        constant = bool(np.all(v == v.flat[0]))
        mistake = "off by a factor" if constant else "off by an elementwise factor"
        what = f"args[{j}]{f' = {v.flat[0]:.6g}' if constant else ''}"
        yield Guess(mistake, f"Yours is the right gradient times {what}", r * v)
        yield Guess(mistake, f"Yours is the right gradient divided by {what}", r / v)
    x = np.asarray(case.args[case.argnum] if case.args else ())
    if x.shape != r.shape or x.dtype.kind not in "fiu":
        return
    for penalty, name in ((x, "w"), (np.sign(x), "sign(w)")):
        weight = float(np.sum((m - r) * penalty) / max(np.sum(penalty**2), np.finfo(float).tiny))
        parallel = np.sum(r * penalty) ** 2 >= (1 - RELATIVE) * np.sum(r * r) * np.sum(penalty**2)
        if weight and not parallel and np.ptp(penalty):  # else it is off by a factor, or by a constant
            mistake = "regularisation term missing" if weight < 0 else "regularisation term too large"
            what = f"Yours minus the right gradient is {weight:.6g} * {name}, w being the argument"
            yield Guess(mistake, what, r + weight * penalty, fitted=1)


def _broadcasts(small: tuple[int, ...], big: tuple[int, ...]) -> bool:
    return len(small) <= len(big) and all(a in (1, b) for a, b in zip(small[::-1], big[::-1], strict=False))


def _gaps(m: np.ndarray, r: np.ndarray) -> Iterator[Guess]:
    """Zeros where there should be something, and the rest right."""
    missing = (m == 0) & (r != 0)
    if not missing.any() or not m.any():
        return
    predicted = np.where(missing, 0.0, r)
    for axis in range(m.ndim):
        left = np.flatnonzero(np.moveaxis(predicted, axis, 0).reshape(m.shape[axis], -1).any(axis=1))
        if len(left) == 1 and m.shape[axis] > 1:
            what = f"Only index {left[0]} of axis {axis} is right, everything else is 0"
            yield Guess("one row or column only", what, predicted)
            return
    yield Guess("some entries missing", f"{_places(missing)} 0, and the rest is right", predicted)


def _precision(case: _Case) -> Iterator[Guess]:
    """Numbers of a type that cannot hold the gradient."""
    m, r = case.mine, case.reference
    if np.all(m == np.trunc(m)):
        if m.size > 2:  # small whole numbers agree by chance, so two are not enough
            yield Guess("truncated to integers", "Yours is the right gradient without its decimals", np.trunc(r))
        return
    single, half = (np.all(m == m.astype(dtype)) for dtype in (np.float32, np.float16))
    error = case.error / (_size(r) or 1.0)
    if single and not half and error <= SINGLE:
        what = f"Every element is a float32 number, and the error, {error:.2g} of the largest, is that of float32."
        yield Guess("computed in low precision", what, None)


# ---- explanations that fit a number ------------------------------------------------------------------------------


def _fitted(case: _Case) -> Iterator[Guess]:
    m, r = case.mine, case.reference
    if not case.comparable or not np.any(r):
        return
    factor = _factor(m, r)
    yield Guess("off by a factor", _times(factor), factor * r, fitted=1)
    offset = float(np.mean(m - r))
    yield Guess("off by a constant", f"Yours is the right gradient plus {offset:.6g}", r + offset, fitted=1)
    for axis in range(m.ndim) if m.ndim > 1 else ():
        others = tuple(k for k in range(m.ndim) if k != axis)
        squares = np.sum(r * r, axis=others, keepdims=True)
        factors = np.sum(m * r, axis=others, keepdims=True) / np.where(squares == 0, 1.0, squares)
        if not np.allclose(factors, factors.flat[0]):
            some = ", ".join(f"{c:.4g}" for c in factors.flat[:4]) + (", ..." if factors.size > 4 else "")
            what = f"Along axis {axis} yours is the right gradient times {some}"
            yield Guess("off by a factor per row or column", what, factors * r, fitted=factors.size)
    same = close(m, r, case.tolerance)
    if m.size > 2 and np.all(close(m, r, 1e-3)):
        error = float(np.max(np.abs(m - r) / np.maximum(np.abs(r), SHARE * _size(r))))
        what = f"Every element agrees, but only to {error:.1g} of itself."
        yield Guess("accurate to a few digits only", what, None)
    elif np.sum(same & (r != 0)) >= 2 and 2 * np.sum(same) >= same.size:
        yield Guess("right but for some entries", f"{_places(~same)} wrong, the rest is right.", None)
