"""Whether a cell's images are those of its records. Each rule yields (None, what is wrong)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.check.records import was_made
from benchmarks.results.records import Record
from benchmarks.results.schema import Problem
from facecloak.errors import FacecloakError
from facecloak.io import read_image, read_json, sha256
from facecloak.metrics.quality import psnr, ssim

TOLERANCE = 1e-6  # dB, and of SSIM: another machine may round another way


def image_problems(folder: Path, records: list[Record], side: int) -> Iterator[Problem]:
    """Every image that the records tell of is there, as its outcome says, and no other.

    PSNR and SSIM are computed again where the run kept the source.

    Args:
        side: of the square that every image must be, in pixels.
    """
    made = {record["id"]: record for record in records if was_made(record)}
    finished = {record["id"] for record in records if record["usable"]}  # a failed image has an outcome and no picture
    for kind, suffix, wanted in (("images", ".png", {*made}), ("outcomes", ".json", finished)):
        there = {path.name for path in (folder / kind).iterdir()} if (folder / kind).is_dir() else set()
        wanted = {name + suffix for name in wanted}
        for name in sorted(wanted - there):
            yield None, f"{kind}/{name} is missing, though there is a record of it"
        for name in sorted(there - wanted):
            yield None, f"{kind}/{name} is there, and no record tells of it"
    for name, record in made.items():
        if (folder / "images" / f"{name}.png").is_file() and (folder / "outcomes" / f"{name}.json").is_file():
            yield from ((None, problem) for problem in _picture_problems(folder, record, side))


def _picture_problems(folder: Path, record: Record, side: int) -> Iterator[str]:
    name = record["id"]
    picture, source = folder / "images" / f"{name}.png", folder.parents[1] / "sources" / f"{name}.png"
    try:
        outcome: Any = read_json(folder / "outcomes" / f"{name}.json")
    except FacecloakError as error:
        yield str(error)
        return
    outcome, found = outcome if isinstance(outcome, dict) else {}, sha256(picture)
    if outcome.get("error") is not None:
        yield f"outcomes/{name}.json tells of an error ({outcome['error']}), the record of none"
    if outcome.get("png_sha256") != found:
        yield f"images/{name}.png has SHA-256 {found}, outcomes/{name}.json says {outcome.get('png_sha256')}"
        return
    pixels = []
    for path in (picture, source) if source.is_file() else (picture,):
        try:
            pixels.append(read_image(path))
        except FacecloakError as error:
            yield str(error)
            return
        if pixels[-1].shape != (side, side, 3):
            yield f"{path} has {pixels[-1].shape[1]}×{pixels[-1].shape[0]} pixels, image_size is {side}"
            return
    if len(pixels) == 2:
        yield from _quality_problems(record, *pixels, source)


def _quality_problems(record: Record, picture: np.ndarray, photo: np.ndarray, source: Path) -> Iterator[str]:
    pair = [torch.tensor(image).permute(2, 0, 1)[None] for image in (picture, photo)]
    values = {"psnr": float(psnr(*pair)), "ssim": float(ssim(*pair))}
    for name, value in values.items():
        stored = math.inf if record.get(name) is None else record[name]  # the PSNR of identical images
        if value != stored and not abs(value - stored) <= TOLERANCE:
            yield f"images/{record['id']}.png: {name} is {record.get(name)}, against {source} it is {value}"
