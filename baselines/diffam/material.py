"""The faces that DiffAM learns from: drawn portraits, or folders of photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from baselines.diffam.regions import regions_of_labels, regions_of_landmarks, regions_of_portraits
from facecloak.assets.paths import expand
from facecloak.data import list_images, read_photo, to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.io import sha256, sha256_json
from facecloak.pocket.portraits import portraits

DRAWN = "drawn"
VERSION = 1  # raise it when drawn faces change
# The first person with makeup and the first without. No suite shows them; of the first 320 with makeup, the adapted
# recognizers have learned, too (`benchmarks.studies.adapted`), from photos without it.
PEOPLE = {True: 40_000, False: 42_000}
DRAWN_FACES = 2000  # with makeup, and as many without
FACE = (20.0, 16.0, 108.0, 104.0)  # face box of a drawn portrait


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
        source: ``drawn``, for portraits of people whom no suite shows; or a folder of photos. The regions of a photo
            come from a label map, ``masks/STEM.png`` in the folder (`regions_of_labels`), or are guessed from MTCNN's
            landmarks if there is no map.
        count: how many faces at most.
        side: side of the square pictures in pixels.
        makeup: whether drawn faces wear makeup.

    Raises:
        FacecloakError: there is no such folder, or no face in it; or drawn portraits are asked for in another size
            than 128, or more of them than there are.
    """
    if source == DRAWN:
        return _drawn(range(count), side, makeup)
    folder = expand(source)
    return _photos(list_images(folder), count, side, f"any photo of {folder}")


def load_reference(source: str, name: str | None, side: int) -> Faces:
    """One face with makeup.

    Args:
        source, side: see `load_faces`.
        name: file name of the photo, or number of the drawn portrait and ``.png``; None for the first face.

    Raises:
        FacecloakError: there is no such face.
    """
    if name is None:
        return load_faces(source, 1, side, makeup=True)
    if source == DRAWN:
        number = int(name[:-4]) if name[:-4].isdecimal() else 0
        if name != f"{number}.png":
            raise FacecloakError(f"diffam: reference {name!r} is not a drawn portrait; they are called 0.png, 1.png, …")
        return _drawn([number], side, makeup=True)
    paths = [path for path in list_images(expand(source)) if path.name == name]
    if not paths:
        raise FacecloakError(f"diffam: reference {name!r} is not in {expand(source)}.")
    return _photos(paths, 1, side, f"the reference {name}")


def source_sha256(source: str) -> str:
    """Hash of the files that `load_faces` reads."""
    if source == DRAWN:
        return sha256_json([DRAWN, VERSION, *PEOPLE.values()])
    photos = list_images(expand(source))
    return sha256_json([[path.name, *map(sha256, filter(Path.is_file, (path, _labels_file(path))))] for path in photos])


def _photos(paths: Sequence[Path], count: int, side: int, where: str) -> Faces:
    """The first ``count`` photos that show a face."""
    find_face = FaceDetector()
    names, images, boxes, regions = [], [], [], []
    for path in paths:
        if len(names) == count:
            break
        photo = read_photo(path, side, find_face)
        if not photo.error:
            names.append(path.name)
            images.append(photo.image)
            boxes.append(photo.box)
            labels = _read_labels(path, side)
            if labels is None:
                points = torch.from_numpy(find_face.landmarks(photo.image))
                regions.append(regions_of_landmarks(points[None], side))
            else:
                regions.append(regions_of_labels(labels))
    if not names:
        raise FacecloakError(f"diffam: no face is found in {where}.")
    return Faces(names, to_tensor(images), torch.tensor(boxes), torch.cat(regions))


def _labels_file(photo: Path) -> Path:
    return photo.parent / "masks" / f"{photo.stem}.png"


def _read_labels(photo: Path, side: int) -> Tensor | None:
    """The labels of a photo's pixels, 1×side×side, cut and resized as `read_photo` does; None if there are none."""
    file = _labels_file(photo)
    if not file.is_file():
        return None
    with Image.open(file) as labels, Image.open(photo) as image:
        if labels.mode not in ("L", "P") or labels.size != ImageOps.exif_transpose(image).size:
            raise FacecloakError(f"{file}: a label map must have one channel of 8 bits and the size of its photo.")
        short = min(labels.size)
        left, top = ((length - short) // 2 for length in labels.size)
        square = labels.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.NEAREST)
        return torch.from_numpy(np.array(square))[None]


def _drawn(numbers: Sequence[int], side: int, makeup: bool) -> Faces:
    if side != 128:
        raise FacecloakError(f"diffam: drawn portraits have 128 pixels a side, but the diffusion model has {side}.")
    if max(numbers) >= DRAWN_FACES:
        raise FacecloakError(
            f"diffam: there are {DRAWN_FACES} drawn portraits to learn from; use fewer images, or a reference with a "
            "lower number."
        )
    made = portraits([PEOPLE[makeup] + number for number in numbers], [0] * len(numbers), makeup=makeup)
    return Faces(
        [f"{number}.png" for number in numbers], to_tensor(made.images.numpy()), torch.tensor([FACE] * len(numbers)),
        regions_of_portraits(made),
    )  # fmt: skip
