"""One case for every elementwise row of the table, drawn from the registry itself, and a few more by hand.

A row that is added to the table is tested without a line here: its domain and kinks say where.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autodiff.primitive import REGISTRY, Elementwise

from .numeric import STEP, on_grid

REAL, POSITIVE, NEGATIVE = (-np.inf, np.inf), (0.0, np.inf), (-np.inf, 0.0)

# How near to a kink or the border of a domain the difference quotients may come; see numeric.STEP
CLEARANCE = 0.25
KINK_CLEARANCE = 0.2  # less than 1/4: floor's kink function also changes sign half-way between two kinks


class Case(NamedTuple):
    """A smooth piece of an elementwise operation."""

    name: str
    call: Callable[..., Any]
    domain: tuple[tuple[float, float], ...]
    kinks: Callable[..., Any] | None = None
    complex_kernel: Callable[..., Any] | None = None  # for rows whose derivative a complex step gives exactly


def where_case():
    """`where` is stored as an ArrayOp, because it masks; it broadcasts and differentiates like an elementwise row."""
    where = REGISTRY["where"]

    def call(a, b):
        return where(np.asarray(getattr(a, "data", a)) > 0.5, a, b)

    return Case("where", call, (REAL, REAL), lambda a, b: a - 0.5)


def from_row(row):
    """Return the case of one row of the table."""
    arity = 5 if row.arity is None else row.arity
    domain = row.domain * arity if row.arity is None else row.domain
    kinks = row.kinks
    if row.name == "clip":  # where the bounds coincide, outside them, both operands have a kink as well
        kinks = lambda x, low, high: row.kinks(x, low, high) * (low - high)
    return Case(row.name, row, domain, kinks, row.array if row.analytic else None)


def extra_cases():
    """Return parameters other than the default, and smooth pieces outside the row's declared domain."""
    div, power, reciprocal = REGISTRY["div"], REGISTRY["power"], REGISTRY["reciprocal"]
    leaky_relu, elu, weighted_sum = REGISTRY["leaky_relu"], REGISTRY["elu"], REGISTRY["weighted_sum"]
    return [
        Case("leaky_relu(negative_slope=0.3)", lambda x: leaky_relu(x, negative_slope=0.3), (REAL,), lambda x: x),
        Case("leaky_relu(negative_slope=0)", lambda x: leaky_relu(x, negative_slope=0.0), (REAL,), lambda x: x),
        Case("elu(alpha=0.7)", lambda x: elu(x, alpha=0.7), (REAL,), lambda x: x),
        Case("weighted_sum of one", weighted_sum, (REAL,) * 3),
        Case("weighted_sum of none", weighted_sum, (REAL,)),
        Case("div by negative", div, (REAL, NEGATIVE), None, div.array),
        Case("reciprocal of negative", reciprocal, (NEGATIVE,), None, reciprocal.array),
        Case("arctan2 behind", REGISTRY["arctan2"], (REAL, NEGATIVE), lambda a, b: a),
        Case("power(x, 3)", lambda x: power(x, 3), (REAL,)),
        Case("power(x, -2)", lambda x: power(x, -2.0), (REAL,), lambda x: x),
        Case("power(x, 0.5)", lambda x: power(x, 0.5), (POSITIVE,)),
        Case("power(2, x)", lambda x: power(2.0, x), (REAL,)),
    ]


ROWS = {name: row for name, row in REGISTRY.items() if isinstance(row, Elementwise)}
CASES = {case.name: case for case in [*map(from_row, ROWS.values()), where_case(), *extra_cases()]}


def interval(rng, low, high, n, margin, largest):
    """Draw n numbers inside an open interval; those of an infinite one over several magnitudes."""
    if np.isfinite(low) and np.isfinite(high):
        return rng.uniform(low + margin, high - margin, n)
    magnitude = np.exp(rng.uniform(np.log(margin), np.log(largest), n))
    if np.isfinite(low):
        return low + magnitude
    if np.isfinite(high):
        return high - magnitude
    return np.where(rng.random(n) < 0.5, rng.uniform(-4, 4, n), rng.choice([-1, 1], n) * magnitude)


def clear_of_kinks(case, xs):
    """Whether no kink lies within KINK_CLEARANCE of a point, moving any one operand: element by element."""
    clear = np.ones(np.shape(xs[0]), dtype=bool)
    if case.kinks is not None:
        here = case.kinks(*xs)
        clear &= np.abs(here) > 100 * STEP  # for kinks that are distances and never change sign, as hypot's
        for i in range(len(xs)):
            for shift in np.linspace(-KINK_CLEARANCE, KINK_CLEARANCE, 7):
                there = case.kinks(*[x + shift if k == i else x for k, x in enumerate(xs)])
                clear &= (np.sign(there) == np.sign(here)) & (np.abs(there) > STEP)
    return clear


def draw(case, n, *, margin=CLEARANCE, largest=20.0, seed=1):
    """Return n points, as one array an operand, inside the case's domain and clear of its kinks."""
    rng = np.random.default_rng([seed, len(case.name), n])
    found = [np.empty(0)] * len(case.domain)
    while len(found[0]) < n:
        xs = [on_grid(interval(rng, low, high, 2 * n, margin, largest)) for low, high in case.domain]
        clear = clear_of_kinks(case, xs)
        found = [np.concatenate([old, x[clear]]) for old, x in zip(found, xs, strict=True)]
    return [x[:n] for x in found]
