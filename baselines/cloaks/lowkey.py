"""LowKey: Cherepanova et al., "LowKey: Leveraging Adversarial Attacks to Protect Social Media Users from Facial
Recognition", ICLR 2021."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.gradients import signs
from baselines.common.perceptual import Perceptual, load_perceptual, perceptual_sha256
from baselines.common.randomness import generators
from facecloak.config import Checked
from facecloak.data import Batch
from facecloak.faces import crop
from facecloak.method import GRADIENTS, Origin, Protected, ProtectionMethod, Strength, errors_of_losses
from facecloak.objectives import Objective

FACE = 112  # pixels, side of the face of which LPIPS is taken
KERNEL, SIGMA = 7, 3.0  # of the blur, in pixels of the face that a recognizer sees


@dataclass(frozen=True)
class LowKeySettings(Checked):
    """The defaults are those of the released code.

    Attributes:
        iterations: number of steps.
        step: length of a step, in units of the pixel range: 1 is from black to white. No box limits the sum of the
            steps: after N of them a pixel has changed by at most start + N·step.
        start: the first image differs from the source by U(−start, start), in the same units.
        lambda_perceptual: weight of LPIPS, half of it on the face and half on the whole picture.
        perceptual: ``lpips``, or ``pocket`` for drawn portraits.
        seed: random seed of the start.
    """

    name: ClassVar[str] = "lowkey"
    iterations: int = 50
    step: float = 0.0025
    start: float = 0.005
    lambda_perceptual: float = 0.05
    perceptual: Perceptual = "lpips"
    seed: int = 8888

    def __post_init__(self) -> None:
        self.check("iterations must be at least 1", self.iterations >= 1)
        self.check("step must be above 0 and at most 1", 0 < self.step <= 1)
        self.check("start must be between 0 and 1", 0 <= self.start <= 1)
        self.check("lambda_perceptual must be at least 0", self.lambda_perceptual >= 0)


class LowKey(ProtectionMethod):
    """Moves the features away from the source's, sharp and blurred, and keeps LPIPS low (Cherepanova et al. 2021).

    Its loss is λ·LPIPS − the mean of ‖f' − f‖²/‖f‖ over the surrogates, each taken twice: of the face as it is, and of
    the blurred face. f' and f are of length 1, the protected and the unprotected photo's; f is never of a blurred face.

    LowKey has no target. Under impersonation it does the same as under obfuscation.
    """

    Settings: ClassVar[type[Any]] = LowKeySettings
    origin = Origin("cloak", "Cherepanova et al., ICLR", 2021, ("obfuscation",), GRADIENTS)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        "published": {"iterations": 50, "step": 0.0025, "start": 0.005, "lambda_perceptual": 0.05},
    }
    uses_surrogates = True
    strength = Strength("step", (0.125, 0.25, 0.5, 0.75, 1))

    def __init__(self, settings: LowKeySettings, objective: Objective | None = None) -> None:
        super().__init__(settings, objective)
        self.perceptual = load_perceptual(settings.perceptual)

    @classmethod
    def weights_sha256(cls, settings: LowKeySettings) -> str | None:
        return perceptual_sha256(settings.perceptual)

    def protect(self, batch: Batch) -> Protected:
        settings, losses = self.settings, []
        with torch.no_grad():
            source = [views[0] for views in self.embed(batch.images, batch.boxes)]
        noise = [torch.rand(batch.images.shape[1:], generator=g) for g in generators(settings.seed, batch.ids)]
        # the range of [-1, 1] is 2
        images = batch.images + 2 * settings.start * (2 * torch.stack(noise).to(batch.images) - 1)
        for iteration in range(settings.iterations):
            images.requires_grad_()
            loss = self.losses(images, batch, source)
            (gradient,) = torch.autograd.grad(loss.sum(), images)  # the sum keeps the images independent
            images = images.detach() - 2 * settings.step * signs(gradient)
            losses.append(loss.tolist())
            self.on_progress("cloak", iteration + 1, settings.iterations)
        return Protected(images.clamp(-1, 1), errors_of_losses(losses, len(images)), {"loss": losses})

    def losses(self, images: Tensor, batch: Batch, source: list[Tensor]) -> Tensor:
        """The loss of each image, B.

        Args:
            images: B×3×H×W, the images so far, about in [-1, 1].
            source: features of the sources' sharp faces, B×D per surrogate.
        """
        moved = [
            (views - own).square().sum(2).mean(0)
            for views, own in zip(self.embed(images, batch.boxes), source, strict=True)
        ]
        faces = (crop(each, batch.boxes, FACE) for each in (batch.images, images))
        seen = (self.perceptual(*faces) + self.perceptual(batch.images, images)) / 2
        return self.settings.lambda_perceptual * seen - torch.stack(moved).mean(0)

    def embed(self, images: Tensor, boxes: Tensor) -> list[Tensor]:
        """Features of the sharp and of the blurred faces, 2×B×D of unit rows per surrogate: f(x) + f(mirrored x)."""
        features = []
        for found in self.objective.embed(images, boxes, four_views):
            sharp, mirrored, blurred, blurred_mirrored = found.chunk(4)
            features.append(F.normalize(torch.stack([sharp + mirrored, blurred + blurred_mirrored]), dim=2))
        return features


def four_views(faces: Tensor) -> Tensor:
    """B×3×S×S faces, then mirrored ones, then both blurred: 4B×3×S×S."""
    both = torch.cat([faces, faces.flip(3)])
    return torch.cat([both, blur(both)])


def blur(faces: Tensor) -> Tensor:
    """Convolve N×3×S×S with a normalised 7×7 Gaussian, σ = 3 pixels, mirrored at the border, S at least 4."""
    offsets = torch.arange(KERNEL, device=faces.device, dtype=faces.dtype) - KERNEL // 2
    line = torch.softmax(-(offsets**2) / (2 * SIGMA**2), dim=0).expand(3, 1, 1, KERNEL)
    padded = F.pad(faces, (KERNEL // 2,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, line, groups=3), line.transpose(2, 3), groups=3)
