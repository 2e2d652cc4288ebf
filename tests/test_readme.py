"""The README is short, starts with something that runs, and shows what really happens."""

import ast
import contextlib
import doctest
import io
import re

import pytest

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


def blocks(text, *languages):
    """Yield (line of its first line of code, code) for each fenced block in one of the languages."""
    for match in FENCE.finditer(text):
        if match[1] in languages:
            yield text.count("\n", 0, match.start(2)) + 1, match[2]


def run_session(code, line, namespace):
    """Run a block in the manner of an interactive session, and return what differed from what it shows."""
    test = doctest.DocTestParser().get_doctest(code, namespace, "README.md", "README.md", line - 1)
    out = io.StringIO()
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(test, out=out.write, clear_globs=False)
    namespace.update(test.globs)
    return [out.getvalue()] if out.getvalue() else []


def run_script(code, line, namespace):
    """Run a block statement by statement and compare each `# -> text` with what the statement before it shows.

    What it shows is what it printed; for an expression that printed nothing, its repr.
    """
    differences = []
    source = code.splitlines()
    for statement in ast.parse(code).body:
        printed, value = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            if isinstance(statement, ast.Expr):
                value = eval(compile(ast.Expression(statement.value), "README.md", "eval"), namespace)
            else:
                exec(compile(ast.Module([statement], []), "README.md", "exec"), namespace)
        shown = printed.getvalue().strip() or ("" if value is None else repr(value))
        _, arrow, expected = source[statement.end_lineno - 1].partition("# -> ")
        if arrow and " ".join(shown.split()) != " ".join(expected.split()):
            where = line + statement.end_lineno - 1
            differences.append(f"README.md line {where}: shows {expected.strip()!r}, is {shown!r}")
    return differences


def test_the_readme_has_at_most_150_lines(readme, figure):
    figure(f"README: {len(readme.splitlines())} of 150 lines")
    assert len(readme.splitlines()) <= 150


def test_a_runnable_example_stands_before_line_20(readme):
    first = next(line for line, _ in blocks(readme, "python"))
    assert first < 20


@pytest.mark.promise(31)
def test_every_python_block_shows_what_happens(readme, tmp_path, monkeypatch):
    """The blocks run in order and share their names, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    differences = []
    for line, code in blocks(readme, "python", "pycon"):
        differences += (run_session if ">>> " in code else run_script)(code, line, namespace)
    assert differences == []


@pytest.mark.promise(31)
def test_no_block_escapes_the_check(readme):
    """A fence without a language, or with an unknown one, would be shown but never run."""
    assert {match[1] for match in FENCE.finditer(readme)} <= {"python", "pycon", "sh", "text"}
    assert readme.count("```") == 2 * len(FENCE.findall(readme))


@pytest.mark.parametrize("words", ["autodiff demo", "pytest"])
def test_each_set_up_command_is_one_line_that_makes_its_own_environment(readme, words):
    """.ci/run finds the two commands by the same rule and runs them as they stand."""
    lines = [line for line in readme.splitlines() if line.startswith("python3 -m venv ")]
    assert len(lines) == 2
    assert len([line for line in lines if words in line]) == 1
    in_blocks = "".join(code for _, code in blocks(readme, "sh")).splitlines()
    assert set(lines) <= set(in_blocks)


def test_the_check_sees_a_wrong_number():
    assert run_script("1 + 1  # -> 2\nprint(3)  # -> 3\n", 1, {}) == []
    assert run_script("1 + 1  # -> 3\n", 7, {}) == ["README.md line 7: shows '3', is '2'"]
    assert run_session(">>> 1 + 1\n2\n", 1, {}) == []
    assert len(run_session(">>> 1 + 1\n3\n", 1, {})) == 1
