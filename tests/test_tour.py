"""The notebook of benchmarks runs from its first cell to its last, and shows what is committed with it."""

import os
from pathlib import Path

import pytest

from facecloak.io import read_json, write_json
from tests.forked import Forked

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")

NOTEBOOK = Path(__file__).parents[1] / "benchmarks" / "tour.ipynb"
FEW = "{'facecloak': {'iterations': 2, 'embedding_iterations': 1}}"


def kinds(notebook):
    """What each code cell shows: types of outputs and their forms, without what is written to standard error."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[sorted(each.data) for each in cell.outputs if each.output_type != "stream"] for cell in cells]


def read():
    """The notebook, in which the method that takes longest makes few iterations."""
    notebook = nbformat.read(NOTEBOOK, 4)
    (cell,) = (cell for cell in notebook.cells if 'out="runs/tour"' in cell.source and cell.cell_type == "code")
    cell.source = cell.source.replace("limit=2", f"limit=2, settings={FEW}")
    assert FEW in cell.source
    return notebook


def run_cells(folder):
    """Run the code cells in this process's IPython; writes what each shows, its forms and its text."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    os.chdir(folder)
    shell, shown = InteractiveShell.instance(), []
    shell.enable_gui = lambda *_: None  # there is none
    shell.enable_matplotlib("inline")
    for cell in read().cells:
        if cell.cell_type == "code":
            with capture_output() as said:
                ran = shell.run_cell(cell.source)
            ran.raise_error()
            data = [] if ran.result is None else [shell.display_formatter.format(ran.result)[0]]
            data += [each.data for each in said.outputs]
            shown.append([{"forms": sorted(each), "text": each["text/plain"]} for each in data])
    write_json(folder / "shown.json", shown)
    return 0


def test_the_tour_runs_and_shows_what_is_committed(tmp_path):
    """In a forked process; with `-m slow`, in a kernel of Jupyter."""
    ended = Forked(lambda: run_cells(tmp_path)).wait()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    shown, committed = read_json(tmp_path / "shown.json"), kinds(nbformat.read(NOTEBOOK, 4))
    assert len(committed) == 10 and [[each["forms"] for each in cell] for cell in shown] == committed
    assert shown[-1][0]["text"].startswith("([],")  # nothing is wrong in the files
    assert (tmp_path / "board" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_tour_runs_in_a_kernel(tmp_path):
    again = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(again, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert kinds(again) == kinds(nbformat.read(NOTEBOOK, 4))
