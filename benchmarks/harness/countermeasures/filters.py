"""What smooths a photo or adds noise to it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision.transforms.v2.functional import gaussian_blur

from benchmarks.harness.countermeasures import Alter

REACH = 4  # standard deviations after which the Gaussian is cut off, as scipy does


def blur(sigma: int) -> Alter:
    """Gaussian blur; σ in pixels of the suite's pictures."""

    def alter(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        reach = min(REACH * sigma, *(side - 1 for side in image.shape[:2]))  # the edge is reflected
        pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)
        smooth = gaussian_blur(pixels, [2 * reach + 1] * 2, [float(sigma)] * 2)
        return smooth.permute(1, 2, 0).round().clamp(0, 255).byte().numpy()

    return alter


def median(side: int) -> Alter:
    """The median of each channel in a square of ``side``×``side`` pixels, an odd number."""
    kernel = ImageFilter.MedianFilter(side)
    return lambda image, _: np.asarray(Image.fromarray(image).filter(kernel))


def noise(sigma: int) -> Alter:
    """Independent Gaussian noise; σ in grey levels."""

    def alter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return (image + random.normal(0, sigma, image.shape)).round().clip(0, 255).astype(np.uint8)

    return alter
