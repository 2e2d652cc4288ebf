"""Command line of the mutation tests: `python -m tests.mutation [--module rules] [--only tanh] [--sample 60]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Before NumPy is loaded: children share the processors one each, and Hypothesis must draw the same examples again
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "ci"}
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # nor must they look for plugins, each anew

from . import record
from .memory import Memory
from .mutants import Mutant, mutants_of
from .run import Reach, Result, Table, reached, results

ROOT = Path(__file__).resolve().parents[2]
COMMON = [
    "tests/promises/test_table_details.py", "tests/promises/test_table_shortcuts.py", "tests/promises/test_kinks.py",
    "tests/promises/test_checklist.py", "tests/promises/test_numpy_parity.py", "tests/promises/test_stability.py",
    "tests/test_higher_order.py", "tests/test_gradient_semantics.py",
    "tests/autodiff/test_functions.py", "tests/autodiff/test_backward.py", "tests/autodiff/test_forward.py",
    "tests/autodiff/test_primitive.py", "tests/autodiff/test_value.py", "tests/autodiff/test_tensor.py",
    "tests/autodiff/test_transforms.py", "tests/nn/test_losses.py", "tests/nn/test_layers.py",
]  # fmt: skip
RULES, ARRAY_RULES = "tests/autodiff/test_rules.py", "tests/autodiff/test_array_rules.py"
TESTS = [RULES, ARRAY_RULES, *COMMON]
TABLES = {
    "rules": Table("autodiff.rules", ROOT / "autodiff/rules.py", [RULES], [ARRAY_RULES, *COMMON]),
    "array_rules": Table("autodiff.array_rules", ROOT / "autodiff/array_rules.py", [ARRAY_RULES], [RULES, *COMMON]),
}
MEMORY = Path(tempfile.gettempdir()) / "autodiff-mutation"
PRELOADED = ["numpy", "hypothesis.extra.numpy", "_hypothesis_pytestplugin"]  # whatever tests import but our packages


def reach_of(paths: Mapping[str, Path]) -> Reach:
    """Which test calls which function of the tables: for each file of tests from a file, or a run that writes it."""
    reach: Reach = {}
    for test, path in paths.items():
        if not path.exists():
            print(f"running {test} without a mutant ...", file=sys.stderr, flush=True)
            reached(TABLES.values(), [test], path)
        for function, tests in json.loads(path.read_text(encoding="utf-8")).items():
            reach.setdefault(function, {}).update(tests)
    return reach


def remembered(memory: Memory, name: str, mutants: Sequence[Mutant], jobs: int) -> Iterator[Result]:
    """The results for all these mutants, those of earlier runs first."""
    known, left = memory.split(name, mutants)
    yield from known
    for result in results(TABLES[name], left, jobs, reach_of(memory.reach_paths())) if left else ():
        memory.enter(name, result)
        yield result


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation tests of the rule tables.")
    parser.add_argument("--module", choices=TABLES, help="one of the two tables (default: both)")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="mutants of these rows and helpers")
    parser.add_argument("--survivors", action="store_true", help="only the mutants that are listed in survivors.json")
    parser.add_argument("--sample", type=int, metavar="N", help="N mutants of a table, drawn at random")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument(
        "--memory", type=Path, default=MEMORY, metavar="DIR", help="folder for results (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def chosen_mutants(name: str, options: argparse.Namespace) -> list[Mutant]:
    """The mutants of a table that the options ask for."""
    mutants = mutants_of(TABLES[name].path.read_text(encoding="utf-8"))
    if options.only:
        mutants = [mutant for mutant in mutants if mutant.row in options.only]
    if options.survivors:
        listed = record.reasons(name)
        mutants = [mutant for mutant in mutants if mutant.name in listed]
    if options.sample is not None:
        mutants = random.Random(0).sample(mutants, min(options.sample, len(mutants)))
    return mutants


def describe(name: str, mutant: Mutant, reason: str) -> str:
    """One survivor as a difference of two lines, with its place and its reason."""
    place = f"autodiff/{name}.py:{mutant.line} ({mutant.row}, {mutant.kind})"
    return f"{place}\n  - {mutant.before}\n  + {mutant.after}\n    {reason}"


def report(name: str, found: Sequence[Result], complete: bool) -> bool:
    """Print what became of a table's mutants; return whether every survivor has its reason."""
    reasons = record.reasons(name)
    alive = [result.mutant for result in found if result.killer is None]
    for mutant in alive:
        print(describe(name, mutant, reasons.get(mutant.name, "NO REASON GIVEN")))
    risen = {result.mutant.name for result in found if result.killer is not None} & set(reasons)
    for mutant_name in sorted(risen):
        print(f"killed, although listed as a survivor of {name}: {mutant_name}")
    imports = sum(result.killer is not None and result.killer.startswith("import") for result in found)
    print(f"{name}: {record.line(len(found), len(found) - len(alive))} ({imports} of the killed could not be imported)")
    if complete:
        source = TABLES[name].path.read_text(encoding="utf-8")
        record.enter(name, source, len(found), len(found) - len(alive))
    return not risen and all(mutant.name in reasons for mutant in alive)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    names = [options.module] if options.module else list(TABLES)
    mutants = {name: chosen_mutants(name, options) for name in names}
    if options.list:
        for name in names:
            print("\n".join(f"autodiff/{name}.py:{m.line} {m.kind}: {m.name}" for m in mutants[name]))
        return 0
    os.chdir(ROOT)
    for module in PRELOADED:
        importlib.import_module(module)
    memory = Memory(options.memory, ROOT, TESTS)
    explained = True
    for name in names:
        found = []
        for result in remembered(memory, name, mutants[name], options.jobs):
            found.append(result)
            if len(found) % 20 == 0:
                print(f"{name}: {len(found)} of {len(mutants[name])}", file=sys.stderr, flush=True)
        explained &= report(name, found, complete=not (options.only or options.survivors or options.sample is not None))
    return 0 if explained else 1


if __name__ == "__main__":
    sys.exit(main())
