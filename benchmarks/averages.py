"""What a method achieves over the cells of a board, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from benchmarks.cell_records import CellRecords
from benchmarks.leaderboard import method_names
from facecloak.metrics import wilson_interval

BOARD = ["suite", "objective"]
METHOD = ["method", "preset", "settings_hash"]
INTERVAL = (
    "95 % Wilson interval, with one result a photo: recognizers and targets judge the same photos, so that more "
    "results are not more photos"
)
COUNTS = ("n_images", "n_undetected", "n_failed", "n_unusable", "n_identical")
MEANS = ("psr_clean", "dodging", "dodging_clean", "joint", "ssim", "lpips", "seconds_per_image",
         "amortised_seconds_per_image")  # fmt: skip
RATE = ["psr", "psr_low", "psr_high"]
NUMBERS = [*RATE, *MEANS, "psnr", "distance"]
AVERAGES = [*BOARD, "white_box", *METHOD, "name", "far", *NUMBERS, *COUNTS, "photos", "cells", "expected"]
BOXES = [*BOARD, "white_box", "name", "black_box", "far", *RATE, "photos", "cells", "expected"]


def boards(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Suite and objective of each board, sorted."""
    return sorted({(suite, objective) for suite, objective in table[BOARD].itertuples(index=False)})


def name_methods(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column ``name``: what a line of the board is called, by suite and objective."""
    lines = table.drop_duplicates([*BOARD, *METHOD, "source"])[[*BOARD, *METHOD, "source"]].fillna("")
    named = []
    for _, part in lines.groupby([*BOARD, "source"]):
        if part["source"].iloc[0] == "measured":
            names = method_names(part.assign(white_box=False))
        else:
            names = part["method"]
        named.append(part.assign(name=[*names]))
    keyed = pd.concat(named).set_index([*BOARD, *METHOD, "source"])["name"]
    keys = pd.MultiIndex.from_frame(table[[*BOARD, *METHOD, "source"]].fillna(""))
    return table.assign(name=keyed.reindex(keys).to_numpy())


def average_methods(table: pd.DataFrame, records: dict[str, CellRecords]) -> pd.DataFrame:
    """A line for each method and FAR of measured rows, black box and white box apart.

    Nothing is averaged over what is there alone: ``psr`` and all other means are NaN unless the method has every cell
    (target × black box) that some method of its board has, and the value in each.

    Args:
        table: with `name_methods`' column.
        records: run_id → what `read_records` gives.

    Returns:
        suite, objective, white_box, name, method, preset, settings_hash, far; ``psr`` with ``psr_low`` and ``psr_high``
        (see `INTERVAL`) and the means (fractions, as in the rows); ``psnr`` in dB, infinite where all images are
        identical; ``distance``; sums of the counts; ``photos`` in the rates, ``cells`` and ``expected`` cells.
    """
    measured, lines = table[table["source"] == "measured"], []
    for kind, board in measured.groupby([*BOARD, "white_box"], sort=True):
        expected = len(board[["target", "black_box"]].drop_duplicates())
        for method, cells in board.groupby([*METHOD, "name"], sort=True):
            photos = count_photos(cells, records)
            for far, rows in cells.groupby("far", sort=True):
                line = dict(zip([*BOARD, "white_box", *METHOD, "name"], (*kind, *method), strict=True))
                lines.append(line | {"far": far, "photos": photos} | _line(rows, expected, photos))
    return pd.DataFrame(lines, columns=AVERAGES).astype(dict.fromkeys(NUMBERS, "float64") | {"white_box": bool})


def _line(rows: pd.DataFrame, expected: int, photos: int) -> dict[str, float]:
    psr = complete_mean(rows["psr"], expected)
    low, high = interval(psr, photos)
    distance = rows["fid"] if rows["fid"].notna().any() else rows["fd"]
    identical = pd.to_numeric(rows["n_identical"]).fillna(0)
    psnr = pd.to_numeric(rows["psnr"]).where(~(rows["psnr"].isna() & (identical > 0)), math.inf)
    return (
        {"psr": psr, "psr_low": low, "psr_high": high}
        | {column: complete_mean(rows[column], expected) for column in MEANS}
        | {"psnr": complete_mean(psnr, expected), "distance": complete_mean(distance, expected)}
        | {column: int(pd.to_numeric(rows[column]).fillna(0).sum()) for column in COUNTS}
        | {"cells": len(rows), "expected": expected}
    )


def average_boxes(table: pd.DataFrame, records: dict[str, CellRecords]) -> pd.DataFrame:
    """The same for each method and black box: PSR over its targets, NaN unless there are all of them.

    Returns:
        suite, objective, white_box, name, black_box, far, psr, psr_low, psr_high, photos, cells, expected.
    """
    measured, lines = table[table["source"] == "measured"], []
    for kind, board in measured.groupby([*BOARD, "white_box"], sort=True):
        for box, judged in board.groupby("black_box", sort=True):
            expected = judged["target"].nunique()
            for name, cells in judged.groupby("name", sort=True):
                photos = count_photos(cells, records)
                for far, rows in cells.groupby("far", sort=True):
                    psr = complete_mean(rows["psr"], expected)
                    low, high = interval(psr, photos)
                    line = dict(zip([*BOARD, "white_box"], kind, strict=True))
                    line |= {"name": name, "black_box": box, "far": far, "psr": psr, "psr_low": low, "psr_high": high}
                    lines.append(line | {"photos": photos, "cells": len(rows), "expected": expected})
    return pd.DataFrame(lines, columns=BOXES).astype(dict.fromkeys(RATE, "float64") | {"white_box": bool})


def complete_mean(values: pd.Series, expected: int) -> float:
    """The mean, or NaN unless there are ``expected`` values and each was measured."""
    numbers = pd.to_numeric(values)
    return float(numbers.mean()) if len(numbers) == expected and numbers.notna().all() else math.nan


def interval(rate: float, photos: int) -> tuple[float, float]:
    """The 95 % interval of a rate of so many photos, as fractions; NaN for a rate that is NaN."""
    return (math.nan, math.nan) if math.isnan(rate) else wilson_interval(rate * photos, photos)


def count_photos(cells: pd.DataFrame, records: dict[str, CellRecords]) -> int:
    """How many different photos are in the rates of these rows' cells."""
    photos: set[str] = set()
    for run_id, objective in {*cells[["run_id", "objective"]].itertuples(index=False)}:
        record = records[run_id]
        counted = ~np.isnan(record.outcomes(objective, 0.0))
        photos.update(name for name, each in zip(record.ids, counted, strict=True) if each)
    return len(photos)


def distance_name(table: pd.DataFrame) -> str:
    """FID only if it is FID; fd_NAME with another network, fd where there are several."""
    networks = set(table["fd_network"].dropna())
    if table["fid"].notna().any():
        return "FID"
    return f"fd_{networks.pop()}" if len(networks) == 1 else "fd"
