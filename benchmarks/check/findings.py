"""`facecloak leaderboard --check`: whether results hold what they say, as far as their files can tell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from benchmarks.check.between import Sources, describe_sources, doubled, far_problems, source_problems
from benchmarks.check.images import image_problems
from benchmarks.check.provenance import key_problems
from benchmarks.check.records import record_problems
from benchmarks.check.rows import result_problems, rows_problems
from benchmarks.console import progress
from benchmarks.results.records import check_records
from benchmarks.results.schema import Problem
from benchmarks.results.store import find_cells, read_result
from benchmarks.results.table import mixed
from facecloak.errors import FacecloakError


class Finding(NamedTuple):
    """Something wrong: in which cell, in which row of it (None: in all, or none), and what."""

    folder: Path
    far: float | None
    text: str

    def __str__(self) -> str:
        where = "" if self.far is None else f", FAR {self.far:g}"
        text = f"{self.folder}{where}: {self.text}"
        # files of others may hold what moves a terminal's cursor, or cannot be printed at all
        return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


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
    told: dict[Path, Sources] = {}
    for folder in progress(folders, desc="checking", unit="cell"):
        try:
            for problem in _cell_problems(folder, sound, told):
                yield Finding(folder, *problem)
        except (FacecloakError, OSError, RecursionError) as error:  # the others are checked all the same
            yield Finding(folder, None, f"cannot be checked: {error}")
    yield from (Finding(*each) for each in doubled(sound))
    yield from _mixed(sound)
    yield from (Finding(*each) for each in far_problems(sound))
    rows = {folder: sound[folder]["rows"][0] for folder in told}
    yield from (Finding(folder, None, problem) for folder, problem in source_problems(rows, told))
    older = sum("key_of" not in result["provenance"] for result in sound.values())
    if older:
        print(
            f"{older} cells were made before `key_of` was kept: whether they are white boxes could not be checked in "
            "full. That is no finding.",
            file=sys.stderr,
        )


def _cell_problems(folder: Path, sound: dict[Path, dict[str, Any]], told: dict[Path, Sources]) -> Iterator[Problem]:
    """Adds the cell to ``sound`` if its rows, and to ``told`` if its records too have the right form."""
    result = read_result(folder)
    if result is None:
        yield None, "not complete: there is no cell.json"
        return
    problems = [*result_problems(result, folder.name)]
    yield from problems
    if problems:  # what else reads it relies on its form
        return
    sound[folder] = result
    yield from rows_problems(result)
    yield from key_problems(result)
    records, problems = check_records(folder)
    yield from problems
    if not problems:
        row = result["rows"][0]
        told[folder] = describe_sources(records, row["black_box"])
        yield from record_problems(result, records)
        yield from image_problems(folder, records, row["image_size"])


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
                f"{other['folder']} (n = {row['n_images']} and {other['n_images']}): they may not stand in one table",
            )  # fmt: skip
