"""Adv-Diffusion (Liu et al., AAAI 2024, arXiv 2312.11285): what surrounds the face is repainted towards the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from baselines.common.randomness import generators
from baselines.diffusion.edit_friendly import noisy_step
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.latent import LatentMethod
from facecloak.cloak.settings import BackboneSettings
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.method import Origin, Protected, Strength, errors_of_losses
from facecloak.objectives import Objective

Noise = Callable[[], Tensor]  # B×C×h×w, each image's from its own generator


@dataclass(frozen=True)
class AdvDiffusionSettings(BackboneSettings):
    """Settings of AdvDiffusion; steps and scale are the released code's.

    Attributes:
        backbone: diffusers StableDiffusionPipeline folder or hub id; an inpainting model for ``inpainting: unet``.
        inpainting: how the face is kept. ``unet``, as published: the UNet is given the mask and the masked photo, in
            2·C + 1 channels (9 for Stable Diffusion). ``blend``: after each step the face is put back at the step's
            noise level (RePaint, Lugmayr et al., CVPR 2022), for a UNet of C channels, which every other method uses.
        face: size of the ellipse that is kept, relative to the face box; 1 touches its edges.
        steps: DDIM steps.
        scale: s, how strongly a step follows the gradient.
        seed: of the autoencoder's posterior sample and, together with the photo's name, of all noise.
    """

    name: ClassVar[str] = "adv_diffusion"

    inpainting: Literal["unet", "blend"] = "blend"
    face: float = 1.0
    steps: int = 46
    scale: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.check(
            "face must be above 0 and below 1.4, where no part of the face box is left to repaint", 0 < self.face < 1.4
        )
        self.check("steps must be between 2 and 500", 2 <= self.steps <= 500)
        self.check("scale must be at least 0", self.scale >= 0)


class AdvDiffusion(LatentMethod):
    """Inpainting around the face, from pure noise, in which every step also follows the recognizers' gradient.

    A step of DDIM with η = 1 predicts the noise ε and from it the picture's latent ẑ₀. The gradient g of the score, the
    mean of −L_adv's terms (for impersonation, of cosines), is taken with respect to ẑ₀ only, through the decoder and
    the recognizers; the UNet is not differentiated. With fresh noise n and DDIM's σ, which fades,

        z ← √ā′·ẑ₀ + √(1 − ā′ − σ²)·ε + σ·n + σ·s·g.

    The paper repaints what a face parser calls hair, ears, neck and background. Here no parser is needed: what is kept
    is the ellipse in the face box, and all else is repainted. The recognizers' crop is the box, so that they see the
    ellipse and what of the repainted surroundings is in the box's corners.
    """

    Settings: ClassVar[type[Any]] = AdvDiffusionSettings
    origin = Origin(
        "latent",
        "Liu et al., AAAI",
        2024,
        ("impersonation",),
        "46 steps of a diffusion model",
    )
    strength = Strength("scale", (0.25, 0.5, 1, 2))

    def __init__(self, settings: AdvDiffusionSettings, objective: Objective, backbone: Backbone | None = None) -> None:
        super().__init__(settings, objective, backbone)
        taken, latent = self.backbone.unet.config.in_channels, self.backbone.vae.config.latent_channels
        if taken != {"unet": 2 * latent + 1, "blend": latent}[settings.inpainting]:
            other = "blend" if settings.inpainting == "unet" else "unet"
            raise FacecloakError(
                f"adv_diffusion: the UNet of {settings.backbone} takes {taken} channels and latents have {latent}, so "
                f"that it cannot inpaint by {settings.inpainting!r}; set 'inpainting' to {other!r}, or give another "
                "'backbone'."
            )

    def protect(self, batch: Batch) -> Protected:
        settings, backbone, photos = self.settings, self.backbone, batch.images
        passes, losses = backbone.passes, []
        with torch.no_grad():
            clean = backbone.encode(photos, settings.seed)
            kept = ellipses(batch.boxes, settings.face, photos.shape[2:], clean.shape[2:])
            condition = self.condition(batch, kept) if settings.inpainting == "unet" else None
            source_faces = self.objective.embed(photos, batch.boxes)
            draw = noise_like(clean, generators(settings.seed, batch.ids))
            z = self.diffuse(clean, backbone.scheduler.config.num_train_timesteps - 1, draw)
        steps = self.timesteps()
        for index, step in enumerate(steps):
            with torch.no_grad():
                noise, found = self.predict(z, step[0], condition)
            gradient, loss = self.gradient_of_score(found, batch, source_faces)
            losses.append(loss.tolist())
            with torch.no_grad():
                z = self.step(z, noise, gradient, step, draw)
                if condition is None:
                    z = torch.where(kept, clean if step == steps[-1] else self.diffuse(clean, step[1], draw), z)
            self.on_progress("sampling", index + 1, len(steps))
        with torch.no_grad():
            images = backbone.decode(z).clamp(-1, 1)
        return Protected(
            images, errors_of_losses(losses, len(images)), {"adv": losses}, unet_passes=backbone.passes - passes
        )

    def timesteps(self) -> list[tuple[int, int]]:
        """The steps as pairs of (timestep from, timestep to), from the noisiest; 46 steps are 991, 969, …, 23, 1."""
        stride = (self.backbone.scheduler.config.num_train_timesteps - 2) // (self.settings.steps - 1)
        return [(1 + stride * index, 1 + stride * (index - 1)) for index in reversed(range(self.settings.steps))]

    def condition(self, batch: Batch, kept: Tensor) -> Tensor:
        """What an inpainting UNet is given beside the latent, B×(1 + C)×h×w: where to paint, and the masked photo."""
        size = batch.images.shape[2:]
        masked = batch.images * ellipses(batch.boxes, self.settings.face, size, size)
        return torch.cat([(~kept).to(masked), self.backbone.encode(masked, self.settings.seed)], 1)

    def diffuse(self, clean: Tensor, timestep: int, draw: Noise) -> Tensor:
        """Latents at a timestep, from clean ones and fresh noise."""
        alpha = self.backbone.alpha(timestep)
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * draw()

    def predict(self, z: Tensor, timestep: int, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """ε and ẑ₀ under the empty prompt."""
        given, alpha = z if condition is None else torch.cat([z, condition], 1), self.backbone.alpha(timestep)
        noise = self.backbone.predict_noise(given, timestep, self.backbone.null_embedding(len(z)))
        return noise, (z - (1 - alpha).sqrt() * noise) / alpha.sqrt()

    def gradient_of_score(self, found: Tensor, batch: Batch, source_faces: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The gradient with respect to ẑ₀ (``found``), in its shape, and L_adv, B, whose negative the score is."""
        found = found.detach().requires_grad_()
        images = self.backbone.decode(found, for_gradient=True)
        loss = self.objective(images, batch.boxes, source_faces).mean(1)
        (gradient,) = self.backbone.gradients(-loss.sum(), [found])
        return gradient, loss.detach()

    def step(self, z: Tensor, noise: Tensor, gradient: Tensor, step: tuple[int, int], draw: Noise) -> Tensor:
        """The next latents, see the class."""
        mean, spread = noisy_step(z, noise, *(self.backbone.alpha(timestep) for timestep in step))
        return mean + spread * (draw() + self.settings.scale * gradient)


def noise_like(z: Tensor, random: list[torch.Generator]) -> Noise:
    """A function that draws standard normal noise in the shape of z, B×…, from each image's own generator."""
    return lambda: torch.stack([torch.randn(z.shape[1:], generator=each) for each in random]).to(z)


def ellipses(boxes: Tensor, face: float, size: torch.Size, grid: torch.Size) -> Tensor:
    """True where the middle of a cell of a grid over each image is in the ellipse of its face, B×1×h×w.

    Args:
        boxes: B×4 face boxes, or B×5 turned squares, whose ellipse is a circle, however they are turned.
        face: size of the ellipse, relative to the box.
        size, grid: H, W of the images in pixels, and h, w.
    """
    x0, y0, x1, y1 = boxes[:, :4].double()[:, :, None, None].unbind(1)
    rows, columns = (
        (torch.arange(n, device=boxes.device) + 0.5) * pixels / n for n, pixels in zip(grid, size, strict=True)
    )
    across, down = (2 * columns - x0 - x1) / (x1 - x0), (2 * rows[:, None] - y0 - y1) / (y1 - y0)
    return (across.square() + down.square() <= face**2).unsqueeze(1)
