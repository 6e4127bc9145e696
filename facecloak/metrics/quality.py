"""How much the picture changed: PSNR and SSIM of protected images against their unprotected source."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.image import peak_signal_noise_ratio

from facecloak.errors import FacecloakError


def checked_pair(protected: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """The two, if they are uint8 N×3×H×W of one shape; else `FacecloakError`."""
    for name, images in (("protected", protected), ("source", source)):
        if images.dtype != torch.uint8:
            raise FacecloakError(
                f"Quality is measured on 8-bit images: the {name} images are {images.dtype}, not torch.uint8."
            )
        if images.ndim != 4 or images.shape[1] != 3:
            raise FacecloakError(f"The {name} images must be N×3×H×W, got {_shape(images)}.")
    if protected.shape != source.shape:
        raise FacecloakError(
            f"The protected images are {_shape(protected)}, the source images {_shape(source)}: quality is "
            "measured at one geometry, so crop and resize the source as the method's input was."
        )
    return protected, source


def _shape(images: Tensor) -> str:
    return "×".join(str(size) for size in images.shape)


def _unit(images: Tensor) -> Tensor:
    return images.to(torch.float64) / 255


def psnr(protected: Tensor, source: Tensor) -> Tensor:
    """Peak signal-to-noise ratio per image, over all RGB values of the image.

    Args:
        protected, source: uint8 (N, 3, H, W).

    Returns:
        (N,) float64 in dB, inf for identical images.

    Raises:
        FacecloakError: different shapes, or images that are not uint8.
    """
    protected, source = checked_pair(protected, source)
    return peak_signal_noise_ratio(_unit(protected), _unit(source), data_range=1.0, dim=(1, 2, 3), reduction="none")


def ssim(protected: Tensor, source: Tensor) -> Tensor:
    """Structural similarity per image (Wang et al., IEEE TIP 2004), mean over RGB channels and pixels.

    Convention: 11×11 Gaussian window, σ = 1.5, K = (0.01, 0.03), RGB in [0, 1], population (co)variances, and
    every pixel counted: the image is mirrored beyond its border (the edge pixel not repeated), where other
    codes leave out a border of 5 pixels.

    Args:
        protected, source: uint8 (N, 3, H, W), H and W at least 6.

    Returns:
        (N,) float64 in [-1, 1], 1 for identical images.

    Raises:
        FacecloakError: different shapes, or images that are not uint8.
    """
    protected, source = checked_pair(protected, source)
    height, width = source.shape[-2:]
    x, y = _unit(protected), _unit(source)
    means = _window(torch.stack([x, y, x * x, y * y, x * y]).flatten(0, 2)).view(5, *x.shape[:2], height, width)
    mean_x, mean_y, square_x, square_y, product = means
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = square_x - mean_x**2 + square_y - mean_y**2
    return (luminance * (2 * (product - mean_x * mean_y) + c2) / (variances + c2)).mean((1, 2, 3))


def _window(planes: Tensor) -> Tensor:
    """N×H×W planes under an 11×11 Gaussian, σ = 1.5: along rows, then columns.

    torchmetrics' SSIM takes the whole window in one grouped convolution, in float64 15 to 25 times as long on a CPU.
    """
    offsets = torch.arange(-5, 6, dtype=planes.dtype, device=planes.device)
    line = torch.softmax(-(offsets**2) / (2 * 1.5**2), dim=0)
    padded = F.pad(planes[:, None], (5, 5, 5, 5), mode="reflect")
    return F.conv2d(F.conv2d(padded, line.view(1, 1, 1, 11)), line.view(1, 1, 11, 1))[:, 0]


class PSNR(Metric):
    """Mean over images of the per-image PSNR; see `psnr`.

    Identical images have no finite PSNR: they are counted, and left out of the mean.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_different", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("n_identical", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, protected: Tensor, source: Tensor) -> None:
        """Count one batch of uint8 (N, 3, H, W) pairs; errors as in `psnr`."""
        values = psnr(protected, source)
        finite = values.isfinite()
        self.total += values[finite].sum()
        self.n_different += finite.sum()
        self.n_identical += (~finite).sum()

    def compute(self) -> dict[str, float | int]:
        """`psnr` in dB over the images that differ (nan without any), and `n_identical`."""
        n = int(self.n_different)
        return {"psnr": float(self.total) / n if n else math.nan, "n_identical": int(self.n_identical)}


class SSIM(Metric):
    """Mean over images of the per-image SSIM; see `ssim` for the convention."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, protected: Tensor, source: Tensor) -> None:
        """Count one batch of uint8 (N, 3, H, W) pairs; errors as in `ssim`."""
        values = ssim(protected, source)
        self.total += values.sum()
        self.n += len(values)

    def compute(self) -> float:
        """The mean, in [-1, 1]; nan without images."""
        return float(self.total) / int(self.n) if self.n else math.nan
