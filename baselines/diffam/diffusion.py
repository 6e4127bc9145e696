"""The pixel-space diffusion model: DDIM inversion up to a noise level t₀, and the short way back with gradients."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from facecloak.assets.paths import model_source
from facecloak.errors import FacecloakError
from facecloak.io import quiet_loading

IMAGE = -1  # the level below 0: an image without noise


class PixelDiffusion(nn.Module):
    """A UNet that predicts the noise of images (or v, which contains the noise), and its noise schedule.

    A network with 3·fold² channels takes fold×fold pixels folded into channels (Hoogeboom et al., "simple diffusion",
    ICML 2023, section 3.2); with 3 channels the fold is 1.

    Args:
        unet: diffusers UNet2DModel.
        scheduler: any diffusers scheduler of the model; its ᾱ is used.

    Raises:
        FacecloakError: the model predicts neither noise nor v, or does not map images to images.
    """

    def __init__(self, unet, scheduler) -> None:
        super().__init__()
        channels = unet.config.in_channels
        self.fold = math.isqrt(channels // 3)
        if channels != 3 * self.fold**2 or unet.config.out_channels != channels:
            raise FacecloakError(
                f"The pixel diffusion model maps {channels} channels to {unet.config.out_channels}; "
                "this method needs 3·fold² input channels and as many output channels (3 for a plain model)."
            )
        self.prediction = scheduler.config.prediction_type
        if self.prediction not in ("epsilon", "v_prediction"):
            raise FacecloakError(
                f"The pixel diffusion model predicts {self.prediction!r}; this method needs one that predicts "
                "'epsilon' (noise), such as google/ddpm-celebahq-256, or 'v_prediction'."
            )
        self.unet = unet
        self.alphas = scheduler.alphas_cumprod.tolist()
        self.side = self.fold * unet.config.sample_size
        self.passes = 0

    @classmethod
    def load(cls, name: str) -> PixelDiffusion:
        """Load a diffusers DDPMPipeline folder or hub id, always in float32; safetensors only."""
        from diffusers import DDPMPipeline
        from diffusers.utils import logging

        source = model_source(name, "ddpm")
        try:
            with quiet_loading(logging):
                pipeline = DDPMPipeline.from_pretrained(source, use_safetensors=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FacecloakError(
                f"The pixel diffusion model {name!r} could not be loaded ({' '.join(str(error).split())[:200]}). "
                "Give a diffusers DDPMPipeline folder with safetensors weights, or a hub id that this machine can "
                "reach, as the setting 'ddpm'."
            ) from None
        return cls(pipeline.unet, pipeline.scheduler)

    def levels(self, t0: int, steps: int) -> list[int]:
        """``steps`` timesteps from 0 to t₀, evenly spaced and rounded down, as in the released code; only t₀ for one.

        Raises:
            FacecloakError: t₀ is not a timestep of the model, or there are too few levels up to it for ``steps``.
        """
        if not 1 <= t0 < len(self.alphas) or not 1 <= steps <= t0 + 1:
            raise FacecloakError(
                f"diffam: {steps} steps up to timestep {t0} do not fit a model of {len(self.alphas)} timesteps; "
                "t0 must be between 1 and the last timestep, and steps between 1 and t0 + 1."
            )
        return [t0] if steps == 1 else [t0 * index // (steps - 1) for index in range(steps)]

    def predict_noise(self, x: Tensor, level: int) -> Tensor:
        """ε(x, t) of B×3×H×W noisy images."""
        self.passes += 1
        predicted = F.pixel_shuffle(self.unet(F.pixel_unshuffle(x, self.fold), level).sample, self.fold)
        if self.prediction == "epsilon":
            return predicted
        return math.sqrt(self.alphas[level]) * predicted + math.sqrt(1 - self.alphas[level]) * x

    def move(self, x: Tensor, level: int, to: int) -> Tensor:
        """One deterministic DDIM step from one noise level to another, up or down (Song et al. 2021, eq. 12, σ = 0)."""
        before, after = (1.0 if step == IMAGE else self.alphas[step] for step in (level, to))
        noise = self.predict_noise(x, level)
        clean = (x - math.sqrt(1 - before) * noise) / math.sqrt(before)
        return math.sqrt(after) * clean + math.sqrt(1 - after) * noise

    @torch.no_grad()
    def invert(self, images: Tensor, t0: int, steps: int) -> Tensor:
        """The noisy image at level t₀ that leads back to each image (DDIM inversion).

        The image is treated as one of level 0, as in the released code, so there are steps − 1 moves.

        Args:
            images: B×3×side×side in [-1, 1].
            t0: timestep, see `levels`.
            steps: number of levels visited, including 0 and t₀; at least 2.

        Raises:
            FacecloakError: the images have another size than those of the model, or there are too few steps.
        """
        if steps < 2:
            raise FacecloakError(f"diffam: an inversion needs at least 2 steps, got {steps}.")
        if images.shape[1:] != (3, self.side, self.side):
            raise FacecloakError(
                f"The pixel diffusion model makes images of {self.side}×{self.side} pixels, got "
                f"{images.shape[-1]}×{images.shape[-2]}: use a model of the suite's image size."
            )
        for level, to in itertools.pairwise(self.levels(t0, steps)):
            images = self.move(images, level, to)
        return images

    def generate(self, x: Tensor, t0: int, steps: int, checkpointing: bool = False) -> Tensor:
        """Images from the noisy images at level t₀, differentiable in the weights and in ``x``.

        Args:
            x: B×3×side×side, from `invert`.
            t0, steps: see `levels`; the last of the steps goes from level 0 (or t₀, for one step) to the image.
            checkpointing: keep the activations of one step at a time; this needs less memory and is slower, with the
                same result.

        Returns:
            B×3×side×side, about in [-1, 1], not clamped.
        """
        for level, to in itertools.pairwise([*reversed(self.levels(t0, steps)), IMAGE]):
            if checkpointing and torch.is_grad_enabled():
                x = checkpoint(self.move, x, level, to, use_reentrant=False)
            else:
                x = self.move(x, level, to)
        return x
