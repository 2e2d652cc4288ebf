"""Which program draws: a system's Graphviz if there is one, else that of graphviz-pure, else an error that helps."""

import builtins
import importlib.metadata
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import graphviz
import pytest
from graphviz.backend import dot_command

from autodiff import Value
from autodiff.draw import draw_dot, program


@pytest.fixture
def default(monkeypatch):
    """Make the graphviz package forget which program it was told to run."""
    monkeypatch.setattr(dot_command, "DOT_BINARY", Path("dot"))


@pytest.fixture
def no_system(monkeypatch, default):
    """Pretend that no Graphviz is installed."""
    monkeypatch.setattr(shutil, "which", lambda name: default)


@pytest.mark.usefixtures("no_system")
def test_the_pure_program_draws_where_there_is_no_other():
    assert draw_dot(Value(1.0)).pipe(encoding="utf-8").count("<svg ") == 1
    assert program.pure_program() == dot_command.DOT_BINARY


@pytest.mark.usefixtures("default")
def test_a_system_program_is_preferred(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    program.choose_program("pdf")
    assert Path("dot") == dot_command.DOT_BINARY


@pytest.mark.usefixtures("no_system")
def test_a_program_that_the_user_chose_is_kept(monkeypatch):
    monkeypatch.setattr(dot_command, "DOT_BINARY", Path("my-dot"))
    program.choose_program("pdf")
    assert Path("my-dot") == dot_command.DOT_BINARY


@pytest.mark.usefixtures("no_system")
def test_without_any_program_the_error_names_the_command(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    picture = draw_dot(Value(1.0))  # DOT needs no program
    with pytest.raises(ImportError, match="pip install graphviz-pure"):
        picture.pipe()


def test_without_the_graphviz_package_the_error_names_the_command(monkeypatch):
    original = builtins.__import__

    def without_graphviz(name, *args, **options):
        if name == "graphviz":
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_graphviz)
    program.drawing_class.cache_clear()
    with pytest.raises(ImportError, match="pip install graphviz"):
        draw_dot(Value(1.0))


@pytest.mark.usefixtures("no_system")
def test_pdf_is_refused_by_name_where_it_cannot_be_drawn(tmp_path):
    picture = draw_dot(Value(1.0))
    with pytest.raises(ValueError, match="'pdf' needs an installed Graphviz"):
        picture.pipe(format="pdf")
    with pytest.raises(ValueError, match="'pdf' needs an installed Graphviz"):
        picture.render(outfile=tmp_path / "picture.pdf")


@pytest.mark.usefixtures("no_system")
def test_the_methods_of_digraph_work(tmp_path):
    picture = draw_dot(Value(1.0))
    assert Path(picture.render(outfile=tmp_path / "picture.png", cleanup=True)).read_bytes().startswith(b"\x89PNG")
    assert "image/svg+xml" in picture._repr_mimebundle_()
    assert isinstance(picture.copy(), graphviz.Digraph)


def test_the_missing_width_of_a_character_is_nobodys_business(capfd):
    """A notebook that shows a drawing must not show remarks about fonts beside it."""
    draw_dot(Value(1.0, name="σ")).pipe()
    assert capfd.readouterr().err == ""


def test_importing_the_drawings_does_not_load_graphviz():
    code = "import autodiff.draw, sys; print('graphviz' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "False\n"


def test_drawing_raises_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_dot(Value(1.0, name="\\") * 2).pipe()
