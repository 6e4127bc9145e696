"""The faces that DiffAM learns from: drawn portraits, or folders of photos."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from baselines.diffam.regions import regions_of_landmarks, regions_of_portraits
from facecloak.data import list_images, read_photo, to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.io import expand, sha256, sha256_json
from facecloak.pocket.portraits import portraits

DRAWN = "drawn"
VERSION = 1  # raise it when drawn faces change
PEOPLE = {True: 40_000, False: 42_000}  # first of those with makeup and of those without; nobody else's
FACE = (20.0, 16.0, 108.0, 104.0)  # of a drawn portrait


@dataclass
class Faces:
    """N faces.

    Attributes:
        names: N.
        images: N×3×side×side in [-1, 1].
        boxes: N×4.
        regions: bool N×4×side×side, see `baselines.diffam.regions`.
    """

    names: list[str]
    images: Tensor
    boxes: Tensor
    regions: Tensor


@cache
def load_faces(source: str, count: int, side: int, makeup: bool) -> Faces:
    """The first faces of a source.

    Args:
        source: ``drawn``, portraits of people that no other part of the suite shows; or a folder of photos, the
            regions of which are guessed from MTCNN's landmarks.
        count: how many at most.
        side: of the square pictures in pixels.
        makeup: whether drawn faces wear any.

    Raises:
        FacecloakError: no folder, no face in it, or drawn portraits of another size than 128.
    """
    if source == DRAWN:
        return _drawn(count, side, makeup)
    folder, find_face = expand(source), FaceDetector()
    names, images, boxes, landmarks = [], [], [], []
    for path in list_images(folder):
        if len(names) == count:
            break
        photo = read_photo(path, side, find_face)
        if not photo.error:
            names.append(path.name)
            images.append(photo.image)
            boxes.append(photo.box)
            landmarks.append(find_face.landmarks(photo.image))
    if not names:
        raise FacecloakError(f"diffam: no face is found in any photo of {folder}.")
    points = torch.from_numpy(np.stack(landmarks))
    return Faces(names, to_tensor(images), torch.tensor(boxes), regions_of_landmarks(points, side))


def source_sha256(source: str) -> str:
    """Hash of what `load_faces` reads."""
    if source == DRAWN:
        return sha256_json([DRAWN, VERSION, *PEOPLE.values()])
    return sha256_json([[path.name, sha256(path)] for path in list_images(expand(source))])


def _drawn(count: int, side: int, makeup: bool) -> Faces:
    if side != 128:
        raise FacecloakError(f"diffam: drawn portraits have 128 pixels a side, the pixel diffusion model {side}.")
    people = range(PEOPLE[makeup], PEOPLE[makeup] + count)
    made = portraits(people, [0] * count, makeup=makeup)
    return Faces(
        [str(number) for number in range(count)], to_tensor(made.images.numpy()), torch.tensor([FACE] * count),
        regions_of_portraits(made),
    )  # fmt: skip
