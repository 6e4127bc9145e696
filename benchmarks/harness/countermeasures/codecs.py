"""What storage does to a photo: lossy compression and fewer colours."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from benchmarks.harness.countermeasures import Alter


def jpeg(quality: int) -> Alter:
    """Save as JPEG (4:2:0) and read again."""
    return lambda image, _: _saved(image, "JPEG", quality=quality, subsampling="4:2:0")


def webp(quality: int) -> Alter:
    """Save as lossy WebP and read again."""
    return lambda image, _: _saved(image, "WEBP", quality=quality)


def bits(number: int) -> Alter:
    """Round every channel to ``number`` bits, evenly from 0 to 255."""
    levels = 2**number - 1
    return lambda image, _: (np.round(image / 255 * levels) / levels * 255).round().astype(np.uint8)


def _saved(image: np.ndarray, kind: str, **options: object) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return np.asarray(Image.open(file).convert("RGB"))
