"""Cells written by hand, in a second instead of a run: random pictures and cosines, and all that follows from them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.results.schema import SCHEMA_VERSION, none_if_nan
from benchmarks.results.scoring import success_rows
from benchmarks.results.store import write_outcome, write_result
from facecloak.cli.main import main
from facecloak.config import settings_hash
from facecloak.io import read_json, sha256_json, write_json, write_png
from facecloak.metrics.quality import psnr, ssim

BOXES = ("ada", "bob", "cyd")
TARGETS = ("1", "2")
FARS = {"0.1": {"threshold": 0.2}, "0.01": {"threshold": 0.4}}
WEIGHTS = {name: hashlib.sha256(name.encode()).hexdigest() for name in BOXES}
SIZE = 16


def write_run(out: Path, methods=("none", "pgd"), targets=TARGETS, boxes=BOXES, photos: int = 4, **changes) -> Path:
    """A run of all these cells below ``out``, with its sources; ``changes`` are columns of every row."""
    for method in methods:
        for target in targets:
            for box in boxes:
                write_cell(out, method, target, box, photos, **changes)
    return out


def write_cell(out: Path, method: str, target: str, box: str, photos: int = 4, **changes) -> Path:
    """One cell; returns its folder. Of pgd p10 and p20 have failed, and in p23 there is no face any more."""
    surrogates = [name for name in BOXES if name != box] if method != "none" else []
    settings = {"strength": len(method), "objective": changes.get("objective", "impersonation")}
    row = {
        "schema_version": SCHEMA_VERSION, "suite": "toys", "dataset": "photos/1+photos/2", "manifest_sha256": "a" * 64,
        "n_images": photos, "image_size": SIZE, "method": method, "preset": "default",
        "settings_hash": settings_hash(settings), "date": "2026-01-02", "objective": "impersonation", "target": target,
        "black_box": box, "white_box": False, "weights_sha256": WEIGHTS[box], "surrogates": "+".join(surrogates),
        "threshold_source": "made up", "source": "measured", "device": "cpu, 1 threads", "fd_network": "toy",
        "seconds_per_image": 0.5, "lpips": None,
    } | changes  # fmt: skip
    surrogates = [name for name in row["surrogates"].split("+") if name]
    key_of = {
        "layout": 1, "suite": [row["suite"], SIZE, "mtcnn"], "method": [method, settings, None],
        "objective": row["objective"], "target": [target, None, None], "black_box": [box, row["white_box"]],
        "surrogates": [[name, WEIGHTS[name]] for name in surrogates],
    }  # fmt: skip
    key = sha256_json(key_of)
    folder = out / "cells" / f"{method}-{row['preset'].rstrip('*')}_{target}_{box}_{key[:12]}"
    random = np.random.default_rng([len(method), int(target), BOXES.index(box)])
    failed = [method != "none" and index == 0 for index in range(photos)]
    records = [_write_image(out, folder, f"p{target}{k}", method, failed[k], random, box) for k in range(photos)]
    made = [record for record in records if record["error"] is None]
    numbers = [record["psnr"] for record in made if record["psnr"] is not None]
    row |= {
        "run_id": folder.name, "n_identical": sum(record["identical"] for record in made), "n_fid": len(made),
        "fd": 0.5, "ssim": sum(record["ssim"] for record in made) / len(made),
        "psnr": sum(numbers) / len(numbers) if numbers else None,
    }  # fmt: skip
    thresholds = {"fars": FARS, "weights_sha256": WEIGHTS[box]}
    rows = success_rows(records, row["objective"], box, surrogates, thresholds, [0.1, 0.01])
    write_result(folder, [row | each for each in rows], records, {
        "fingerprint": "f" * 64, "key": key, "key_of": key_of, "weights": WEIGHTS, "settings": settings,
        "thresholds": thresholds,
    })  # fmt: skip
    return folder


def _write_image(
    out: Path, folder: Path, name: str, method: str, failed: bool, random: np.random.Generator, box: str
) -> dict:
    source = np.random.default_rng([*name.encode()]).integers(40, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    image = source if method == "none" else source + random.integers(0, 20, source.shape, dtype=np.uint8)
    write_png(out / "sources" / f"{name}.png", source)
    error = "no gradient" if failed else None
    seen = not failed and (method, name) != ("pgd", "p23")
    png = io.BytesIO()
    Image.fromarray(image).save(png, format="PNG")
    write_outcome(folder, name, None if failed else png.getvalue(), {"id": name, "error": error, "seconds": 0.5})
    of_source = np.random.default_rng([*name.encode(), BOXES.index(box)])  # no method changes these
    cosines = [
        {side: {box: float(numbers.uniform(-0.2, 0.8)) for box in BOXES} for side in ("target", "self")}
        for numbers in (random, of_source)
    ]
    record = {
        "id": name, "usable": True, "error": error, "detected": seen, "reference": ["self", "target"],
        "cosine": cosines[0] if seen else {"target": {}, "self": {}}, "cosine_clean": cosines[1], "seconds": 0.5,
    }  # fmt: skip
    if not failed:
        pair = [torch.tensor(picture).permute(2, 0, 1)[None] for picture in (image, source)]
        record |= {"psnr": none_if_nan(float(psnr(*pair))), "ssim": float(ssim(*pair))}
        record["identical"] = record["psnr"] is None
    return record


def edit(folder: Path, change) -> None:
    """Rewrite a cell.json after ``change(rows, provenance)``."""
    result = read_json(folder / "cell.json")
    change(result["rows"], result["provenance"])
    write_json(folder / "cell.json", result)


def edit_records(folder: Path, change) -> None:
    """Rewrite records.jsonl after ``change(records)``."""
    path = folder / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record, sort_keys=True) + "\n" for record in records))


def recompute(cell: Path) -> None:
    """Make the rows of a cell follow from its records again, as somebody would who wants the change not to show."""
    records = []
    edit_records(cell, records.extend)
    made = [record for record in records if record["usable"] and record["error"] is None]

    def change(rows, provenance):
        first, fars = rows[0], [row["far"] for row in rows]
        surrogates = first["surrogates"].split("+")
        found = success_rows(
            records, first["objective"], first["black_box"], surrogates, provenance["thresholds"], fars
        )
        for row, computed in zip(rows, found, strict=True):
            row |= computed | {"n_images": len(records), "n_fid": len(made)}
            row |= {name: sum(record[name] for record in made) / len(made) for name in ("psnr", "ssim")}

    edit(cell, change)


def set_row(folder: Path, far: float = 0.01, **values) -> None:
    """Change columns of the row of one FAR."""
    edit(folder, lambda rows, _: next(row for row in rows if row["far"] == far).update(values))


def set_rows(folder: Path, **values) -> None:
    """Change columns of all rows of a cell."""
    edit(folder, lambda rows, _: [row.update(values) for row in rows])


def answer(capsys, *runs: Path) -> tuple[int, list[str], str]:
    """What the check says: exit status, findings, and what goes to stderr, the progress included."""
    status = main(["leaderboard", "--check", *map(str, runs)])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def findings(capsys, run: Path, cell: Path) -> str:
    """The findings of a run of 12 cells, all of which must be of this cell."""
    status, lines, err = answer(capsys, run)
    assert status == 1 and err.endswith(f"{len(lines)} findings in 12 cells\n")
    assert lines and all(line.startswith(str(cell)) for line in lines), lines
    return "\n".join(lines)
