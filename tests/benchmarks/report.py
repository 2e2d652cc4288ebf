"""One table of what was measured, and the promised figures beside the measured ones."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .timing import Samples

SCALES = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")), "B": ((1.0, "B"),)}
NOISY = 1.5  # a spread of quartiles above which a figure says more about the machine than about the code
Key = tuple[str, str, str]  # workload, implementation, what
Results = dict[Key, Samples]


@dataclass(frozen=True)
class Promise:
    """A bound on a figure, or on its ratio to another, or on how far it lies above another."""

    text: str
    figure: Key
    over: Key | None = None
    above: Key | None = None
    at_most: float | None = None
    at_least: float | None = None

    def line(self, results: Results) -> str | None:
        """The promise and what was measured; None if this run did not measure it."""
        measured = [results.get(key) for key in (self.figure, self.over, self.above) if key is not None]
        samples = [s for s in measured if s is not None]
        if len(samples) < len(measured):
            return None
        typical, best = self._value(samples, statistics.median), self._value(samples, min)
        kept = (self.at_most is None or typical <= self.at_most) and (self.at_least is None or typical >= self.at_least)
        bound = (
            f"<= {self._show(self.at_most, samples)}" if self.at_most else f">= {self._show(self.at_least, samples)}"
        )
        verdict = "met" if kept else "MISSED"
        if any(spread(s.values) > NOISY for s in samples):
            verdict = "UNSURE"
        return (
            f"{verdict:<6}  {self.text:<52}  {self._show(typical, samples):>8}  target {bound:<10}"
            f"  (best rounds {self._show(best, samples)})"
        )

    def _value(self, samples: list[Samples], statistic: Callable[[Sequence[float]], float]) -> float:
        values = [statistic(s.values) for s in samples]
        if self.above is not None:
            return values[0] - values[1]
        return values[0] / values[1] if self.over is not None else values[0]

    def _show(self, value: float | None, samples: list[Samples]) -> str:
        if self.over is not None:
            return f"{value:.3g} x"
        return human(value or 0.0, samples[0].unit)


def _step(workload: str, implementation: str) -> Key:
    return workload, implementation, "step"


def _alone(workload: str, implementation: str) -> Key:
    return workload, implementation, "step, alone"


PROMISES = (
    Promise(
        "scalar: micrograd / autodiff, one step",
        _step("scalar-mlp", "micrograd"),
        _step("scalar-mlp", "autodiff"),
        at_least=8,
    ),
    Promise(
        "scalar: backward / forward of autodiff",
        ("scalar-mlp", "autodiff", "backward"),
        ("scalar-mlp", "autodiff", "forward"),
        at_most=2,
    ),
    *(
        Promise(
            f"{net}: autodiff / NumPy by hand",
            _alone(f"tensor-{net}", "autodiff"),
            _alone(f"tensor-{net}", "numpy"),
            at_most=bound,
        )
        for net, bound in (("2-4-1", 2.8), ("784-512-512-10", 1.15), ("2-10000-1", 1.15))
    ),
    *(
        Promise(f"2-4-1: {peer} / {ours}", _step("tensor-2-4-1", peer), _step("tensor-2-4-1", ours), at_least=3)
        for ours in ("autodiff", "autodiff, compiled")
        for peer in ("pytorch", "pytorch, one thread")
    ),
    *(
        Promise(f"{what}: autodiff / NumPy by hand", _alone(name, "autodiff"), _alone(name, "numpy"), at_most=bound)
        for what, name, bound in (
            ("batch norm, dropout", "deep-batch-norm-dropout", 1.3),
            ("convolutions", "deep-convolutions", 3),
        )
    ),
    Promise(
        "batch norm, dropout: pytorch / autodiff",
        _step("deep-batch-norm-dropout", "pytorch"),
        _step("deep-batch-norm-dropout", "autodiff"),
        at_least=1,
    ),
    Promise(
        "import autodiff, above import numpy",
        ("import-time", "autodiff", "import"),
        above=("import-time", "numpy", "import"),
        at_most=0.040,
    ),
    Promise("a Value node, beyond its float", ("node-memory", "autodiff", "built"), at_most=256),
)


def table(samples: Sequence[Samples]) -> str:
    """Median, quartiles, and ratios to hand-written NumPy and to ours, for every figure."""
    results = index(samples)
    rows = [("workload", "implementation", "what", "median", "quartiles", "/ NumPy", "/ ours")]
    last = samples[0].workload
    for s in samples:
        if s.workload != last:
            rows.append(("",) * 7)
        first = s.workload != last or len(rows) == 1
        last = s.workload
        rows.append(
            (
                s.workload if first else "",
                s.name,
                s.what,
                human(statistics.median(s.values), s.unit),
                " - ".join(human(q, s.unit) for q in quartiles(s.values)),
                ratio(results, s, "numpy"),
                ratio(results, s, "autodiff"),
            )
        )
    return align(rows)


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns: the first three are words and stand left, the others figures and stand right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in [rows[0], ["-" * w for w in widths], *rows[1:]]:
        cells = [cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def promises(samples: Sequence[Samples]) -> str:
    """One line for every promise that this run can judge; UNSURE where the machine was too busy to tell."""
    results = index(samples)
    return "\n".join(line for line in (p.line(results) for p in PROMISES) if line is not None)


def index(samples: Sequence[Samples]) -> Results:
    return {(s.workload, s.name, s.what): s for s in samples}


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def spread(values: Sequence[float]) -> float:
    low, high = quartiles(values)
    return high / low if low > 0 else float("inf")


def ratio(results: Results, sample: Samples, yardstick: str) -> str:
    """How many times the yardstick's figure of the same workload this one is."""
    base = results.get((sample.workload, yardstick, sample.what))
    if base is None or statistics.median(base.values) <= 0:
        return ""
    times = statistics.median(sample.values) / statistics.median(base.values)
    return f"{times:.0f}" if times >= 100 else f"{times:.3g}"


def human(value: float, unit: str) -> str:
    """Three or four digits and a unit that suits the size."""
    scale, name = next((pair for pair in SCALES[unit] if abs(value) >= pair[0]), SCALES[unit][-1])
    return f"{value / scale:.4g} {name}"
