"""Command line of the promises: `python -m tests.promises [4 12] [--list]` runs their tests and prints one table.

The table goes to stdout and what pytest prints on the way, with the tracebacks of failures, to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from .figures import Figure, lines
from .table import PROMISES

WIDTH = 120  # columns of a line
TEXT = 92  # of them for text, beside the numbers


@dataclass
class Case:
    """One test with one set of parameters, and what became of it."""

    promises: set[int]
    measures: bool  # whether it asks for the fixture that takes figures
    outcome: str = "not run"
    reason: str = ""
    seconds: float = 0.0
    figures: list[Figure] = field(default_factory=list)


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Marked:
    """A pytest plugin that lets only the tests of some promises run, and notes what becomes of them."""

    numbers: Collection[int]
    cases: dict[str, Case] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        for item in items:
            promises = {number for mark in item.iter_markers("promise") for number in mark.args}
            if not promises <= set(PROMISES):
                raise pytest.UsageError(f"{item.nodeid} is marked with promises {promises}, not all of which exist")
            if promises.intersection(self.numbers):
                function = getattr(item, "function", None)
                measures = function is not None and "figure" in inspect.signature(function).parameters
                self.cases[item.nodeid] = Case(promises, measures)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in self.cases])
        items[:] = [item for item in items if item.nodeid in self.cases]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = self.cases[report.nodeid]
        case.seconds += report.duration
        if report.when == "call" or not report.passed:  # setting up and tearing down count when they fail or skip
            case.outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
            case.reason = reason(report)
            case.figures = [value for name, value in report.user_properties if name == "figure"]


def reason(report: pytest.TestReport) -> str:
    """Return in one line why a test did not pass."""
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail)
    if isinstance(report.longrepr, tuple):  # file, line and text of a skip
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return "" if crash is None else crash.message.partition("\n")[0]


# ---- judging ---------------------------------------------------------------------------------------------------------


def result(cases: Collection[Case]) -> str:
    """Return what became of several cases in a word, the worst first; those that were skipped do not count."""
    outcomes = {case.outcome for case in cases}
    for outcome, word in (("failed", "FAILED"), ("xfailed", "XFAILED"), ("not run", "NOT RUN"), ("passed", "held")):
        if outcome in outcomes:
            return word
    return "SKIPPED" if cases else "NO TEST"


def verdict(cases: Collection[Case]) -> str:
    """Return the result of a promise: held, when its tests passed and there is a figure to show for it."""
    word = result(cases)
    return "NO FIGURE" if word == "held" and not any(case.figures for case in cases) else word


# ---- the table -------------------------------------------------------------------------------------------------------


LEGEND = """\
A test says which promises it holds: @pytest.mark.promise(4). Below, its file and its name together are its address for
pytest. Of a figure that was measured several times the largest is shown, and beside it the largest that is allowed.
"""


def wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    """Return the lines of a text, the first and the rest indented by their own prefixes; words stay whole."""
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False)


def row(text: Sequence[str], count: str, seconds: str, word: str) -> Iterator[str]:
    """Yield the lines of one row: its text, and the numbers beside the first line of it."""
    first, *rest = text
    if len(first) > TEXT:  # the long name of a test
        yield first
        first = ""
    yield f"{first:{TEXT}}{count:>8}{seconds:>9}  {word}".rstrip()
    yield from rest


def row_of_cases(text: Sequence[str], cases: Collection[Case], word: str) -> Iterator[str]:
    seconds = sum(case.seconds for case in cases)
    yield from row(text, f"{len(cases):,}", f"{seconds:.1f}" if seconds else "", word)


def rows_of_test(name: str, cases: Collection[Case], listing: bool) -> Iterator[str]:
    """Yield a test of one or more cases, the figures that it measured, and why cases did not pass."""
    word = result(cases)
    if listing:
        word = "figure" if all(case.measures for case in cases) else ""
    yield from row_of_cases([f"       ::{name}"], cases, "" if word == "held" else word)
    reasons = Counter((case.outcome, case.reason) for case in cases if case.reason)
    for line in (
        *lines(figure for case in cases for figure in case.figures),
        *(f"{outcome}, {count:,}: {why}" for (outcome, why), count in reasons.items()),
    ):
        yield from wrapped(line, " " * 11, " " * 13, WIDTH)


def rows(number: int, cases: dict[str, Case], listing: bool) -> Iterator[str]:
    """Yield a promise and its tests, each under its file: file and name together are the test's address for pytest."""
    word = ("" if cases else "NO TEST") if listing else verdict(cases.values())
    yield from row_of_cases(wrapped(PROMISES[number].text, f"{number:3}  ", " " * 5, TEXT), cases.values(), word)
    tests: dict[str, dict[str, list[Case]]] = {}
    for address, case in cases.items():
        file, _, name = address.partition("[")[0].partition("::")
        tests.setdefault(file, {}).setdefault(name, []).append(case)
    for file, names in tests.items():
        yield f"     {file}"
        for name, group in names.items():
            yield from rows_of_test(name, group, listing)


def of_promise(number: int, marked: Marked) -> dict[str, Case]:
    return {address: case for address, case in marked.cases.items() if number in case.promises}


def table(marked: Marked, listing: bool) -> Iterator[str]:
    yield from LEGEND.splitlines()
    yield ""
    yield from row([" no  promise, its tests and their figures"], "cases", "" if listing else "seconds", "")
    for number in marked.numbers:
        yield ""
        yield from rows(number, of_promise(number, marked), listing)


def summary(marked: Marked) -> Iterator[str]:
    words = {number: verdict(of_promise(number, marked).values()) for number in marked.numbers}
    seconds = sum(case.seconds for case in marked.cases.values())
    for word, count in Counter(words.values()).items():
        yield f"{word}: {count} ({', '.join(str(number) for number in words if words[number] == word)})"
    yield f"{len(marked.cases):,} cases in {seconds:.0f} seconds"


def parse(arguments: Sequence[str] | None) -> tuple[list[int], bool]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.promises", description="Run the tests of the promises and print one table of them."
    )
    parser.add_argument("numbers", nargs="*", type=int, metavar="N", help="promises (default: all)")
    parser.add_argument("--list", action="store_true", help="print promises and tests, and run nothing")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.numbers) - set(PROMISES):
        parser.error(f"there are promises {min(PROMISES)} to {max(PROMISES)}, not {sorted(unknown)}")
    return sorted(set(chosen.numbers) or PROMISES), chosen.list


def main(arguments: Sequence[str] | None = None) -> int:
    numbers, listing = parse(arguments)
    marked = Marked(numbers)
    options = ["--collect-only", "-qq"] if listing else ["-q"]
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main(["tests", "-p", "no:cacheprovider", *options], plugins=[marked])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        return int(code)
    print("\n".join(table(marked, listing)))
    if listing:
        return 0
    print("", *summary(marked), sep="\n")
    return int(any(verdict(of_promise(number, marked).values()) != "held" for number in numbers))


if __name__ == "__main__":
    os.environ.setdefault("HYPOTHESIS_PROFILE", "ci")  # the same examples in every run
    sys.exit(main())
