"""Stage 2, adversarial makeup transfer: faces get a reference's makeup and a target's identity (section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from baselines.diffam.clip import Clip
from baselines.diffam.diffusion import PixelDiffusion
from baselines.diffam.finetuning import FineTuning, FineTuningSettings
from baselines.diffam.losses import directional, histogram, l1
from facecloak.objectives import Objective

# the released code's settings, which are the defaults, and the author's stronger ones
PRESETS: dict[str, dict[str, Any]] = {
    "code": {},
    "paper": {"passes": 6, "makeup_passes": 2, "lr": 4e-6, "lambda_adv": 1.2},
}


@dataclass(frozen=True)
class TransferSettings(FineTuningSettings):
    """Settings of the transfer; the defaults are the released code's, for 200 images.

    Attributes:
        makeup_passes: number of first passes without the adversarial term.
        lambda_histogram, lambda_clip: weights of the histogram loss and of the directional CLIP loss in those passes.
        lambda_adversarial_histogram, lambda_adversarial_clip: the same in the passes with the adversarial term.
        lambda_perceptual: weight of LPIPS or its stand-in.
        lambda_l1: weight of the mean absolute difference, on [-1, 1].
        lambda_adv: weight of L_adv, the mean over the surrogates, in the passes after `makeup_passes`.
    """

    name: ClassVar[str] = "transfer"
    t0: int = 60
    inversion_steps: int = 20
    generation_steps: int = 6
    test_steps: int = 6
    passes: int = 4
    makeup_passes: int = 3
    lambda_histogram: float = 1.0
    lambda_clip: float = 0.3
    lambda_adversarial_histogram: float = 1.6
    lambda_adversarial_clip: float = 0.5
    lambda_perceptual: float = 10.0
    lambda_l1: float = 3.0
    lambda_adv: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("makeup_passes must be between 0 and passes", 0 <= self.makeup_passes <= self.passes)

    @property
    def adversarial(self) -> bool:
        """Whether the training uses the target."""
        return self.lambda_adv > 0 and self.makeup_passes < self.passes


@dataclass
class Reference:
    """The makeup to transfer.

    Attributes:
        image: 3×side×side in [-1, 1], a face with makeup.
        bare: the same face after `MakeupRemoval`.
        regions: bool 4×side×side, see `baselines.diffam.regions`.
    """

    image: Tensor
    bare: Tensor
    regions: Tensor


class MakeupTransfer(FineTuning):
    """Learns to give faces a reference's makeup and a target's identity, and edits the images that it is called with.

    Args:
        settings: settings of the transfer.
        diffusion: the pretrained model.
        clip: the model in whose space the reference's makeup has a direction.
        perceptual: B×3×H×W twice → B, see `load_perceptual`.
        objective: the surrogates and the target.
        reference: the makeup.
        images: N×3×side×side bare faces in [-1, 1].
        boxes: N×4 face boxes.
        regions: bool N×4×side×side, see `baselines.diffam.regions`.
    """

    def __init__(
        self,
        settings: TransferSettings,
        diffusion: PixelDiffusion,
        clip: Clip,
        perceptual: nn.Module,
        objective: Objective,
        reference: Reference,
        images: Tensor,
        boxes: Tensor,
        regions: Tensor,
    ) -> None:
        super().__init__(settings, diffusion, images, boxes, regions)
        self.clip, self.perceptual, self.objective = clip, perceptual, objective
        self.register_buffer("makeup", reference.image, persistent=False)
        self.register_buffer("makeup_regions", reference.regions, persistent=False)
        with torch.no_grad():
            bare, made_up = clip.embed_images(torch.stack([reference.bare, reference.image]))
        self.register_buffer("direction", (made_up - bare)[None], persistent=False)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int = 0) -> Tensor:
        """The loss of a batch of images, boxes, regions and inverted images."""
        images, boxes, regions, latents = batch
        edited = self.generate(latents)
        with torch.no_grad():
            meaning = self.clip.embed_images(images)
        losses = {
            "histogram": histogram(edited, regions, self.makeup, self.makeup_regions),
            "clip": directional(meaning, self.clip.embed_images(edited), self.direction),
            "perceptual": self.perceptual(images, edited),
            "l1": l1(images, edited),
        }
        weights = self.weights(self.current_epoch)
        if "adv" in weights:
            source = []  # impersonation does not look at it
            if self.objective.goal == "obfuscation":
                with torch.no_grad():
                    source = self.objective.embed(images, boxes)
            losses["adv"] = self.objective(edited, boxes, source).mean(dim=1)
        return self.total(losses, weights)

    def weights(self, number: int) -> dict[str, float]:
        """The weight of each loss in a pass, numbered from 0; "adv" is included only where it is used."""
        settings = self.settings
        weights = {"perceptual": settings.lambda_perceptual, "l1": settings.lambda_l1}
        if number < settings.makeup_passes:
            return weights | {"histogram": settings.lambda_histogram, "clip": settings.lambda_clip}
        weights |= {"histogram": settings.lambda_adversarial_histogram, "clip": settings.lambda_adversarial_clip}
        return weights | ({"adv": settings.lambda_adv} if settings.adversarial else {})
