"""DDPM inversion whose noises are nearly independent: Huberman-Spiegelglas et al., "An Edit Friendly DDPM Noise Space:
Inversion and Manipulations", CVPR 2024."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facecloak.cloak.backbone import Backbone


@dataclass(frozen=True)
class Path:
    """A photo's way through the last steps of a diffusion.

    Attributes:
        latents: where each step starts, B×C×h×w each.
        noises: the noise that each step adds, in units of its standard deviation; 0 in the last step.
    """

    latents: list[Tensor]
    noises: list[Tensor]


def noisy_step(z: Tensor, noise: Tensor, alpha_from: Tensor, alpha_to: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B×C×h×w) and standard deviation of a DDIM step with η = 1 (Song et al. 2021, eqs. 12 and 16).

    Args:
        noise: what the UNet predicts at z.
    """
    variance = (1 - alpha_to) / (1 - alpha_from) * (1 - alpha_from / alpha_to)
    clean = (z - (1 - alpha_from).sqrt() * noise) / alpha_from.sqrt()
    return alpha_to.sqrt() * clean + (1 - alpha_to - variance).sqrt() * noise, variance.sqrt()


@torch.no_grad()
def invert(backbone: Backbone, clean: Tensor, steps: list[tuple[int, int]], random: list[torch.Generator]) -> Path:
    """Latents of each level with independent noise, and the noises with which the steps lead from one to the next.

    Only the last step does not lead where the photo was: its noise is left out, so that it ends at its mean.

    Args:
        clean: scaled latents of the photos, B×C×h×w.
        steps: (timestep from, timestep to), from the noisiest down.
        random: a generator per photo; only the levels that are used take numbers from it.
    """
    drawn = [torch.randn(len(steps), *clean.shape[1:], generator=generator) for generator in random]
    latents, noises = [], []
    for (level, _), noise in zip(steps, torch.stack(drawn, dim=1).to(clean), strict=True):
        alpha = backbone.alpha(level)
        latents.append(alpha.sqrt() * clean + (1 - alpha).sqrt() * noise)
    for index, step in enumerate(steps[:-1]):
        alphas = backbone.alpha(step[0]), backbone.alpha(step[1])
        predicted = backbone.predict_noise(latents[index], step[0], backbone.null_embedding(len(clean)))
        mean, spread = noisy_step(latents[index], predicted, *alphas)
        noises.append((latents[index + 1] - mean) / spread)
        latents[index + 1] = mean + spread * noises[-1]  # so that rounding does not add up
    return Path(latents, [*noises, torch.zeros_like(clean)])
