"""The per-image records that the page holds: the same first images of every cell, as many as fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results.records import Records

BUDGET = 3_500_000  # bytes, of a page that is to stay below 10 MB
ROOM = 52  # bytes a record, measured
ERROR_LENGTH = 200
# column → what it is multiplied with, and rounded: short in JSON, and what is shown
SCALES = {"target": 1e4, "target_clean": 1e4, "self": 1e4, "self_clean": 1e4, "psnr": 1e2, "ssim": 1e4, "seconds": 1e3}


def describe_records(table: pd.DataFrame, records: dict[str, Records]) -> dict[str, Any]:
    """The first ``shown`` images of each cell, in the order of run_ids.

    Returns:
        ``ids``: names of images; ``scales``; ``cells``: for each its number of images ``n``, ``id`` (places in ids), a
        column of whole numbers for each of `SCALES` (null for none), ``state`` (a letter an image: ``u`` source
        unusable, ``f`` failed, ``n`` no face found, ``i`` identical, ``k`` otherwise), ``won`` (pairs of FAR and a
        letter an image: 1 success, 0 none, - in no rate) and ``errors`` (place → text).
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
