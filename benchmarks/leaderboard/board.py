"""The board: tables, plots and the page of any number of runs; a pure function of their directories."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from benchmarks.check.between import doubled
from benchmarks.check.rows import result_problems, rows_problems
from benchmarks.leaderboard.averages import wide_table
from benchmarks.leaderboard.reported import read_reported, reported_rows
from benchmarks.leaderboard.text import latex, markdown, wide_csv
from benchmarks.results.records import read_records
from benchmarks.results.store import find_cells, read_result
from benchmarks.results.table import tabulate
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes

HINT = "`facecloak leaderboard --check` with the same runs says all that is wrong."


def read_board(folders: list[Path]) -> tuple[pd.DataFrame, dict[str, Path]]:
    """The long table of complete cells and their folders by run_id; cells that are not complete are left out.

    Raises:
        FacecloakError: a cell that cannot be read, one that is there twice, or rows that may not stand in one table.
    """
    results = {folder: result for folder in folders if (result := read_result(folder)) is not None}
    if not results:
        raise FacecloakError("No cell of these runs is complete; run the benchmark to its end.")
    for folder, result in results.items():
        problems = [*result_problems(result, folder.name)] or [*rows_problems(result)]
        if problems:
            raise FacecloakError(f"{folder}: {problems[0][1]}. {HINT}")
    for folder, far, problem in doubled(results):
        raise FacecloakError(f"{folder}, FAR {far:g}: {problem}. Leave one of them out.")
    return tabulate([*results.values()]), {folder.name: folder for folder in results}


def write_board(runs: list[Path], out: Path) -> None:
    """Write ``long.csv``, ``wide.csv``, ``leaderboard.md``, ``leaderboard.tex``, plots and the page of all cells.

    The same directories give the same bytes, wherever they lie and in whatever order they are named.

    Raises:
        FacecloakError: as `find_cells` and `read_board`.
    """
    folders = find_cells(runs)
    measured, cells = read_board(folders)
    if len(cells) < len(folders):
        print(f"{len(folders) - len(cells)} cells are not complete and left out.", file=sys.stderr)
    published = read_reported()
    # without the empty columns, which would take away the type that the measured rows give them
    reported = reported_rows(published).dropna(axis="columns", how="all")
    table = pd.concat([measured, reported], ignore_index=True)
    wide = wide_table(table, read_records(table, cells))
    write_bytes(out / "long.csv", to_csv(table))
    write_bytes(out / "wide.csv", wide_csv(wide))
    write_bytes(out / "leaderboard.md", markdown(measured, wide, published).encode())
    write_bytes(out / "leaderboard.tex", latex(measured, wide, published).encode())
    from benchmarks.leaderboard.page.document import write_page
    from benchmarks.leaderboard.plots.families import write_plots

    write_plots(table, cells, out)
    write_page(table, cells, out)
