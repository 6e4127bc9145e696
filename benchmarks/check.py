"""`facecloak leaderboard --check`: whether results hold what they say, as far as their files can tell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from benchmarks.board import find_cells
from benchmarks.cell import read_result
from benchmarks.image_rules import image_problems
from benchmarks.leaderboard import mixed
from benchmarks.progress import progress
from benchmarks.record_rules import read_records, record_problems
from benchmarks.rules import Problem, doubled, result_problems, rows_problems
from facecloak.errors import FacecloakError


class Finding(NamedTuple):
    """Something wrong: in which cell, in which row of it (None: in all, or none), and what."""

    folder: Path
    far: float | None
    text: str

    def __str__(self) -> str:
        where = "" if self.far is None else f", FAR {self.far:g}"
        return f"{self.folder}{where}: {self.text}"


def check(runs: list[Path]) -> int:
    """Print every finding and their number.

    Returns:
        0 without a finding, 1 with one.

    Raises:
        FacecloakError: as `find_cells`.
    """
    folders = find_cells(runs)
    count = 0
    for finding in findings(folders):
        tqdm.write(str(finding))
        count += 1
    if count:
        print(f"{count} findings in {len(folders)} cells", file=sys.stderr)
        return 1
    print(f"{len(folders)} cells: rows, records and images agree, and may stand in one table.")
    return 0


def findings(folders: list[Path]) -> Iterator[Finding]:
    """What is wrong in each cell, then between them."""
    sound: dict[Path, dict[str, Any]] = {}
    for folder in progress(folders, desc="checking", unit="cell"):
        try:
            result = read_result(folder)
        except (FacecloakError, OSError) as error:
            yield Finding(folder, None, str(error))
            continue
        if result is None:
            yield Finding(folder, None, "not complete: there is no cell.json")
            continue
        problems = [*result_problems(result, folder.name)]
        yield from (Finding(folder, *problem) for problem in problems)
        if not problems:  # what else reads it relies on its form
            sound[folder] = result
            yield from (Finding(folder, *problem) for problem in _cell_problems(folder, result))
    yield from (Finding(*each) for each in doubled(sound))
    yield from _mixed(sound)


def _cell_problems(folder: Path, result: dict[str, Any]) -> Iterator[Problem]:
    yield from rows_problems(result)
    records, problems = read_records(folder)
    yield from problems
    if not problems:
        yield from record_problems(result, records)
        yield from image_problems(folder, records)


def _mixed(sound: dict[Path, dict[str, Any]]) -> Iterator[Finding]:
    """The cells that differ from most in what a table must have one of."""
    table = pd.DataFrame([row | {"folder": folder} for folder, result in sound.items() for row in result["rows"]])
    if table.empty:
        return
    for name, column, rows in mixed(table):
        usual = rows[column].mode(dropna=False).iloc[0]
        same = rows[column].isna() if pd.isna(usual) else rows[column] == usual
        other = rows[same].iloc[0]
        for _, row in rows[~same].drop_duplicates(["folder"]).iterrows():
            far = row["far"] if column == "threshold" else None
            yield Finding(
                row["folder"], far,
                f"{column} is {row[column]}, in most other cells of {name} it is {usual}, such as in "
                f"{other['folder']}: they may not stand in one table",
            )  # fmt: skip
