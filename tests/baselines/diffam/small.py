"""Pixel diffusion models, faces and networks small enough for tests of DiffAM."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor

from baselines.diffam.clip import Clip
from baselines.diffam.diffusion import PixelDiffusion
from baselines.diffam.removal import MakeupRemoval, RemovalSettings
from baselines.diffam.transfer import MakeupTransfer, Reference, TransferSettings
from facecloak.objectives import Objective
from tests.baselines.noise.small import recognizer

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


def diffusion(fold: int = 1, seed: int = 0, **options) -> PixelDiffusion:
    """A random diffusion model of 16-px images in float64; ``options`` are passed to its scheduler."""
    return PixelDiffusion(unet(fold, seed).double(), scheduler(**options))


def photos(count: int, seed: int = 0, side: int = SIDE) -> Tensor:
    """Smooth random images, B×3×side×side in [-1, 1], float64."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.interpolate(2 * coarse - 1, (side, side), mode="bicubic").clamp(-1, 1)


class MeanSquare(torch.nn.Module):
    """Stands in for a perceptual distance."""

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        return (before - after).square().flatten(1).mean(1)


def clip() -> Clip:
    """The pocket suite's CLIP in float64."""
    return Clip.load("$FACECLOAK_POCKET/clip").double()


def boxes(count: int) -> Tensor:
    """A face box for each photo, count×4."""
    return torch.tensor([[1.0, 2, 15, 16], [0, 0, 16, 16], [3, 1, 14, 13]])[torch.arange(count) % 3]


def regions(count: int) -> Tensor:
    """bool count×4×16×16: two eyes, lips and the skin around them."""
    masks = torch.zeros(count, 4, SIDE, SIDE, dtype=torch.bool)
    masks[:, 0, 4:7, 3:7] = masks[:, 1, 4:7, 9:13] = masks[:, 2, 10:13, 5:11] = True
    masks[:, 3, 2:15, 2:14] = True
    masks[:, 3] &= ~masks[:, 2]
    return masks


def make_removal(**settings) -> MakeupRemoval:
    """A removal on three photos, with few steps."""
    settings = RemovalSettings(
        **{"inversion_steps": 4, "generation_steps": 2, "test_steps": 3, "passes": 2, "lr": 1e-3, **settings}
    )
    return MakeupRemoval(settings, diffusion(), clip(), MeanSquare(), recognizer(1, 12), photos(3), boxes(3))


def make_transfer(goal: str = "impersonation", **settings) -> MakeupTransfer:
    """A transfer to three photos, with few steps and two surrogates."""
    few = {"inversion_steps": 4, "generation_steps": 2, "test_steps": 2, "passes": 2, "makeup_passes": 1, "lr": 1e-3}
    target = photos(1, seed=99)
    objective = Objective(goal, [recognizer(1, 12), recognizer(2, 16)], target, boxes(1))
    bare, made_up = photos(2, seed=5)
    reference = Reference(made_up, bare, regions(1)[0])
    return MakeupTransfer(
        TransferSettings(**{**few, **settings}), diffusion(), clip(), MeanSquare(), objective, reference,
        photos(3), boxes(3), regions(3),
    )  # fmt: skip
