"""Each notebook runs from top to bottom, silently on stderr, and its committed outputs are what it prints today."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
LARGEST = 500_000  # bytes
TIME = 300  # seconds a cell
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|work|Users)/\w")

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def text(cell):
    """Return the text that a cell shows: what it printed and the plain form of its results, pictures left out."""
    shown = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            shown.append(output.text)
        elif output.output_type in {"execute_result", "display_data"}:
            pictures = [kind for kind in output.data if kind.startswith("image/")]
            if not pictures:
                shown.append(output.data.get("text/plain", ""))
    return "".join(shown)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def jupyter_home(tmp_path, monkeypatch):
    """Keep Jupyter, IPython and matplotlib from writing into the home directory."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    # On a slow machine matplotlib remarks on stderr that it is building its font cache; let it do so before.
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True, capture_output=True)
    directory = tmp_path / "work"
    directory.mkdir()
    return directory


@pytest.mark.promise(31)
def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 2


@notebooks
def test_a_notebook_is_small_and_committed_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    assert path.stat().st_size < LARGEST
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run it from top to bottom before committing"
    assert any(cell.outputs for cell in code_cells(notebook))
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))


@pytest.mark.promise(31)
@notebooks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own libraries, not of the notebook
def test_a_notebook_runs_and_prints_what_it_shows(path, jupyter_home):
    """A cell whose text differs from run to run, such as a timing, carries the tag `varies`."""
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    NotebookClient(
        fresh, timeout=TIME, kernel_name="python3", resources={"metadata": {"path": str(jupyter_home)}}
    ).execute()
    complaints = [
        output.text
        for cell in code_cells(fresh)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert complaints == []
    for before, after in zip(code_cells(committed), code_cells(fresh), strict=True):
        if "varies" not in before.metadata.get("tags", []):
            assert text(after) == text(before), f"the committed output is not what this cell prints:\n{before.source}"
