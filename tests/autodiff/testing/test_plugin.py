"""The pytest plugin, as a student meets it: a test file of his own, run by pytest in a process of its own."""

import os
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """Return a function that runs a student's test file and gives its exit code and output."""

    def run(source, *options):
        tmp_path = tmp_path_factory.mktemp("student")
        (tmp_path / "test_mine.py").write_text(textwrap.dedent(source), encoding="utf-8")
        # where autodiff-nn is installed its entry point would load the plugin a second time
        plugins = ["-p", "no:autodiff", "-p", "autodiff.testing.plugin", "-p", "no:cacheprovider"]
        finished = subprocess.run(
            [sys.executable, "-m", "pytest", *plugins, "-q", *options, "test_mine.py"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(root), "COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
        )
        return finished.returncode, finished.stdout + finished.stderr

    return run


HOMEWORK = """
    import numpy as np

    X, Y = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.7]]), np.array([1.0, 0.0, 2.0])

    def loss(w):
        return np.mean((X @ w - Y) ** 2)

    def test_the_gradient_of_my_loss(check_gradients):
        check_gradients(loss, np.array([0.3, -0.4]), gradient=lambda w: 2 * X.T @ (X @ w - Y) / len(Y))

    def test_the_gradient_of_my_friend(check_gradients):
        friends = lambda w: 2 * X.T @ (X @ w - Y)
        check_gradients(loss, np.array([0.3, -0.4]), gradient=friends)
"""


@pytest.fixture(scope="module")
def homework(run):
    """Return what became of the homework."""
    return run(HOMEWORK)


def test_a_wrong_gradient_fails_with_the_students_line_and_the_report(homework):
    code, output = homework
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert ">       check_gradients(loss, np.array([0.3, -0.4]), gradient=friends)" in output
    assert "GradientError: loss: wrong gradient by argument 0 (w) at" in output
    assert "likely     sum instead of mean" in output
    assert "wrapper(" not in output  # nothing of the inside of the kit
    assert "autodiff/testing" not in output.replace("\\", "/")


def test_the_run_ends_with_the_number_of_derivatives(homework):
    _, output = homework
    assert "gradients: 4 derivatives compared, 2 wrong, 0 skipped because they could not be judged" in output


def test_a_right_file_passes_and_skipped_derivatives_are_counted(run):
    code, output = run(
        """
        import numpy as np

        def test_relu(check_gradients):
            report = check_gradients(lambda x: np.sum(np.maximum(x, 0)), np.array([0.0, *range(1, 10)], dtype=float))
            assert report.ok
        """
    )
    assert code == 0
    assert "1 passed" in output
    assert "gradients: 20 derivatives compared, 0 wrong, 2 skipped because they could not be judged" in output


def test_an_operation_is_checked_in_one_line(run):
    code, output = run(
        """
        import math
        import numpy as np
        import autodiff as ad

        right = ad.elementwise("right", lambda x: x**3, lambda x: x**3, lambda y, x: 3 * x * x)
        wrong = ad.elementwise("wrong", lambda x: x**3, lambda x: x**3, lambda y, x: 2 * x * x)

        def test_right(check_rule):
            check_rule(right)

        def test_wrong(check_rule):
            check_rule(wrong)
        """
    )
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert ">       check_rule(wrong)" in output
    assert "GradientError: wrong: wrong gradient by operand 0 at wrong(" in output


def test_a_wrong_call_is_an_error_like_any_other_and_nothing_is_counted(run):
    code, output = run("def test_nothing(check_gradients):\n    check_gradients(lambda n: n, 3)\n")
    assert code == 1
    assert "TypeError: there is nothing to differentiate by" in output
    assert "gradients: " not in output


def test_the_fixtures_are_listed_with_what_they_do(run):
    _, output = run("", "--fixtures")
    assert "check_gradients" in output
    assert "compare a gradient with difference quotients" in output
    assert "judge an operation of one's own" in output


# ---- without Hypothesis ----------------------------------------------------------------------------------------------


def test_the_kit_does_not_need_hypothesis_but_the_strategies_do_and_say_so(root):
    source = """
    import sys
    sys.modules["hypothesis"] = None  # importing it now fails as if it were not installed
    import autodiff as ad
    import autodiff.testing
    print(autodiff.testing.check_gradients(lambda x: x * x, 3.0).ok, autodiff.testing.check_rule(ad.exp).ok)
    try:
        import autodiff.testing.strategies
    except ImportError as error:
        print(error)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], cwd=root, capture_output=True, text=True, check=False
    )
    assert finished.stderr == ""
    first, second = finished.stdout.splitlines()
    assert first == "True True"
    assert "autodiff.testing.strategies needs Hypothesis" in second
    assert "pip install" in second
