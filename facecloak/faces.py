"""Where the face is, and the differentiable crop that every recognizer sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from facecloak.alignment import Square, align, turned_crop, upright
from facecloak.errors import FacecloakError


class FaceDetector:
    """MTCNN of facenet-pytorch, with the weights that its wheel contains (Zhang et al. 2016)."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        from facenet_pytorch import MTCNN

        self._mtcnn = MTCNN(select_largest=True, device=device)

    def __call__(self, image: np.ndarray) -> tuple[float, float, float, float] | None:
        """Find the largest face.

        Args:
            image: uint8 H×W×3 RGB.

        Returns:
            (x0, y0, x1, y1) in pixels, clipped to the image, or None when there is no face.
        """
        return next(iter(self.find_all(image)), None)

    def find_all(self, image: np.ndarray) -> list[tuple[float, float, float, float]]:
        """The boxes of all faces of a uint8 H×W×3 image, as those of `__call__`, the largest first."""
        if min(image.shape[:2]) < 20:  # MTCNN's smallest face; its pyramid fails on less
            return []
        with torch.no_grad():
            boxes, _ = self._mtcnn.detect(Image.fromarray(image))
        if boxes is None:
            return []
        boxes = np.stack([np.asarray(box, dtype=np.float32) for box in boxes])
        height, width = image.shape[:2]
        boxes = boxes.clip(0, [width, height, width, height])
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        order = np.argsort(-areas, kind="stable")
        return [tuple(round(float(value), 2) for value in boxes[index]) for index in order]

    def landmarks(self, image: np.ndarray) -> np.ndarray | None:
        """Five points of the largest face of a uint8 H×W×3 image, or None when there is no face.

        Returns:
            float32 5×2, (x, y) in pixels: eyes, nose tip, corners of the mouth, left of the picture first.
        """
        if min(image.shape[:2]) < 20:
            return None
        with torch.no_grad():
            boxes, _, points = self._mtcnn.detect(Image.fromarray(image), landmarks=True)
        return None if boxes is None else np.asarray(points[0], dtype=np.float32)  # the largest comes first


class AlignedCrop:
    """The same box in every image of an aligned set, provided that a face is found in it.

    Args:
        box: (x0, y0, x1, y1) in pixels.
        detector: finds the face; with None, every image is taken as a face.
    """

    def __init__(self, box: Sequence[float], detector: FaceDetector | None) -> None:
        self.box = tuple(float(value) for value in box)
        self.detector = detector

    def __call__(self, image: np.ndarray) -> tuple[float, float, float, float] | None:
        """The box, or None when there is no face."""
        return self.box if self.detector is None or self.detector(image) else None


class FivePointCrop:
    """Finds the square that the crop of ArcFace takes from a photo, around its largest face.

    Most recognizers since 2018 were trained on this crop and lose true accepts on any other.

    Args:
        detector: finds five points of the face.

    Example:
        >>> FivePointCrop(FaceDetector())(np.zeros((64, 64, 3), np.uint8)) is None
        True
    """

    def __init__(self, detector: FaceDetector) -> None:
        self.detector = detector

    def __call__(self, image: np.ndarray) -> Square | None:
        """The square of a uint8 H×W×3 image as `align` gives it, or None when there is no face."""
        landmarks = self.detector.landmarks(image)
        return None if landmarks is None else align(landmarks)


class OncePerImage:
    """Remembers what a detector has found: a picture that is read again, or judged by many, is searched only once.

    Args:
        find: any function of an image.

    Example:
        >>> asked = []
        >>> find = OncePerImage(lambda image: asked.append(image))
        >>> image = np.zeros((8, 8, 3), np.uint8)
        >>> find(image), find(image.copy()), len(asked)
        (None, None, 1)
    """

    def __init__(self, find: Callable[[np.ndarray], tuple[float, ...] | None]) -> None:
        self._find = find
        self._found: dict[tuple[object, ...], tuple[float, ...] | None] = {}

    def __call__(self, image: np.ndarray) -> tuple[float, ...] | None:
        """What ``find`` returns for a uint8 H×W×3 image of these pixels."""
        key = (image.shape, hashlib.sha256(np.ascontiguousarray(image)).digest())
        if key not in self._found:
            self._found[key] = self._find(image)
        return self._found[key]


def crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut each image's face box and resize it bilinearly (align_corners False, no antialias).

    Differentiable in the images. Boxes are rounded to whole pixels, as the released code does; turned squares are not.

    Args:
        images: B×3×H×W in [-1, 1].
        boxes: B×4, (x0, y0, x1, y1) in pixels; what is outside the image is cut off. Or B×5, turned squares, see
            `facecloak.alignment`.
        size: side of the result in pixels.

    Returns:
        B×3×size×size in [-1, 1].

    Raises:
        FacecloakError: a box holds no pixel of its image.
    """
    if boxes.shape[1] == 5:
        return turned_crop(images, boxes, size)
    height, width = images.shape[-2:]
    corners = [whole_pixels(box, width, height) for box in boxes.tolist()]
    parts = images.split(1)
    if len(corners) == len(images) and len(set(corners)) == 1:  # aligned photos: all at once, with the same result
        parts, corners = [images], corners[:1]
    faces = [
        F.interpolate(part[..., y0:y1, x0:x1], (size, size), mode="bilinear", align_corners=False)
        for part, (x0, y0, x1, y1) in zip(parts, corners, strict=True)
    ]
    return torch.cat(faces)


def whole_pixels(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """The box (x0, y0, x1, y1) rounded to pixels and cut to the image; `FacecloakError` if that leaves none.

    Of a turned square, the upright box around it.
    """
    box = upright(box) if len(box) == 5 else box
    x0, x1 = (min(max(round(value), 0), width) for value in box[::2])
    y0, y1 = (min(max(round(value), 0), height) for value in box[1::2])
    if x1 <= x0 or y1 <= y0:
        raise FacecloakError(f"The face box {tuple(box)} holds no pixel of a {width}×{height} image.")
    return x0, y0, x1, y1


def whole_image(images: Tensor) -> Tensor:
    """Boxes (B×4) that keep all of each image."""
    height, width = images.shape[-2:]
    return torch.tensor([[0, 0, width, height]] * len(images), device=images.device, dtype=torch.float32)
