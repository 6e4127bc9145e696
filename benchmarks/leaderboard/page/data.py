"""What the page knows: the boards' lines, and every cell with its settings and where it comes from."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from benchmarks.leaderboard.averages import COUNTS, INTERVAL, MEANS, tasks
from benchmarks.results.schema import BY_FAR, COLUMNS
from benchmarks.results.store import Judgement
from benchmarks.results.table import headline_far

OF_CELL = [column for column in COLUMNS if column not in (*BY_FAR, "far")]
PROVENANCE = ("settings", "thresholds", "weights", "torch")


def describe_boards(table: pd.DataFrame, averages: pd.DataFrame) -> list[dict[str, Any]]:
    """Every suite and objective: its FARs, recognizers, lines (measured) and reported lines, for JSON.

    Args:
        table: with `name_methods`' column.
        averages: `average_methods`' of it.
    """
    averages = averages[averages["source"] == "measured"]
    found = []
    for suite, objective in tasks(table):
        own = table[(table["suite"] == suite) & (table["objective"] == objective)]
        measured, reported = (own[own["source"] == source] for source in ("measured", "reported"))
        fars = sorted({float(far) for far in own["far"]}, reverse=True)
        lines = averages[(averages["suite"] == suite) & (averages["objective"] == objective)]
        found.append({
            "suite": suite, "objective": objective, "fars": fars,
            "headline": headline_far((measured if len(measured) else reported)["far"]),
            "interval": INTERVAL,
            "lines": [_line(line) for line in lines.to_dict("records")],
            "reported": [_reported(name, rows) for name, rows in reported.groupby("name", sort=True)],
        })  # fmt: skip
    return found


def _line(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": line["name"], "white": line["white_box"], "far": float(line["far"]),
        "psr": [number(line[column]) for column in ("psr", "psr_low", "psr_high")],
        "boxes": {box: [number(part) for part in rate] for box, rate in line["boxes"].items()},
        "psnr": "identical" if line["psnr"] == math.inf else number(line["psnr"]),
        **{column: number(line[column]) for column in ("dodging", *MEANS, "distance_name")},
        **{column: number(line[column]) for column in (*COUNTS, "photos", "cells", "expected")},
    }  # fmt: skip


def _reported(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    first = {column: rows[column].dropna() for column in ("psnr", "ssim", "fid", "paper", "note")}
    texts = {column: str(first[column].iloc[0]) if len(first[column]) else None for column in ("paper", "note")}
    return {
        "name": name,
        "rates": [[row["black_box"], float(row["far"]), number(row["psr"])] for _, row in rows.iterrows()],
        **{column: number(first[column].iloc[0]) if len(first[column]) else None for column in ("psnr", "ssim", "fid")},
        **texts,
    }


def describe_judgements(table: pd.DataFrame, judgements: dict[str, Judgement]) -> dict[str, Any]:
    """All measured cells as columns, in the order of run_ids.

    Returns:
        ``columns``: column → packed values; ``rates``: for each ``far`` the ``columns``, null where a cell lacks it;
        ``provenance``: part of cell.json → packed values; ``about``: column → what it means.
    """
    measured = table[table["source"] == "measured"].sort_values("run_id")
    whole = measured.drop_duplicates("run_id").set_index("run_id")
    columns = {column: pack(whole[column]) for column in ["name", *OF_CELL] if column in whole}
    rates = []
    for far, rows in measured.groupby("far", sort=True):
        at_far = rows.set_index("run_id").reindex(whole.index)
        rates.append({"far": far, "columns": {column: pack(at_far[column]) for column in BY_FAR}})
    found = [{**judgements[name].protection, **judgements[name].provenance} for name in whole.index]
    provenance = {part: pack([each.get(part) for each in found]) for part in PROVENANCE}
    return {"ids": [*whole.index], "columns": columns, "rates": rates, "provenance": provenance,
            "about": {name: column.meaning for name, column in COLUMNS.items()}}  # fmt: skip


def pack(values: Any) -> dict[str, list]:
    """A column of JSON values as its different ``values`` and the place ``at`` which each stands."""
    places: dict[str, int] = {}
    found, at = [], []
    for value in values:
        plain = number(value)
        key = repr(plain)
        if key not in places:
            places[key] = len(found)
            found.append(plain)
        at.append(places[key])
    return {"values": found, "at": at}


def number(value: Any) -> Any:
    """A value for JSON: floats with six digits, empty ones None; text and what is nested as they are."""
    if isinstance(value, dict | list | str):
        return value
    if value is None or pd.isna(value):
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
