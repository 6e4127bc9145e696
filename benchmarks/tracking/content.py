"""What Weights & Biases gets of a cell, or of scored folders: read from their directories, with no account needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results.pictures import difference
from benchmarks.results.store import read_result
from facecloak.errors import FacecloakError
from facecloak.io import read_image, read_json, sha256, sha256_json

SAMPLES = 4  # pictures of a cell
# columns of a row → the group that their scalars are shown in
RATES = ("psr", "dodging", "joint")
QUALITY = ("psnr", "ssim", "lpips", "fid", "kid", "fd", "kd")
COST = ("seconds_per_image", "training_seconds", "amortised_seconds_per_image", "peak_memory_mb", "unet_passes")
HASHES = ("manifest_sha256", "settings_hash", "weights_sha256")
ABOUT = ("suite", "dataset", "image_size", "method", "preset", "objective", "target", "black_box", "white_box",
         "surrogates", "seed", "facecloak", "git_sha", "schema_version", "device")  # fmt: skip


@dataclass(frozen=True)
class Tracked:
    """One run of W&B.

    Attributes:
        id: tells it from others; of other content, it is another.
        name: that people read.
        group, job_type, tags, config: how it can be found.
        rows: of its table, all columns; the first is that of the highest FAR.
        curves: ``loss/NAME`` of each iteration, the mean over the images.
        samples: name and original | protected | ×10 difference, uint8 H×3W×3.
        folder: where the artifact's files lie.
        files: those.
        out: W&B's own files go to its ``wandb``.
    """

    id: str
    name: str
    group: str
    job_type: str
    tags: list[str]
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    curves: list[dict[str, float]]
    samples: list[tuple[str, np.ndarray]]
    folder: Path
    files: list[Path]
    out: Path

    @property
    def scalars(self) -> dict[str, float]:
        """``psr/RECOGNIZER/FAR`` and the other rates, ``quality/…``, ``cost/…``; what was not measured is left out."""
        values = {f"{kind}/{row['black_box']}/{row['far']:g}": row.get(kind) for row in self.rows for kind in RATES}
        for group, columns in (("quality", QUALITY), ("cost", COST)):
            values |= {f"{group}/{column}": self.rows[0].get(column) for column in columns}
        return {name: value for name, value in values.items() if value is not None and not pd.isna(value)}


def tracked_cell(folder: Path) -> Tracked:
    """Of a judged cell: its folder below ``cells`` of a run's folder.

    Raises:
        FacecloakError: the cell is not complete.
    """
    result = read_result(folder)
    if result is None:
        raise FacecloakError(f"{folder} is not a complete cell.")
    rows, provenance, out = result["rows"], result["provenance"], folder.parents[1]
    first = rows[0]
    config = {
        **{name: first.get(name) for name in ABOUT},
        first["method"]: provenance["settings"],
        "hashes": {**{name: first.get(name) for name in HASHES}, "cell": provenance["key"], **provenance["weights"]},
        "versions": {"torch": provenance["torch"], "facecloak": first["facecloak"]},
    }
    return Tracked(
        f"{folder.name[-40:]}-{sha256(folder / 'cell.json')[:12]}", folder.name, first["suite"], "protect",
        [first["method"], first["preset"], first["black_box"], first["objective"]],
        config, rows, _curves(folder), _samples(folder, out), folder, _files(folder), out,
    )  # fmt: skip


def tracked_scores(out: Path, scores: pd.DataFrame, pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> Tracked:
    """Of what `facecloak evaluate` wrote.

    Args:
        out: folder of ``scores.csv`` and ``records.jsonl``.
        scores: what the former holds.
        pairs: name → original and protected, of which the first few are shown.
    """
    rows = json.loads(scores.to_json(orient="records"))  # no NaN
    samples = [(name, _side_by_side(*pair)) for name, pair in [*pairs.items()][:SAMPLES]]
    first, files = rows[0], [out / "scores.csv", out / "records.jsonl"]
    config = {column: first.get(column) for column in ("suite", "objective", "target", "n_images")}
    key = sha256_json([sha256(path) for path in files])[:12]
    return Tracked(
        f"evaluate-{key}", out.resolve().name, first["suite"], "evaluate", [first["objective"]],
        config, rows, [], samples, out, files, out,
    )  # fmt: skip


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _curves(folder: Path) -> list[dict[str, float]]:
    histories = [read_json(path)["history"] for path in sorted((folder / "outcomes").glob("*.json"))]
    names = dict.fromkeys(name for history in histories for name in history)
    curves = {f"loss/{name}": pd.DataFrame([h[name] for h in histories if name in h]).mean() for name in names}
    return pd.DataFrame(curves).to_dict("records")


def _samples(folder: Path, out: Path) -> list[tuple[str, np.ndarray]]:
    """Those of the first images that there are."""
    found = []
    for line in (folder / "records.jsonl").read_text().splitlines():
        name = json.loads(line)["id"]
        original, protected = out / "sources" / f"{name}.png", folder / "images" / f"{name}.png"
        if protected.is_file() and original.is_file() and len(found) < SAMPLES:
            found.append((name, _side_by_side(read_image(original), read_image(protected))))
    return found


def _side_by_side(original: np.ndarray, protected: np.ndarray) -> np.ndarray:
    return np.concatenate([original, protected, difference(protected, original)], axis=1)
