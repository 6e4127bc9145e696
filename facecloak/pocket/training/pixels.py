"""The pixel-space diffusion model of the portraits, which the makeup baselines fine-tune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor

from facecloak.pocket.training.corpus import Corpus
from facecloak.pocket.training.loop import batch_indices, to_range, train

STEPS = 9000
BATCH = 4
LEARNING_RATE = 6e-4
AVERAGE = 0.999
PREDICTION = "v_prediction"
FOLD = 4  # pixels of a side that make one place of the network's input


def unet() -> UNet2DModel:
    """N×48×32×32 noisy portraits, 4×4 pixels folded into channels, to their velocity; attention at 8×8.

    Folded (`F.pixel_unshuffle`; Hoogeboom et al., "simple diffusion", ICML 2023, §3.2), the same is learnt at
    a twentieth of the cost of a network of this width on 128×128.
    """
    return UNet2DModel(
        sample_size=128 // FOLD,
        in_channels=3 * FOLD**2,
        out_channels=3 * FOLD**2,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 96, 96),
        layers_per_block=1,
        attention_head_dim=32,
        norm_num_groups=4,
    )


def scheduler() -> DDIMScheduler:
    """The linear schedule of Ho et al. (NeurIPS 2020), as google/ddpm-celebahq-256 has it; v, not noise, is predicted.

    At high levels the noise is nearly the input: a small network gives most of itself to passing it on. The velocity
    √ᾱ·ε − √(1−ᾱ)·x (Salimans and Ho, "Progressive Distillation", ICLR 2022, appendix D) is the portrait there.
    """
    return DDIMScheduler(
        beta_start=1e-4, beta_end=0.02, beta_schedule="linear", clip_sample=False, prediction_type=PREDICTION
    )


def train_ddpm(
    corpus: Corpus, checkpoint: Path, seed: int, device: str, on_step: Callable[[int, int, float], None]
) -> UNet2DModel:
    """Train on all noise levels; five times of six on the lower third, which is where makeup is edited."""
    images = torch.from_numpy(corpus.images)
    schedule = scheduler()
    torch.manual_seed(seed)
    model = unet().to(device)

    def loss(model: UNet2DModel, step: int) -> Tensor:
        numbers = batch_indices(len(images), BATCH, step, seed)
        x = to_range(images[numbers])
        x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x, x.flip(3))
        x = F.pixel_unshuffle(x, FOLD)
        noise, levels = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        levels = torch.where(torch.rand(len(x)) < 5 / 6, levels // 3, levels)
        noisy = schedule.add_noise(x, noise, levels).to(device)
        velocity = schedule.get_velocity(x, noise, levels).to(device)
        return F.mse_loss(model(noisy, levels.to(device)).sample.float(), velocity)

    return train(
        model, loss, steps=STEPS, learning_rate=LEARNING_RATE, checkpoint=checkpoint, seed=seed, average=AVERAGE,
        data=[images], on_step=on_step,
    )  # fmt: skip
