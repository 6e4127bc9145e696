"""Latent diffusion models in Stable Diffusion 2's form with seeded random weights, and stand-in recognizers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.utils import logging
from torch import Tensor, nn

from facecloak.recognizers.base import Recognizer
from tests.reference.cloak import Models

logging.set_verbosity_error()  # diffusers warns of every change of precision

# UNet: widths of its levels, heads, context, normalisation groups; autoencoder: widths of its levels, groups
SIZES = {
    "test": ((8, 8, 16, 16), (1, 2, 2, 2), 16, 4, (4, 8, 8, 8), 4),
    "tiny": ((32, 64, 128, 128), (2, 4, 8, 8), 64, 16, (16, 32, 32, 32), 8),
    "sd2": ((320, 640, 1280, 1280), (5, 10, 20, 20), 1024, 32, (128, 256, 512, 512), 32),
    "mini": ((64, 128, 192, 192), (1, 2, 3, 3), 64, 32, (64, 64, 64, 64), 0),  # celeba-mini, whose autoencoder is tiny
}
STAND_INS = {"ir152": ((16, 32, 64, 64), 112), "facenet": ((16, 32, 64), 160), "irse50": ((24, 48, 64), 112)}


class StandIn(nn.Module):
    """A small convolutional recognizer; N×3×S×S → N×64, not normalised.

    Smooth by default: at the kink of a PReLU, rounding alone changes a float32 gradient by half a percent.
    """

    def __init__(self, channels: tuple[int, ...], activation: Callable[[int], nn.Module] | None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels[:-1]), channels, strict=True):
            layers += [
                nn.Conv2d(before, after, 3, 2, 1),
                nn.BatchNorm2d(after),
                activation(after) if activation else nn.SiLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(channels[-1] * 16, 64)

    def forward(self, faces: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool2d(self.body(faces), 4).flatten(1))


def random_models(size: str, seed: int = 0, dtype: torch.dtype = torch.float64, tiny_vae: bool = False) -> Models:
    """Frozen models of one of `SIZES` and three stand-ins, which take smaller faces at size ``test``."""
    widths, heads, context, groups, vae_widths, vae_groups = SIZES[size]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers, channels = 1 if size in ("test", "mini") else 2, 32 if size == "mini" else 4
        unet = UNet2DConditionModel(
            sample_size=32, in_channels=channels, out_channels=channels, block_out_channels=widths,
            attention_head_dim=heads, cross_attention_dim=context, norm_num_groups=groups, use_linear_projection=True,
            layers_per_block=layers,
        )  # fmt: skip
        if size == "mini":
            vae = AutoencoderTiny(latent_channels=channels)
        else:
            vae = random_tiny_vae() if tiny_vae else random_vae(vae_widths, vae_groups, layers)
        embedding = torch.randn(1, {"test": 8, "mini": 16}.get(size, 77), context)
        recognizers = [
            (
                StandIn(channels, nn.PReLU if size == "test" else None).to(dtype).eval(),
                side // 4 if size == "test" else side,
            )
            for channels, side in STAND_INS.values()
        ]
    for model in (unet, vae):
        model.requires_grad_(False).eval().to(dtype)
    scheduler = sd2_scheduler()
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(dtype)
    scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.to(dtype)
    return Models(unet, vae, scheduler, embedding.to(dtype), recognizers)


def random_vae(widths: tuple[int, ...], groups: int, layers: int) -> AutoencoderKL:
    """Stable Diffusion's autoencoder, 8× smaller latents."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=widths, norm_num_groups=groups, layers_per_block=layers, latent_channels=4,
    )  # fmt: skip


def random_tiny_vae() -> AutoencoderTiny:
    """TAESD's architecture with a small width."""
    widths = (8, 8, 8, 8)
    return AutoencoderTiny(
        encoder_block_out_channels=widths, decoder_block_out_channels=widths,
        num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 1),
    )  # fmt: skip


def sd2_scheduler(**changes: object) -> DDIMScheduler:
    """Stable Diffusion 2's noise schedule."""
    settings = {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
        "set_alpha_to_one": False, "clip_sample": False,
    }  # fmt: skip
    return DDIMScheduler(**{**settings, **changes})


def surrogates(models: Models) -> list[Recognizer]:
    """The same recognizers for the package, with separate weights."""
    return [
        Recognizer(copy.deepcopy(network), f"r{index}", size, None)
        for index, (network, size) in enumerate(models.recognizers)
    ]


def random_photos(count: int, side: int, dtype: torch.dtype) -> list[Tensor]:
    """Smooth random images, 1×3×side×side in [-1, 1]."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    return F.interpolate(coarse, (side, side), mode="bicubic").clamp(-1, 1).to(dtype).split(1)
