"""A board is a pure function of the cells' directories: all of it, plots and page included."""

import shutil

from facecloak.cli.main import main
from tests.benchmarks.handmade import write_run


def board(out, *runs) -> dict[str, bytes]:
    """Every file of a board of these runs."""
    assert main(["leaderboard", *map(str, runs), "--out", str(out)]) == 0
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_same_directories_same_bytes_wherever_and_in_whatever_order(sound, tmp_path):
    """The second board is of copies in the other order, found in a folder of both, and written over the first one."""
    other = write_run(tmp_path / "x", ("blur",))
    first = board(tmp_path / "board", sound, other)
    assert {"long.csv", "wide.csv", "leaderboard.md", "leaderboard.tex", "index.html"} <= set(first)
    assert any(name.endswith(".png") for name in first)
    for place, run in enumerate((other, sound)):
        shutil.copytree(run, tmp_path / "deep" / f"{place}" / "run")
    assert board(tmp_path / "board", tmp_path / "deep") == first


def test_tables_are_the_same_for_runs_in_whatever_order(sound, tmp_path, tables_only):
    other = write_run(tmp_path / "x", ("blur",))
    assert board(tmp_path / "one", sound, other) == board(tmp_path / "two", other, sound)


def test_names_of_directories_and_times_are_in_no_file(sound, tmp_path):
    """This does not apply to names and times that the cells themselves contain."""
    for name, data in board(tmp_path / "board", sound).items():
        assert str(tmp_path).encode() not in data and str(sound).encode() not in data, name
