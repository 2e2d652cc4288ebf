"""The mutation tests themselves: the faults they make, the verdicts they reach, and the record of the last full run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from . import record
from .memory import Memory
from .mutants import mutants_of, registered_names
from .run import Result

SOURCE = {name: Path("autodiff", f"{name}.py") for name in ("rules", "array_rules")}


@pytest.fixture(scope="module")
def sources(root):
    """Return the source of both tables."""
    return {name: (root / path).read_text(encoding="utf-8") for name, path in SOURCE.items()}


def changed(source):
    """Return what a one-line source becomes, as {kind: [texts]}."""
    found = {}
    for mutant in mutants_of(source):
        found.setdefault(mutant.kind, []).append(mutant.after)
    return found


# ---- the faults ----------------------------------------------------------------------------------------------------


def test_a_row_has_exactly_these_mutants():
    row = 'tan = elementwise("tan", floats.tan, np.tan, {}, symbol="t")'
    assert changed(row.format("lambda y, x: sub(1.0, y)")) == {
        "function": [
            'tan = elementwise("tan", floats.sin, np.tan, lambda y, x: sub(1.0, y), symbol="t")',
            'tan = elementwise("tan", floats.tan, np.tanh, lambda y, x: sub(1.0, y), symbol="t")',
            'tan = elementwise("tan", floats.tan, np.tan, lambda y, x: add(1.0, y), symbol="t")',
        ],
        "derivative": [row.format("lambda y, x: 0.0"), row.format("lambda y, x: 1.0")],
        "exchanged": [row.format("lambda y, x: sub(y, 1.0)")],
        "number": [row.format("lambda y, x: sub(1.0005, y)"), row.format("lambda y, x: sub((-1.0), y)")],
        "only an operand": [row.format("lambda y, x: y")],
        "operand": [row.format("lambda y, x: sub(1.0, x)")],
    }


@pytest.mark.parametrize(
    ("source", "kind", "texts"),
    [
        ("f = lambda a: -a", "sign or not left out", ["f = lambda a: a"]),
        ("f = lambda a: not a", "sign or not left out", ["f = lambda a: a"]),
        ("N = -1.0", "number", ["N = -1.0005", "N = -(-1.0)"]),
        ("N = 0, 0.0, 3", "number", ["N = 1, 0.0, 3", "N = 0, 1.0, 3", "N = 0, 0.0, 4", "N = 0, 0.0, 2"]),
        ("f = lambda: p - q", "operator", ["f = lambda: (p + q)"]),
        ("f = lambda: p - q", "operand left out", ["f = lambda: p", "f = lambda: q"]),
        ("f = lambda: p and q", "operator", ["f = lambda: (p or q)"]),
        ("f = lambda: p and q", "operand left out", ["f = lambda: (q)", "f = lambda: (p)"]),
        ("f = lambda: p < q <= r", "comparison", [
            f"f = lambda: (p {signs} r)" for signs in ("<= q <=", "> q <=", "< q <", "< q >=")]),
        ("f = lambda: p if q else r", "condition", ["f = lambda: p if True else r", "f = lambda: p if False else r"]),
        ("f = lambda a, *, axis=None: a(axis)", "default", ["f = lambda a, *, axis=0: a(axis)"]),
        ("k = sum(g, keepdims=True)", "truth value", ["k = sum(g, keepdims=False)"]),
        ("k = sum(g, keepdims=True)", "keyword left out", ["k = sum(g, **{})"]),
        ("k = g.reshape(shape)", "only an operand", ["k = g", "k = shape"]),
        ("k = np.arctan2(*p)", "function", ["k = np.hypot(*p)"]),
        ("r = array_op('r', k, left, right)", "exchanged", ["r = array_op('r', k, right, left)"]),
        ("def f(a, b): return g(b)", "result", ["def f(a, b): return a"]),
        ("def f(a):\n    a += b", "statement left out", ["pass"]),
        ("σ = 'σ', -σ", "sign or not left out", ["σ = 'σ', σ"]),
    ],
)  # fmt: skip
def test_a_fault_of_each_kind_is_made(source, kind, texts):
    assert changed(source)[kind] == texts


@pytest.mark.parametrize(
    "source",
    [
        "import math",
        "NAME = 'a string'",
        "p = add(q(), r())",  # its operands may be exchanged
        "p = elementwise('p', h, k, q, q)",
        "@lru_cache(maxsize=16)\ndef f(a: int = k) -> float:\n    '''Says 1.'''",
        "def f():\n    raise ValueError(f'not {1}')",
        "f = lambda x: shape_of(x)",
        "f = lambda x, *, n=1, axis=None, keepdims=True: x",  # never read
        "z = zip(p, q, strict=True)",
    ],
)
def test_what_no_test_can_tell_is_left_alone(source):
    assert not {"number", "exchanged", "keyword left out", "truth value", "default"} & set(changed(source))
    assert "'" not in "".join(mutant.text.decode() for mutant in mutants_of(source))


@pytest.mark.parametrize("name", SOURCE)
def test_every_mutant_of_a_table_is_a_program_of_its_own_with_a_name_of_its_own(name, sources):
    source = sources[name]
    mutants = mutants_of(source)
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    original = ast.dump(ast.parse(source))
    sample = mutants[::20]
    assert len({ast.dump(ast.parse(mutant.applied_to(source))) for mutant in sample} - {original}) == len(sample)


def test_a_helper_is_judged_by_the_tests_of_the_rows_that_use_it(sources):
    names = registered_names(sources["array_rules"])
    assert names["prod"] == {"prod"}
    assert names["joined"] == {"concatenate"}
    assert names["_before"] == {"prod"}  # by way of _others
    assert names["_deviation"] == {"var", "std"}


# ---- the verdicts --------------------------------------------------------------------------------------------------

TABLE = {
    "double": "def double(x):\n    return x + x\n",
    "down": "def down(n):\n    while n:\n        n -= 1\n    return n\n",
}
TESTS = {
    "weak": "from tiny import double\ndef test_zero(): assert double(0) == 0\n",
    "strong": "from tiny import double\ndef test_one(): assert double(1) == 2\n",
    "ends": "from tiny import down\ndef test_end(): assert down(2) == 0\n",
    "wrong": "def test_nothing_holds(): assert 1 == 2\n",
    "empty": "",
}
JUDGE = """
import json, os, sys
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
from pathlib import Path
from tests.mutation import mutants, run
run.SECONDS = 1
path, *tests = sys.argv[1:]
table = run.Table("tiny", Path(path), *([f"test_{name}.py"] for name in tests))
found = [mutants.UNCHANGED, *mutants.mutants_of(table.path.read_text())]
results = run.results(table, dict.fromkeys(found, ()), jobs=2)
print(json.dumps([[result.mutant.after, result.killer] for result in results]))
"""


@pytest.fixture
def judged(tmp_path, root):
    """Return a function that judges the mutants of a tiny table, in a process that forks before it imports much."""
    for name, text in TESTS.items():
        (tmp_path / f"test_{name}.py").write_text(text, encoding="utf-8")

    def judge(table, *tests):
        (tmp_path / "tiny.py").write_text(TABLE[table], encoding="utf-8")
        program = f"import sys; sys.path[:0] = ['.', {str(root)!r}]\n{JUDGE}"
        command = [sys.executable, "-c", program, "tiny.py", *tests]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return judge


def killers(run):
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout))


def test_a_weak_test_lets_the_mutants_survive_and_a_strong_one_kills_them(judged):
    assert killers(judged("double", "weak", "weak")) == {"": None, "return (x - x)": None, "return x": None}
    killer = "test_strong.py::test_one"
    assert killers(judged("double", "weak", "strong")) == {"": None, "return (x - x)": killer, "return x": killer}


def test_a_mutant_that_never_ends_is_killed_by_the_limit_of_time(judged):
    found = killers(judged("down", "ends", "ends"))
    endless = {after for after, killer in found.items() if (killer or "").startswith("signal")}
    assert endless == {"n -= 0", "n += 1", "pass"}
    assert found["while False:"] == "test_ends.py::test_end"
    assert found["n -= 2"] is None


def test_tests_that_fail_without_a_fault_say_so(judged):
    assert killers(judged("double", "weak", "wrong"))[""] == "test_wrong.py::test_nothing_holds"


@pytest.mark.parametrize("tests", ["empty", "missing"])
def test_tests_that_cannot_be_run_are_an_error_and_no_verdict(judged, tests):
    run = judged("double", tests, "weak")
    assert run.returncode != 0
    assert "the tests could not be run: pytest ends with" in run.stderr


# ---- what is remembered ----------------------------------------------------------------------------------------------

FAULTS = mutants_of("def total(x, y):\n    return x + y\n")[:3]
UNKNOWN = {mutant: set() for mutant in FAULTS}
KILLERS = ["tests/test_a.py::test_one", "signal 9", None]


@pytest.fixture
def remembered(tmp_path):
    """Return a function that gives the killers that a new memory knows, after one file has been written anew."""
    for name in ("autodiff/rules.py", "tests/helper.py", "tests/test_a.py", "tests/test_b.py", "tests/test_c.py"):
        Path(tmp_path, name).parent.mkdir(exist_ok=True)
        Path(tmp_path, name).write_text("", encoding="utf-8")

    def memory():
        return Memory(tmp_path / "memory", tmp_path, ["tests/test_a.py", "tests/test_b.py"])

    for mutant, killer in zip(FAULTS, KILLERS, strict=True):
        memory().enter("rules", Result(mutant, killer))

    def after(name, text):
        Path(tmp_path, name).write_text(text, encoding="utf-8")
        known, left = memory().split("rules", FAULTS)
        assert {result.mutant for result in known} | set(left) == set(FAULTS)
        assert memory().split("array_rules", FAULTS) == ([], UNKNOWN)
        return [result.killer for result in known], left

    return after


def test_more_tests_elsewhere_leave_a_kill_as_it_is_and_are_all_that_a_survivor_has_to_face(remembered):
    killed, limited, survived = FAULTS
    assert remembered("tests/test_c.py", "is no judge") == (KILLERS, {})
    assert remembered("tests/test_b.py", "judges") == (KILLERS[:1], {limited: set(), survived: {"tests/test_a.py"}})
    assert remembered("tests/test_a.py", "has killed") == ([], {killed: set(), limited: set(), survived: set()})


@pytest.mark.parametrize("name", ["autodiff/rules.py", "tests/helper.py"])
def test_nothing_is_remembered_when_the_packages_or_what_the_tests_share_have_changed(name, remembered):
    assert remembered(name, "changed") == ([], UNKNOWN)
    assert remembered(name, "") == (KILLERS, {})


# ---- the record ----------------------------------------------------------------------------------------------------


def test_the_fingerprint_of_a_table_changes_with_what_it_computes_and_not_with_its_words():
    source = '"""Doc."""\n\n\ndef f(x):\n    """Says."""\n    return x  # why\n'
    assert record.fingerprint(source) == record.fingerprint("def f(x):\n    return x\n")
    assert record.fingerprint(source) != record.fingerprint("def f(x):\n    return -x\n")


@pytest.mark.promise(29)
@pytest.mark.parametrize("name", SOURCE)
def test_of_the_mutants_of_a_table_95_percent_are_killed_and_the_others_have_a_reason(name, sources, figure):
    """As recorded by the last full run; a table that was edited since then is no failure, but the figure says so."""
    entry, reasons = record.counts()[name], record.reasons(name)
    assert entry["killed"] / entry["mutants"] >= record.PROMISED
    assert len(reasons) == entry["mutants"] - entry["killed"]
    assert all(len(reason) > 20 for reason in reasons.values())
    state = "as it is"
    if entry["source"] == record.fingerprint(sources[name]):
        mutants = {mutant.name for mutant in mutants_of(sources[name])}
        assert len(mutants) == entry["mutants"]
        assert set(reasons) <= mutants
    else:
        state = "as it was before the last edit; run python -m tests.mutation"
    figure(f"{name}.py {state}: {record.line(entry['mutants'], entry['killed'])}")


def test_one_command_lists_the_mutants_of_a_row(root):
    command = [sys.executable, "-m", "tests.mutation", "--module", "rules", "--only", "neg", "--list"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert all(line.startswith("autodiff/rules.py:") and " neg: neg = " in line for line in run.stdout.splitlines())
    assert '"neg", operator.pos, np.negative' in run.stdout
