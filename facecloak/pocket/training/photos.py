"""The photos of the suite: sources and targets, two photos of each person, drawn once and kept as PNG."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from facecloak.io import write_bytes, write_png
from facecloak.pocket.portraits import portraits
from facecloak.pocket.training.corpus import SUITE

SOURCES = SUITE[:24]
TARGETS = SUITE[40:44]
SYNTHETIC = SUITE[50]  # whom obfuscation moves towards
FIRST, SECOND = 0, 1  # shots
COLUMNS = ("file", "person", "shot", "caption", "landmarks")


def write_photos(folder: Path) -> None:
    """Write ``sources``, ``second``, ``targets`` and ``photos.csv``, which says who is drawn where and how.

    Person and shot are the numbers of `portraits`, which draws the same portrait again with its region masks;
    landmarks are eyes, nose and corners of the mouth, x and y in pixels.
    """
    files = {f"sources/{person}.png": (person, FIRST) for person in SOURCES}
    files |= {f"second/{person}.png": (person, SECOND) for person in SOURCES}
    for number, person in enumerate(TARGETS, start=1):
        files |= {f"targets/{number}.png": (person, FIRST), f"targets/{number}_test.png": (person, SECOND)}
    files["targets/synthetic.png"] = (SYNTHETIC, FIRST)
    drawn = portraits([person for person, _ in files.values()], [shot for _, shot in files.values()])
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index, (file, (person, shot)) in enumerate(files.items()):
        write_png(folder / file, drawn.images[index].numpy())
        points = " ".join(f"{value:.1f}" for value in drawn.landmarks[index].flatten().tolist())
        writer.writerow([file, person, shot, drawn.captions[index], points])
    write_bytes(folder / "photos.csv", table.getvalue().encode())
