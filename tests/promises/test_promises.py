"""From every promise to its tests and back: no promise without a test, no figure missing, and a table that is right."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from .__main__ import Case, Marked, main, rows, verdict
from .figures import Figure, lines
from .table import PROMISES

# Tests of promises in numbers that show no figure of their own: they demand equality, a name or an error, or compare
# again what promise 2 compares, for unusual shapes and layouts. It has to be exactly these too: a test that is missing
# here takes the fixture `figure` and calls it.
WITHOUT_FIGURE = {
    2: {
        "test_an_operand_given_to_every_place_of_an_array_operation_receives_the_sum",
        "test_gradients_of_every_broadcastable_pair_of_shapes_are_summed_over_the_copies",
        "test_a_0d_array_is_differentiated_as_one_number",
        "test_empty_arrays_have_gradients_of_nothing_and_give_their_neighbours_the_right_ones",
        "test_the_gradient_is_the_closed_form",
        "test_matmul_of_all_ranks_has_its_closed_form_gradients",
        "test_layout_in_memory_makes_no_difference_to_an_elementwise_operation",
    },
    3: {"test_hypot_is_curved_across_the_axes_and_straight_along_them"},
    5: {
        "test_a_mean_loss_takes_a_float_beside_an_array_of_one_number",
        "test_a_reduction_of_one_number_is_that_of_an_array_of_one",
        "test_from_values_takes_floats_and_arrays_of_one_number_and_gives_float64",
        "test_layout_operations_take_a_plain_number",
    },
    11: {
        "test_a_long_chain_of_tensors_and_other_modes_work_too",
        "test_a_leaf_is_copied_with_data_gradient_and_name_and_shares_nothing",
        "test_a_node_inside_a_graph_is_refused_and_the_error_says_what_to_save",
    },
    13: {"test_an_exception_in_backward_keeps_no_graph_alive"},
    20: {"test_the_first_fault_is_named_not_those_that_follow_from_it"},
    25: {
        "test_a_place_in_the_buffer_of_philox_that_does_not_exist_is_refused",
        "test_a_refused_file_costs_no_copy_of_the_state_of_an_optimizer",
        "test_an_impossible_number_of_steps_is_refused",
    },
    28: {
        "test_a_mistake_in_a_hand_written_backward_pass_is_called_by_its_name",
        "test_a_missing_division_by_n_is_diagnosed_by_name",
        "test_a_transposed_product_is_diagnosed_by_name",
        "test_unrelated_arrays_are_never_explained",
        "test_an_unrelated_array_is_not_explained_by_any_planted_mistake",
    },
}


@pytest.fixture(scope="module")
def listing(root):
    """Return what `python -m tests.promises --list` prints."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.promises", "--list"], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def listed(listing):
    """Return {promise: [(file, test, whether it measures a figure)]} as printed."""
    found = {}
    for promise, file, test, measures in re.findall(
        r"^ ?( \d|\d\d)  \S|^     (tests/\S+\.py)$|^       ::(\S+)\s+[\d,]+( +figure)?$", listing, re.MULTILINE
    ):
        if promise:
            tests = found[int(promise)] = []
        elif file:
            current = file
        else:
            tests.append((current, test, bool(measures)))
    return found


@pytest.mark.promise(31)
def test_every_promise_has_a_test_that_measures_a_figure(listed):
    assert list(listed) == list(PROMISES)
    measured = {number for number, tests in listed.items() if any(measures for _, _, measures in tests)}
    assert measured == set(PROMISES)


def test_every_test_of_a_promise_in_numbers_measures_a_figure(listed):
    silent = {
        number: {test for _, test, measures in tests if not measures}
        for number, tests in listed.items()
        if PROMISES[number].in_numbers
    }
    assert {number: tests for number, tests in silent.items() if tests} == WITHOUT_FIGURE


def test_every_address_in_the_table_is_that_of_a_test(listed, root):
    tests = set(itertools.chain.from_iterable(listed.values()))
    assert len(tests) > 100
    for file, test, _ in tests:
        assert f"def {test.rpartition('::')[2]}(" in Path(root, file).read_text(encoding="utf-8")


def test_the_table_fits_a_terminal_of_120_columns(listing):
    assert max(map(len, listing.splitlines())) <= 120


def test_the_promises_are_numbered_without_a_gap():
    assert list(PROMISES) == list(range(1, 32))


# ---- the verdict -----------------------------------------------------------------------------------------------------


def case(outcome, *figures, reason="", **options):
    return Case({12}, measures=True, outcome=outcome, reason=reason, figures=list(figures), **options)


ERROR = Figure("relative error", 3e-16, 1e-12)


@pytest.mark.parametrize(
    ("cases", "word"),
    [
        ([case("passed", ERROR), case("passed")], "held"),
        ([case("passed", ERROR), case("skipped")], "held"),
        ([case("passed"), case("passed")], "NO FIGURE"),
        ([case("passed"), case("not run"), case("failed")], "FAILED"),
        ([case("passed"), case("xfailed")], "XFAILED"),
        ([case("passed"), case("not run")], "NOT RUN"),
        ([case("skipped")], "SKIPPED"),
        ([], "NO TEST"),
    ],
)
def test_the_verdict_is_that_of_the_worst_case(cases, word):
    assert verdict(cases) == word


def test_a_promise_shows_its_tests_with_figures_seconds_and_reasons():
    cases = {
        "tests/test_a.py::test_one[1]": case("passed", ERROR, seconds=0.5),
        "tests/test_a.py::test_one[2]": case("passed", ERROR._replace(number=2e-15), seconds=0.25),
        "tests/test_a.py::test_two": case("failed", reason="assert 3 == 4", seconds=2.0),
        "tests/b/test_b.py::TestB::test_three[x::y]": case("skipped", reason="needs torch"),
    }
    text, *below = rows(12, cases, listing=False)
    assert text.startswith(" 12  Time is linear in the graph: ")
    assert text.split()[-3:] == ["4", "2.8", "FAILED"]
    while not below[0].startswith("     tests"):
        below.pop(0)
    columns = "{:<92}{:>8}{:>9}  {}".format
    assert below == [
        "     tests/test_a.py",
        columns("       ::test_one", 2, 0.8, "").rstrip(),
        "           relative error: 2e-15, at most 1e-12 (largest of 2)",
        columns("       ::test_two", 1, 2.0, "FAILED"),
        "           failed, 1: assert 3 == 4",
        "     tests/b/test_b.py",
        columns("       ::TestB::test_three", 1, "", "SKIPPED"),
        "           skipped, 1: needs torch",
    ]


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ([("planted faults: 24, at least 20",)], "planted faults: 24, at least 20"),
        ([("fault found",)] * 1200, "fault found (1,200 times)"),
        ([("error", 3e-16, 1e-12), ("error", 2.5e-15, 1e-12)], "error: 2.5e-15, at most 1e-12 (largest of 2)"),
        ([("error", 1.0, 2), ("error", math.nan, 2), ("error", 3.0, 2)], "error: nan, at most 2 (largest of 3)"),
        ([("bytes", 65000, 65536)], "bytes: 65,000, at most 65,536"),
        ([("mutants", 812)], "mutants: 812"),
    ],
)
def test_figures_of_many_cases_become_one_line(figures, line):
    assert lines(Figure(*figure) for figure in figures) == [line]


def test_figures_that_differ_in_words_or_limit_stay_apart_and_in_order():
    found = lines([Figure("b", 1, 2), Figure("a", 1, 2), Figure("b", 1, 3), Figure("b", 2, 2)])
    assert found == ["b: 2, at most 2 (largest of 2)", "a: 1, at most 2", "b: 1, at most 3"]


# ---- the command -----------------------------------------------------------------------------------------------------


def test_one_command_runs_the_tests_of_a_promise_and_prints_their_table(root):
    run = subprocess.run(
        [sys.executable, "-m", "tests.promises", "17"], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^ no  promise, its tests and their figures +cases +seconds$", run.stdout, re.MULTILINE)
    assert re.search(r"^ 17  An exception in any rule .* held$", run.stdout, re.MULTILINE)
    assert "held: 1 (17)\n" in run.stdout
    assert "::test_an_exception_in_a_rule_leaves_every_grad_unchanged_and_the_engine_usable" in run.stdout
    assert "passed" in run.stderr  # what pytest says


def test_a_promise_without_a_test_fails_the_command(monkeypatch, capsys):
    """Without pytest below it: no test was found."""
    monkeypatch.setattr(pytest, "main", lambda *_, **__: pytest.ExitCode.NO_TESTS_COLLECTED)
    assert main(["17"]) == 1
    assert "NO TEST: 1 (17)" in capsys.readouterr().out


def test_an_error_of_pytest_is_handed_on(monkeypatch, capsys):
    monkeypatch.setattr(pytest, "main", lambda *_, **__: pytest.ExitCode.USAGE_ERROR)
    assert main(["17"]) == pytest.ExitCode.USAGE_ERROR
    assert capsys.readouterr().out == ""


def test_an_unknown_promise_is_refused_on_the_command_line_and_on_a_test(capsys, request):
    with pytest.raises(SystemExit) as stopped:
        main(["4", "99"])
    assert stopped.value.code == 2
    assert "there are promises 1 to 31, not [99]" in capsys.readouterr().err
    item = request.node
    item.add_marker(pytest.mark.promise(99))
    with pytest.raises(pytest.UsageError, match=r"marked with promises \{99\}"):
        Marked([4]).pytest_collection_modifyitems(item.config, [item])


@pytest.mark.promise(31)
def test_a_warning_is_an_error():
    with pytest.raises(UserWarning, match="like this"):
        warnings.warn("like this", UserWarning, stacklevel=1)
