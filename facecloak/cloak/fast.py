"""`facecloak:fast`: the proposed method's idea with one denoising step per iteration, an own design of this project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from facecloak.cloak.inversion import denoise
from facecloak.cloak.latent import LatentMethod
from facecloak.cloak.settings import BackboneSettings
from facecloak.data import Batch
from facecloak.method import Origin, Protected, Strength, errors_of_losses
from facecloak.objectives import BOTH

# a mean over five gradients needs a shorter memory than Adam's usual 0.9, which overshoots
BETAS = (0.5, 0.999)
CLEAN = -1  # the timestep below the first: the picture itself


@dataclass(frozen=True)
class FastSettings(BackboneSettings):
    """Settings of FastCloak; the defaults were found on drawn people who are in no suite (`benchmarks.studies.fast`).

    Attributes:
        level: timestep at which the latent is changed, 1 … 999. The higher, the more the denoising shapes the change.
        iterations: Adam steps on the latent.
        lr: their learning rate.
        lambda_change: weight of the mean squared change of the pixels, which are in [-1, 1].
        seed: of the autoencoder's posterior sample.
        tiny_decoder: decodes the change, in every iteration and at the end; without it the full decoder does, which is
            slower.
    """

    name: ClassVar[str] = "facecloak:fast"

    level: int = 351
    iterations: int = 5
    lr: float = 0.25
    lambda_change: float = 5.0
    seed: int = 8888

    def __post_init__(self) -> None:
        self.check("iterations must be at least 1", self.iterations >= 1)
        self.check("level must be between 1 and 999", 0 < self.level < 1000)
        self.check("lr must be above 0", self.lr > 0)
        self.check("lambda_change must be at least 0", self.lambda_change >= 0)


class FastCloak(LatentMethod):
    """An adversarial latent code that one denoising step turns into a change of the photo.

    It shares with the proposed method (Salar et al. 2025) that the variable is a noisy latent and that its gradient
    passes through the denoising, which removes what no face could look like. Where it differs: one step from `level` to
    the picture in place of three, no learned embeddings, the size of the change in place of the self-attention term,
    and the *difference* of two decoded pictures is added to the photo, so that what the autoencoder loses is not lost.
    """

    Settings: ClassVar[type[Any]] = FastSettings
    origin = Origin("latent", "this project", 2026, BOTH, "gradients through a diffusion model, 5 times")
    strength = Strength("lr", (0.25, 0.5, 1, 2))

    def protect(self, batch: Batch) -> Protected:
        backbone, photos = self.backbone, batch.images
        passes = backbone.passes
        with torch.no_grad():
            start = self.start(photos)
            unchanged = self.decode(start)
            source_faces = self.objective.embed(photos, batch.boxes)
        z = start.clone().requires_grad_()
        optimizer = self.optimizer(z)
        history: dict[str, list[list[float]]] = {"adv": [], "change": [], "loss": []}
        for iteration in range(self.settings.iterations):
            images = self.picture(photos, z, unchanged)
            weighted = {
                "adv": self.objective(images, batch.boxes, source_faces).mean(1),
                "change": self.settings.lambda_change * (images - photos).square().flatten(1).mean(1),
            }
            weighted["loss"] = weighted["adv"] + weighted["change"]
            backbone.update(optimizer, z, weighted["loss"].sum())
            for name, value in weighted.items():
                history[name].append(value.tolist())
            self.on_progress("latent", iteration + 1, self.settings.iterations)
        with torch.no_grad():
            images = self.picture(photos, z, unchanged).clamp(-1, 1)
        return Protected(
            images, errors_of_losses(history["loss"], len(images)), history, unet_passes=backbone.passes - passes
        )

    def start(self, photos: Tensor) -> Tensor:
        """The photos' latents at `level`, in one DDIM step upward: B×C×h×w; the variable begins there."""
        clean = self.backbone.encode(photos, self.settings.seed)
        return denoise(self.backbone, clean, (1, self.settings.level), self.backbone.null_embedding(len(photos)))

    def optimizer(self, z: Tensor) -> torch.optim.Optimizer:
        """What changes the variable."""
        return torch.optim.Adam([z], lr=self.settings.lr, betas=BETAS)

    def decode(self, z: Tensor) -> Tensor:
        """The picture of a latent at `level`, by one DDIM step down: B×3×H×W, about [-1, 1]."""
        clean = denoise(self.backbone, z, (self.settings.level, CLEAN), self.backbone.null_embedding(len(z)))
        return self.backbone.decode(clean, for_gradient=True)

    def picture(self, photos: Tensor, z: Tensor, unchanged: Tensor) -> Tensor:
        """The photos with the change that the variable makes to their decoded pictures (``unchanged``), B×3×H×W."""
        return photos + (self.decode(z) - unchanged)
