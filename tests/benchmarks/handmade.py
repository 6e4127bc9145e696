"""Runs written by hand, in a second: random pictures and cosines, and everything that follows from them.

Each protection is judged once (leave-one-out), except for method ``none``, which all recognizers judge.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.results.distances import Features, write_features
from benchmarks.results.schema import SCHEMA_VERSION, none_if_nan
from benchmarks.results.scoring import cost, score, surrogate_rise
from benchmarks.results.store import (
    judgement_folder,
    protection_of,
    read_judgement,
    run_id,
    sources_folder,
    write_judgement,
    write_outcome,
    write_protection,
)
from facecloak.cli.main import main
from facecloak.config import settings_hash
from facecloak.io import read_json, sha256_json, write_json, write_png
from facecloak.metrics.quality import psnr, ssim

BOXES = ("ada", "bob", "cyd")
TARGETS = ("1", "2")
FARS = {"0.1": {"threshold": 0.2}, "0.01": {"threshold": 0.4}}
WEIGHTS = {name: hashlib.sha256(name.encode()).hexdigest() for name in BOXES}
SIZE = 16
MADE_BY = "0.2 abc"


def write_run(out: Path, methods=("none", "pgd"), targets=TARGETS, boxes=BOXES, photos: int = 4, **changes) -> Path:
    """Write a run of all these judgements into ``out``, with its sources; ``changes`` are columns of every row."""
    for method in methods:
        for target in targets:
            for box in boxes:
                write_cell(out, method, target, box, photos, **changes)
    return out


def write_cell(
    out: Path, method: str, target: str, box: str, photos: int = 4, surrogates: tuple[str, ...] | None = None, **changes
) -> Path:
    """Write one judgement, and its protection if that is missing; returns the judgement's folder.

    For pgd, photos p10 and p20 have failed, and p23 no longer has a face.
    """
    if surrogates is None:
        surrogates = tuple(name for name in BOXES if name != box) if method != "none" else ()
    protection = _write_protection(out, method, target, photos, surrogates, changes)
    about, measured = read_json(protection / "protection.json"), read_json(protection / "measured.json")
    by_name = {image["id"]: image for image in measured["images"]}
    names, records = _names(target, photos), []
    outcomes = {name: read_json(protection / "outcomes" / f"{name}.json") for name in names}
    for name, outcome in outcomes.items():
        seen = outcome["error"] is None and (method, name) != ("pgd", "p23")
        records.append({
            "id": name, "usable": True, "error": outcome["error"], "detected": seen, "reference": ["self", "target"],
            "cosine": _cosines(box, name, method) if seen else {}, "cosine_clean": _cosines(box, name),
            "seconds": outcome["seconds"],
        } | {key: value for key, value in by_name.get(name, {}).items() if key != "surrogates"})  # fmt: skip
    folder = judgement_folder(protection, box)
    thresholds = {"fars": FARS, "weights_sha256": WEIGHTS[box], "pairs": "made up"}
    copied = ("suite", "dataset", "image_size", "method", "preset", "settings_hash", "seed", "objective", "target")
    row = {column: about[column] for column in copied} | {
        "schema_version": SCHEMA_VERSION, "manifest_sha256": "a" * 64, "n_images": photos, "made_by": MADE_BY,
        "date": "2026-01-02", "run_id": run_id(folder), "protection": protection.name, "black_box": box,
        "white_box": box in surrogates, "countermeasure": "none", "weights_sha256": WEIGHTS[box],
        "surrogates": "+".join(surrogates), "cosine_rise_surrogates": surrogate_rise(measured, surrogates),
        "threshold_source": "made up", "source": "measured",
    } | cost(protection, outcomes.values()) | changes  # fmt: skip
    rows = [row | each for each in score(records, row["objective"], thresholds, [0.1, 0.01])]
    write_judgement(folder, rows, records, {"fingerprint": "f" * 64, "thresholds": thresholds, "torch": "2.6"})
    return folder


def _names(target: str, photos: int) -> list[str]:
    return [f"p{target}{place}" for place in range(photos)]


def _write_protection(
    out: Path, method: str, target: str, photos: int, surrogates: tuple[str, ...], changes: dict[str, Any]
) -> Path:
    about = {
        "method": method, "preset": "default", "seed": None, "suite": "toys", "dataset": "photos/1+photos/2",
        "image_size": SIZE, "objective": "impersonation", "target": target,
    }  # fmt: skip
    about |= {column: value for column, value in changes.items() if column in about}
    settings = {"strength": len(method), "objective": about["objective"]}
    about |= {
        "settings": settings, "settings_hash": settings_hash(settings), "surrogates": [*surrogates],
        "weights": {name: WEIGHTS[name] for name in surrogates},
        "key_of": {
            "layout": 2, "suite": [about["suite"], SIZE, "mtcnn"], "method": [method, settings, None],
            "objective": about["objective"], "target": [target, None, None],
            "surrogates": [[name, WEIGHTS[name]] for name in surrogates],
        },
    }  # fmt: skip
    about["key"] = sha256_json(about["key_of"])
    folder = out / "protections" / f"{method}_{target}_{about['key'][:12]}"
    write_protection(folder, about)
    images = []
    for place, name in enumerate(_names(target, photos)):
        image = _write_image(out, folder, name, method, method != "none" and place == 0)
        if image is not None:
            seen = {} if (method, name) == ("pgd", "p23") else {
                judge: [_cosines(judge, name)["target"], _cosines(judge, name, method)["target"]]
                for judge in surrogates
            }  # fmt: skip
            images.append(image | {"surrogates": seen})
    write_json(folder / "measured.json", {"fingerprint": "e" * 64, "note": None, "images": images})
    random = np.random.default_rng(len(method))
    sides = [random.standard_normal((len(images), 5)).astype(np.float32) for _ in range(2)]
    write_features(folder, Features(*sides, {"network": "toy", "convention": "made up", "is_fid": False}))
    return folder


def _write_image(out: Path, folder: Path, name: str, method: str, failed: bool) -> dict[str, Any] | None:
    """Write the picture, its source and its outcome; returns its measurements, or None if it has failed."""
    source = np.random.default_rng([*name.encode()]).integers(40, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    change = np.random.default_rng([*folder.name.encode(), *name.encode()])
    image = source if method == "none" else source + change.integers(0, 20, source.shape, dtype=np.uint8)
    write_png(sources_folder(out, "toys") / f"{name}.png", source)
    png = io.BytesIO()
    Image.fromarray(image).save(png, format="PNG")
    write_outcome(folder, name, None if failed else png.getvalue(), {
        "id": name, "source_sha256": "d" * 64, "error": "no gradient" if failed else None, "history": {},
        "seconds": 0.5, "unet_passes": 0, "peak_memory_mb": None, "batch_size": 1, "device": "cpu, 1 threads",
        "made_by": MADE_BY,
    })  # fmt: skip
    if failed:
        return None
    pair = [torch.tensor(picture).permute(2, 0, 1)[None] for picture in (image, source)]
    values = {"psnr": none_if_nan(float(psnr(*pair))), "ssim": float(ssim(*pair))}
    return {"id": name, "identical": values["psnr"] is None, **values}


def _cosines(judge: str, name: str, method: str = "") -> dict[str, float]:
    """Made-up cosines; those of an unprotected photo are the same for all methods."""
    random = np.random.default_rng([BOXES.index(judge), *name.encode(), *method.encode()])
    return {side: float(random.uniform(-0.2, 0.8)) for side in ("target", "self")}


def edit(folder: Path, change) -> None:
    """Rewrite a judgement.json after ``change(rows, provenance)``."""
    result = read_json(folder / "judgement.json")
    change(result["rows"], result["provenance"])
    (folder / "judgement.json").write_text(json.dumps(result))  # writes NaN too, which facecloak does not


def edit_json(path: Path, change) -> None:
    """Rewrite a JSON file after ``change(content)``."""
    content = read_json(path)
    change(content)
    path.write_text(json.dumps(content))


def edit_records(folder: Path, change) -> None:
    """Rewrite records.jsonl after ``change(records)``."""
    path = folder / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record, sort_keys=True) + "\n" for record in records))


def edit_measured(folder: Path, name: str, change) -> None:
    """Rewrite the measured.json of a judgement's protection after ``change(image)`` of one photo's entry."""
    path = protection_of(folder) / "measured.json"
    edit_json(path, lambda content: change(next(each for each in content["images"] if each["id"] == name)))


def recompute(folder: Path) -> None:
    """Make the rows follow from the records again, as somebody would do to hide a change."""
    records: list[dict] = []
    edit_records(folder, records.extend)
    judgement, measured = read_judgement(folder), read_json(protection_of(folder) / "measured.json")
    fars = [row["far"] for row in judgement.rows]
    rise = surrogate_rise(measured, judgement.protection["surrogates"])
    found = score(records, judgement.rows[0]["objective"], judgement.provenance["thresholds"], fars)

    def change(rows, _):
        for row, computed in zip(rows, found, strict=True):
            row |= computed | {"n_images": len(records), "cosine_rise_surrogates": rise}

    edit(folder, change)


def rename(folder: Path, change) -> Path:
    """Rewrite protection.json after ``change(content)``, with key and folder's name; returns the judgement's folder.

    The rows then name the new folder, as somebody would do to hide the change.
    """
    protection = protection_of(folder)

    def change_all(about):
        change(about)
        about["key"] = sha256_json(about["key_of"])

    edit_json(protection / "protection.json", change_all)
    key = read_json(protection / "protection.json")["key"]
    new = protection.rename(protection.with_name(f"{protection.name[:-12]}{key[:12]}"))
    for other in new.glob("judgements/*/*"):
        set_rows(other, run_id=run_id(other), protection=new.name)
    return new / folder.relative_to(protection)


def set_row(folder: Path, far: float = 0.01, **values) -> None:
    """Change columns of the row of one FAR."""
    edit(folder, lambda rows, _: next(row for row in rows if row["far"] == far).update(values))


def set_rows(folder: Path, **values) -> None:
    """Change columns of all rows of a judgement."""
    edit(folder, lambda rows, _: [row.update(values) for row in rows])


def answer(capsys, *runs: Path) -> tuple[int, list[str], str]:
    """The result of the check: exit status, findings, and the text on stderr, including the progress."""
    status = main(["leaderboard", "--check", *map(str, runs)])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def findings(capsys, run: Path, cell: Path) -> str:
    """The findings of a run of 12 judgements, all of which must be of this judgement or of its protection."""
    status, lines, err = answer(capsys, run)
    assert status == 1 and err.endswith(f"{len(lines)} findings in 12 judgements of 8 protections\n"), err
    assert lines and all(line.startswith(str(protection_of(cell))) for line in lines), lines
    return "\n".join(lines)
