"""Computes rows from records: rates, intervals, counts and means, one row for each false accept rate."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.records import Record, to_columns
from benchmarks.results.schema import Row, none_if_nan
from facecloak.config import far_key
from facecloak.io import read_json
from facecloak.metrics.statistics import NEEDED, rate_of

HEADLINE_FAR = 0.01
MEANS = ("psnr", "ssim", "lpips", "pocket_perceptual")  # of the records


def score(records: Sequence[Record], objective: str, thresholds: Mapping[str, Any], fars: Sequence[float]) -> list[Row]:
    """The columns that are computed from a judgement's records: one row for each FAR, the highest first.

    Args:
        records: records of one judge, see `benchmarks.results.records`.
        objective: impersonation or obfuscation; its rate is ``psr``.
        thresholds: the judge's entry in the thresholds.
    """
    columns, shared = to_columns(records), _shared(records)
    rows = []
    for far in sorted(fars, reverse=True):
        threshold = thresholds["fars"][far_key(far)]["threshold"]
        row = {"far": far, "threshold": threshold, **shared}
        for name, kind in (("psr", objective), ("dodging", "obfuscation"), ("joint", "joint")):
            now, clean = (rate_of(columns.outcomes(kind, threshold, clean)) for clean in (False, True))
            has_photos = any(set(NEEDED[kind]) <= set(record["reference"]) for record in records if record["usable"])
            row |= {name: now.value, f"{name}_low": now.low, f"{name}_high": now.high, f"{name}_clean": clean.value}
            if name != "joint":
                row[f"n_{name}"] = now.n if has_photos else None
        rows.append({column: value if isinstance(value, int) else none_if_nan(value) for column, value in row.items()})
    return rows


def _shared(records: Sequence[Record]) -> Row:
    """Counts and means that do not depend on the FAR."""
    usable = [record for record in records if record["usable"]]
    made = [record for record in usable if record.get("error") is None]
    means = {column: mean([record.get(column) for record in made]) for column in MEANS}
    return means | {
        "cosine_rise_black_box": mean(to_columns(records).rise().tolist()),
        "n_unusable": len(records) - len(usable),
        "n_failed": len(usable) - len(made),
        "n_undetected": sum(not record["detected"] for record in made),
        "n_identical": sum(record.get("identical") is True for record in made) if made else None,
    }


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are numbers; None if there are none."""
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return sum(numbers) / len(numbers) if numbers else None


def surrogate_rise(measured: Mapping[str, Any] | None, surrogates: Sequence[str]) -> float | None:
    """By how much the attacked recognizers' cosines to the target's test photo rose, as a mean over recognizers.

    Args:
        measured: content of a protection's measured.json.
    """
    rises = []
    for name in surrogates:
        pairs = [image.get("surrogates", {}).get(name) for image in (measured or {}).get("images", [])]
        rises.append(mean([now - clean for clean, now in filter(None, pairs)]))
    return mean(rises)


def cost(protection: Path, outcomes: Collection[Mapping[str, Any]]) -> Row:
    """The cost columns, from the outcomes of a method's images and from the protection's training.json."""
    made = [outcome for outcome in outcomes if not outcome["error"]]
    if not made:
        return {}
    seconds = mean([outcome.get("seconds") for outcome in made])
    trained = protection / "training.json"
    training = read_json(trained)["total_seconds"] if trained.is_file() else None
    return {
        "seconds_per_image": seconds,
        "training_seconds": training,
        "amortised_seconds_per_image": None if seconds is None else seconds + (training or 0) / len(made),
        "peak_memory_mb": max(outcome.get("peak_memory_mb") or 0 for outcome in made) or None,
        "unet_passes": max(outcome.get("unet_passes") or 0 for outcome in made),
        "device": made[0].get("device"),
    }


def summary(judgements: Sequence[Sequence[Row]]) -> str:
    """A line about judgements: means of their rates, quality and seconds, at FAR 0.01 or else at the smallest FAR.

    Args:
        judgements: the rows of each judgement.
    """
    far = headline_far({row["far"] for rows in judgements for row in rows})
    shown = [row for rows in judgements for row in rows if row["far"] == far]
    means = {name: mean([row.get(name) for row in shown]) for name in ("psr", "psr_clean", "dodging", "psnr")}
    rates = {name: "–" if means[name] is None else f"{100 * means[name]:.1f} %" for name in means if name != "psnr"}
    no_psnr = "identical" if any(row.get("n_identical") for row in shown) else "PSNR –"  # no image, or none differs
    quality = no_psnr if means["psnr"] is None else f"{means['psnr']:.1f} dB"
    seconds = mean([row.get("seconds_per_image") for row in shown])
    took = f", {seconds:.2g} s per image" if seconds else ""
    return (
        f"PSR {rates['psr']} (clean {rates['psr_clean']}), dodging {rates['dodging']} at FAR {far:g}, {quality}{took}"
    )


def headline_far(fars: Collection[float]) -> float:
    """0.01, or the smallest FAR if 0.01 was not measured."""
    return HEADLINE_FAR if HEADLINE_FAR in set(fars) else float(min(fars))
