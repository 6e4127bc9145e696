"""Leaderboard tables: pure functions of the cells' directories."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.cell import read_result
from benchmarks.records import COLUMNS
from facecloak.errors import FacecloakError
from facecloak.metrics import wilson_interval

HEADLINE_FAR = 0.01
RATES = ("psr", "psr_clean", "dodging", "dodging_clean")
ORDER = ["suite", "objective", "white_box", "method", "preset", "settings_hash", "target", "black_box", "far"]
BOARD = ["suite", "objective", "white_box"]  # what is compared, and ranked, together
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


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Method × black box at the headline FAR: PSR in per cent, over targets; averages, quality, cost; white box apart.

    Missing cells are never averaged away: a method that lacks a cell (target × black box) of the others in its suite,
    objective and kind of box has neither an average nor quality, and no PSR for that black box. ``n_cells`` and
    ``n_cells BOX`` say how many there are, ``n_targets`` × ``n_boxes`` how many there should be.

    The 95 % intervals, ``psr_low BOX``, ``average psr_low`` …, are Wilson's with one result a photo, since recognizers
    judge the same photos. Photos of several targets add up where each target has a folder of its own.
    """
    lines = []
    for _, part in table.groupby(["suite", "source"], sort=True):
        far = headline_far(part["far"])
        for kind, board in part[part["far"] == far].groupby(BOARD, sort=True):
            boxes, n_targets = sorted(board["black_box"].unique()), board["target"].nunique()
            for method, cells in board.groupby(METHOD, sort=True, dropna=False):
                line = dict(zip([*BOARD, *METHOD], (*kind, *method), strict=True))
                line |= {"source": cells["source"].iloc[0], "far": far}
                line |= _by_box(cells, boxes, n_targets) | _over_all(cells, len(boxes) * n_targets)
                lines.append(line | {"n_cells": len(cells), "n_targets": n_targets, "n_boxes": len(boxes)})
    wide = pd.DataFrame(lines)
    counts = [column for column in wide if column.startswith("n_")]
    wide[counts] = wide[counts].astype("Int64")
    by_box = [
        column for column in wide if column.split()[0] in ("psr", "psr_low", "psr_high", "n_cells") and " " in column
    ]
    by_box.sort(key=lambda column: column.split(" ", 1)[1])  # boxes of several suites, each with its columns together
    first = [*BOARD, *METHOD, "source", "far"]
    rest = [column for column in wide if column not in {*first, *by_box}]
    return wide[[*first, *by_box, *rest]].sort_values(["source", *BOARD, *METHOD], ignore_index=True)


def _by_box(cells: pd.DataFrame, boxes: list[str], n_targets: int) -> dict[str, float]:
    line = {}
    for box in boxes:
        judged = cells[cells["black_box"] == box]
        rate = _mean(judged["psr"], n_targets)
        low, high = _interval(rate, judged, "n_psr")
        line |= {f"psr {box}": 100 * rate, f"psr_low {box}": 100 * low, f"psr_high {box}": 100 * high}
        line[f"n_cells {box}"] = len(judged)
    return line


def _over_all(cells: pd.DataFrame, wanted: int) -> dict[str, Any]:
    """Averages of the rates in per cent, quality and cost; sums of the counts."""
    line: dict[str, Any] = {}
    for column in RATES:
        rate = _mean(cells[column], wanted)
        line[f"average {column}"] = 100 * rate
        if f"n_{column}" in cells:
            low, high = _interval(rate, cells, f"n_{column}")
            line |= {f"average {column}_low": 100 * low, f"average {column}_high": 100 * high}
    identical = cells["psnr"].isna() & (pd.to_numeric(cells["n_identical"]).fillna(0) > 0)
    line["psnr"] = _mean(cells.loc[~identical, "psnr"], wanted - int(identical.sum()))
    for column in ("ssim", "lpips", "fid", "fd", "seconds_per_image"):
        line[column] = _mean(cells[column], wanted)
    for column in ("fd_network", "device"):
        line[column] = "; ".join(sorted(set(cells[column].dropna())))
    for column in ("n_images", "n_identical", "n_undetected", "n_failed", "n_unusable"):
        counts = pd.to_numeric(cells[column]).dropna()
        line[column] = int(counts.sum()) if len(counts) else pd.NA
    return line


def _mean(values: pd.Series, wanted: int) -> float:
    """NaN unless there are as many values as wanted, each measured."""
    numbers = pd.to_numeric(values)
    return float(numbers.mean()) if wanted and len(numbers) == wanted and numbers.notna().all() else math.nan


def _interval(rate: float, cells: pd.DataFrame, column: str) -> tuple[float, float]:
    counts = pd.to_numeric(cells[column]).groupby(cells["target"]).max().dropna()
    if math.isnan(rate) or counts.empty:
        return math.nan, math.nan
    # a suite with a folder for each target names them all, with + between
    apart = (cells["objective"] == "impersonation").all() and cells["dataset"].map(
        lambda folders: "+" in str(folders)
    ).all()
    photos = int(counts.sum() if apart else counts.max())
    return wilson_interval(rate * photos, photos)


def headline_far(fars: Collection[float]) -> float:
    """0.01, or the smallest FAR where that was not measured."""
    return HEADLINE_FAR if HEADLINE_FAR in set(fars) else float(min(fars))


def method_names(table: pd.DataFrame) -> list[str]:
    """What to call each line: method and preset, and the hash of the settings where those leave it open."""
    names = table["method"] + (":" + table["preset"]).where(table["preset"].notna(), "")
    ambiguous = table["settings_hash"].groupby(names).transform("nunique") > 1
    names += (" " + table["settings_hash"].str[:6]).where(ambiguous, "")
    return [*(names + [" (white box)" if white else "" for white in table["white_box"]])]
