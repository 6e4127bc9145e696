"""Photos as the harness sees them: square, at the suite's size, each with its face box; batches of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from facecloak.errors import FacecloakError
from facecloak.faces import whole_pixels
from facecloak.io import IMAGE_SUFFIXES, LONGEST, is_photo_name, printable, read_image

Box = tuple[float, ...]  # (x0, y0, x1, y1), or a turned square, see facecloak.alignment
FindFace = Callable[[np.ndarray], Box | None]


@dataclass(frozen=True)
class Photo:
    """A photo read from disk.

    Attributes:
        image: uint8 S×S×3, or None when the file could not be read.
        box: the face, (x0, y0, x1, y1) in pixels of ``image`` or a turned square, or None when there is none.
        error: one line that says why it cannot be used, or None.
    """

    image: np.ndarray | None
    box: Box | None
    error: str | None = None


class Album(NamedTuple):
    """Further photos of one person, from which a method may learn; nobody is judged by them.

    Attributes:
        images: N×3×H×W RGB in [-1, 1].
        boxes: N×4 face boxes or N×5 turned squares.
    """

    images: Tensor
    boxes: Tensor


@dataclass
class Batch:
    """Sources on their way into a method.

    Attributes:
        ids: B names, unique in the suite.
        images: B×3×H×W RGB in [-1, 1].
        boxes: B×4 face boxes (x0, y0, x1, y1) in pixels, or B×5 turned squares (see `facecloak.alignment`).
        albums: per image the album of the person that it shows; only for methods that ask for it (`uses_albums`).

    Example:
        >>> batch = Batch(["anna"], torch.zeros(1, 3, 128, 128), torch.tensor([[32.0, 24.0, 96.0, 112.0]]))
        >>> len(batch.ids) == len(batch.images) == len(batch.boxes)
        True
    """

    ids: list[str]
    images: Tensor
    boxes: Tensor
    albums: list[Album] | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self._with(lambda tensor: tensor.to(device))

    def clone(self) -> Batch:
        """A copy that shares no memory with the batch."""
        return self._with(Tensor.clone)

    def _with(self, change: Callable[[Tensor], Tensor]) -> Batch:
        albums = None if self.albums is None else [Album(*map(change, album)) for album in self.albums]
        return Batch(self.ids, change(self.images), change(self.boxes), albums)


def read_photo(path: Path, size: int, find_face: FindFace, box: Box | None = None) -> Photo:
    """Read a photo, cut its central square, bring it to size×size, and find the face.

    Args:
        path: any image file.
        size: side of the result in pixels.
        find_face: a `FaceDetector`, `FivePointCrop` or `AlignedCrop`.
        box: the face in the file's own pixels, where it is known; ``find_face`` is not asked then.
    """
    try:
        image = read_image(path)
    except FacecloakError as error:
        return Photo(None, None, str(error))
    height, width = image.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    image = image[top : top + side, left : left + side]
    if side != size:
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))
    if box is not None:
        x0, y0, x1, y1 = box
        scale = size / side
        box = ((x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale)
        try:
            whole_pixels(box, size, size)
        except FacecloakError:
            return Photo(image, None, f"{path}: the face is outside the central square")
    else:
        box = find_face(image)
    return Photo(image, box, None if box else f"{path}: no face found")


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name, without hidden ones and the files that a NAS or macOS adds."""
    return sorted(path for path in folder.iterdir() if is_image(path) and not path.is_dir())


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name; their stems name results.

    Raises:
        FacecloakError: the folder is missing, holds no image, two images differ in their suffix only, or one has a name
            that results cannot have.
    """
    if not folder.is_dir():
        raise FacecloakError(f"{folder}: no such folder.")
    paths = images_in(folder)
    if not paths:
        raise FacecloakError(f"{folder}: no image in it ({', '.join(IMAGE_SUFFIXES)}).")
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise FacecloakError(f"{folder}: two images are named {twice!r}, and results take that name; rename one.")
    odd = [stem for stem in stems if not is_photo_name(stem)]
    if odd:
        raise FacecloakError(
            f"{folder}: results cannot be named like the image {printable(odd[0])!r}: names must be UTF-8, without "
            f"control characters or backslashes, and at most {LONGEST} bytes long; rename it."
        )
    return paths


def walk_images(folder: Path, without: Iterable[Path | None] = ()) -> list[Path]:
    """The image files of a folder and of its sub-folders, sorted.

    Hidden files and folders, files that a NAS or macOS adds (`is_clutter`), links to folders, and links to files
    outside of the folder are left out.

    Args:
        without: folders below it whose images are left out.

    Raises:
        FacecloakError: the folder is missing, or no image is in it.
    """
    if not folder.is_dir():
        raise FacecloakError(f"{folder}: no such folder.")
    root, paths = folder.resolve(), []
    skipped = {path.resolve() for path in without if path} - {root}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_clutter(name) and Path(parent, name).resolve() not in skipped]
        paths += [path for name in files if is_image(path := Path(parent, name)) and _is_inside(path, root)]
    if not paths:
        raise FacecloakError(
            f"{folder}: no image in it or below ({', '.join(IMAGE_SUFFIXES)}; hidden files and links that lead out of "
            "the folder do not count)."
        )
    return sorted(paths)


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden, or one that a NAS or macOS keeps beside photos."""
    return name.startswith(".") or name in ("@eaDir", "__MACOSX")


def is_image(path: Path) -> bool:
    """Whether a file is an image by its name, and neither hidden nor clutter."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_clutter(path.name)


def _is_inside(path: Path, root: Path) -> bool:
    return not path.is_symlink() or path.resolve().is_relative_to(root)


def to_tensor(images: Iterable[np.ndarray]) -> Tensor:
    """uint8 H×W×3 images → float32 B×3×H×W in [-1, 1]."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def to_album(photos: Sequence[Photo]) -> Album:
    """Photos of one person, all of them usable, as an album."""
    boxes = torch.tensor([photo.box for photo in photos], dtype=torch.float32)
    return Album(to_tensor(photo.image for photo in photos), boxes)


def to_uint8(images: Tensor) -> np.ndarray:
    """B×3×H×W in [-1, 1] → uint8 B×H×W×3, rounded (released codes truncate)."""
    pixels = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).byte()
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def batches_of(names: Iterable[str], size: int) -> list[list[str]]:
    """Names in fixed batches of up to ``size``.

    An image's batch therefore does not depend on how many processes run or on what a killed run left undone, and
    neither does its result, to the last bit.

    Example:
        >>> batches_of(["anna", "bert", "carl"], 2)
        [['anna', 'bert'], ['carl']]
    """
    names = [*names]
    return [names[start : start + size] for start in range(0, len(names), size)]


class Sources(pl.LightningDataModule):
    """Sources in batches that are not changed: see `batches_of`.

    Args:
        photos: id → photo, all of them usable.
        batches: ids of each batch.
        albums: id → the usable photos of its person's album; None: batches have no albums.
    """

    def __init__(
        self,
        photos: dict[str, Photo],
        batches: Sequence[list[str]],
        albums: Mapping[str, Sequence[Photo]] | None = None,
    ) -> None:
        super().__init__()
        self.batches = batches
        self._photos, self._albums = photos, albums

    def predict_dataloader(self) -> DataLoader:
        """One `Batch` per item."""
        return DataLoader(_Batches(self._photos, self.batches, self._albums), batch_size=1, collate_fn=_only)


class _Batches(torch.utils.data.Dataset):
    def __init__(
        self, photos: dict[str, Photo], batches: Sequence[list[str]], albums: Mapping[str, Sequence[Photo]] | None
    ) -> None:
        self.photos, self.batches, self.albums = photos, batches, albums

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        names = self.batches[index]
        photos = [self.photos[name] for name in names]
        boxes = torch.tensor([photo.box for photo in photos], dtype=torch.float32)
        albums = None if self.albums is None else [to_album(self.albums[name]) for name in names]
        return Batch(names, to_tensor(photo.image for photo in photos), boxes, albums)


def _only(items: list[Batch]) -> Batch:
    return items[0]
