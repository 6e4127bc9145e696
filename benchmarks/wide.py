"""The wide table: method × black box at one false accept rate, from the means of `benchmarks.averages`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.averages import average_methods, name_methods
from benchmarks.cell_records import CellRecords
from benchmarks.leaderboard import BOARD, METHOD, RATES, TASK, headline_far

FIRST = ["source", *BOARD, *METHOD]
SAME = ("psnr", "ssim", "lpips", "distance", "distance_name", "seconds_per_image", "device", "n_images", "n_identical",
        "n_undetected", "n_failed", "n_unusable", "n_targets", "n_boxes")  # fmt: skip


def wide_table(table: pd.DataFrame, records: dict[str, CellRecords] | None = None) -> pd.DataFrame:
    """Method × black box at the headline FAR: PSR in per cent, over targets; averages, quality, cost; white box apart.

    Means, counts and intervals (``psr_low BOX``, ``average psr_low`` …) are those of `average_methods`: missing cells
    are never averaged away. ``n_cells`` and ``n_cells BOX`` say how many there are, ``n_targets`` × ``n_boxes`` how
    many there should be. The FAR is the headline of its suite and objective. An infinite ``psnr`` is that of a method
    all of whose images are equal to their sources.

    Args:
        table: a long table.
        records: run_id → what `read_records` gives; without it there are no columns of intervals.
    """
    averages, lines = average_methods(name_methods(table), records), []
    for _, part in averages.groupby(["source", *TASK], sort=True):
        shown = part[part["far"] == headline_far(part["far"])]
        lines += [_line(line, ("", "_low", "_high") if records else ("",)) for line in shown.to_dict("records")]
    wide = pd.DataFrame(lines)
    counts = [column for column in wide if column.startswith("n_")]
    wide[counts] = wide[counts].astype("Int64")
    by_box = [column for column in wide if " " in column and not column.startswith("average ")]
    by_box.sort(key=lambda column: column.split(" ", 1)[1])  # boxes of several suites, each with its columns together
    first = [*BOARD, *METHOD, "source", "far"]
    rest = [column for column in wide if column not in {*first, *by_box}]
    return wide[[*first, *by_box, *rest]].sort_values(FIRST, ignore_index=True)


def _line(line: dict[str, Any], ends: tuple[str, ...]) -> dict[str, Any]:
    """A line of `average_methods`, its rates in per cent and in a column each; ``ends``: which parts of an interval."""
    wide = {column: line[column] for column in (*FIRST, "far")}
    for box, rate in line["boxes"].items():
        numbers = zip(ends, (rate.value, rate.low, rate.high), strict=False)
        wide |= {f"psr{end} {box}": 100 * number for end, number in numbers} | {f"n_cells {box}": rate.cells}
    for rate in RATES:
        parts = ("",) if rate.endswith("clean") else ends
        wide |= {f"average {rate}{end}": 100 * line[f"{rate}{end}"] for end in parts}
    return wide | {column: line[column] for column in SAME} | {"n_cells": line["cells"]}
