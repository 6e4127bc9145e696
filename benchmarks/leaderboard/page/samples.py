"""The pictures that the page holds: a few photos before and after, and their differences."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.results.pictures import difference, read_pictures
from benchmarks.results.records import Records
from benchmarks.results.table import TASK

BUDGET = 2_000_000  # bytes in all boards together
SIDE = 256  # pixels at most
QUALITY = 88  # of WebP
PHOTOS = 4  # per target at most


def describe_samples(
    table: pd.DataFrame, protections: dict[str, Path], records: dict[str, Records]
) -> list[dict[str, Any]]:
    """The first photos of every target, as each method changed them for the first black box.

    A photo is shown with all methods that have a picture of it, or not at all. The first photos of all targets come
    before the second ones, until `BUDGET` is spent.

    Returns:
        for each photo: suite, objective, black_box, target, id, ``original`` and ``made``: name → [protected, ×10
        difference], all data URIs.
    """
    measured = table[(table["source"] == "measured") & ~table["white_box"].fillna(False).astype(bool)]
    wanted = []
    for kind, board in measured.groupby(TASK, sort=True):
        box = board["black_box"].min()
        for target, judged in board[board["black_box"] == box].groupby("target", sort=True):
            runs = judged.sort_values("run_id").drop_duplicates("name").set_index("name")["run_id"]
            for place, photo in enumerate(records[runs.iloc[0]].ids[:PHOTOS]):
                wanted.append((place, *kind, box, target, photo, runs))
    samples, spent = [], 0
    for _, suite, objective, box, target, photo, runs in sorted(wanted, key=lambda each: each[:5]):
        sample = _sample(photo, {name: protections[run_id] for name, run_id in runs.items()}, suite)
        if sample is None:
            continue
        spent += len(sample["original"]) + sum(len(uri) for pair in sample["made"].values() for uri in pair)
        if spent > BUDGET:
            break
        where = {"suite": suite, "objective": objective, "black_box": box, "target": str(target), "id": photo}
        samples.append(where | sample)
    return sorted(samples, key=lambda sample: (sample["suite"], sample["objective"], sample["target"], sample["id"]))


def _sample(photo: str, folders: dict[str, Path], suite: str) -> dict[str, Any] | None:
    original, pictures = read_pictures([*folders.values()], photo, suite)
    made = {}
    for name, image in zip(folders, pictures, strict=True):
        change = difference(image, original)
        if change is not None:
            made[name] = [_uri(image), _uri(change)]
    return {"original": _uri(original), "made": made} if made else None


def _uri(image: np.ndarray) -> str:
    picture, buffer = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.save(buffer, format="WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
