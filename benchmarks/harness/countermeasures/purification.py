"""Purification by a diffusion model: noise hides a cloak, and denoising does not bring it back (Nie et al. 2022)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness.countermeasures import Alter
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import Schedule, denoise, invert
from facecloak.data import to_tensor, to_uint8

STRIDE = 50  # timesteps per DDIM step, of 1000
EMBEDDING_ITERATIONS, EMBEDDING_LR = 20, 0.1  # of the proposed method


def purify(timestep: int, backbone: Backbone) -> Alter:
    """Encode, add the noise of a timestep, denoise by DDIM under the empty prompt, decode (SDEdit, DiffPure).

    Timestep 0 is only the way through the autoencoder and back.
    """
    steps = _downward(timestep)

    def purified(z: Tensor, noise: Tensor) -> Tensor:
        embedding = backbone.null_embedding(1)
        return _denoised(backbone, _noisy(backbone, z, noise, timestep), steps, [embedding] * len(steps))

    return _through_latents(backbone, purified)


def learned(timestep: int, backbone: Backbone) -> Alter:
    """The same under embeddings that are learned on the picture, as the proposed method learns its own.

    Whoever purifies this way knows the method: the picture is inverted to the timestep, one embedding per step is
    learned to retrace the inversion, and these are used to denoise.
    """
    steps = _downward(timestep)
    schedule = Schedule([(to, start) for start, to in reversed(steps)], steps)

    def purified(z: Tensor, noise: Tensor) -> Tensor:
        trajectory = invert(backbone, z, schedule)
        with torch.enable_grad():
            embeddings = learn_embeddings(
                backbone, trajectory, schedule, EMBEDDING_ITERATIONS, EMBEDDING_LR, lambda *_: None
            )
        return _denoised(backbone, _noisy(backbone, z, noise, timestep), steps, embeddings)

    return _through_latents(backbone, purified)


def _downward(timestep: int) -> list[tuple[int, int]]:
    """The DDIM steps from a timestep to the image, as pairs (from, to); below 0 is the image."""
    return [(start, start - STRIDE) for start in range(timestep, 0, -STRIDE)]


def _noisy(backbone: Backbone, z: Tensor, noise: Tensor, timestep: int) -> Tensor:
    if timestep == 0:
        return z
    alpha = backbone.alpha(timestep)
    return alpha.sqrt() * z + (1 - alpha).sqrt() * noise


def _denoised(backbone: Backbone, z: Tensor, steps: list[tuple[int, int]], embeddings: list[Tensor]) -> Tensor:
    for step, embedding in zip(steps, embeddings, strict=True):
        z = denoise(backbone, z, step, embedding)
    return z


def _through_latents(backbone: Backbone, change) -> Alter:
    """Encode a picture, change its latent with Gaussian noise of the same shape, and decode it."""

    @torch.no_grad()
    def alter(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        device = next(backbone.parameters()).device
        z = backbone.encode(to_tensor([image]).to(device), int(random.integers(2**31)))
        noise = torch.from_numpy(random.standard_normal(z.shape, dtype=np.float32)).to(device)
        return to_uint8(backbone.decode(change(z, noise)))[0]

    return alter
