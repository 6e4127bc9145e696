"""The notebook of benchmarks runs from its first cell to its last, and shows what is committed with it."""

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")

FEW = "{'facecloak': {'iterations': 2, 'embedding_iterations': 1}}"
NOTEBOOK = Path(__file__).parents[1] / "benchmarks" / "tour.ipynb"


def kinds(notebook):
    """What each code cell shows: types of outputs and their forms, without what is written to standard error."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[sorted(each.data) for each in cell.outputs if each.output_type != "stream"] for cell in cells]


@pytest.mark.filterwarnings("ignore")
def test_the_tour_runs_and_shows_what_is_committed(tmp_path):
    committed = nbformat.read(NOTEBOOK, 4)
    again = nbformat.read(NOTEBOOK, 4)
    (cell,) = (cell for cell in again.cells if 'out="runs/tour"' in cell.source and cell.cell_type == "code")
    cell.source = cell.source.replace("limit=2", f"settings={FEW}, limit=2")  # the longest part of the tour
    assert FEW in cell.source
    nbclient.NotebookClient(again, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert len(kinds(committed)) == 10 and kinds(again) == kinds(committed)
    assert again.cells[-1].outputs[0].data["text/plain"].startswith("([],")  # nothing is wrong in the files
    assert (tmp_path / "board" / "index.html").is_file()
