"""Small runs written by hand: cells with known cosines, pictures, and what a board is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results.schema import COLUMNS
from benchmarks.results.scoring import success_rows
from benchmarks.results.store import write_result
from benchmarks.results.table import long_table
from facecloak.io import sha256_json, write_png

THRESHOLDS = {"0.1": 0.2, "0.01": 0.4, "0.001": 0.6}
# success at FAR 0.01 follows from these: cosines to the target of images p0, p1, …
COSINES = {
    "none": [0.1, 0.15, 0.3, 0.1], "weak": [0.45, 0.1, 0.3, 0.2], "strong": [0.7, 0.65, 0.5, 0.1],
    "bad": [0.2, 0.5, 0.1, 0.1],
}  # fmt: skip
PSNR = {"none": None, "weak": 40.0, "strong": 25.0, "bad": 30.0}
DISTANCE = {"none": 0.0, "weak": 1.5, "strong": 1.25, "bad": 2.0}  # as text, 1.25 would come after 1.5


def record(name: str, cosine: float | None, boxes: tuple[str, ...], psnr: float | None, **changes: Any) -> dict:
    """A line of records.jsonl in which every recognizer sees the same."""
    both = {"target": dict.fromkeys(boxes, cosine), "self": dict.fromkeys(boxes, None if cosine is None else 0.5)}
    clean = {"target": dict.fromkeys(boxes, 0.1), "self": dict.fromkeys(boxes, 0.9)}
    return {
        "id": name, "usable": True, "detected": cosine is not None, "error": None, "reference": ["self", "target"],
        "identical": psnr is None, "cosine": both, "cosine_clean": clean, "psnr": psnr, "ssim": 0.9123, "seconds": 0.25,
    } | changes  # fmt: skip


def write_cell(
    run: Path,
    method: str,
    target: str = "1",
    box: str = "ada",
    records: list[dict] | None = None,
    pictures: bool = False,
    **changes: Any,
) -> Path:
    """A judged cell of suite toys below a run's folder, which is returned; ``changes`` are columns of its rows."""
    cosines, psnr = COSINES.get(method, [0.3, 0.5]), PSNR.get(method, 33.0)
    if records is None:
        records = [record(f"p{place}", cosine, ("ada", "bob"), psnr) for place, cosine in enumerate(cosines)]
    white = changes.get("white_box", False)
    objective = changes.get("objective", "impersonation")
    run_id = f"{method}-default_{target}_{box}_{objective}{'_white' if white else ''}".replace("/", "-")
    thresholds = {"fars": {far: {"threshold": value} for far, value in THRESHOLDS.items()}, "pairs": "made up"}
    shared = dict.fromkeys(COLUMNS) | {
        "schema_version": 3, "suite": "toys", "manifest_sha256": "m", "n_images": len(records), "method": method,
        "preset": "default", "settings_hash": sha256_json(method), "date": "2026-01-02", "run_id": run_id,
        "objective": objective, "target": target, "black_box": box, "white_box": False, "weights_sha256": f"w {box}",
        "surrogates": "cyd", "psnr": psnr, "n_identical": len(records) if psnr is None else 0, "ssim": 0.9,
        "fd": DISTANCE.get(method, 5.0), "fd_network": "pocket", "seconds_per_image": 0.25, "device": "cpu",
        "source": "measured",
    }  # fmt: skip
    rows = success_rows(records, objective, box, [], thresholds, [0.1, 0.01, 0.001])
    folder = run / "cells" / run_id
    provenance = {"settings": {"strength": 8}, "thresholds": thresholds, "weights": {box: f"w {box}"}, "torch": "2.6"}
    write_result(folder, [shared | row | changes for row in rows], records, provenance)
    for each in records if pictures else []:
        seed = int.from_bytes(each["id"].encode()[-1:])
        photo = np.random.default_rng(seed).integers(60, 190, (32, 32, 3), dtype=np.uint8)
        write_png(run / "sources" / f"{each['id']}.png", photo)
        write_png(folder / "images" / f"{each['id']}.png", photo + np.uint8(0 if method == "none" else 5))
    return folder


def write_runs(root: Path) -> list[Path]:
    """Two runs: three methods with all four cells, one (bad) that lacks a cell, a white-box cell; returns the cells."""
    folders = []
    for target in ("1", "2"):
        for box in ("ada", "bob"):
            for method in COSINES:
                if (method, target, box) != ("bad", "2", "bob"):
                    run = root / ("first" if method in ("none", "weak") else "second")
                    folders.append(write_cell(run, method, target, box, pictures=True))
    return [*folders, write_cell(root / "second", "strong", white_box=True)]


def board_of(folders: list[Path]) -> tuple[pd.DataFrame, dict[str, Path]]:
    """The table and the cells that a board is made from, with two reported lines."""
    table = long_table(folders)
    reported = [
        dict.fromkeys(COLUMNS) | {
            "suite": "toys", "method": "Published", "objective": "impersonation", "target": "mean", "black_box": box,
            "far": 0.01, "psr": psr, "fid": 12.5, "psnr": 27.0, "source": "reported", "paper": "A et al., 2025",
            "note": "copied",
        }
        for box, psr in (("ada", 0.8), ("bob", 0.6))
    ]  # fmt: skip
    table = pd.concat([table, pd.DataFrame(reported, columns=table.columns).astype({"white_box": bool})])
    return table.reset_index(drop=True), {folder.name: folder for folder in folders}
