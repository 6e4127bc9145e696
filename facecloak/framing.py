"""From a photo of any size to the model's square around the face, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from facecloak.data import Box, FindFace, Photo, read_photo
from facecloak.errors import FacecloakError
from facecloak.io import read_image

# where MTCNN's box is in an aligned CelebA-HQ photo, as shares of its side (means over 500 photos)
FACE_HEIGHT, FACE_WIDTH, CENTRE_X, CENTRE_Y = 0.733, 0.542, 0.502, 0.545
ALIGNED = 0.15  # how far, as a share of the side, a face may be from there: 3 standard deviations over those photos
NOT_CUT: Box = (0.0, 0.0, 0.0, 0.0)
SOFT_EDGE = 0.08  # share of the square's side over which the change fades out


@dataclass(frozen=True)
class FaceSquare:
    """The square of a photo that a method works on.

    Attributes:
        left, top, side: in the photo's pixels; parts outside of the photo repeat its edge.
        image: uint8 size×size×3.
    """

    left: int
    top: int
    side: int
    image: np.ndarray


def cut_square(photo: np.ndarray, box: Box, size: int) -> FaceSquare:
    """Cut the square around the face, framed as in the aligned photos that the models were trained on.

    Args:
        photo: uint8 H×W×3.
        box: the face, (x0, y0, x1, y1) in the photo's pixels.
        size: side of the model's square in pixels.
    """
    x0, y0, x1, y1 = box
    side = max(round(max((y1 - y0) / FACE_HEIGHT, (x1 - x0) / FACE_WIDTH)), 1)
    left = round((x0 + x1) / 2 - CENTRE_X * side)
    top = round((y0 + y1) / 2 - CENTRE_Y * side)
    rows = np.arange(top, top + side).clip(0, photo.shape[0] - 1)
    columns = np.arange(left, left + side).clip(0, photo.shape[1] - 1)
    square = photo[rows[:, None], columns]
    image = np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.LANCZOS))
    return FaceSquare(left, top, side, image)


def frame(
    path: Path, size: int, find_face: FindFace, detector: FindFace | None, like: Box | None = None
) -> tuple[Photo, Box | None]:
    """Read any photo and bring it into the frame of an aligned set: the face where aligned photos have it.

    A square photo whose face is there already (to `ALIGNED` of its side) is used as it is; any other photo is cut
    around its face.

    Args:
        path: any image file.
        size: side of the result in pixels.
        find_face: finds what recognizers see of the result.
        detector: finds the face in the whole photo; None takes every photo as aligned.
        like: the second return value for a photo that this one is to be framed as.

    Returns:
        the photo, and the box that was cut around in the file's pixels: `NOT_CUT` if it was aligned, None without
        a face.
    """
    if detector is None or like == NOT_CUT:
        return read_photo(path, size, find_face), like
    try:
        image = read_image(path)
    except FacecloakError as error:
        return Photo(None, None, str(error)), None
    box = like or detector(image)
    if box is None:
        return Photo(image, None, f"{path}: no face found"), None
    if like is None and _is_aligned(box, image.shape):
        return read_photo(path, size, find_face), NOT_CUT
    square = cut_square(image, box, size).image
    found = find_face(square)
    return Photo(square, found, None if found else f"{path}: no face found"), box


def _is_aligned(box: Box, shape: tuple[int, ...]) -> bool:
    if shape[0] != shape[1]:
        return False
    x0, y0, x1, y1 = (value / shape[0] for value in box)
    found = np.array([(x0 + x1) / 2 - CENTRE_X, (y0 + y1) / 2 - CENTRE_Y, y1 - y0 - FACE_HEIGHT])
    return bool((abs(found) < ALIGNED).all())


def paste_square(photo: np.ndarray, square: FaceSquare, protected: np.ndarray) -> np.ndarray:
    """Add to the photo what protection changed in its square, enlarged, fading out towards the square's edge.

    The change is pasted and not the picture, so that the photo keeps its own resolution and grain; seen at the
    model's size the result is the protected square again, up to rounding and the soft edge.

    Args:
        photo: uint8 H×W×3, the one that was cut.
        protected: uint8 size×size×3.

    Returns:
        uint8 H×W×3, equal to the photo outside of the square.
    """
    change = torch.from_numpy(protected.astype(np.float32) - square.image.astype(np.float32))
    change = change.permute(2, 0, 1)[None]
    sides = (square.side, square.side)
    change = F.interpolate(change, sides, mode="bicubic", align_corners=False, antialias=True)[0].permute(1, 2, 0)
    change = change.numpy() * _soft_mask(square.side)[..., None]
    height, width = photo.shape[:2]
    top, left = max(square.top, 0), max(square.left, 0)
    bottom, right = min(square.top + square.side, height), min(square.left + square.side, width)
    change = change[top - square.top : bottom - square.top, left - square.left : right - square.left]
    result = photo.copy()
    result[top:bottom, left:right] = (photo[top:bottom, left:right] + change).round().clip(0, 255).astype(np.uint8)
    return result


def _soft_mask(side: int) -> np.ndarray:
    """1 inside, falling to 0 along a raised cosine at the edge; side×side."""
    distance = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) / (SOFT_EDGE * side)
    ramp = 0.5 - 0.5 * np.cos(np.pi * distance.clip(0, 1))
    return np.outer(ramp, ramp).astype(np.float32)
