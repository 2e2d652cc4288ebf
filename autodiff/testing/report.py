"""What a check of a gradient found, in the form a person reads in ten seconds."""

import textwrap
from dataclasses import dataclass, field
from math import inf, isfinite, isnan, sqrt
from typing import Any, NamedTuple

import numpy as np

from .numeric import EPSILON

__all__ = ["Comparison", "Reference", "Report", "compared"]

WIDTH = 100  # of the lines of a report

# The complex step is exact; what differs from it is the rounding of the gradient, a sum of products that may cancel.
EXACT = 1e-10
# Rounding to float32 costs up to 6e-8, and seldom less than this.
ROUNDED = 1e-8
LARGEST_SINGLE = float(np.finfo(np.float32).max)

VERDICTS = {
    "right": "right",
    "wrong": "wrong",
    "kink": "not differentiable here: a corner, a jump, or values that are not finite beside this point",
    "ill-conditioned": "ill-conditioned: the difference quotient is too uncertain here, by rounding or curvature",
}


class Reference(NamedTuple):
    """What a derivative is compared with."""

    value: float
    error: float
    """A bound on the error of the value."""
    step: float
    method: str = "six-point difference"

    @property
    def exact(self) -> bool:
        """Whether it comes without a difference, in which digits are lost."""
        return self.method == "complex step"


@dataclass(frozen=True)
class Comparison:
    """One derivative beside its reference."""

    part: str
    """What was compared: "gradient", "forward mode", "second derivative", ..."""
    argument: str
    index: tuple[int, ...] | None
    """Of the element; None for a direction through all elements."""
    mine: float
    reference: Reference
    allowed: float
    """The largest difference that is no contradiction."""
    verdict: str
    """"right", "wrong", "kink" or "ill-conditioned"."""

    @property
    def error(self) -> float:
        """The absolute difference."""
        return abs(self.mine - self.reference.value)

    @property
    def relative_error(self) -> float:
        """The difference in units of the reference."""
        return self.error / abs(self.reference.value) if self.reference.value else self.error and inf

    @property
    def place(self) -> str:
        """Where the derivative is taken: "argument 0 (w) at (1, 2)"."""
        if self.index is None:
            return f"{self.argument}, along a direction"
        return f"{self.argument} at {self.index}" if self.index else self.argument

    def __str__(self) -> str:
        value, error, step, method = self.reference
        lines = [f"{self.part} by {self.place}", f"  mine       {self.mine:.12g}"]
        if self.verdict != "kink":
            lines += [
                f"  reference  {value:.12g}   ({method}, step {step:.2g}, error below {error:.1g})",
                f"  error      {self.error:.3g}, relative {self.relative_error:.3g}; allowed {self.allowed:.1g}",
            ]
        return "\n".join([*lines, f"  verdict    {VERDICTS[self.verdict]}"])


def _excess(comparison: Comparison) -> float:
    """How far off a derivative is, in units of what is allowed."""
    excess = comparison.error / comparison.allowed if comparison.allowed else comparison.error
    return inf if isnan(excess) else excess


def compared(
    part: str,
    argument: str,
    index: tuple[int, ...] | None,
    mine: float,
    reference: Reference,
    tolerance: float,
    scale: float,
    unit: float,
    kink: bool,
    exact: bool = False,
) -> Comparison:
    """Judge one derivative.

    Args:
        part, argument, index, mine, reference: as in Comparison.
        tolerance: the relative error allowed, beside the reference's own.
        scale: the size of the gradient this derivative belongs to.
        unit: the size of the function's values over that of the argument, or over 1 if it is smaller.
        kink: there is no derivative here.
        exact: the value of the reference is better than its error says, so nothing but that error is allowed.
    """
    largest = max(abs(reference.value), abs(mine) if isfinite(mine) else 0.0)
    allowed = (EXACT if exact else tolerance) * largest + reference.error
    if mine and abs(mine) < LARGEST_SINGLE and float(np.float32(mine)) == mine:
        # Such a number is the derivative itself, as 1 or 0.5, or it was rounded to float32 by mistake.
        allowed = min(allowed, ROUNDED * largest + 10 * reference.error)
    agrees = abs(mine - reference.value) <= allowed
    certain = reference.exact or reference.error <= tolerance * max(largest, scale)
    # An uncertain reference can still confirm a zero: what it shows instead is the rounding of the function
    zero = largest <= reference.error <= sqrt(EPSILON) * unit
    if kink:
        verdict = "kink"
    elif agrees:
        verdict = "right" if certain or zero else "ill-conditioned"
    else:  # nor does a difference of the size of the uncertainty prove anything
        close = not certain and abs(mine - reference.value) <= 10 * reference.error
        verdict = "ill-conditioned" if close else "wrong"
    return Comparison(part, argument, index, mine, reference, allowed, verdict)


@dataclass
class Report:
    """The result of check_gradients or check_rule; ``str(report)`` is what GradientError shows."""

    name: str
    """The function or operation that was judged."""
    comparisons: list[Comparison] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Faults that are no wrong number: a wrong shape or dtype, an argument that was changed, ..."""
    diagnosis: Any = None
    """What the mistake looks like (see diagnose), where a gradient is wrong."""
    most_skipped: float = 0.2
    """The largest part of the examples that may be skipped because they cannot be judged."""

    def _with(self, *verdicts: str) -> list[Comparison]:
        return [c for c in self.comparisons if c.verdict in verdicts]

    @property
    def wrong(self) -> list[Comparison]:
        """The derivatives that contradict their reference."""
        return self._with("wrong")

    @property
    def skipped(self) -> list[Comparison]:
        """The examples that could not be judged: kinks, or drowned in rounding."""
        return self._with("kink", "ill-conditioned")

    @property
    def judged(self) -> bool:
        """Whether enough of the examples could be judged."""
        return len(self.skipped) <= self.most_skipped * len(self.comparisons)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and enough was judged."""
        return not self.wrong and not self.problems and self.judged

    @property
    def worst(self) -> Comparison | None:
        """The comparison to look at first: of the wrong ones, or else of all, the farthest off for what is allowed."""
        candidates = self.wrong or self._with("right") or self.comparisons
        return max(candidates, key=_excess, default=None)

    def merge(self, other: "Report") -> None:
        """Take over what another check found."""
        self.comparisons += other.comparisons
        self.problems += other.problems
        self.diagnosis = self.diagnosis or other.diagnosis

    def __str__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        count = f"{len(self.comparisons)} derivatives compared{skipped}"
        worst = self.worst
        if self.ok:
            if worst is None:
                return f"{self.name}: right ({count})"
            return f"{self.name}: right ({count}; largest error {worst.error:.1g}, {worst.part} by {worst.place})"
        lines = [f"{self.name}: {problem}" for problem in self.problems]
        if self.wrong:
            lines.append(f"{self.name}: wrong {worst}: {len(self.wrong)} wrong of {count}")
        elif not self.judged:
            reasons = ", ".join(
                f"{len(found)} {VERDICTS[verdict].partition(':')[0]}"
                for verdict in ("kink", "ill-conditioned")
                if (found := self._with(verdict))
            )
            lines.append(
                f"{self.name}: could not be judged: {reasons}, of {len(self.comparisons)} derivatives; choose other "
                f"points. First of them: {self.skipped[0]}"
            )
        if self.diagnosis is not None:
            text = f"  likely     {self.diagnosis}"
            lines += [textwrap.fill(line, WIDTH, subsequent_indent=" " * 13) for line in text.splitlines()]
        return "\n".join(lines)
