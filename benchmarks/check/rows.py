"""What the rows of a cell must hold, told from ``cell.json`` alone. Each rule yields (FAR or None, what is wrong)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.results.schema import BY_FAR, COLUMNS, SCHEMA_VERSION, Problem, Row
from facecloak.config import far_key, settings_hash

# what a row cannot be without
REQUIRED = ("schema_version", "suite", "manifest_sha256", "n_images", "image_size", "method", "preset", "settings_hash",
            "run_id", "objective", "target", "black_box", "white_box", "surrogates", "far", "threshold", "n_failed",
            "n_undetected", "n_unusable", "source")  # fmt: skip
TEXTS = {"suite", "dataset", "manifest_sha256", "method", "preset", "settings_hash", "facecloak", "git_sha", "date",
         "run_id", "objective", "target", "black_box", "weights_sha256", "surrogates", "threshold_source", "fd_network",
         "fid_convention", "device", "source", "paper", "note"}  # fmt: skip
NAMES = ("suite", "method", "preset", "run_id", "target", "black_box", "surrogates", "fd_network", "device")
HASHES = ("manifest_sha256", "settings_hash", "weights_sha256")
WHOLE = {"schema_version", "image_size", *(column for column in COLUMNS if column.startswith("n_"))}
RATES = [column for column in COLUMNS if column.startswith(("psr", "dodging", "joint", "rank"))]
# the least and the most that a number can be
RANGES = dict.fromkeys(RATES, (0, 1)) | dict.fromkeys(WHOLE, (0, math.inf)) | {
    "far": (1e-12, 1 - 1e-12), "threshold": (-1, 1),
    "cosine_rise_black_box": (-2, 2), "cosine_rise_surrogates": (-2, 2),
    "psnr": (1e-12, math.inf), "ssim": (-1, 1), "lpips": (0, math.inf), "fid": (-1e-3, math.inf),
    "fd": (-1e-3, math.inf), "seconds_per_image": (0, math.inf), "training_seconds": (0, math.inf),
    "amortised_seconds_per_image": (0, math.inf), "peak_memory_mb": (0, math.inf), "unet_passes": (0, math.inf),
}  # fmt: skip


def result_problems(result: dict[str, Any], name: str) -> Iterator[Problem]:
    """Whether the content of a cell.json has the form and the ranges of `COLUMNS`; what else reads it relies on that.

    Args:
        name: of the cell's folder.
    """
    if not isinstance(result.get("rows"), list) or not result["rows"]:
        yield None, "cell.json holds no rows"
        return
    if not isinstance(result.get("provenance"), dict):
        yield None, "cell.json holds no provenance"
        return
    for row in result["rows"]:
        yield from _row_problems(row, name)


def _row_problems(row: Any, name: str) -> Iterator[Problem]:
    if not isinstance(row, dict):
        yield None, f"a row is {row!r} instead of columns"
        return
    far = row.get("far") if is_number(row.get("far")) else None
    if row.get("schema_version") != SCHEMA_VERSION:
        version = row.get("schema_version")
        yield far, f"schema_version is {version!r}, this facecloak reads {SCHEMA_VERSION}: judge the cell again with it"
        return
    for column in sorted(set(row) - set(COLUMNS)):
        yield far, f"unknown column {column!r}"
    for column in REQUIRED:
        if row.get(column) is None:
            yield far, f"{column} is missing"
    for column, value in sorted(row.items()):
        if value is not None and column in COLUMNS and (problem := _value_problem(column, value)):
            yield far, f"{column} is {value!r}, {problem}"
    if row.get("run_id") != name:
        yield far, f"run_id is {row.get('run_id')!r}, but the folder is called {name}"
    if row.get("source") != "measured":
        yield far, f"source is {row.get('source')!r}, of a cell it is measured"


def _value_problem(column: str, value: Any) -> str | None:
    """What is wrong with a value that is there, or None."""
    if column == "white_box":
        return None if isinstance(value, bool) else "not true or false"
    if column in TEXTS:
        if not isinstance(value, str):
            return "not a text"
        if column in HASHES and not re.fullmatch("[0-9a-f]{64}", value):
            return "not a SHA-256"
        if column == "objective" and value not in ("impersonation", "obfuscation"):
            return "neither impersonation nor obfuscation"
        return "not a plain name" if column in NAMES and re.search(r"[|<>\\\x00-\x1f]", value) else None
    if not is_number(value):
        return "not a finite number"
    low, high = RANGES.get(column, (-math.inf, math.inf))
    if column in WHOLE and value != int(value):
        return "not a whole number"
    return None if low <= value <= high else f"not in {low:g} to {high:g}"


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def rows_problems(result: dict[str, Any]) -> Iterator[Problem]:
    """Whether rows of the right form agree with each other and with their provenance."""
    first, fars = result["rows"][0], [row["far"] for row in result["rows"]]
    for far in sorted({far for far in fars if fars.count(far) > 1}):
        yield far, f"{fars.count(far)} rows of this FAR"
    for row in result["rows"]:
        for column in COLUMNS:
            if column not in ("far", *BY_FAR) and row.get(column) != first.get(column):
                yield row["far"], f"{column} is {row.get(column)!r}, in the cell's first row {first.get(column)!r}"
        yield from ((row["far"], problem) for problem in [*_orders(row), *_counts(row)])
    yield from _provenance_problems(result["rows"], result["provenance"])


def _orders(row: Row) -> Iterator[str]:
    for rate in ("psr", "dodging", "joint"):
        low, value, high = (row.get(column) for column in (f"{rate}_low", rate, f"{rate}_high"))
        if len({low is None, value is None, high is None}) > 1:
            yield f"{rate} is {value}, its interval {low} to {high}: either all or none must be there"
        elif value is not None and not low - 1e-9 <= value <= high + 1e-9:
            yield f"{rate} is {value}, outside of its interval {low} to {high}"


def _counts(row: Row) -> Iterator[str]:
    for parts in (("n_psr", "n_undetected"), ("n_failed", "n_undetected"), ("n_failed", "n_identical"),
                  ("n_failed", "n_fid")):  # fmt: skip
        parts = (*parts, "n_unusable")
        total = sum(row.get(column) or 0 for column in parts)
        if total > row["n_images"]:
            yield f"{' + '.join(parts)} = {total:g}, of {row['n_images']} images"


def _provenance_problems(rows: list[Row], provenance: Mapping[str, Any]) -> Iterator[Problem]:
    row, weights, thresholds = rows[0], provenance.get("weights"), provenance.get("thresholds")
    if not (isinstance(weights, dict) and isinstance(provenance.get("settings"), dict)
            and isinstance(thresholds, dict) and isinstance(thresholds.get("fars"), dict)):  # fmt: skip
        yield None, "provenance lacks weights, settings or thresholds"
        return
    if settings_hash(provenance["settings"]) != row["settings_hash"]:
        found = settings_hash(provenance["settings"])
        yield None, f"settings_hash is {row['settings_hash']}, that of provenance's settings {found}"
    name = f"{row['method']}-{row['preset'].rstrip('*')}_{row['target']}_{row['black_box']}_"
    if row["run_id"] != name + str(provenance.get("key"))[:12]:
        yield (
            None,
            f"run_id is {row['run_id']}, its columns and provenance's key say {name}{provenance.get('key')!s:.12}",
        )
    yield from ((None, problem) for problem in _box_problems(row, weights))
    judge = thresholds.get("weights_sha256")
    if judge not in (None, row.get("weights_sha256")):
        yield None, f"the thresholds are of weights {judge}, the black box has {row.get('weights_sha256')}"
    for each in rows:
        entry = thresholds["fars"].get(far_key(each["far"]))
        stored = entry.get("threshold") if isinstance(entry, dict) else None
        if stored != each["threshold"]:
            yield each["far"], f"threshold is {each['threshold']}, provenance's at this FAR {stored}"


def _box_problems(row: Row, weights: dict[str, Any]) -> Iterator[str]:
    """A judge that was attacked, under its own name or another, must be marked as a white box."""
    surrogates, judge = row["surrogates"].split("+") if row["surrogates"] else [], row["black_box"]
    for name in [judge, *surrogates]:
        if name not in weights:
            yield f"provenance has no weights of {name}"
    if weights.get(judge) != row.get("weights_sha256"):
        yield f"weights_sha256 is {row.get('weights_sha256')}, provenance's of {judge} {weights.get(judge)}"
    twins = [
        name for name in surrogates if name != judge and weights.get(judge) and weights.get(name) == weights[judge]
    ]
    if judge in surrogates and not row["white_box"]:
        yield f"white_box is false, but the black box {judge} is among the surrogates {row['surrogates']}"
    if twins and not row["white_box"]:
        yield f"white_box is false, but the surrogate {twins[0]} has the weights of the black box {judge}"
    if row["white_box"] and judge not in surrogates and not twins:
        yield f"white_box is true, but {judge} is not among the surrogates {row['surrogates']!r}"
