"""The page's data: the boards' lines, every judgement with its settings, and the records of its first images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.leaderboard.averages import COUNTS, INTERVAL, MEANS, tasks
from benchmarks.leaderboard.curves import Curve, Reading, equal_quality, reached
from benchmarks.leaderboard.survival import PUBLISHED, matrix, meaning_of, still_known, summaries
from benchmarks.results.records import Records
from benchmarks.results.schema import BY_FAR, COLUMNS
from benchmarks.results.store import NO_COUNTERMEASURE, Judgement
from benchmarks.results.table import BOARD, headline_far

OF_CELL = [column for column in COLUMNS if column not in (*BY_FAR, "far")]
PROVENANCE = ("settings", "thresholds", "weights", "torch")
BUDGET = 3_500_000  # bytes for records; the whole page should stay below 10 MB
ROOM = 52  # bytes per record, measured
ERROR_LENGTH = 200
# column → factor by which it is multiplied before rounding: short in JSON, and precise enough for the page
SCALES = {"target": 1e4, "target_clean": 1e4, "self": 1e4, "self_clean": 1e4, "psnr": 1e2, "ssim": 1e4, "seconds": 1e3}


def describe_boards(table: pd.DataFrame, averages: pd.DataFrame) -> list[dict[str, Any]]:
    """Every suite and objective: its FARs, recognizers, lines (measured) and reported lines, for JSON.

    Args:
        table: with `name_methods`' column.
        averages: `average_methods` of the table.
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
        ``columns``: column → packed values; ``rates``: for each ``far`` the ``columns``, null where a cell has no such
        row; ``provenance``: part of both JSON files → packed values; ``about``: column → its meaning.
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


def describe_records(table: pd.DataFrame, records: dict[str, Records]) -> dict[str, Any]:
    """The first ``shown`` images of each cell, in the order of run_ids.

    Returns:
        ``ids``: names of images; ``scales``; ``cells``: for each its number of images ``n``, ``id`` (indices in ids), a
        column of whole numbers for each of `SCALES` (null for none), ``state`` (one letter per image: ``u`` source
        unusable, ``f`` failed, ``n`` no face found, ``i`` identical, ``k`` otherwise), ``won`` (pairs of FAR and one
        letter per image: 1 success, 0 no success, - not in the rate) and ``errors`` (index → text).
    """
    measured = table[table["source"] == "measured"].sort_values(["run_id", "far"])
    shown = max(1, BUDGET // (ROOM * max(1, len(records))))
    ids: dict[str, int] = {}
    cells = []
    for run_id, rows in measured.groupby("run_id", sort=True):
        record = records[run_id]
        some = slice(0, shown)
        columns = {
            "target": record.cosine["target"], "target_clean": record.cosine_clean["target"],
            "self": record.cosine["self"], "self_clean": record.cosine_clean["self"],
            "psnr": record.psnr, "ssim": record.ssim, "seconds": record.seconds,
        }  # fmt: skip
        won = [
            [far, _letters(record.outcomes(rows["objective"].iloc[0], threshold)[some])]
            for far, threshold in rows[["far", "threshold"]].itertuples(index=False)
        ]
        cells.append({
            "n": len(record.ids), "id": [ids.setdefault(name, len(ids)) for name in record.ids[some]],
            **{name: _scaled(values[some], SCALES[name]) for name, values in columns.items()},
            "state": "".join(_state(record, place) for place in range(len(record.ids[some]))), "won": won,
            "errors": {place: text[:ERROR_LENGTH] for place, text in enumerate(record.errors[some]) if text},
        })  # fmt: skip
    return {"shown": shown, "ids": [*ids], "scales": SCALES, "cells": cells}


def _scaled(values: np.ndarray, scale: float) -> list[int | None]:
    return [None if np.isnan(value) else round(value * scale) for value in values.tolist()]


def _letters(outcomes: np.ndarray) -> str:
    return "".join("-" if np.isnan(value) else str(int(value)) for value in outcomes.tolist())


def _state(record: Records, place: int) -> str:
    if not record.usable[place]:
        return "u"
    if record.errors[place] is not None:
        return "f"
    if not record.detected[place]:
        return "n"
    return "i" if record.identical[place] else "k"


def pack(values: Any) -> dict[str, list]:
    """A column of JSON values as its distinct ``values``, and ``at``: for each row the index of its value."""
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
    """A value for JSON: floats with six digits, empty values as None, text and nested values unchanged."""
    if isinstance(value, dict | list | str):
        return value
    if value is None or pd.isna(value):
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def describe_survival(lines: pd.DataFrame) -> list[dict[str, Any]]:
    """Every board with countermeasures: their names in order, their meanings, and each method's rates.

    Args:
        lines: see `benchmarks.leaderboard.survival`.

    Returns:
        for each board ``suite``, ``objective``, ``white``, ``far``, ``countermeasures`` (pairs of name and meaning; the
        first is none), ``over`` (heads of `summaries`), ``methods`` (``name``, ``cells``: name → rate, low, high and
        clean, ``over``: head → rate), and ``known`` (name → share of unprotected photos that are still matched to their
        own person).
    """
    found = []
    for (suite, objective, white), board in lines.groupby(BOARD, sort=True):
        cells = matrix(board)
        over = summaries(cells)
        names = [name for name in cells if name not in over]
        columns = ["psr", "psr_low", "psr_high", "psr_clean"]
        rates = {(line["name"], line["countermeasure"]): [number(line[each]) for each in columns]
                 for line in board.to_dict("records")}  # fmt: skip
        methods = [
            {"name": name, "cells": {each: rates[name, each] for each in names if (name, each) in rates},
             "over": {head: number(row[head] / 100) for head in over}}
            for name, row in cells.iterrows()
        ]  # fmt: skip
        meanings = [[name, PUBLISHED if name == NO_COUNTERMEASURE else meaning_of(name)] for name in names]
        known = {name: number(share / 100) for name, share in still_known(board).items()}
        found.append({"suite": suite, "objective": objective, "white": bool(white), "far": float(board["far"].iloc[0]),
                      "countermeasures": meanings, "methods": methods, "known": known, "over": [*over]})  # fmt: skip
    return found


def describe_levels(curves: dict[tuple[str, str], list[Curve]]) -> list[dict[str, Any]]:
    """Every board with curves: its methods at equal quality.

    Returns:
        for each board ``suite``, ``objective``, ``heads`` (levels that somebody reaches) and ``methods``: ``name`` and
        ``levels`` (head → mean, low, high, whether a bound; PSR in per cent).
    """
    found = []
    for (suite, objective), own in curves.items():
        table, _ = equal_quality(own)
        heads, lines = reached(table), table.to_dict("records")
        methods = [{"name": line["method"], "levels": {head: _level(line[head]) for head in heads}} for line in lines]
        found.append({"suite": suite, "objective": objective, "heads": heads, "methods": methods})
    return found


def _level(reading: Reading) -> list[float | bool | None]:
    return [number(reading.mean), number(reading.low), number(reading.high), reading.bound]
