"""Every row of the table explains itself: the call, what it raises, and an example that runs."""

import ast
import builtins
import doctest
import importlib
import inspect
import re

import pytest

import autodiff
from autodiff import Tensor, Value, row_docs
from autodiff.primitive import REGISTRY, Elementwise, Reduction
from autodiff.row_docs import ROW_DOCS

NAMES = sorted(ROW_DOCS)


def example(name):
    """Return the examples of a row's docstring, which bring their own imports."""
    return doctest.DocTestParser().get_doctest(REGISTRY[name].__doc__, {}, name, None, None)


def test_every_row_has_its_docstring_here_and_nothing_else_has():
    assert set(ROW_DOCS) == {name for name, row in REGISTRY.items() if row.built_in}  # nn may have added some
    assert [name for name, doc in ROW_DOCS.items() if REGISTRY[name].__doc__ is not doc] == []


def test_docstrings_stand_in_the_order_of_the_table():
    order = [name for name in REGISTRY if isinstance(REGISTRY[name], Elementwise)]
    assert [name for name in ROW_DOCS if name in order] == order


@pytest.mark.promise(31)
@pytest.mark.parametrize("name", NAMES)
def test_the_examples_show_what_they_say(name, capsys):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    runner.run(example(name))
    assert runner.tries >= 2  # the import and at least one call
    assert runner.failures == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_call_the_row(name):
    """Else an example copied from another row would pass."""
    assert any(re.search(rf"\bautodiff\.(Tensor\.)?{name}\b", part.source) for part in example(name).examples)


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_shows_the_call_and_ends_like_a_sentence(name):
    summary, blank, *_ = inspect.cleandoc(ROW_DOCS[name]).splitlines()
    assert re.match(rf"{name}\([^()]+\): .", summary)
    assert summary.endswith(".")
    assert blank == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_says_what_is_raised(name):
    assert re.search(r"^Raises \w+(\.\w+)*Error ", inspect.cleandoc(ROW_DOCS[name]), re.MULTILINE)
    assert "TypeError" in ROW_DOCS[name]


@pytest.mark.parametrize("name", NAMES)
def test_errors_named_in_a_docstring_exist(name):
    for error in re.findall(r"[\w.]+Error\b", re.sub("raises ZeroDivisionError", "", ROW_DOCS[name])):
        module, _, kind = error.rpartition(".")
        home = importlib.import_module(module) if module else autodiff if hasattr(autodiff, kind) else builtins
        assert issubclass(getattr(home, kind), (TypeError, ValueError, IndexError))


@pytest.mark.parametrize("name", NAMES)
def test_the_type_error_is_raised(name):
    row = REGISTRY[name]
    with pytest.raises(TypeError, match="expected a number, an array or a node"):
        row(*["not a number"] * (row.arity or 1))


@pytest.mark.parametrize("name", [name for name in NAMES if REGISTRY[name].source])
def test_the_source_in_the_table_is_the_source_in_the_docstring(name):
    papers = re.findall(r"arXiv:[\d.]+\d", REGISTRY[name].source)
    assert papers
    assert all(paper in ROW_DOCS[name] for paper in papers)


@pytest.mark.promise(8)
@pytest.mark.parametrize("name", [name for name in NAMES if getattr(REGISTRY[name], "kinks", None)])
def test_the_convention_at_a_kink_is_stated(name):
    assert re.search(r"\bderivatives? |\bthe derivative\b", ROW_DOCS[name])
    assert re.search(r"\bat\b", ROW_DOCS[name], re.IGNORECASE)


def test_signatures_take_what_the_call_in_the_summary_shows(root):
    """The stubs carry the signature twice, once for editors and once as text."""
    tree = ast.parse((root / "autodiff" / "row_docs.py").read_text(encoding="utf-8"))
    stubs = [f for f in tree.body if isinstance(f, ast.FunctionDef) and f.decorator_list]
    assert len(stubs) == len(ROW_DOCS)
    for stub in stubs:
        if stub.name == "weighted_sum":  # spells out its terms
            continue
        for argument in ast.walk(stub.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        summary = ast.get_docstring(stub).splitlines()[0]
        assert summary.startswith(f"{stub.name}({ast.unparse(stub.args)}): ")


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(REGISTRY[n], Reduction) or n in ("leaky_relu", "elu")])
def test_metadata_in_the_signature_is_what_the_kernel_takes(name):
    """By keyword; the example of a row that takes none would fail with any."""
    kernel = inspect.signature(REGISTRY[name].array).parameters.values()
    taken = {p.name for p in kernel if p.default is not inspect.Parameter.empty}
    shown = set(re.findall(r"(\w+)=", inspect.cleandoc(ROW_DOCS[name]).splitlines()[0]))
    assert shown == taken != set()


def test_methods_of_nodes_show_the_docstring_of_their_row():
    assert Value.tanh.__doc__ == Tensor.tanh.__doc__ == ROW_DOCS["tanh"] == autodiff.tanh.__doc__
    assert Value.__neg__.__doc__ == ROW_DOCS["neg"]
    assert Value.__abs__.__doc__ == ROW_DOCS["abs"]
    assert Tensor.logsumexp.__doc__ == ROW_DOCS["logsumexp"]
    for name, row in REGISTRY.items():
        if isinstance(row, Elementwise) and row.arity is not None and row.built_in:
            assert getattr(Value, name).__doc__ is row.__doc__


def test_a_method_with_a_docstring_of_its_own_keeps_it():
    assert "2, -1" in Tensor.reshape.__doc__
    assert Tensor.transpose.__doc__ != ROW_DOCS["transpose"]


def test_the_module_gives_the_rows_themselves():
    """`from autodiff.row_docs import sin` is no function without a body."""
    assert row_docs.sin is autodiff.sin
    assert row_docs.sin(0.0) == 0.0


def test_a_row_of_ones_own_describes_itself():
    cube = autodiff.elementwise("cube", lambda x: x**3, lambda x: x**3, lambda y, x: 3 * x**2, doc="cube(x): x**3.")
    quad = autodiff.elementwise("quad", lambda x: x**4, lambda x: x**4, lambda y, x: 4 * x**3)
    assert cube.__doc__ == "cube(x): x**3."
    assert "quad" in quad.__doc__
    assert "cube" not in ROW_DOCS


@pytest.mark.promise(31)
def test_examples_are_counted(figure):
    count = sum(len(example(name).examples) for name in NAMES)
    figure(f"docstring examples of the table executed: {count} in {len(NAMES)} rows")
    assert count >= 180
