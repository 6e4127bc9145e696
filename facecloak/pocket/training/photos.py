"""The photos of the suite: sources and targets, two photos of each person, and an album of each source; drawn once."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import torch

from facecloak.io import encode_photo, write_bytes
from facecloak.pocket.drawing.identity import identities
from facecloak.pocket.drawing.nuisance import nuisances
from facecloak.pocket.portraits import portraits
from facecloak.pocket.training.corpus import SHOTS

# which of a target's neighbours are its sources: people who have something of it and are not its doubles
NEIGHBOURS = range(7, 25, 3)
# what makes neighbours, with the weight of a unit of it
RESEMBLANCE = {"feminine": 10.0, "melanin": 3.0, "age": 0.02, "hair_cover": 3.0, "hair_length": 0.7, "grey": 1.5}
RESEMBLANCE |= dict.fromkeys(("hair_melanin", "hair_red", "bun", "curl", "beard"), 1.0)
RESEMBLANCE |= {"moustache": 0.5, "goatee": 0.5}
ALBUM = 10  # photos of each source from which methods may learn, beside the two that are protected and judged
COLUMNS = ("file", "person", "shot", "caption", "landmarks")


def cast(people: range) -> dict[int, list[int]]:
    """Target → the people that are to be taken for it: of its sex, and like it in skin, age and hair, but not very.

    A grey-haired man is not taken for a dark-haired woman by changes that nobody sees, and her double need not be
    changed at all. So targets, two women and two men, are those with the nearest neighbours, and none is among
    another's. Only the parameters of the drawing are asked, no recognizer.
    """
    drawn = identities(people)
    place = torch.stack([getattr(drawn, name).flatten() * weight for name, weight in RESEMBLANCE.items()], dim=1)
    distance = torch.cdist(place, place)
    free, chosen = torch.ones(len(people), dtype=torch.bool), {}
    for feminine in (1, 0, 1, 0):
        radius = distance.where(free, torch.inf).sort(dim=1).values[:, NEIGHBOURS[-1]]
        target = int(radius.where(free & (drawn.feminine.flatten() == feminine), torch.inf).argmin())
        near = distance[target].where(free, torch.inf).argsort()[: NEIGHBOURS.stop]
        chosen[people[target]] = sorted(people[near[rank]] for rank in NEIGHBOURS)
        free[near] = False
    return chosen


def frontal(person: int) -> list[int]:
    """The two photos of a person in which the head is turned aside, up or down the least, the better one first."""
    shots = list(range(SHOTS))
    how = nuisances([person] * SHOTS, shots, identities([person] * SHOTS).feminine.flatten().tolist())
    return how.yaw.square().add(how.pitch.square()).flatten().argsort()[:2].tolist()


def album(person: int) -> list[int]:
    """The photos of a person in its album: the first ones that are not `frontal`."""
    judged = frontal(person)
    return [shot for shot in range(ALBUM + len(judged)) if shot not in judged]


def write_photos(folder: Path, people: range) -> None:
    """Write ``sources/TARGET``, ``second``, ``targets``, ``albums/SOURCE`` and ``photos.csv``, which says who is drawn
    where and how.

    All are PNG but the albums, which are JPEG: nobody is judged by them, and they are many.

    Person and shot are the numbers of `portraits`, which draws the same portrait again with its region masks;
    landmarks are eyes, nose and corners of the mouth, x and y in pixels. What was in the folder is gone.
    """
    shutil.rmtree(folder, ignore_errors=True)
    files = {}
    groups = cast(people)
    for number, (target, sources) in enumerate(groups.items(), start=1):
        first, second = frontal(target)
        files |= {f"targets/{number}.png": (target, first), f"targets/{number}_test.png": (target, second)}
        for source in sources:
            first, second = frontal(source)
            files |= {f"sources/{number}/{source}.png": (source, first), f"second/{source}.png": (source, second)}
            files |= {f"albums/{source}/{shot:02}.jpg": (source, shot) for shot in album(source)}
    taken = {person for person, _ in files.values()}
    stranger = next(person for person in people if person not in taken)  # whom obfuscation moves towards
    files["targets/synthetic.png"] = (stranger, frontal(stranger)[0])
    drawn = portraits([person for person, _ in files.values()], [shot for _, shot in files.values()])
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index, (file, (person, shot)) in enumerate(files.items()):
        kind = "jpeg" if file.endswith(".jpg") else "png"
        write_bytes(folder / file, encode_photo(drawn.images[index].numpy(), kind)[0])
        points = " ".join(f"{value:.1f}" for value in drawn.landmarks[index].flatten().tolist())
        writer.writerow([file, person, shot, drawn.captions[index], points])
    write_bytes(folder / "photos.csv", table.getvalue().encode())
