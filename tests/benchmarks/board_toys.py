"""Small runs written by hand: cells with known cosines, pictures, and everything else that a board is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.leaderboard.results import Results
from benchmarks.results.distances import Features, write_features
from benchmarks.results.records import Records, read_one
from benchmarks.results.schema import COLUMNS, SCHEMA_VERSION
from benchmarks.results.scoring import score
from benchmarks.results.store import (
    judgement_folder,
    read_judgement,
    run_id,
    sources_folder,
    write_judgement,
    write_protection,
)
from benchmarks.results.table import long_table
from facecloak.io import sha256_json, write_png

THRESHOLDS = {"0.1": 0.2, "0.01": 0.4, "0.001": 0.6}
# success at FAR 0.01 follows from these: cosines to the target of images p0, p1, …
COSINES = {
    "none": [0.1, 0.15, 0.3, 0.1], "weak": [0.45, 0.1, 0.3, 0.2], "strong": [0.7, 0.65, 0.5, 0.1],
    "bad": [0.2, 0.5, 0.1, 0.1],
}  # fmt: skip
PSNR = {"none": None, "weak": 40.0, "strong": 25.0, "bad": 30.0}
DISTANCE = {"none": 0.0, "weak": 1.5, "strong": 1.25, "bad": 2.0}  # sorted as text, 1.25 would come after 1.5


def record(name: str, cosine: float | None, psnr: float | None, **changes: Any) -> dict:
    """A line of records.jsonl."""
    both = {} if cosine is None else {"target": cosine, "self": 0.5}
    return {
        "id": name, "usable": True, "detected": cosine is not None, "error": None, "reference": ["self", "target"],
        "identical": psnr is None, "cosine": both, "cosine_clean": {"target": 0.1, "self": 0.9}, "psnr": psnr,
        "ssim": 0.9123, "seconds": 0.25,
    } | changes  # fmt: skip


def write_cell(
    run: Path,
    method: str,
    target: str = "1",
    box: str = "ada",
    records: list[dict] | None = None,
    pictures: bool = False,
    surrogates: str = "cyd",
    strength: int = 8,
    **changes: Any,
) -> Path:
    """Write a judgement of suite toys into a run's folder; returns its folder. ``changes`` are columns of its rows."""
    settings_hash = sha256_json(method if strength == 8 else [method, strength])
    cosines, psnr = COSINES.get(method, [0.3, 0.5]), PSNR.get(method, 33.0)
    network, fid = changes.pop("fd_network", "pocket"), changes.pop("fid", None)
    if records is None:
        records = [record(f"p{place}", cosine, psnr) for place, cosine in enumerate(cosines)]
    objective, white = changes.get("objective", "impersonation"), changes.get("white_box", False)
    name = f"{method}_{target}_{box}_{surrogates}_{objective}{'_white' if white else ''}"
    name = (name if strength == 8 else f"{name}_{strength}").replace("/", "-")
    protection = run / "protections" / name
    folder = judgement_folder(protection, box)
    thresholds = {"fars": {far: {"threshold": value} for far, value in THRESHOLDS.items()}, "pairs": "made up"}
    shared = dict.fromkeys(COLUMNS) | {
        "schema_version": SCHEMA_VERSION, "suite": "toys", "manifest_sha256": "m", "n_images": len(records),
        "method": method, "preset": "default", "settings_hash": settings_hash, "date": "2026-01-02",
        "run_id": run_id(folder), "protection": name, "objective": objective, "target": target, "black_box": box,
        "white_box": False, "countermeasure": "none", "weights_sha256": f"w {box}", "surrogates": surrogates,
        "device": "cpu", "source": "measured",
        "seconds_per_image": 0.25, "amortised_seconds_per_image": 0.25,
    }  # fmt: skip
    rows = [shared | row | changes for row in score(records, objective, thresholds, [0.1, 0.01, 0.001])]
    write_protection(protection, {
        "key": name, "key_of": {}, "method": method, "preset": "default", "settings": {"strength": strength},
        "settings_hash": settings_hash, "suite": "toys", "image_size": 32, "objective": objective,
        "target": target, "surrogates": [surrogates], "weights": {},
    })  # fmt: skip
    write_judgement(folder, rows, records, {"thresholds": thresholds, "torch": "2.6"})
    for each in records if pictures else []:
        seed = int.from_bytes(each["id"].encode()[-1:])
        photo = np.random.default_rng(seed).integers(60, 190, (32, 32, 3), dtype=np.uint8)
        write_png(sources_folder(run, "toys") / f"{each['id']}.png", photo)
        write_png(protection / "images" / f"{each['id']}.png", photo + np.uint8(0 if method == "none" else 5))
    # all pictures of a method have the same distance from their sources
    shift = np.zeros((len(records) * 5, 2), np.float32)
    sources = np.repeat(np.arange(len(records) * 5, dtype=np.float32)[:, None], 2, axis=1)
    shift[:, 0] = (fid or DISTANCE.get(method, 5.0)) ** 0.5
    about = {"network": network or "inception", "convention": "made up", "is_fid": fid is not None}
    write_features(protection, Features(sources + shift, sources, about))
    return folder


def records_of(folders: list[Path]) -> dict[str, Records]:
    """run_id → records."""
    return {run_id(folder): read_one(folder) for folder in folders}


def write_runs(root: Path) -> list[Path]:
    """Write two runs: three methods with all four cells, one (bad) with a missing cell, and a white-box cell; returns
    the cells."""
    folders = []
    for target in ("1", "2"):
        for box in ("ada", "bob"):
            for method in COSINES:
                if (method, target, box) != ("bad", "2", "bob"):
                    run = root / ("first" if method in ("none", "weak") else "second")
                    folders.append(write_cell(run, method, target, box, pictures=True))
    return [*folders, write_cell(root / "second", "strong", white_box=True)]


def board_of(folders: list[Path]) -> Results:
    """The board of these judgements, with two reported lines."""
    published = pd.DataFrame([
        {
            "suite": "toys", "method": "Published", "objective": "impersonation", "target": "mean", "black_box": box,
            "far": 0.01, "psr": psr, "fid": 12.5, "psnr": 27.0, "source": "reported", "paper": "A et al., 2025",
            "note": "copied", "white_box": False, "psr_both": psr,
        }
        for box, psr in (("ada", 0.8), ("bob", 0.6))
    ])  # fmt: skip
    return Results(long_table(folders), published, {run_id(folder): read_judgement(folder) for folder in folders})
