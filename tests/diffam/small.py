"""Pixel diffusion models, faces and networks small enough for tests of DiffAM."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor

from baselines.diffam.diffusion import PixelDiffusion

SIDE = 16


def scheduler(**options) -> DDIMScheduler:
    """The schedule of google/ddpm-celebahq-256."""
    settings = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": False}
    return DDIMScheduler(**{**settings, **options})


def unet(fold: int = 1, seed: int = 0, **options) -> UNet2DModel:
    """A random UNet for 16-px images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet2DModel(
            **{
                "sample_size": SIDE // fold,
                "in_channels": 3 * fold**2,
                "out_channels": 3 * fold**2,
                "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
                "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
                "block_out_channels": (8, 16),
                "layers_per_block": 1,
                "attention_head_dim": 8,
                "norm_num_groups": 4,
                **options,
            }
        ).eval()


def diffusion(fold: int = 1, seed: int = 0) -> PixelDiffusion:
    """A random diffusion model of 16-px images in float64."""
    return PixelDiffusion(unet(fold, seed).double(), scheduler())


def photos(count: int, seed: int = 0, side: int = SIDE) -> Tensor:
    """Smooth random images, B×3×side×side in [-1, 1], float64."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.interpolate(2 * coarse - 1, (side, side), mode="bicubic").clamp(-1, 1)
