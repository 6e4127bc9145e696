"""Where a row comes from and what it cost."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import facecloak
from benchmarks.harness.cell import Cell
from benchmarks.harness.plan import Plan
from benchmarks.results.schema import SCHEMA_VERSION
from facecloak.config import settings_hash
from facecloak.data import Photo
from facecloak.io import read_json

ROOT = Path(__file__).resolve().parents[2]


def describe(cell: Cell, manifest: str, photos: dict[str, Photo], plan: Plan) -> dict[str, Any]:
    """What the cell is, as columns of its rows."""
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": plan.suite.name,
        "dataset": plan.suite.dataset,
        "manifest_sha256": manifest,
        "n_images": len(photos),
        "image_size": plan.suite.image_size,
        "method": cell.method,
        "preset": cell.preset,
        "settings_hash": settings_hash(cell.settings),
        "facecloak": facecloak.__version__,
        "git_sha": git_sha(),
        "seed": getattr(cell.settings, "seed", None),
        "date": datetime.now(UTC).date().isoformat(),
        "run_id": cell.folder(plan.out).name,
        "objective": cell.objective,
        "target": cell.target.name,
        "black_box": cell.black_box,
        "white_box": cell.white_box,
        "weights_sha256": cell.weights[cell.black_box],
        "surrogates": "+".join(cell.surrogates),
        "threshold_source": plan.thresholds[cell.black_box].get("pairs"),
        "source": "measured",
    }


def cost(folder: Path, made: list[dict[str, Any]]) -> dict[str, Any]:
    """Cost columns from the outcomes of the images that a method made, and from the cell's ``training.json``."""
    if not made:
        return {}
    seconds = sum(outcome["seconds"] for outcome in made) / len(made)
    trained = folder / "training.json"
    training = read_json(trained)["total_seconds"] if trained.is_file() else None
    return {
        "seconds_per_image": seconds,
        "training_seconds": training,
        "amortised_seconds_per_image": seconds + (training or 0) / len(made),
        "peak_memory_mb": max((outcome["peak_memory_mb"] or 0 for outcome in made), default=0) or None,
        "unet_passes": max(outcome["unet_passes"] for outcome in made),
        "device": made[0]["device"],
    }


def git_sha() -> str | None:
    """The commit of the checkout that this code runs from, +changes if it is not clean; None if it is installed."""
    if not (ROOT / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=True).stdout
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+changes" if changes else "")
