"""Pictures in rows and columns: the results of methods on the same photos, and how much they changed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from benchmarks.results.store import protection_of, read_judgement, sources_folder
from benchmarks.results.table import method_names
from facecloak.errors import FacecloakError
from facecloak.io import read_image, write_bytes, write_png

ROWS = 6  # sources in a grid
GAIN = 10  # of the difference; written with an x, since the font that comes with Pillow has no ×
SIDE, GAP, HEADING = 256, 4, 28  # pixels of a picture's side, between two pictures, and above a column

Row = list[np.ndarray | str | None]


def write_sources(folder: Path, photos: dict[str, np.ndarray | None]) -> None:
    """Store the unprotected photos that a grid shows, at the suite's size; protections contain only protected photos.

    Args:
        photos: source name → uint8 S×S×3; None if a photo cannot be read: its earlier picture is removed.
    """
    for name, image in photos.items():
        if image is None:
            (folder / f"{name}.png").unlink(missing_ok=True)
        else:
            write_png(folder / f"{name}.png", image)


def write_grid(out: Path, folders: list[Path], names: list[str] | None = None) -> None:
    """Write ``grid.png``: a row for each of the first sources, with every method's picture of it and the difference.

    Args:
        out: folder of ``grid.png``.
        folders: folders of complete judgements; only those with the first one's suite, target and judge are shown.
        names: names for the methods shown; by default method and preset.
    """
    if not folders:
        return
    rows = pd.DataFrame([read_judgement(folder).rows[0] for folder in folders]).assign(folder=folders)
    if names is None:  # unprotected photos come first
        rows = rows.sort_values("method", key=lambda found: found != "none", kind="stable", ignore_index=True)
    same = ["suite", "target", "black_box"]
    shown = rows[(rows[same] == rows.loc[0, same]).all(axis=1)].drop_duplicates(["method", "settings_hash"])
    records = (shown.iloc[0]["folder"] / "records.jsonl").read_text().splitlines()[:ROWS]
    protections, lines = [protection_of(folder) for folder in shown["folder"]], []
    for name in (json.loads(record)["id"] for record in records):
        original, made = read_pictures(protections, name, shown.iloc[0]["suite"])
        lines.append([original, *(picture for image in made for picture in (image, difference(image, original)))])
    heads = [head for name in names or method_names(shown) for head in (name, f"difference x{GAIN}")]
    write_picture(out / "grid.png", ["original", *heads], lines)


def read_pictures(protections: list[Path], name: str, suite: str) -> tuple[np.ndarray | None, list[np.ndarray | None]]:
    """The unprotected photo of that name, and its picture in each of these protections; None for a missing picture.

    Args:
        protections: folders, of any runs: the photo is taken from the first run that kept it (see `write_sources`).
        suite: name of the suite of the photo.
    """
    kept = (_read(sources_folder(folder.parents[1], suite) / f"{name}.png") for folder in protections)
    original = next((photo for photo in kept if photo is not None), None)
    return original, [_read(folder / "images" / f"{name}.png") for folder in protections]


def _read(path: Path) -> np.ndarray | None:
    try:
        return read_image(path)
    except FacecloakError:  # shown as missing; the tables count it
        return None


def difference(protected: np.ndarray | None, original: np.ndarray | None) -> np.ndarray | None:
    """The change, ×10 around mid-grey: uint8 S×S×3, or None if an image is missing or the sizes differ."""
    if protected is None or original is None or protected.shape != original.shape:
        return None
    change = protected.astype(np.int32) - original
    return (128 + GAIN * change).clip(0, 255).astype(np.uint8)


def write_picture(path: Path, heads: list[str], rows: list[Row]) -> None:
    """Write pictures as PNG, in rows, under a head for each column; a missing picture is an empty box with "failed".

    Args:
        rows: uint8 S×S×3 each, shown at 256×256; a text is shown in an empty box.
    """
    size = (len(heads) * (SIDE + GAP) - GAP, HEADING + len(rows) * (SIDE + GAP) - GAP)
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for column, head in enumerate(heads):
        left = column * (SIDE + GAP)
        _write(draw, head, left + SIDE / 2, HEADING / 2)
        for number, row in enumerate(rows):
            top = HEADING + number * (SIDE + GAP)
            if row[column] is None or isinstance(row[column], str):
                draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline="grey")
                _write(draw, row[column] or "failed", left + SIDE / 2, top + SIDE / 2)
            else:
                page.paste(_scaled(row[column]), (left, top))
    buffer = io.BytesIO()
    page.save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())


def _scaled(image: np.ndarray) -> Image.Image:
    """The image at the grid's size; whole multiples keep sharp pixels, so that a change of one pixel is a square."""
    whole = SIDE % len(image) == 0
    resample = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    return Image.fromarray(image).resize((SIDE, SIDE), resample)


def _write(draw: ImageDraw.ImageDraw, text: str, x: float, y: float) -> None:
    """Write a text around a centre, small enough for a column."""
    size = 18
    while size > 8 and ImageFont.load_default(size).getlength(text) > SIDE:
        size -= 1
    draw.text((x, y), text, fill="black", font=ImageFont.load_default(size), anchor="mm")
