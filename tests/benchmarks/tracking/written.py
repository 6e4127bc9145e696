"""A method's results written by hand: protections, judgements with given rates, grey pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.results.schema import SCHEMA_VERSION
from benchmarks.results.store import (
    judgement_folder,
    protections_folder,
    run_id,
    sources_folder,
    write_judgement,
    write_outcome,
    write_protection,
)
from facecloak.config import settings_hash
from facecloak.io import file_name, sha256_json, write_png

SIZE = 8


def write_method(run: Path, rates: dict[tuple[str, str, str], float], method: str = "pgd", *,
                 countermeasure: str = "none", **about) -> list[Path]:  # fmt: skip
    """Write a method of a run; returns the folders of its judgements.

    Args:
        rates: (target, judge, surrogates separated by +) → PSR at FAR 0.01; at 0.1 it is half of that.
        countermeasure: what was done to the pictures.
        about: values for protection.json, such as ``settings``, and for columns, such as ``note``.
    """
    settings = about.pop("settings", {"strength": 1})
    columns = {name: about.pop(name) for name in ("note", "psnr", "n_identical", "threshold_source") if name in about}
    folders = []
    for (target, judge, surrogates), psr in rates.items():
        described = {
            "suite": "toys", "dataset": "photos", "image_size": SIZE, "method": method, "preset": "default",
            "settings": settings, "settings_hash": settings_hash(settings), "seed": None, "objective": "impersonation",
            "target": target, "surrogates": surrogates.split("+"), "weights": {}, **about,
        }  # fmt: skip
        key = sha256_json([settings, surrogates, target])
        protection = protections_folder(run) / f"{file_name(method)}_{target}_{key[:12]}"
        if not protection.exists():
            write_protection(protection, {"key": key, "key_of": {}, **described})
            _write_images(run, protection, target)
        folder = judgement_folder(protection, judge, countermeasure)
        copied = ("suite", "dataset", "image_size", "method", "preset", "objective", "settings_hash")
        row = {name: described[name] for name in copied} | {
            "schema_version": SCHEMA_VERSION, "manifest_sha256": "a" * 64, "n_images": 2, "target": target,
            "run_id": run_id(folder), "protection": protection.name,
            "black_box": judge, "white_box": judge in surrogates.split("+"), "countermeasure": countermeasure,
            "surrogates": surrogates, "threshold": 0.4, "n_undetected": 0, "n_failed": 1, "n_unusable": 0,
            "psnr": 30.0, "seconds_per_image": 2.0, "source": "measured", **columns,
        }  # fmt: skip
        rows = [row | {"far": 0.1, "psr": psr / 2}, row | {"far": 0.01, "psr": psr, "dodging": 1.0}]
        write_judgement(folder, rows, [], {"fingerprint": "f" * 64, "thresholds": {}, "torch": "2.6"})
        folders.append(folder)
    return folders


def _write_images(run: Path, protection: Path, target: str) -> None:
    """Write two images, of which the first has the losses 4, 2 and the second only 2."""
    for place, losses in enumerate(([4.0, 2.0], [2.0])):
        name = f"p{target}{place}"
        source = np.full((SIZE, SIZE, 3), 100 + 20 * place, np.uint8)
        write_png(sources_folder(run, "toys") / f"{name}.png", source)
        png = io.BytesIO()
        Image.fromarray(source + np.uint8(1)).save(png, format="PNG")
        outcome = {"id": name, "source_sha256": "d" * 64, "error": None, "history": {"loss": losses}}
        write_outcome(protection, name, png.getvalue(), outcome)
