"""The columns of a result row, and how it follows from the per-image records."""

from __future__ import annotations

import math
from typing import Any

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


Problem = tuple[float | None, str]
Row = dict[str, Any]
