"""The photos of the suite: sources and targets, two photos of each person, drawn once and kept as PNG."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch

from facecloak.io import write_bytes, write_png
from facecloak.pocket.identity import identities
from facecloak.pocket.portraits import portraits
from facecloak.pocket.training.corpus import SUITE

TARGETS = SUITE[40:44]
SYNTHETIC = SUITE[50]  # whom obfuscation moves towards
# which of a target's neighbours are its sources: people who have something of it and are not its doubles
NEIGHBOURS = range(7, 25, 3)
# what makes neighbours, with the weight of a unit of it
RESEMBLANCE = {"feminine": 10.0, "melanin": 3.0, "age": 0.02, "hair_cover": 3.0, "hair_length": 0.7, "grey": 1.5}
RESEMBLANCE |= dict.fromkeys(("hair_melanin", "hair_red", "bun", "curl", "beard"), 1.0)
RESEMBLANCE |= {"moustache": 0.5, "goatee": 0.5}
FIRST, SECOND = 0, 1  # shots
COLUMNS = ("file", "person", "shot", "caption", "landmarks")


def sources() -> dict[int, list[int]]:
    """Target → the people that are to be taken for it: of its sex, and like it in skin, age and hair, but not very.

    A grey-haired man is not taken for a dark-haired woman by changes that nobody sees, and her double need not be
    changed at all. Only the parameters of the drawing are asked, no recognizer.
    """
    strangers = [person for person in SUITE if person not in (*TARGETS, SYNTHETIC)]
    chosen = {}
    for target in TARGETS:
        people = identities([target, *strangers])
        place = torch.stack([getattr(people, name).flatten() * weight for name, weight in RESEMBLANCE.items()], dim=1)
        order = (place[1:] - place[0]).norm(dim=1).argsort().tolist()
        chosen[target] = sorted(strangers[order[rank]] for rank in NEIGHBOURS)
        strangers = [person for person in strangers if person not in chosen[target]]
    return chosen


def write_photos(folder: Path) -> None:
    """Write ``sources/TARGET``, ``second``, ``targets`` and ``photos.csv``, which says who is drawn where and how.

    Person and shot are the numbers of `portraits`, which draws the same portrait again with its region masks;
    landmarks are eyes, nose and corners of the mouth, x and y in pixels.
    """
    files = {}
    for number, (person, people) in enumerate(sources().items(), start=1):
        files |= {f"sources/{number}/{source}.png": (source, FIRST) for source in people}
        files |= {f"second/{source}.png": (source, SECOND) for source in people}
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
