"""Albums: further photos of each source's person, from which methods may learn; nobody is judged by them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.suites.spec import SMALLEST_ALBUM
from facecloak.data import Photo, images_in
from facecloak.errors import FacecloakError
from facecloak.io import read_image


def albums_in(folder: Path, names: Iterable[str]) -> dict[str, list[Path]]:
    """Source → the photos in the folder of its name, sorted.

    Raises:
        FacecloakError: a source has no folder, or fewer than `SMALLEST_ALBUM` photos in it.
    """
    found = {}
    for name in names:
        if not (folder / name).is_dir():
            raise FacecloakError(f"{folder / name}: no such folder. Each source needs an album, a folder of its name.")
        found[name] = photos_of_album(folder / name)
    return found


def photos_of_album(folder: Path) -> list[Path]:
    """The photos in the folder of an album, sorted.

    Raises:
        FacecloakError: the folder is missing, or fewer than `SMALLEST_ALBUM` photos are in it.
    """
    if not folder.is_dir():
        raise FacecloakError(f"{folder}: no such folder.")
    photos = images_in(folder)
    if len(photos) < SMALLEST_ALBUM:
        raise FacecloakError(f"{folder}: an album needs {SMALLEST_ALBUM} photos or more, it has {len(photos)}.")
    return photos


def refuse_judged(albums: Iterable[Path], judged: Iterable[Path]) -> None:
    """Raise `FacecloakError` if a photo of an album has the same pixels as one that is judged, in whatever format.

    A copy that was resized or compressed again is not noticed.
    """
    known = by_pixels(judged)
    for path in albums:
        if same := known.get(_pixels_of_file(path)):
            raise FacecloakError(
                f"{path} is the same picture as {same}: a method must not learn from the photos that are judged. "
                "Remove it from the album."
            )


def by_pixels(photos: Iterable[Path]) -> dict[str, Path]:
    """`pixels_sha256` of each photo → the photo."""
    return {_pixels_of_file(path): path for path in photos}


def pixels_sha256(image: np.ndarray) -> str:
    """Equal for photos with the same pixels, in whatever format."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _pixels_of_file(path: Path) -> str:
    try:
        return pixels_sha256(read_image(path))
    except FacecloakError:  # is left out when it is used
        return hashlib.sha256(path.read_bytes()).hexdigest()


def read_album(paths: Sequence[Path], read: Callable[[Path], Photo]) -> tuple[list[Photo], list[str]]:
    """The photos of an album that can be used, and why the others cannot.

    Args:
        read: reads a photo, with its face.

    Raises:
        FacecloakError: fewer than `SMALLEST_ALBUM` are left.
    """
    photos = [read(path) for path in paths]
    usable, errors = [each for each in photos if not each.error], [each.error for each in photos if each.error]
    if len(usable) < SMALLEST_ALBUM:
        raise FacecloakError(f"{len(usable)} of {len(paths)} photos of the album can be used; {errors[0]}")
    return usable, errors
