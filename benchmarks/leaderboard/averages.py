"""A method's averages over the cells of a board, with intervals: the only source for tables, plots and page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.results.records import Records
from benchmarks.results.table import BOARD, METHOD, TASK, headline_far, method_names
from facecloak.metrics.statistics import wilson_interval

INTERVAL = (
    "95 % Wilson interval, with one result per photo: all recognizers and targets use the same photos, so more "
    "results do not mean more photos"
)
RATES = ("psr", "psr_clean", "dodging", "dodging_clean")
COUNTS = ("n_images", "n_identical", "n_undetected", "n_failed", "n_unusable")
MEANS = ("psr_clean", "dodging_clean", "joint", "ssim", "lpips", "pocket_perceptual", "distance",
         "seconds_per_image", "amortised_seconds_per_image")  # fmt: skip
PERCEPTUAL = {"lpips": "LPIPS", "pocket_perceptual": "pocket perceptual"}  # column → head; lower is better
NUMBERS = [*(f"{rate}{end}" for rate in ("psr", "dodging") for end in ("", "_low", "_high")), *MEANS, "psnr"]
SIZES = ("photos", "cells", "n_targets", "n_boxes", "expected")
AVERAGES = ["source", *BOARD, *METHOD, "name", "far", *NUMBERS, "distance_name", "device", *COUNTS, *SIZES, "boxes"]


class Rate(NamedTuple):
    """A mean rate with its interval (see `INTERVAL`), fractions; NaN unless all ``expected`` cells are there."""

    value: float
    low: float
    high: float
    cells: int
    expected: int


def tasks(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The different pairs of suite and objective, sorted."""
    return sorted({*table[TASK].itertuples(index=False, name=None)})


def name_methods(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column ``name``: the names of the board's lines, by suite and objective."""
    lines = table.drop_duplicates([*TASK, *METHOD, "source"])[[*TASK, *METHOD, "source"]].fillna("")
    named = []
    for _, part in lines.groupby([*TASK, "source"]):
        if part["source"].iloc[0] == "measured":
            names = method_names(part.assign(white_box=False))
        else:
            names = part["method"]
        named.append(part.assign(name=[*names]))
    keyed = pd.concat(named).set_index([*TASK, *METHOD, "source"])["name"]
    keys = pd.MultiIndex.from_frame(table[[*TASK, *METHOD, "source"]].fillna(""))
    return table.assign(name=keyed.reindex(keys).to_numpy())


def average_methods(
    table: pd.DataFrame, records: dict[str, Records] | None = None, headline: bool = False
) -> pd.DataFrame:
    """A line for each method and FAR; measured and published rows are kept apart, and so are black and white boxes.

    There are no means over incomplete cells: all means are NaN unless the method has every cell of its board (each
    target × each black box that some row has) and the value in each. If other methods of the suite and objective have
    rows of a FAR, a method without one gets a line of that FAR too, with 0 cells.

    Args:
        table: with `name_methods`' column.
        records: run_id → what `read_records` gives; without it there are no ``photos`` and no intervals.
        headline: only lines of each board's headline FAR, in less time.

    Returns:
        columns `AVERAGES`: means as in the rows, ``psr`` and ``dodging`` with the ends of their intervals; ``psnr``
        (dB) over the cells with images that differ from their source, infinite where no cell has one; ``distance`` with
        the network of ``distance_name`` (see there); sums of the counts, empty where there are none; ``photos``, the
        number of different photos in ``psr``, at any FAR; ``expected`` = n_targets × n_boxes cells; ``boxes``, black
        box → `Rate`, its PSR over the board's targets.
    """
    lines = []
    for (source, *_), part in table.groupby(["source", *TASK], sort=True):
        fars, seen = sorted(part["far"].unique()), records if source == "measured" else None
        fars = [headline_far(part["far"])] if headline else fars
        for kind, board in part.groupby(BOARD, sort=True):
            shared = {"source": source, **dict(zip(BOARD, kind, strict=True)), "distance_name": distance_name(board)}
            lines += [shared | line for line in _lines(board, fars, seen)]
    types = dict.fromkeys(NUMBERS, "float64") | dict.fromkeys((*COUNTS, *SIZES), "Int64") | {"white_box": bool}
    return pd.DataFrame(lines, columns=AVERAGES).astype(types)


def _lines(board: pd.DataFrame, fars: list[float], records: dict[str, Records] | None) -> Iterator[dict[str, Any]]:
    board = board.assign(distance=distances_of(board))
    boxes, targets = sorted(board["black_box"].unique()), board["target"].nunique()
    sizes = {"n_targets": targets, "n_boxes": len(boxes), "expected": targets * len(boxes)}
    objective = board["objective"].iloc[0]
    for method, rows in board.groupby([*METHOD, "name"], sort=True, dropna=False):
        shared = dict(zip([*METHOD, "name"], method, strict=True)) | sizes
        seen = {box: photo_ids(rows[rows["black_box"] == box], records, objective) for box in boxes}
        shared["photos"] = len(set().union(*seen.values()))
        dodging = len(photo_ids(rows, records, "obfuscation"))
        cells = _places(rows)
        judged = [(box, cells[cells["black_box"] == box], seen[box]) for box in boxes]
        for far in fars:
            line = shared | {"far": far} | _means(cells[cells["far"] == far], shared["expected"])
            for rate, photos in (("psr", shared["photos"]), ("dodging", dodging)):
                mean = _rate(cells.loc[cells["far"] == far, rate], shared["expected"], photos)
                line |= {rate: mean.value, f"{rate}_low": mean.low, f"{rate}_high": mean.high}
            rates = {box: _rate(own.loc[own["far"] == far, "psr"], targets, len(ids)) for box, own, ids in judged}
            yield line | {"boxes": rates}


def _places(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each target, judge and FAR: the mean over sets of surrogates if a judge has results for several.

    A recognizer that is in no suite's pool judges the pictures made with any set of surrogates. Counts are the largest
    of the sets.
    """
    by = ["target", "black_box", "far"]
    if not rows.duplicated(by).any():
        return rows
    means = {column: "mean" for column in ("psr", "dodging", *MEANS, "psnr") if column in rows}
    largest = dict.fromkeys(COUNTS, "max")
    numbers = rows.astype(dict.fromkeys(means, "float64")).groupby(by, sort=True).agg(means | largest)
    return numbers.reset_index().merge(rows.drop(columns=[*numbers]).drop_duplicates(by), on=by)


def _means(rows: pd.DataFrame, expected: int) -> dict[str, Any]:
    """Means, sums of counts and devices of a method's rows at one FAR."""
    numbers = {column: pd.to_numeric(rows[column]).dropna() for column in COUNTS}
    identical = rows["psnr"].isna() & (pd.to_numeric(rows["n_identical"]).fillna(0) > 0)
    return (
        {column: complete_mean(rows[column], expected) for column in MEANS}
        | {"psnr": complete_mean(rows.loc[~identical, "psnr"], expected - int(identical.sum()))}
        | ({"psnr": math.inf} if identical.sum() == expected else {})
        | {column: int(counts.sum()) if len(counts) else pd.NA for column, counts in numbers.items()}
        | {"cells": len(rows), "device": "; ".join(sorted({*rows["device"].dropna()}))}
    )


def _rate(values: pd.Series, expected: int, photos: int) -> Rate:
    rate = complete_mean(values, expected)
    known = photos and not math.isnan(rate)
    return Rate(rate, *(wilson_interval(rate * photos, photos) if known else (math.nan,) * 2), len(values), expected)


def complete_mean(values: pd.Series, expected: int) -> float:
    """The mean, or NaN unless there are ``expected`` values and each was measured."""
    numbers = pd.to_numeric(values)
    return float(numbers.mean()) if expected and len(numbers) == expected and numbers.notna().all() else math.nan


def photo_ids(cells: pd.DataFrame, records: dict[str, Records] | None, objective: str) -> set[str]:
    """The different photos that count towards the rates of an objective in these rows' cells; none without records."""
    photos: set[str] = set()
    for run_id in cells["run_id"].unique() if records else []:
        record = records[run_id]
        counted = ~np.isnan(record.outcomes(objective, 0.0))
        photos.update(compress(record.ids, counted))
    return photos


def distance_name(board: pd.DataFrame) -> str:
    """The Fréchet distance by which a board's rows are compared: FID where there is one, else fd_NAME.

    Distances of another network are not shown beside it. With several networks, none of which is FID's, the name is fd
    and no row has a value.
    """
    if board["fid"].notna().any():
        return "FID"
    networks = {*board["fd_network"].dropna()}
    return f"fd_{networks.pop()}" if len(networks) == 1 else "fd"


def distances_of(board: pd.DataFrame) -> pd.Series:
    """The distances of `distance_name`, row by row; NaN where a row has another one or none."""
    name = distance_name(board)
    return board["fid"] if name == "FID" else board["fd"].where("fd_" + board["fd_network"].astype(str) == name)


FIRST = ["source", *BOARD, *METHOD]
SAME = ("psnr", "ssim", "lpips", "pocket_perceptual", "distance", "distance_name", "seconds_per_image", "device",
        "n_images", "n_identical", "n_undetected", "n_failed", "n_unusable", "n_targets", "n_boxes")  # fmt: skip


def wide_table(table: pd.DataFrame, records: dict[str, Records] | None = None) -> pd.DataFrame:
    """Method × black box at the headline FAR: PSR in per cent over targets, averages, quality, cost.

    White boxes have separate lines. Means, counts and intervals (``psr_low BOX``, ``average psr_low`` …) are those of
    `average_methods`: there is no mean if a cell is missing. ``n_cells`` and ``n_cells BOX`` say how many cells there
    are, ``n_targets`` × ``n_boxes`` how many there should be. The FAR is the headline FAR of the suite and objective.
    ``psnr`` is infinite if all images of a method are equal to their sources.

    Args:
        table: a long table.
        records: run_id → what `read_records` gives; without it there are no columns of intervals.
    """
    averages, lines = average_methods(name_methods(table), records, headline=True), []
    for _, part in averages.groupby(["source", *TASK], sort=True):
        lines += [_line(line, ("", "_low", "_high") if records else ("",)) for line in part.to_dict("records")]
    wide = pd.DataFrame(lines)
    counts = [column for column in wide if column.startswith("n_")]
    wide[counts] = wide[counts].astype("Int64")
    by_box = [column for column in wide if " " in column and not column.startswith("average ")]
    by_box.sort(key=lambda column: column.split(" ", 1)[1])  # the columns of each box together
    first = [*BOARD, *METHOD, "source", "far"]
    rest = [column for column in wide if column not in {*first, *by_box}]
    return wide[[*first, *by_box, *rest]].sort_values(FIRST, ignore_index=True)


def _line(line: dict[str, Any], ends: tuple[str, ...]) -> dict[str, Any]:
    """A line of `average_methods`, with a column for each rate, in per cent; ``ends``: parts of an interval."""
    wide = {column: line[column] for column in (*FIRST, "far")}
    for box, rate in line["boxes"].items():
        numbers = zip(ends, (rate.value, rate.low, rate.high), strict=False)
        wide |= {f"psr{end} {box}": 100 * number for end, number in numbers} | {f"n_cells {box}": rate.cells}
    for rate in RATES:
        parts = ("",) if rate.endswith("clean") else ends
        wide |= {f"average {rate}{end}": 100 * line[f"{rate}{end}"] for end in parts}
    return wide | {column: line[column] for column in SAME} | {"n_cells": line["cells"]}
