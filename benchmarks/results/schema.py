"""The columns of a result row: a single list that scoring, check, leaderboard, page and tracking use."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

SCHEMA_VERSION = 4
AGAIN = "Judge it again, or leave out its run."  # what to do with a damaged judgement

Row = dict[str, Any]
Problem = tuple[float | None, str]  # the FAR of the row or None for all rows, and what is wrong

Kind = Literal["text", "name", "hash", "flag", "whole", "number"]
Group = Literal["about", "provenance", "success", "identification", "counts", "quality", "distance", "cost"]


class Column(NamedTuple):
    """A column of a result row; a value that was not measured is empty (None).

    Attributes:
        name: name in rows, CSV files and the page.
        meaning: a whole phrase, shown to readers.
        kind: text; name (text without markup or control characters); hash (SHA-256 in hex); flag (true or false);
            whole (a whole number); number (finite).
        group: what it is about.
        low, high: the range of a number.
        required: whether every row must have it.
        by_far: whether it differs between the rows of one judgement, each of which has its own FAR.
    """

    name: str
    meaning: str
    kind: Kind
    group: Group
    low: float = -math.inf
    high: float = math.inf
    required: bool = False
    by_far: bool = False


def _rate(name: str, meaning: str, clean: bool = True) -> list[Column]:
    """A rate, its 95 % interval, and the same rate of the unprotected photos."""
    parts = [
        (name, meaning), (f"{name}_low", f"Lower end of the 95 % Wilson interval of {name}."),
        (f"{name}_high", f"Upper end of the 95 % Wilson interval of {name}."),
        (f"{name}_clean", f"The rate {name} of the unprotected photos."),
    ]  # fmt: skip
    return [Column(part, text, "number", "success", 0, 1, by_far=True) for part, text in parts[: 4 if clean else 3]]


def _count(name: str, meaning: str, required: bool = False, by_far: bool = False) -> Column:
    return Column(name, meaning, "whole", "counts", 0, required=required, by_far=by_far)


# In the order of the leaderboard's columns. Rates are fractions.
_COLUMNS = [
    Column("schema_version", "Version of this list of columns.", "whole", "provenance", 0, required=True),
    Column("suite", "Name of the suite.", "name", "about", required=True),
    Column("dataset", "Folder of the source photos.", "text", "about"),
    Column("manifest_sha256", "Hash of the source and second photos, by name and content.", "hash", "provenance",
           required=True),
    _count("n_images", "Number of source photos.", required=True),
    Column("image_size", "Side of the square pictures in pixels.", "whole", "about", 0, required=True),
    Column("method", "Name of the protection method.", "name", "about", required=True),
    Column("preset", "Preset of the method's settings, with * if single settings were changed.", "name", "about",
           required=True),
    Column("settings_hash", "Hash of the method's settings.", "hash", "provenance", required=True),
    Column("facecloak", "Version of facecloak that judged.", "text", "provenance"),
    Column("git_sha", "Commit of the code that judged, if it is a git checkout.", "text", "provenance"),
    Column("made_by", "Version and commit that made the pictures; several are separated by a semicolon.", "text",
           "provenance"),
    Column("seed", "Seed of the method, if it has one.", "number", "about"),
    Column("date", "Date of the judgement (UTC).", "text", "provenance"),
    Column("run_id", "The judgement: protection/countermeasure/recognizer.", "name", "about", required=True),
    Column("protection", "The protection whose pictures were judged.", "name", "about", required=True),
    Column("objective", "Impersonation or obfuscation.", "text", "about", required=True),
    Column("target", "Name of the target.", "name", "about", required=True),
    Column("black_box", "The recognizer that judges.", "name", "about", required=True),
    Column("white_box", "True if the judge was attacked too.", "flag", "about", required=True),
    Column("countermeasure", "What was done to the pictures before they were judged.", "name", "about", required=True),
    Column("weights_sha256", "Hash of the judge's weights.", "hash", "provenance"),
    Column("assets", "Fetched photos, models and recognizers that were used, with the start of revision and "
           "hash.", "text", "provenance"),
    Column("surrogates", "Recognizers that the method attacked, separated by +.", "name", "about"),
    Column("far", "False accept rate of the threshold.", "number", "success", 1e-12, 1 - 1e-12, required=True,
           by_far=True),
    Column("threshold", "Cosine above which the judge accepts a pair.", "number", "success", -1, 1, required=True,
           by_far=True),
    Column("threshold_source", "Where the threshold comes from.", "text", "provenance"),
    *_rate("psr", "Protection success rate: the share of images that reach the objective."),
    _count("n_psr", "Images that psr is computed from: those with a detected face, and those that failed.",
           by_far=True),
    *_rate("dodging", "Share of images that are not matched to another photo of the same person."),
    _count("n_dodging", "Images that dodging is computed from: those whose person has another photo.", by_far=True),
    *_rate("joint", "Share of images that are matched to the target and not to their own person."),
    *(
        Column(f"rank{k}_{kind}", meaning, "number", "identification", 0, 1)
        for kind, k, meaning in (
            ("targeted", 1, "Share of images for which the target's test photo is retrieved first from the gallery."),
            ("targeted", 5, "Share of images for which the target's test photo is among the first five retrieved."),
            ("untargeted", 1, "Share of images for which the person's other photo is not retrieved first."),
            ("untargeted", 5, "Share of images for which the person's other photo is not among the first five."),
        )
    ),
    Column("cosine_rise_black_box", "Mean rise of the judge's cosine to the target's test photo.", "number", "success",
           -2, 2),
    Column("cosine_rise_surrogates", "Mean rise of the attacked recognizers' cosines to the target's test photo.",
           "number", "success", -2, 2),
    _count("n_undetected", "Protected images without a detectable face; no rate includes them.", required=True),
    _count("n_failed", "Images that the method failed to protect; they never count as a success.", required=True),
    _count("n_unusable", "Source photos that cannot be read or show no face; no rate includes them.", required=True),
    Column("psnr", "Mean PSNR in dB over the images that differ from their source.", "number", "quality", 1e-12),
    _count("n_identical", "Images equal to their source; their PSNR is infinite and not included in the mean."),
    Column("ssim", "Mean SSIM (11×11 Gaussian, σ 1.5, RGB).", "number", "quality", -1, 1),
    Column("lpips", "Mean LPIPS (AlexNet).", "number", "quality", 0),
    Column("pocket_perceptual", "Mean perceptual distance by the feature network of the suite pocket, where a suite "
           "uses it; not comparable with LPIPS.", "number", "quality", 0),
    Column("fid", "Fréchet distance with FID's own Inception network, pooled over targets.", "number", "distance",
           -1e-3),
    Column("kid", "Kernel distance with FID's own Inception network, pooled over targets.", "number", "distance"),
    Column("fd", "Fréchet distance with another network, called fd_NETWORK, pooled over targets.", "number", "distance",
           -1e-3),
    Column("fd_network", "Network of the distances, a key of facecloak.metrics.FEATURES.", "name", "distance"),
    Column("kd", "Kernel distance with that network, pooled over targets.", "number", "distance"),
    Column("n_fid", "Number of images on each side of the distances.", "whole", "distance", 0),
    Column("fid_convention", "Network, layer and resize of the distances.", "text", "distance"),
    Column("seconds_per_image", "Mean seconds per image, including everything that one photo costs.", "number", "cost",
           0),
    Column("training_seconds", "Seconds of training of the models that made the images.", "number", "cost", 0),
    Column("amortised_seconds_per_image", "seconds_per_image plus each image's share of the training.", "number",
           "cost", 0),
    Column("peak_memory_mb", "Peak memory of the method in MB.", "number", "cost", 0),
    Column("unet_passes", "Forward passes of a UNet per image.", "number", "cost", 0),
    Column("device", "Device that the method ran on.", "name", "cost"),
    Column("source", "Measured or reported.", "text", "about", required=True),
    Column("paper", "Paper of a reported row.", "text", "about"),
    Column("note", "How the settings were found; what could not be measured, and why.", "text", "about"),
]  # fmt: skip
COLUMNS: dict[str, Column] = {column.name: column for column in _COLUMNS}

BY_FAR = [column.name for column in _COLUMNS if column.by_far and column.name != "far"]


def columns_of(*groups: Group) -> list[str]:
    """Names of the columns of some groups, in order."""
    return [column.name for column in _COLUMNS if column.group in groups]


def none_if_nan(value: float | None) -> float | None:
    """JSON and CSV have no NaN: a value that was not measured is empty."""
    return None if value is None or not math.isfinite(value) else float(value)
