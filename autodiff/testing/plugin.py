"""Fixtures for pytest, there as soon as autodiff-nn is installed.

A test of a hand-written gradient is one line::

    def test_gradient_of_my_loss(check_gradients):
        check_gradients(my_loss, w, b, gradient=my_backward)

A failure shows that line and the report, nothing of the kit's inside; the end of the run says how much was compared.
"""

from collections.abc import Callable
from typing import Any

import pytest

from ..errors import GradientError
from . import check, rule

COUNTS = pytest.StashKey[dict[str, int]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.stash[COUNTS] = {"compared": 0, "skipped": 0, "wrong": 0}


def _counting(config: pytest.Config, judge: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **options: Any) -> Any:
        __tracebackhide__ = True  # pytest then shows the line of the test
        counts = config.stash[COUNTS]
        try:
            report = judge(*args, **options)
        except GradientError as error:
            if error.report is not None:
                _add(counts, error.report)
            raise error.with_traceback(None) from None
        _add(counts, report)
        return report

    wrapper.__name__, wrapper.__doc__ = judge.__name__, judge.__doc__
    return wrapper


def _add(counts: dict[str, int], report: Any) -> None:
    counts["compared"] += len(report.comparisons)
    counts["skipped"] += len(report.skipped)
    counts["wrong"] += len(report.wrong)


@pytest.fixture
def check_gradients(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`autodiff.testing.check_gradients`: compare a gradient with difference quotients, fail with a report."""
    return _counting(request.config, check.check_gradients)


@pytest.fixture
def check_rule(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`autodiff.testing.check_rule`: judge an operation of one's own, fail with a report."""
    return _counting(request.config, rule.check_rule)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line, if there was anything to compare."""
    counts = config.stash[COUNTS]
    if counts["compared"]:
        terminalreporter.write_line(
            f"gradients: {counts['compared']} derivatives compared, {counts['wrong']} wrong, "
            f"{counts['skipped']} skipped because they could not be judged"
        )
