"""What earlier runs found, so that a run can be broken off, and repeated when there are more tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from .mutants import Mutant
from .run import Result


class Memory:
    """The verdicts that still hold.

    None does when the packages have changed, or what the tests share, or these tools. A kill holds as long as the
    file with the test that killed is as it was, because more tests elsewhere bring no mutant back to life; a mutant
    that survived some files need not be tried again on them, but on all others; every other verdict holds as long as
    all tests do.
    """

    def __init__(self, folder: Path, root: Path, tests: Sequence[str]) -> None:
        files = sorted(file for part in ("autodiff", "nn", "tests") for file in Path(root, part).rglob("*.*"))
        records = {Path(root, "tests/mutation", name) for name in ("record.json", "survivors.json")}
        shared = [file for file in files if file.suffix != ".pyc" and file not in records]
        self.folder = folder / digest(file for file in shared if not file.name.startswith("test_"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "results.jsonl"
        self.basis = {test: digest([Path(root, test)]) for test in tests}
        self.killer: dict[str, str] = {}
        self.survived: dict[str, set[str]] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for fault, killer, files_then in map(json.loads, lines):
            if killer is None:
                self.survived.setdefault(fault, set()).update(files_then)
            elif self.rests_on(killer) == files_then:
                self.killer[fault] = killer

    def rests_on(self, killer: str | None) -> list[str]:
        """The digests of the files on which a verdict rests: that of the test that killed, else all."""
        file = (killer or "").partition("::")[0]
        return [self.basis[file]] if file in self.basis else sorted(self.basis.values())

    def survived_files(self, fault: str) -> set[str]:
        """The files of tests that a mutant has survived as they are."""
        return {test for test, basis in self.basis.items() if basis in self.survived.get(fault, ())}

    def split(self, name: str, mutants: Sequence[Mutant]) -> tuple[list[Result], dict[Mutant, set[str]]]:
        """The results that are known of a table's mutants, and the mutants that are left, with what they survived."""
        known, left = [], {}
        for mutant in mutants:
            killer, passed = self.killer.get(key(name, mutant)), self.survived_files(key(name, mutant))
            if killer is not None or len(passed) == len(self.basis):
                known.append(Result(mutant, killer))
            else:
                left[mutant] = passed
        return known, left

    def enter(self, name: str, result: Result) -> None:
        line = json.dumps([key(name, result.mutant), result.killer, self.rests_on(result.killer)])
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def reach_paths(self) -> dict[str, Path]:
        """For each file of tests, the file for what they reach."""
        return {test: self.folder / f"reach-{basis}.json" for test, basis in self.basis.items()}


def digest(files: Iterable[Path]) -> str:
    """A hash of what is in some files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def key(name: str, mutant: Mutant) -> str:
    """What identifies a mutant in one state of a table."""
    return f"{name} {mutant.start} {mutant.end} {mutant.text!r}"
