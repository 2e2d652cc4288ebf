"""Every example in a docstring runs and shows what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("autodiff", "nn")
    for path in (ROOT / package).glob("**/*.py")
    if path.name != "__main__.py"  # importing it runs the command line
)


def examples(name):
    """Return the docstring examples of a module that are its own, including those of table rows and methods."""
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


@pytest.mark.promise(31)
@pytest.mark.parametrize("name", NAMES)
def test_docstring_examples_show_what_they_say(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for test in examples(name):
        runner.run(test)
    # The runner prints what differed; capsys hands it to the message
    assert runner.failures == 0, capsys.readouterr().out


@pytest.mark.promise(31)
def test_there_are_examples_to_run(figure):
    count = sum(len(test.examples) for name in NAMES for test in examples(name))
    figure(f"docstring examples executed: {count}")
    assert count >= 100
