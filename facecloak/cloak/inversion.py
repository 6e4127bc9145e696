"""The noise schedule, the DDIM step, and DDIM inversion (Song et al. 2021, eq. 12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from facecloak.cloak.backbone import Backbone


@dataclass(frozen=True)
class Schedule:
    """Which DDIM steps are run, as pairs of (timestep from, timestep to).

    Attributes:
        inversion: the steps from z⁰ up, as many as are used.
        generation: the steps back to the image. ``code``: the released code's, which treat the inverted latent
            as one level less noisy than it is; ``aligned``: the exact way back.
    """

    inversion: list[tuple[int, int]]
    generation: list[tuple[int, int]]

    @classmethod
    def of(cls, backbone: Backbone, steps: int, start_step: int, variant: Literal["code", "aligned"]) -> Schedule:
        """The schedule of ``steps`` DDIM steps of which those from ``start_step`` (1 … steps − 1) on are run."""
        backbone.scheduler.set_timesteps(steps)
        timesteps = backbone.scheduler.timesteps.tolist()
        stride = backbone.scheduler.config.num_train_timesteps // steps
        upward = timesteps[::-1][: steps - start_step]
        first = start_step if variant == "code" else start_step - 1
        downward = timesteps[first : first + steps - start_step]
        return cls([(t, t + stride) for t in upward], [(t, t - stride) for t in downward])


def ddim_step(z: Tensor, noise: Tensor, alpha_from: Tensor, alpha_to: Tensor) -> Tensor:
    """One deterministic DDIM step between two noise levels, in either direction (η = 0)."""
    clean = (z - (1 - alpha_from).sqrt() * noise) / alpha_from.sqrt()
    return alpha_to.sqrt() * clean + (1 - alpha_to).sqrt() * noise


Guide = Callable[[Tensor], Tensor]  # a predicted noise → the guided noise


def denoise(
    backbone: Backbone, z: Tensor, step: tuple[int, int], embedding: Tensor, guide: Guide | None = None
) -> Tensor:
    """Predict the noise at the step's first timestep and move to its second.

    Args:
        z: B×C×h×w latents.
        step: (timestep from, timestep to); one below 0 stands for the image itself.
        embedding: B×L×d condition of the UNet.
        guide: what to do with the predicted noise, such as classifier-free guidance; None for nothing.
    """
    noise = backbone.predict_noise(z, step[0], embedding)
    noise = noise if guide is None else guide(noise)
    return ddim_step(z, noise, backbone.alpha(step[0]), backbone.alpha(step[1]))


@torch.no_grad()
def invert(backbone: Backbone, z: Tensor, schedule: Schedule) -> list[Tensor]:
    """The latents z⁰, z¹, … of the inversion under the empty prompt, only those that are used later."""
    trajectory = [z]
    for step in schedule.inversion:
        trajectory.append(denoise(backbone, trajectory[-1], step, backbone.null_embedding(len(z))))
    return trajectory
