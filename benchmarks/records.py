"""The columns of a result row, and how it follows from the per-image records."""

from __future__ import annotations

import math
from typing import Any

import torch

from facecloak.metrics import ProtectionSuccessRate
from facecloak.recognizers.calibration import far_key

SCHEMA_VERSION = 3

# What a row holds, in the order of the leaderboard's columns. Rates are fractions, empty where not measured.
COLUMNS = {
    "schema_version": "of this list of columns",
    "suite": "name",
    "dataset": "folder of the sources",
    "manifest_sha256": "of the sources and second photos, names and contents",
    "n_images": "sources asked for",
    "image_size": "side in pixels",
    "method": "name",
    "preset": "of its settings, with * if others were set beside it",
    "settings_hash": "of its settings",
    "facecloak": "version",
    "git_sha": "of the checkout, if it is one",
    "seed": "of the method, if it has one",
    "date": "of the judgement, UTC",
    "run_id": "directory of the cell",
    "objective": "impersonation or obfuscation",
    "target": "name in the suite",
    "black_box": "the recognizer that judges",
    "white_box": "true if it is also a surrogate",
    "weights_sha256": "of the black box",
    "surrogates": "separated by +",
    "far": "false accept rate of the threshold",
    "threshold": "cosine",
    "threshold_source": "where it comes from",
    "psr": "success rate of the objective",
    "psr_low": "95 % Wilson interval",
    "psr_high": "its upper end",
    "psr_clean": "the same rate on the unprotected sources",
    "n_psr": "images in it: those in which a face is found, and the failed ones",
    "dodging": "share not matched to another photo of the same person",
    "dodging_low": "95 % Wilson interval",
    "dodging_high": "its upper end",
    "dodging_clean": "the same rate on the unprotected sources",
    "n_dodging": "images in it: those whose person has another photo",
    "joint": "share that is matched to the target and not to its own person",
    "joint_low": "95 % Wilson interval",
    "joint_high": "its upper end",
    "joint_clean": "the same rate on the unprotected sources",
    "rank1_targeted": "the target's test photo is retrieved first from the gallery",
    "rank5_targeted": "among the first five",
    "rank1_untargeted": "the own other photo is not retrieved first",
    "rank5_untargeted": "not among the first five",
    "cosine_rise_black_box": "mean cosine to the target's test photo, protected minus clean",
    "cosine_rise_surrogates": "the same, mean over the surrogates",
    "n_undetected": "protected images in which no face is found: in no rate",
    "n_failed": "images that the method failed to protect: never a success",
    "n_unusable": "sources that cannot be read or have no face: in no rate",
    "psnr": "dB, mean over the images that differ from their source",
    "n_identical": "images equal to their source: their PSNR is infinite and in no mean",
    "ssim": "mean; 11×11 Gaussian, σ 1.5, RGB",
    "lpips": "mean; AlexNet",
    "fid": "only with FID's own Inception network",
    "kid": "the same",
    "fd": "Fréchet distance with another network, called fd_NAME",
    "fd_network": "that NAME, a key of facecloak.metrics.FEATURES",
    "kd": "kernel distance with it",
    "n_fid": "images on each side of the distances",
    "fid_convention": "network, layer and resize of the distances",
    "seconds_per_image": "mean wall-clock seconds of the method, with those of work that it kept from another cell",
    "training_seconds": "of the models that the images were made with, stages shared with other cells in full",
    "amortised_seconds_per_image": "seconds_per_image with each image's share of the training",
    "peak_memory_mb": "largest of the run of the method, without work that it kept from another cell",
    "unet_passes": "forward passes of a UNet an image",
    "device": "that the method ran on",
    "source": "measured or reported",
    "paper": "of a reported row",
    "note": "what could not be measured, and why",
}

# what differs between the rows of a cell beside their FAR; all else is the same in each
ENDS = ("", "_low", "_high", "_clean")
BY_FAR = ["threshold", "n_psr", "n_dodging", *(f"{rate}{end}" for rate in ("psr", "dodging", "joint") for end in ENDS)]

# which other photo a kind of success is decided from
NEEDED = {"impersonation": ["target"], "obfuscation": ["self"], "joint": ["target", "self"]}


# The first process judges alone: a metric that waited for the others would wait for ever
ALONE = {"sync_on_compute": False}


def none_if_nan(value: float | None) -> float | None:
    """JSON and CSV have no NaN: a value that was not measured is empty."""
    return None if value is None or not math.isfinite(value) else float(value)


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
