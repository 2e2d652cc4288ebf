"""What every test shares: Hypothesis profiles, fixed seeds, sealed global switches, and figures for the summary."""

import ast
import gc
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings

import autodiff as ad
from autodiff.primitive import REGISTRY

from .promises.figures import Figure, lines

ROOT = Path(__file__).resolve().parent.parent

# On a shared machine a slow example is no bug, so there is no deadline: time is tested by the tests about time.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
# HYPOTHESIS_PROFILE=thorough pytest tests/promises/test_random_programs.py: ten thousand random graphs a test
settings.register_profile("thorough", deadline=None, max_examples=10_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


class Module(NamedTuple):
    """One source file of the packages."""

    name: str  # dotted, as in "autodiff.draw.dot"; a package's __init__ has the package's name
    path: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def modules() -> list[Module]:
    """Return every source file of autodiff and nn, parsed."""
    found = []
    for path in sorted([*ROOT.glob("autodiff/**/*.py"), *ROOT.glob("nn/**/*.py")]):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"), filename=str(path))))
    return found


RUNNING = pytest.StashKey[pytest.Item]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note which test is running, for its figures."""
    item.config.stash[RUNNING] = item


@pytest.fixture(scope="session")  # Hypothesis refuses fixtures that belong to one test, as it calls the test many times
def figure(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Return a function that puts one measured figure into the summary of the run and the table of the promises.

    `figure("planted fault found")` is a line of text, and `figure("relative error", 3e-16, 1e-12)` also a number and
    the largest that is allowed. Of a figure that several cases or examples record, the largest number is shown.
    """

    def record(what: str, number: float | None = None, limit: float | None = None) -> None:
        pytestconfig.stash[RUNNING].user_properties.append(("figure", Figure(what, number, limit)))

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded."""
    reports = [report for status in ("passed", "failed") for report in terminalreporter.stats.get(status, [])]
    figures = [found for report in reports for name, found in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for line in lines(figures):
            terminalreporter.line(line)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Fix the global generators, which our packages never touch but their test data may come from."""
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Forget the operations that a test registers, so that tests that walk the registry see only ours."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def _finds_anomalies() -> bool:
    try:
        ad.log(ad.Value(0.0))
    except ad.AnomalyError:
        return True
    return False


def _switches() -> dict[str, object]:
    """Return every global switch that a test, or a failure inside the engine, could leave changed."""
    return {
        "NumPy error state": tuple(np.geterr().items()),
        "NumPy print options": repr(np.get_printoptions()),
        "recursion limit": sys.getrecursionlimit(),
        "cyclic collector enabled": gc.isenabled(),
        "graph is recorded": bool((ad.Value(1.0) * 2.0).parents),
        "anomalies are detected": _finds_anomalies(),
        "working directory": Path.cwd(),
        "import path": tuple(sys.path),
    }


@pytest.fixture(autouse=True)
def _sealed() -> Iterator[None]:
    """Fail a test that leaves a global switch other than it found it.

    Automatic fixtures are set up before those that a test names, and torn down after them, so what monkeypatch
    changes and restores is no leak.
    """
    before = _switches()
    yield
    after = _switches()
    changed = [f"{name}: was {before[name]}, is {after[name]}" for name in before if before[name] != after[name]]
    assert changed == []
