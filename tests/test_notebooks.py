"""The notebooks run, are stored with what they showed, and say what the script beside each says."""

import os
from pathlib import Path

import jupytext
import nbformat
import pytest
from conftest import QUICK_COMPILE
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAIN_FOR_LONG = {"00_tour", "02_kinds_of_algorithms", "10_walker", "12_tree_search"}  # others compile for longer


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_with_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_same_as_its_script(path):
    """To mend: `jupytext --to ipynb --execute notebooks/NAME.py`."""
    stored, script = nbformat.read(path, as_version=4), jupytext.read(path.with_suffix(".py"))
    assert [(cell.cell_type, cell.source) for cell in script.cells] == [
        (cell.cell_type, cell.source) for cell in stored.cells
    ]


@pytest.mark.lessons
@pytest.mark.filterwarnings("default")  # of Jupyter's libraries
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep))
    if path.stem not in TRAIN_FOR_LONG:
        monkeypatch.setenv("XLA_FLAGS", QUICK_COMPILE)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
