"""What moves or resizes a photo; the result is brought to the suite's size again before it is judged."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.harness.countermeasures import Alter
from benchmarks.harness.countermeasures.codecs import jpeg

SHARPEN = ImageFilter.UnsharpMask(radius=1, percent=80, threshold=0)


def half() -> Alter:
    """Resize to half the side, and back."""

    def alter(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        return _resized(_resized(image, max(1, width // 2), max(1, height // 2)), width, height)

    return alter


def phone(side: int) -> Alter:
    """What a messenger does: the longer side becomes ``side`` pixels, if it is longer, then JPEG 80."""

    def alter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        scale = min(1.0, side / max(height, width))
        return jpeg(80)(_resized(image, round(width * scale), round(height * scale)), random)

    return alter


def crop(percent: int) -> Alter:
    """Cut ``percent`` of width and height off, at random sides."""

    def alter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        down, right = (round(length * percent / 100) for length in (height, width))
        top, left = random.integers(down + 1), random.integers(right + 1)
        return image[top : top + height - down, left : left + width - right].copy()

    return alter


def rotate(degrees: int) -> Alter:
    """Turn to a random side, and cut out the largest square of the same centre that has no empty corner."""

    def alter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        angle = degrees * (1 if random.integers(2) else -1)
        turned = np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BICUBIC))
        height, width = image.shape[:2]
        turn = math.radians(degrees)
        side = int(min(height, width) / (math.cos(turn) + math.sin(turn)))
        top, left = (height - side) // 2, (width - side) // 2
        return turned[top : top + side, left : left + side].copy()

    return alter


def screenshot() -> Alter:
    """A photo on a display: resized to 3/4, sharpened, and saved as JPEG 85."""

    def alter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        shown = Image.fromarray(_resized(image, max(1, width * 3 // 4), max(1, height * 3 // 4)))
        return jpeg(85)(np.asarray(shown.filter(SHARPEN)), random)

    return alter


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
