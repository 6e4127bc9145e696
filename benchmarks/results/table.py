"""The long table of a leaderboard: a pure function of the cells' directories."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.results.schema import COLUMNS
from benchmarks.results.store import read_result
from facecloak.errors import FacecloakError

HEADLINE_FAR = 0.01
RATES = ("psr", "psr_clean", "dodging", "dodging_clean")
ORDER = ["suite", "objective", "white_box", "method", "preset", "settings_hash", "target", "black_box", "far"]
TASK = ["suite", "objective"]
BOARD = [*TASK, "white_box"]  # what is compared, and ranked, together
METHOD = ["method", "preset", "settings_hash"]
# column → what its rows must agree in it by
SAME = {"manifest_sha256": ["suite"], "weights_sha256": ["suite", "black_box"],
        "threshold": ["suite", "black_box", "far"]}  # fmt: skip


def long_table(folders: list[Path]) -> pd.DataFrame:
    """The rows of complete cells, one per cell and FAR, sorted; columns as in `COLUMNS`.

    Raises:
        FacecloakError: rows that may not stand in one table (other photos, thresholds or weights).
    """
    return tabulate([result for folder in folders if (result := read_result(folder))])


def tabulate(results: list[dict[str, Any]]) -> pd.DataFrame:
    """The same, of what `read_result` gives."""
    table = pd.DataFrame([row for result in results for row in result["rows"]], columns=list(COLUMNS))
    for name, column, group in mixed(table):
        raise FacecloakError(
            f"Cells of {name} differ in {column} ({_examples(group, column)}) and cannot "
            "stand in one table. Repeat the older ones under the same --limit, photos, weights and thresholds, "
            "delete their directories, or use another --out."
        )
    counts = [column for column in COLUMNS if column.startswith("n_")]
    table[counts] = table[counts].astype("Int64")
    return table.sort_values(ORDER, ignore_index=True)


def mixed(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(what, column, rows) wherever rows that stand in one table differ in photos, weights or threshold."""
    for column, by in SAME.items():
        for name, group in table.groupby(by, sort=True):
            if group[column].nunique(dropna=False) > 1:
                yield " ".join(map(str, name)), column, group


def _examples(group: pd.DataFrame, column: str) -> str:
    """A cell of each kind, with its number of images."""
    first = group.drop_duplicates(column)
    return ", ".join(f"{row['run_id']}: n = {row['n_images']}" for _, row in first.iterrows())


def headline_far(fars: Collection[float]) -> float:
    """0.01, or the smallest FAR where that was not measured."""
    return HEADLINE_FAR if HEADLINE_FAR in set(fars) else float(min(fars))


def method_names(table: pd.DataFrame) -> list[str]:
    """What to call each line: method and preset, and the hash of the settings where those leave it open."""
    names = table["method"] + (":" + table["preset"]).where(table["preset"].notna(), "")
    ambiguous = table["settings_hash"].groupby(names).transform("nunique") > 1
    names += (" " + table["settings_hash"].str[:6]).where(ambiguous, "")
    return [*(names + [" (white box)" if white else "" for white in table["white_box"]])]
