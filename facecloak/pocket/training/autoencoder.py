"""The autoencoder of the latent diffusion model: 128-px portraits to 16×16 latents and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from facecloak.pocket.training.corpus import Corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train

STEPS = 10_000
BATCH = 2
LEARNING_RATE = 1.2e-3
CHROMA = 4.0  # portraits differ in colour less than in light, and a mode of small variance is learnt late
KL_WEIGHT = 1e-5  # of the mean over the latents; it only keeps them from growing
LATENT_CHANNELS = 12
START_LOG_VARIANCE = -6.0  # of the posterior; noise as strong as the first latents would drown colours for long
SCALING_BATCH = 256


def autoencoder() -> AutoencoderKL:
    """N×3×128×128 in [-1, 1] ↔ N×`LATENT_CHANNELS`×16×16; 1.4 M parameters."""
    widths = (16, 16, 32, 96)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=widths,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,  # groups of two or three channels would lose the colour of the whole picture
        sample_size=128,
    )


def train_autoencoder(
    corpus: Corpus, checkpoint: Path, seed: int, device: str, on_step: Callable[[int, int, float], None]
) -> AutoencoderKL:
    """Train on L1, on that of the differences between neighbours (for sharp edges) and of 8×8 means (for colours)."""
    images = torch.from_numpy(corpus.images)
    torch.manual_seed(seed)
    model = autoencoder().to(device)
    nn.init.constant_(model.quant_conv.bias[LATENT_CHANNELS:], START_LOG_VARIANCE)

    def loss(model: AutoencoderKL, step: int) -> Tensor:
        x = to_range(images[batch_indices(len(images), BATCH, step, seed)]).to(device)
        posterior = model.encode(x).latent_dist
        y = model.decode(posterior.sample()).sample.float()
        error = x - y
        grey = error.mean(1, keepdim=True)
        seen = grey + CHROMA * (error - grey)
        edges = sum(seen.diff(dim=dim).abs().mean() for dim in (2, 3))
        colour, mean_square = F.avg_pool2d(seen, 8).abs().mean(), error.square().mean()
        kl = posterior.kl().float().mean() / posterior.mean[0].numel()
        return seen.abs().mean() + 0.5 * edges + colour + mean_square + KL_WEIGHT * kl

    trained = train(
        model, loss, steps=STEPS, learning_rate=LEARNING_RATE, checkpoint=checkpoint, seed=seed, bf16=True,
        on_step=on_step,
    )  # fmt: skip
    trained.register_to_config(scaling_factor=_scaling_factor(trained, images, device))
    return trained


@torch.no_grad()
def reconstruction_psnr(model: AutoencoderKL, images: Tensor) -> Tensor:
    """PSNR in dB of each of the uint8 N×128×128×3 images, encoded to the posterior's mean and decoded."""
    values = []
    for block in images.split(32):
        x = to_range(block).to(model.device)
        y = model.decode(model.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        values.append(10 * torch.log10(4 / F.mse_loss(y, x, reduction="none").mean((1, 2, 3))))
    return torch.cat(values).cpu()


@torch.no_grad()
def _scaling_factor(model: AutoencoderKL, images: Tensor, device: str) -> float:
    """1 / the standard deviation of the latents (Rombach et al., CVPR 2022, appendix G)."""
    numbers = torch.linspace(0, len(images) - 1, SCALING_BATCH).long()
    latents = [model.encode(to_range(images[part]).to(device)).latent_dist.mean for part in numbers.split(32)]
    return 1 / torch.cat(latents).std().item()
