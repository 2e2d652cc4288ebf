"""Trying mutants: each in a process of its own, where the tests import the mutated table instead of the real one.

The ready tools do not fit these tables, whose rows are lambdas in calls that run at import: mutmut (3.8) mutates only
functions, so not a single row; cosmic-ray (8.7) writes each mutant into the working tree and starts pytest anew for
it, knows no verbs (``mul`` for ``div``), and takes the bare ``*`` of a parameter list for a product, so that hundreds
of its mutants are no Python and count as killed. Here a parent imports all that tests need but the packages, and
forks; a child runs only tests that reach the mutated function, those of the mutated row first, and stops at the first
failure: half a second a mutant.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import pytest

from .mutants import Mutant, registered_names

SECONDS = 20  # of processor time for one test, which needs far less; a mutant that takes longer has lost its way
ENOUGH = 20  # seconds of tests a lot, the quickest first: what nearly every test reaches, the first few judge
MEMORY = 8 << 30  # bytes of address space; a mutant that grows without bound ends here
SURVIVED, KILLED, BROKEN = 0, 10, 20  # exit codes of a child
QUIETLY = ["-x", "-q", "-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is loaded
# What takes as long as most verdicts: the search for plugins (see __main__), and collecting garbage before the end
QUIETLY += [f"-pno:{plugin}" for plugin in ("cacheprovider", "unraisableexception", "threadexception")]
QUIETLY += ["-p_hypothesis_pytestplugin"]  # the one that the tests need


IMPORT = "import"  # stands for a test in what reaches a function
Reach = dict[str, dict[str, float]]
"""For each function, as "file:line" of its first line, the tests that call it and the seconds that they take."""


class Table(NamedTuple):
    """A module to mutate, and the tests that judge its mutants: first the narrow ones, then the wide ones."""

    module: str
    path: Path
    narrow: Sequence[str]
    wide: Sequence[str]


class Result(NamedTuple):
    """What became of a mutant: killed by a test, by its import or by a limit; None if it survived."""

    mutant: Mutant
    killer: str | None


class Replaced(MetaPathFinder, SourceLoader):
    """Import one module from a given text instead of its file."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name: str, _path: Any, _target: ModuleType | None = None) -> ModuleSpec | None:
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_filename(self, _name: str) -> str:
        return str(self.path)

    def get_data(self, _path: str) -> bytes:
        return self.source.encode()


# ---- which tests reach which function ------------------------------------------------------------------------------


class Watcher:
    """A pytest plugin that notes which functions of some files each test calls."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = {str(path): path.name for path in files}
        self.reach: Reach = {}

    @contextlib.contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Enter all functions that are called meanwhile as reached by a test, or by the import."""
        called: set[tuple[str, int]] = set()

        def note(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code.co_filename in self.files:
                called.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

        start = time.process_time()
        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(None)
            for file, line in called:
                seconds = round(time.process_time() - start, 3)
                self.reach.setdefault(f"{self.files[file]}:{line}", {})[what] = seconds

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        with self.noting(item.nodeid):
            return (yield)


def watch(tables: Iterable[Table], tests: Sequence[str], result: Path) -> tuple[int, str]:
    """Run tests on the tables as they are, in this process, and write what they reach into a file."""
    watcher = Watcher(table.path for table in tables)
    with watcher.noting(IMPORT):
        for table in tables:
            importlib.import_module(table.module)
    code = pytest.main([*QUIETLY, *tests], plugins=[watcher])
    if code != pytest.ExitCode.OK:
        return BROKEN, f"without a mutant pytest ends with {code!r}"
    result.write_text(json.dumps(watcher.reach), encoding="utf-8")
    return SURVIVED, ""


# ---- one mutant ----------------------------------------------------------------------------------------------------


class Referee:
    """A pytest plugin that lets only some tests run, those named after a row first, and notes the one that fails."""

    def __init__(self, names: set[str], tests: dict[str, float] | None) -> None:
        self.names, self.tests = names, tests
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        seconds = self.tests
        if seconds is None:
            items.sort(key=lambda item: not self.is_about_the_row(item))  # stable: else in their order
            return
        if IMPORT not in seconds:  # else the fault may even give tests other parameters, and names that nobody knows
            items[:] = [item for item in items if item.nodeid in seconds]
        cost = {item: seconds.get(item.nodeid, 0.0) for item in items}
        items.sort(key=lambda item: (not self.is_about_the_row(item), cost[item]))
        total = itertools.accumulate(cost[item] for item in items)
        items[:] = [item for item, so_far in zip(items, total, strict=True) if so_far - cost[item] < ENOUGH]

    def is_about_the_row(self, item: pytest.Item) -> bool:
        call = getattr(item, "callspec", None)
        starts = tuple(name + end for name in self.names for end in (" ", "(", "-"))
        return call is not None and (call.id in self.names or call.id.startswith(starts))

    def pytest_runtest_setup(self) -> None:
        limit_time()

    def pytest_runtest_logreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    pytest_collectreport = pytest_runtest_logreport


def limit_time() -> None:
    """End this process when it has used SECONDS more of processor time, which a busy machine does not shorten."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def judge(
    table: Table, source: str, names: set[str], files: Sequence[str], tests: dict[str, float] | None
) -> tuple[int, str]:
    """Run tests on a mutated source, in this process; return SURVIVED, KILLED or BROKEN and what killed it."""
    sys.meta_path.insert(0, Replaced(table.module, table.path, source))
    limit_time()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        importlib.import_module(table.module)
    except Exception as error:  # noqa: BLE001  # whatever a mutant raises
        return KILLED, f"import: {type(error).__name__}"
    referee = Referee(names, tests)
    code = pytest.main([*QUIETLY, *files], plugins=[referee])
    if code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        return KILLED, referee.failed or "import of the tests"
    return (SURVIVED, "") if code == pytest.ExitCode.OK else (BROKEN, f"pytest ends with {code!r}")


def forked(work: Callable[[], tuple[int, str]]) -> tuple[int, int]:
    """Start work in a child process; return its process number and the end of a pipe that will tell what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    try:
        code, words = work()
    except BaseException as error:  # noqa: BLE001  # nothing may leave the child
        code, words = BROKEN, repr(error)
    os.write(writing, words.encode()[:4000])
    os._exit(code)


def verdict(status: int, pipe: int) -> str | None:
    """What killed the mutant of a child that has ended, or None. RuntimeError if the tests could not tell."""
    with open(pipe, encoding="utf-8") as end:
        words = end.read()
    code = os.waitstatus_to_exitcode(status)
    if code not in (SURVIVED, KILLED) and code >= 0:
        raise RuntimeError(f"the tests could not be run: {words or code}")
    return None if code == SURVIVED else words or f"signal {-code}"


# ---- all of them ---------------------------------------------------------------------------------------------------


def reached(tables: Iterable[Table], tests: Sequence[str], result: Path) -> None:
    """Write what reaches each function into a file; RuntimeError if a test fails on the tables as they are."""
    child, pipe = forked(partial(watch, tables, tests, result))
    verdict(os.waitpid(child, 0)[1], pipe)


def stages(
    table: Table, mutant: Mutant, reach: Reach | None, spared: Collection[str]
) -> tuple[list[list[str]], dict[str, float] | None]:
    """The files to run on a mutant, one lot after the other, and which of their tests; None for all.

    Only tests that call the function in which the mutant stands can notice it; any test, if it stands in none or in
    one that the import calls.
    """
    lots, tests = [[file for file in files if file not in spared] for files in table[2:]], None
    if reach is not None:
        tests = reach.get(f"{table.path.name}:{mutant.function}", {}) if mutant.function else {IMPORT: 0.0}
        if IMPORT in tests:
            tests = dict(itertools.chain.from_iterable(found.items() for found in reach.values()))
        lots = [[file for file in files if any(test.startswith(file) for test in tests)] for files in lots]
    return [files for files in lots if files], tests


def results(
    table: Table, mutants: Mapping[Mutant, Collection[str]], jobs: int, reach: Reach | None = None
) -> Iterator[Result]:
    """Judge mutants, several at a time; yield each as soon as it is killed or has survived its tests.

    With each mutant come the files that it is known to survive, which it is spared.
    """
    source = table.path.read_text(encoding="utf-8")
    names = registered_names(source)
    waiting = [(mutant, *stages(table, mutant, reach, spared)) for mutant, spared in mutants.items()][::-1]
    running = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant, lots, tests = waiting.pop()
            if lots:
                about, text = names.get(mutant.row, set()), mutant.applied_to(source)
                child, pipe = forked(partial(judge, table, text, about, lots[0], tests))
                running[child] = mutant, pipe, lots[1:], tests
            else:
                yield Result(mutant, None)
        if running:
            child, status = os.wait()
            mutant, pipe, lots, tests = running.pop(child)
            killer = verdict(status, pipe)
            if killer is None:
                waiting.append((mutant, lots, tests))
            else:
                yield Result(mutant, killer)
