"""PSNR and SSIM of one pair as `facecloak.metrics.quality` defines them, in numpy: the check does not need torch."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

LINE = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
LINE = LINE / LINE.sum()  # 11 weights of the Gaussian window, σ = 1.5


def psnr(picture: np.ndarray, photo: np.ndarray) -> float:
    """PSNR in dB of two uint8 H×W×3 images, inf if they are identical."""
    error = np.mean(((picture.astype(np.float64) - photo) / 255) ** 2)
    return -10 * math.log10(error) if error else math.inf


def ssim(picture: np.ndarray, photo: np.ndarray) -> float:
    """SSIM of two uint8 H×W×3 images, in [-1, 1]."""
    x, y = (image.astype(np.float64).transpose(2, 0, 1) / 255 for image in (picture, photo))
    mean_x, mean_y, square_x, square_y, product = (_window(planes) for planes in (x, y, x * x, y * y, x * y))
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = square_x - mean_x**2 + square_y - mean_y**2
    return float((luminance * (2 * (product - mean_x * mean_y) + c2) / (variances + c2)).mean())


def _window(planes: np.ndarray) -> np.ndarray:
    """C×H×W planes under the window, mirrored beyond their border: along rows, then columns."""
    padded = np.pad(planes, ((0, 0), (5, 5), (5, 5)), mode="reflect")
    rows = sliding_window_view(padded, len(LINE), axis=2) @ LINE
    return sliding_window_view(rows, len(LINE), axis=1) @ LINE
