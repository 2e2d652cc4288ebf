"""The figures that tests measure, and how those of many cases become one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Figure(NamedTuple):
    """What was measured; with a number, also the largest number that is allowed."""

    what: str
    number: float | None = None
    limit: float | None = None


def shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"


def lines(figures: Iterable[Figure]) -> list[str]:
    """Return one line a figure: of the same figure from several cases the largest number, or how often it was found."""
    groups: dict[tuple[str, float | None], list[float | None]] = {}
    for what, number, limit in figures:
        groups.setdefault((what, limit), []).append(number)
    found = []
    for (what, limit), group in groups.items():
        numbers = [number for number in group if number is not None]
        line = what
        if numbers:
            # a nan counts as larger than every number, so that it cannot hide
            line += f": {shown(max(numbers, key=lambda x: (x != x, x)))}"
        if limit is not None:
            line += f", at most {shown(limit)}"
        if len(group) > 1:
            line += f" (largest of {len(group):,})" if numbers else f" ({len(group):,} times)"
        found.append(line)
    return found
