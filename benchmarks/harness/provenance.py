"""Where pictures and rows come from, and what they cost."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import facecloak
from facecloak.io import read_json

ROOT = Path(__file__).resolve().parents[2]


def cost(protection: Path, made: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Cost columns from the outcomes of the images that a method made, and from the protection's training.json."""
    if not made:
        return {}
    known = [outcome["seconds"] for outcome in made if outcome["seconds"] is not None]
    seconds = sum(known) / len(known) if known else None
    trained = protection / "training.json"
    training = read_json(trained)["total_seconds"] if trained.is_file() else None
    return {
        "seconds_per_image": seconds,
        "training_seconds": training,
        "amortised_seconds_per_image": None if seconds is None else seconds + (training or 0) / len(made),
        "peak_memory_mb": max((outcome["peak_memory_mb"] or 0 for outcome in made), default=0) or None,
        "unet_passes": max((outcome["unet_passes"] or 0 for outcome in made), default=0),
        "device": made[0]["device"],
    }


def made_by() -> str:
    """The version and, in a checkout, the commit of the code that makes pictures now."""
    return " ".join(filter(None, (facecloak.__version__, git_sha())))


@cache
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
