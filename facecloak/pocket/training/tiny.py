"""A tiny autoencoder of the same latents, whose decoder replaces the full one where a gradient is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from facecloak.pocket.training.autoencoder import LATENT_CHANNELS
from facecloak.pocket.training.corpus import Corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train

BATCH, STEPS, LEARNING_RATE = 8, 1200, 3e-3
PEOPLE = 200  # of the corpus; a network of this size learns nothing from more
WIDTH = 24
MIXED = 0.3  # how far a latent is moved towards another portrait's, at most
NOISE = 0.1  # standard deviation of what is added to a latent; a latent's own is 1
ENCODER_WEIGHT = 0.1


def tiny_autoencoder() -> AutoencoderTiny:
    """N×3×128×128 in [-1, 1] ↔ N×`LATENT_CHANNELS`×16×16 of unit variance; 0.2 M parameters (TAESD's layers)."""
    return AutoencoderTiny(
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=(WIDTH,) * 4,
        decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(0, 1, 2, 3),
        num_decoder_blocks=(3, 2, 1, 0),
    )


def train_tiny(
    corpus: Corpus, vae: AutoencoderKL, checkpoint: Path, seed: int, on_step: Callable[[int, int, float], None]
) -> AutoencoderTiny:
    """Distil the trained autoencoder: the same latents of a portrait, and the same picture of a latent.

    An attack leaves the portraits' latents, so the decoder learns from latents that are moved and noisy, too.
    """
    images = torch.from_numpy(corpus.images)
    torch.manual_seed(seed)
    model = tiny_autoencoder().to(vae.device)
    loss = partial(_loss, vae=vae, images=images, seed=seed)
    return train(model, loss, steps=STEPS, learning_rate=LEARNING_RATE, checkpoint=checkpoint, seed=seed,
                 data=[images, *vae.parameters()], on_step=on_step)  # fmt: skip


def _loss(model: AutoencoderTiny, step: int, vae: AutoencoderKL, images: Tensor, seed: int) -> Tensor:
    """L1 and squares of pixels, L1 of the differences between neighbours; squares of the latents."""
    x = to_range(images[batch_indices(len(images), BATCH, step, seed)]).to(vae.device)
    with torch.no_grad():
        z = vae.encode(x).latent_dist.mean * vae.config.scaling_factor
        moved = z + MIXED * torch.rand(BATCH, 1, 1, 1, device=z.device) * (z.roll(1, 0) - z)
        moved = moved + NOISE * torch.rand(BATCH, 1, 1, 1, device=z.device) * torch.randn_like(z)
        goal = vae.decode(moved / vae.config.scaling_factor).sample
    error = model.decode(moved).sample.float() - goal
    edges = sum(error.diff(dim=dim).abs().mean() for dim in (2, 3))
    encoded = F.mse_loss(model.encode(x).latents.float(), z)
    return error.abs().mean() + 0.5 * edges + error.square().mean() + ENCODER_WEIGHT * encoded
