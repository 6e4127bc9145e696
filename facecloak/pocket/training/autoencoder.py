"""The autoencoder of the latent diffusion model: 128-px portraits to 16×16 latents and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from facecloak.pocket.training.corpus import Corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train

BATCH = 4
# first light and form, then colours: portraits differ in them less, so that they would be learnt too late
FORM = {"steps": 8000, "until": 6096, "learning_rate": 1.5e-3}
COLOUR = {"steps": 2500, "learning_rate": 1e-3}
CHROMA, TINT = 2.0, 10.0  # weights of colour errors, of single pixels and of the means of 8×8
KL_WEIGHT = 1e-5  # of the mean over the latents; it only keeps them from growing
LATENT_CHANNELS = 12
SCALING_BATCH = 256


def autoencoder() -> AutoencoderKL:
    """N×3×128×128 in [-1, 1] ↔ N×`LATENT_CHANNELS`×16×16; 1.4 M parameters."""
    widths = (16, 16, 32, 96)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=widths,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=128,
    )


def train_autoencoder(
    corpus: Corpus, checkpoint: Path, seed: int, device: str, on_step: Callable[[int, int, float], None]
) -> AutoencoderKL:
    """Train in two phases, `FORM` and `COLOUR`, each with a checkpoint of its own."""
    images = torch.from_numpy(corpus.images)
    torch.manual_seed(seed)
    model = autoencoder().to(device)
    for phase, file in (FORM, checkpoint), (COLOUR, checkpoint.with_stem(f"{checkpoint.stem}_colour")):
        loss = partial(_loss, images=images, seed=seed, coloured=phase is COLOUR)
        data = [images, *model.parameters()] if phase is COLOUR else [images]
        model = train(model, loss, checkpoint=file, seed=seed, data=data, on_step=on_step, **phase)
        seed += 1
    model.register_to_config(scaling_factor=_scaling_factor(model, images, device))
    return model


def _loss(model: AutoencoderKL, step: int, images: Tensor, seed: int, coloured: bool) -> Tensor:
    """L1 of pixels, of the differences between neighbours (for sharp edges) and of tints; squares; KL."""
    x = to_range(images[batch_indices(len(images), BATCH, step, seed)]).to(model.device)
    posterior = model.encode(x).latent_dist
    error = x - model.decode(posterior.sample()).sample.float()
    tint = error - error.mean(1, keepdim=True)
    seen = error + (CHROMA - 1) * tint if coloured else error
    edges = sum(seen.diff(dim=dim).abs().mean() for dim in (2, 3))
    tints = TINT * F.avg_pool2d(tint, 8).abs().mean() if coloured else 0.0
    kl = posterior.kl().float().mean() / posterior.mean[0].numel()
    return seen.abs().mean() + 0.5 * edges + tints + error.square().mean() + KL_WEIGHT * kl


@torch.no_grad()
def _scaling_factor(model: AutoencoderKL, images: Tensor, device: str) -> float:
    """1 / the standard deviation of the latents (Rombach et al., CVPR 2022, appendix G)."""
    numbers = torch.linspace(0, len(images) - 1, SCALING_BATCH).long()
    latents = [model.encode(to_range(images[part]).to(device)).latent_dist.mean for part in numbers.split(32)]
    return 1 / torch.cat(latents).std().item()
