"""TI-DIM: Dong et al., "Evading Defenses to Transferable Adversarial Examples by Translation-Invariant Attacks",
CVPR 2019, with the input diversity of Xie et al., "Improving Transferability of Adversarial Examples with Input
Diversity", CVPR 2019."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.gradients import accumulate, signs
from baselines.common.randomness import generators
from baselines.noise.projected_gradient import MomentumSettings, NoiseMethod, Step, gradient_of
from facecloak.data import Batch
from facecloak.method import GRADIENTS, Origin
from facecloak.objectives import BOTH

SIGMA = 3.0  # of the smoothing kernel, in pixels
SMALLEST = 0.9  # the smallest side of a resized face, in units of the original side
PROBABILITY = 0.5  # that a face is resized

ROBFR = {"epsilon": 16, "iterations": 20, "momentum": 1.0, "surrogates": "single"}


@dataclass(frozen=True)
class TIDIMSettings(MomentumSettings):
    """Attributes:
    kernel_size: side of the Gaussian (σ = 3 pixels) that smooths the gradient; odd.
    seed: random seed of the input diversity.
    """

    name: ClassVar[str] = "ti_dim"
    kernel_size: int = 7
    seed: int = 8888

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("kernel_size must be odd and at least 1", self.kernel_size >= 1 and self.kernel_size % 2 == 1)


class TIDIM(NoiseMethod):
    """MI-FGSM with input diversity and a smoothed gradient (Dong et al. 2019, Xie et al. 2019).

    The presets ``robfr`` (7×7 kernel) and ``fdeid`` (15×15) have the settings of those codes, on a single surrogate.
    """

    Settings: ClassVar[type[Any]] = TIDIMSettings
    origin = Origin("noise", "Dong et al., CVPR; Xie et al., CVPR", 2019, BOTH, GRADIENTS)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        **NoiseMethod.presets,
        "robfr": {**ROBFR, "kernel_size": 7},
        "fdeid": {**ROBFR, "kernel_size": 15},
    }

    def begin(self, batch: Batch) -> Step:
        source, momentum = self.embed_sources(batch), torch.zeros_like(batch.images)
        random = generators(self.settings.seed, batch.ids)

        def step(images: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal momentum
            draws = torch.stack([torch.rand(4, generator=generator) for generator in random])

            def loss(x: Tensor) -> Tensor:
                return self.objective(x, batch.boxes, source, lambda faces: resize_and_pad(faces, draws)).mean(1)

            gradient, losses = gradient_of(loss, images)
            smoothed = smooth(gradient, self.settings.kernel_size)
            momentum = accumulate(momentum, smoothed, self.settings.momentum)
            return -signs(momentum), losses

        return step


def resize_and_pad(faces: Tensor, draws: Tensor) -> Tensor:
    """Make some faces smaller, by 0.9 to 1, and put them at a random place on black (Xie et al. 2019, section 3.2).

    Args:
        faces: B×3×S×S in [-1, 1].
        draws: B×4, uniform in [0, 1): whether to resize, the size, the offsets from the top and from the left.
    """
    size = faces.shape[-1]
    smallest = int(SMALLEST * size)
    views = []
    for face, (coin, scale, down, right) in zip(faces, draws.tolist(), strict=True):
        if coin >= PROBABILITY:
            views.append(face)
            continue
        side = smallest + int(scale * (size - smallest))
        top, left = int(down * (size - side + 1)), int(right * (size - side + 1))
        small = F.interpolate(face[None], (side, side), mode="bilinear", align_corners=False)[0]
        views.append(F.pad(small, (left, size - side - left, top, size - side - top), value=-1.0))
    return torch.stack(views)


def smooth(gradient: Tensor, kernel_size: int) -> Tensor:
    """Convolve B×3×H×W with a normalised Gaussian, σ = 3 pixels, zeros outside (Dong et al. 2019, eq. 7).

    The kernel is a product of two one-dimensional kernels, which take 2k operations per pixel instead of k².
    """
    offsets = torch.arange(kernel_size, device=gradient.device, dtype=gradient.dtype) - kernel_size // 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    line = (line / line.sum()).expand(3, 1, 1, kernel_size)
    rows = F.conv2d(gradient, line, padding=(0, kernel_size // 2), groups=3)
    return F.conv2d(rows, line.transpose(2, 3), padding=(kernel_size // 2, 0), groups=3)
