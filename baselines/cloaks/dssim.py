"""The budget of Fawkes (Shan et al., USENIX Security 2020, and version 1.0 of its code): structural dissimilarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REACH, SIGMA = 5, 1.5  # of SSIM's window, in pixels
K1, K2 = 0.01, 0.03
BAND = (0.9, 1.1)  # of the budget: in between, the dissimilarity is as wanted
LARGEST = 129.0  # weight; the smallest is its inverse


def dissimilarity(images: Tensor, source: Tensor) -> Tensor:
    """DSSIM = (1 − SSIM)/2 of each image, N numbers in [0, 1]; differentiable in both.

    SSIM is that of the quality metric, `facecloak.metrics.ssim`, without its rounding to 8 bits.

    Args:
        images, source: N×3×H×W in [-1, 1], H and W at least 6.
    """
    x, y = (images + 1) / 2, (source + 1) / 2
    rows, columns = (smoothing(length, x) for length in x.shape[-2:])
    mean_x, mean_y, square_x, square_y, product = (
        rows @ plane @ columns.T for plane in (x, y, x.square(), y.square(), x * y)
    )
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = square_x - mean_x**2 + square_y - mean_y**2
    return (1 - (luminance * (2 * (product - mean_x * mean_y) + c2) / (variances + c2)).mean((1, 2, 3))) / 2


def smoothing(length: int, like: Tensor) -> Tensor:
    """The Gaussian along a line of pixels, mirrored at its ends, as a ``length``×``length`` matrix.

    Two products with it and their gradients take a seventh of the time of convolutions of 112×112 pixels on a CPU.
    """
    offsets = torch.arange(-REACH, REACH + 1, device=like.device, dtype=like.dtype)
    line = torch.softmax(-(offsets**2) / (2 * SIGMA**2), dim=0)
    padded = F.pad(torch.eye(length, device=like.device, dtype=like.dtype)[:, None], (REACH, REACH), mode="reflect")
    return F.conv1d(padded, line.view(1, 1, -1))[:, 0].T


def excess(dssim: Tensor, budget: float) -> Tensor:
    """max(0, DSSIM − τ), by how much each image is over its budget τ; NaN stays NaN."""
    return (dssim - budget).clamp(min=0)


class Weights:
    """A weight c ≥ 0 for each image, or mask, of the term that moves its features, against the term for its looks.

    c starts at 1. After each step it is doubled where DSSIM ≤ 0.9 τ, so that the change may grow, and halved where
    DSSIM ≥ 1.1 τ, within [1/129, 129]. It returns to 1 within this band, and where the last step asked for the
    opposite. A weight of the term for the looks is 1/c.

    Args:
        budget: τ.
        count: N, how many images or masks there are.
        device: where the weights are to be.

    Attributes:
        values: c, float32, N.
    """

    def __init__(self, budget: float, count: int, device: torch.device | str = "cpu") -> None:
        self.budget = budget
        self.values = torch.ones(count, device=device)
        self._wanted = torch.zeros(count, device=device)  # 1: more change, −1: less, 0: within the band

    def allow(self, dssim: Tensor) -> Tensor:
        """Where N values of DSSIM are at most 1.1 τ, so that an image may be kept; NaN may not."""
        return dssim <= BAND[1] * self.budget

    def update(self, dssim: Tensor) -> None:
        """Take N values of DSSIM and change c; NaN counts as within the band."""
        dssim = dssim.detach()
        more, less = dssim <= BAND[0] * self.budget, dssim >= BAND[1] * self.budget
        wanted = more.to(self._wanted) - less.to(self._wanted)
        moved = (self.values * 2**wanted).clamp(1 / LARGEST, LARGEST)
        reset = (wanted == 0) | (wanted == -self._wanted)
        self.values, self._wanted = torch.where(reset, torch.ones_like(moved), moved), wanted
