"""DiffAM as a protection method: two trainings, then faces are edited one by one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import pytorch_lightning as pl
from safetensors.torch import save
from torch import Tensor, nn

from baselines.common.perceptual import Perceptual, load_perceptual
from baselines.diffam.clip import Clip
from baselines.diffam.diffusion import PixelDiffusion
from baselines.diffam.finetuning import FineTuning, Layers
from baselines.diffam.material import Faces, load_faces, load_reference, source_sha256
from baselines.diffam.removal import MakeupRemoval, RemovalSettings
from baselines.diffam.transfer import PRESETS, MakeupTransfer, Reference, TransferSettings
from facecloak.assets.paths import folder_sha256, model_source
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, sha256, sha256_json
from facecloak.method import Origin, Protected, ProtectionMethod, Stage, Strength
from facecloak.objectives import Objective
from facecloak.pocket.features import FILE

PREFIX = "removal_"


@dataclass(frozen=True)
class DiffAMSettings(TransferSettings):
    """Settings of DiffAM: those of the transfer, those of the removal, and the material that both learn from.

    Attributes:
        ddpm: diffusers DDPMPipeline folder or hub id.
        clip: transformers CLIPModel folder or hub id.
        perceptual: ``lpips``, or ``pocket`` for drawn portraits.
        makeup: folder of faces with makeup, or ``drawn``.
        bare: folder of faces without makeup, or ``drawn``; none of these faces may be protected.
        reference: file name (drawn: 0.png, 1.png, …) of the face in ``makeup`` whose makeup is transferred; None for
            the first.
        images: how many faces of ``makeup``, and how many of ``bare``, are used for training.
        removal_inversion_steps, removal_generation_steps, removal_test_steps, removal_passes, removal_batch_size,
            removal_lr, removal_layers, removal_lambda_clip: see `RemovalSettings`.
    """

    models: ClassVar[tuple[str, ...]] = ("ddpm", "clip")  # settings that name one
    ddpm: str = "google/ddpm-celebahq-256"
    clip: str = "openai/clip-vit-base-patch16"
    perceptual: Perceptual = "lpips"
    makeup: str = "$FACECLOAK_DATA/makeup"
    bare: str = "$FACECLOAK_DATA/bare"
    reference: str | None = None
    images: int = 200
    removal_inversion_steps: int = 40
    removal_generation_steps: int = 6
    removal_test_steps: int = 40
    removal_passes: int = 7
    removal_batch_size: int = 1
    removal_lr: float = 8e-6
    removal_layers: Layers = "all"
    removal_lambda_clip: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("images must be at least 1", self.images >= 1)
        _ = self.removal  # it checks its own settings

    @property
    def removal(self) -> RemovalSettings:
        """The settings of the removal."""
        own = {name[len(PREFIX) :]: value for name, value in vars(self).items() if name.startswith(PREFIX)}
        both = {name: getattr(self, name) for name in ("rank", "gradient_checkpointing")}
        return RemovalSettings(**own, **both)


MATERIAL = ("ddpm", "clip", "perceptual", "makeup", "bare", "reference", "gradient_checkpointing")
# a preset takes precedence over a suite's settings, so it must name all of them
PUBLISHED = {field.name: field.default for field in fields(DiffAMSettings) if field.name not in MATERIAL}


class DiffAM(ProtectionMethod):
    """Adversarial makeup: a diffusion model is fine-tuned to transfer a reference's makeup, with a target's identity.

    Sun, Yu, Xie, Zheng, Zhang, "DiffAM: Diffusion-based Adversarial Makeup Transfer for Facial Privacy Protection",
    CVPR 2024. The removal's identity term uses the cell's first surrogate; it never uses the black box.
    """

    Settings: ClassVar[type[Any]] = DiffAMSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        **{name: {**PUBLISHED, **values} for name, values in PRESETS.items()},
    }
    uses_surrogates = True
    origin = Origin("makeup", "Sun et al., CVPR", 2024, ("impersonation",), "a fine-tuned diffusion model, once")
    strength = Strength("lambda_adv", (0.25, 0.5, 1, 2))  # each is trained

    def __init__(self, settings: DiffAMSettings, objective: Objective | None = None) -> None:
        super().__init__(settings, objective)
        self.diffusion = PixelDiffusion.load(settings.ddpm).requires_grad_(False)
        self.side = self.diffusion.side
        self.removal: dict[str, Tensor] | None = None
        self.edit = FineTuning(settings, self.diffusion)
        self.trained = False
        self._references: dict[str | None, Reference] = {}

    @classmethod
    def weights_sha256(cls, settings: DiffAMSettings) -> str:
        models = [model_source(getattr(settings, name), name) for name in ("ddpm", "clip")]
        hashes = [folder_sha256(source) for source in models]
        own = sha256(pocket_dir() / FILE) if settings.perceptual == "pocket" else None
        return sha256_json([*hashes, own, *map(source_sha256, (settings.makeup, settings.bare))])

    @classmethod
    def stages(cls, settings: DiffAMSettings) -> list[Stage]:
        removal = vars(settings.removal) | {"perceptual": settings.perceptual, "images": settings.images}
        others = ("ddpm", "clip", "makeup", "bare", "test_steps", "gradient_checkpointing")  # hashed or no effect
        removal, transfer = (
            {name: value for name, value in values.items() if name not in others}
            for values in (removal, vars(settings))
        )
        return [
            Stage("removal", removal, settings.removal_passes, "surrogate"),
            Stage("transfer", transfer, settings.passes, "objective" if settings.adversarial else "surrogate"),
        ]

    def build(self, stage: str) -> pl.LightningModule:
        parts = (self.diffusion, self.language, self.perceptual)
        if stage == "removal":
            faces = self._faces("makeup")
            return MakeupRemoval(
                self.settings.removal, *parts, self.objective.surrogates[0], faces.images, faces.boxes
            )  # fmt: skip
        faces = self._faces("bare")
        return MakeupTransfer(
            self.settings, *parts, self.objective, self.reference(), faces.images, faces.boxes, faces.regions
        )  # fmt: skip

    def use(self, stage: str, weights: dict[str, Tensor]) -> None:
        if stage == "removal":
            self.removal = weights
        else:
            self.edit.load_state_dict(weights)
            self.trained = True

    def protect(self, batch: Batch) -> Protected:
        if not self.trained:
            raise FacecloakError("diffam must be trained first: `facecloak benchmark` does that.")
        passes = self.edit.tuned.passes + self.diffusion.passes
        images = self.edit(batch.images)
        passes = self.edit.tuned.passes + self.diffusion.passes - passes
        return Protected(images, [None] * len(images), unet_passes=passes)

    def remove(self, images: Tensor) -> Tensor:
        """Take makeup off B×3×side×side faces in [-1, 1]; the result has the same shape and range.

        Raises:
            FacecloakError: the removal is not trained.
        """
        if self.removal is None:
            raise FacecloakError("diffam's removal must be trained first: `facecloak benchmark` does that.")
        removal = FineTuning(self.settings.removal, self.diffusion)
        removal.load_state_dict(self.removal)
        return removal(images)

    def reference(self) -> Reference:
        """The makeup to transfer, with the same face after the removal; made once for each removal's weights."""
        key = self.removal and hashlib.sha256(save(self.removal)).hexdigest()
        if key not in self._references:
            self._references[key] = self._reference()
        return self._references[key]

    def _reference(self) -> Reference:
        face = load_reference(self.settings.makeup, self.settings.reference, self.diffusion.side)
        image = bare = face.images[0]
        if self.removal is not None:  # None while a step is timed
            bare = self.remove(image[None])[0]
        return Reference(image, bare, face.regions[0])

    @cached_property
    def language(self) -> Clip:
        """CLIP, needed only for training."""
        return Clip.load(self.settings.clip)

    @cached_property
    def perceptual(self) -> nn.Module:
        """LPIPS or its stand-in, needed only for training."""
        return load_perceptual(self.settings.perceptual)

    def _faces(self, kind: str) -> Faces:
        settings = self.settings
        return load_faces(getattr(settings, kind), settings.images, self.diffusion.side, makeup=kind == "makeup")
