"""Stage 1, makeup removal: fine-tune the diffusion model to generate faces without their makeup (section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from baselines.diffam.clip import Clip
from baselines.diffam.diffusion import PixelDiffusion
from baselines.diffam.finetuning import FineTuning, FineTuningSettings
from baselines.diffam.losses import identity, l1, log_directional
from facecloak.faces import crop
from facecloak.recognizers.base import Recognizer

MADE_UP, BARE = "face with makeup", "face without makeup"


@dataclass(frozen=True)
class RemovalSettings(FineTuningSettings):
    """Settings of the removal; the defaults are the released code's, for 200 images.

    Attributes:
        lambda_clip: weight of the directional CLIP loss between the two texts.
        lambda_identity: weight of 1 − cos between the recognizer's embeddings before and after.
        lambda_l1: weight of the mean absolute difference, on [-1, 1].
        lambda_perceptual: weight of LPIPS or its stand-in.
    """

    name: ClassVar[str] = "removal"
    t0: int = 300
    inversion_steps: int = 40
    generation_steps: int = 6
    test_steps: int = 40
    passes: int = 7
    lambda_clip: float = 5.0
    lambda_identity: float = 1.0
    lambda_l1: float = 2.0
    lambda_perceptual: float = 5.0


class MakeupRemoval(FineTuning):
    """Learns to take makeup off, and takes it off the images that it is called with.

    Args:
        settings: settings of the removal.
        diffusion: the pretrained model.
        clip: the model in whose space the edit has a direction.
        perceptual: B×3×H×W twice → B, see `load_perceptual`.
        recognizer: used to preserve the identity of the face. It must not be the black box of a cell that uses the
            result.
        images: N×3×side×side faces with makeup, in [-1, 1].
        boxes: N×4 face boxes.
    """

    def __init__(
        self,
        settings: RemovalSettings,
        diffusion: PixelDiffusion,
        clip: Clip,
        perceptual: nn.Module,
        recognizer: Recognizer,
        images: Tensor,
        boxes: Tensor,
    ) -> None:
        super().__init__(settings, diffusion, images, boxes)
        self.clip, self.perceptual, self.recognizer = clip, perceptual, recognizer
        made_up, bare = clip.embed_texts([MADE_UP, BARE])
        self.register_buffer("direction", (bare - made_up)[None], persistent=False)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int = 0) -> Tensor:
        """The loss of a batch of images, boxes and inverted images."""
        images, boxes, latents = batch
        settings, edited = self.settings, self.generate(latents)
        with torch.no_grad():
            meaning, person = self.clip.embed_images(images), self.embed(images, boxes)
        losses = {
            "clip": log_directional(meaning, self.clip.embed_images(edited), self.direction),
            "identity": identity(person, self.embed(edited, boxes)),
            "l1": l1(images, edited),
            "perceptual": self.perceptual(images, edited),
        }
        weights = {
            "clip": settings.lambda_clip,
            "identity": settings.lambda_identity,
            "l1": settings.lambda_l1,
            "perceptual": settings.lambda_perceptual,
        }
        return self.total(losses, weights)

    def embed(self, images: Tensor, boxes: Tensor) -> Tensor:
        """The recognizer's embeddings of the face crops, B×D."""
        return self.recognizer(crop(images, boxes, self.recognizer.input_size))
