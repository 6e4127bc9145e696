"""The columns of a result row, and how it follows from the per-image records."""

from __future__ import annotations

import math
from typing import Any

import torch

from benchmarks.results.schema import ALONE, COLUMNS, NEEDED, none_if_nan
from facecloak.metrics import ProtectionSuccessRate
from facecloak.recognizers.calibration import far_key


def success_rows(
    records: list[dict[str, Any]],
    objective: str,
    black_box: str,
    surrogates: list[str],
    thresholds: dict[str, Any],
    fars: list[float],
) -> list[dict[str, Any]]:
    """The part of the rows that follows from the cosines, one row a FAR.

    Args:
        records: per image ``usable``, ``error``, ``detected``, ``reference`` (which of "target" and "self" there is
            a photo of), and ``cosine`` and ``cosine_clean``: {"target" | "self": {recognizer: cosine}}.
        thresholds: the entry of the black box, its ``fars`` by FAR.
    """
    rises = {name: _mean_rise(records, name) for name in {black_box, *surrogates}}
    surrogate_rises = [rises[name] for name in surrogates if rises[name] is not None]
    usable = [record for record in records if record["usable"]]
    shared = {
        "cosine_rise_black_box": rises[black_box],
        "cosine_rise_surrogates": sum(surrogate_rises) / len(surrogate_rises) if surrogate_rises else None,
        "n_unusable": len(records) - len(usable),
        "n_failed": sum(record["error"] is not None for record in usable),
        "n_undetected": sum(record["error"] is None and not record["detected"] for record in usable),
    }
    rows = []
    for far in sorted(fars, reverse=True):
        threshold = thresholds["fars"][far_key(far)]["threshold"]
        now, clean = (
            {kind: _rate(usable, kind, black_box, threshold, column) for kind in NEEDED}
            for column in ("cosine", "cosine_clean")
        )
        row = {"far": far, "threshold": threshold, **shared}
        for column, kind in (("psr", objective), ("dodging", "obfuscation"), ("joint", "joint")):
            row |= {column: now[kind]["rate"], f"{column}_low": now[kind]["low"], f"{column}_high": now[kind]["high"]}
            row |= {f"{column}_clean": clean[kind]["rate"], f"n_{column}": now[kind]["n"]}
        rows.append({column: none_if_nan(value) for column, value in row.items() if column in COLUMNS})
    return rows


def _rate(usable: list[dict], kind: str, recognizer: str, threshold: float, column: str) -> dict[str, float]:
    """One rate over the images that have the photos for it (a target's test, another photo of the person)."""
    judged = [record for record in usable if set(NEEDED[kind]) <= set(record["reference"])]
    if not judged:
        return dict.fromkeys(("rate", "low", "high", "n"), math.nan)
    to_target, to_self = (
        torch.tensor([_cosine(record[column], side, recognizer) for record in judged], dtype=torch.float64)
        for side in ("target", "self")
    )
    failed = torch.tensor([column == "cosine" and record["error"] is not None for record in judged])
    metric = ProtectionSuccessRate(threshold, kind, **ALONE)
    metric.update(to_target, to_self, failed)
    return metric.compute()


def _cosine(cosines: dict[str, dict[str, float | None]], side: str, recognizer: str) -> float:
    value = cosines.get(side, {}).get(recognizer)
    return math.nan if value is None else value


def _mean_rise(records: list[dict], recognizer: str) -> float | None:
    rises = [
        _cosine(record["cosine"], "target", recognizer) - _cosine(record["cosine_clean"], "target", recognizer)
        for record in records
    ]
    rises = [rise for rise in rises if math.isfinite(rise)]
    return sum(rises) / len(rises) if rises else None
