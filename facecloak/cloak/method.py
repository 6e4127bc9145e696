"""The proposed method: invert → learn the embeddings → optimise the latent (Salar et al. 2025)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from facecloak.cloak.backbone import Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import Schedule, denoise, invert
from facecloak.cloak.latent import LatentMethod
from facecloak.cloak.settings import PUBLISHED, CloakSettings
from facecloak.cloak.structure import SelfAttentionGuidance
from facecloak.data import Batch
from facecloak.method import Origin, Protected, Strength, errors_of_losses
from facecloak.objectives import BOTH, Objective


@dataclass(frozen=True)
class Start:
    """The result of steps 1 and 2 for a batch of photos; it depends on neither target nor surrogates.

    Attributes:
        z: the inverted latent, B×C×h×w, in main memory.
        embeddings: one per generation step, B×L×d, in main memory.
        seconds, passes: wall-clock seconds and UNet passes that the batch took.
    """

    z: Tensor
    embeddings: list[Tensor]
    seconds: float
    passes: int


class FaceCloak(LatentMethod):
    """Adversarial latent codes of a diffusion model, under learned unconditional embeddings (the proposed method).

    Salar, Liu, Tian, Zhao, "Enhancing Facial Privacy Protection via Weakening Diffusion Purification", CVPR 2025.

    Results that depend only on the photos are kept for the next call with the same photos, which attacks other
    recognizers or another target; with Stable Diffusion 2 they take 1 MB of main memory per photo.
    """

    Settings: ClassVar[type[Any]] = CloakSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        "code": PUBLISHED,
        "paper": {**PUBLISHED, "iterations": 35, "reduction": "mean"},
    }
    origin = Origin("latent", "Salar et al., CVPR", 2025, BOTH, "gradients through a diffusion model, 90 times")
    strength = Strength("lr", (0.25, 0.5, 1, 2))
    watched: ClassVar[str] = ""  # start of the names of the UNet's parts whose self-attention L_attn keeps; all of them

    def __init__(self, settings: CloakSettings, objective: Objective, backbone: Backbone | None = None) -> None:
        super().__init__(settings, objective, backbone)
        self.guidance = SelfAttentionGuidance(self.backbone.unet, self.watched)
        self.schedule = Schedule.of(self.backbone, settings.steps, settings.start_step, settings.timesteps)
        self._starts: dict[str, Start] = {}

    def protect(self, batch: Batch) -> Protected:
        key = hashlib.sha256(batch.images.cpu().contiguous().numpy()).hexdigest()
        reused = self._starts.get(key)
        start = self._starts[key] = reused or self.start(batch.images)
        passes = self.backbone.passes
        embeddings = [embedding.to(batch.images.device) for embedding in start.embeddings]
        images, history = self.attack(batch, start.z.to(batch.images.device), embeddings)
        return Protected(
            images, errors_of_losses(history["loss"], len(images)), history,
            unet_passes=start.passes + self.backbone.passes - passes, seconds_reused=reused.seconds if reused else 0,
        )  # fmt: skip

    def start(self, images: Tensor) -> Start:
        """Steps 1 and 2: invert the photos (B×3×H×W in [-1, 1]) and learn their embeddings."""
        settings, passes, began = self.settings, self.backbone.passes, time.perf_counter()
        trajectory = invert(self.backbone, self.backbone.encode(images, settings.seed), self.schedule)
        embeddings = learn_embeddings(
            self.backbone, trajectory, self.schedule,
            settings.embedding_iterations, settings.embedding_lr, self.on_progress,
        )  # fmt: skip
        z, embeddings = trajectory[-1].cpu(), [embedding.cpu() for embedding in embeddings]  # waits for a GPU
        return Start(z, embeddings, time.perf_counter() - began, self.backbone.passes - passes)

    def attack(self, batch: Batch, z: Tensor, embeddings: list[Tensor]) -> tuple[Tensor, dict]:
        """Step 3 and the picture of its result, B×3×H×W in [-1, 1]; the second value is `optimise_latent`'s."""
        z, history = self.optimise_latent(batch, z, embeddings)
        with torch.no_grad():
            return self.backbone.decode(self.generate(z, embeddings)).clamp(-1, 1), history

    def optimise_latent(self, batch: Batch, z: Tensor, embeddings: list[Tensor]) -> tuple[Tensor, dict]:
        """Step 3: N steps of AdamW on λ_adv·L_adv + λ_attn·L_attn from the inverted latent.

        Losses are summed over the batch and AdamW works element by element, so each image changes as it would alone.

        Returns:
            the latent, B×C×h×w, and the curves ``adv``, ``attn``, ``loss`` (λ included), a B-list per iteration.
        """
        with torch.no_grad():
            source_maps = self.record_source_maps(z, embeddings) if self.settings.lambda_attn else None
        z = z.clone().requires_grad_()
        optimizer = torch.optim.AdamW([z], lr=self.settings.lr)
        history = self.descend(batch, z, optimizer, lambda: self.generate_and_compare(z, embeddings, source_maps))
        return z.detach(), history

    def descend(
        self, batch: Batch, variable: Tensor, optimizer: torch.optim.Optimizer, run: Callable[[], tuple[Tensor, Tensor]]
    ) -> dict[str, list[list[float]]]:
        """N steps of an optimiser on a variable; returns the curves.

        Args:
            run: gives what the variable makes at present: latents of pictures, B×C×h×w, and L_attn, B.
        """
        settings = self.settings
        with torch.no_grad():
            source_faces = self.objective.embed(batch.images, batch.boxes)
        history: dict[str, list[list[float]]] = {"adv": [], "attn": [], "loss": []}
        for iteration in range(settings.iterations):
            latent, l_attn = run()
            images = self.backbone.decode(latent, for_gradient=True)
            terms = self.objective(images, batch.boxes, source_faces)
            l_adv = terms.sum(1) if settings.reduction == "sum" else terms.mean(1)
            weighted = {"adv": settings.lambda_adv * l_adv, "attn": settings.lambda_attn * l_attn}
            weighted["loss"] = weighted["adv"] + weighted["attn"]
            self.backbone.update(optimizer, variable, weighted["loss"].sum())
            for name, value in weighted.items():
                history[name].append(value.tolist())
            self.on_progress("latent", iteration + 1, settings.iterations)
        return history

    def generate(self, z: Tensor, embeddings: list[Tensor]) -> Tensor:
        """Run the generation steps, each with its embedding."""
        for step, embedding in zip(self.schedule.generation, embeddings, strict=True):
            z = self.denoise(z, step, embedding)
        return z

    def denoise(self, z: Tensor, step: tuple[int, int], embedding: Tensor) -> Tensor:
        """A generation step, see `facecloak.cloak.inversion.denoise`."""
        return denoise(self.backbone, z, step, embedding)

    def record_source_maps(self, z: Tensor, embeddings: list[Tensor]) -> list[dict]:
        """The self-attention maps of the source path: per generation step, per layer. They never change."""
        maps = []
        for step, embedding in zip(self.schedule.generation, embeddings, strict=True):
            with self.guidance.record() as recorded:
                z = self.denoise(z, step, embedding)
            maps.append(recorded)
        return maps

    def generate_and_compare(
        self, z: Tensor, embeddings: list[Tensor], source_maps: list[dict] | None
    ) -> tuple[Tensor, Tensor]:
        """`generate` together with L_attn, B: the sum over steps and layers."""
        l_attn = z.new_zeros(len(z))
        for index, (step, embedding) in enumerate(zip(self.schedule.generation, embeddings, strict=True)):
            maps = source_maps[index] if source_maps is not None else None
            if self.settings.gradient_checkpointing:
                z, loss = checkpoint(self._step, z, step, embedding, maps, use_reentrant=False)
            else:
                z, loss = self._step(z, step, embedding, maps)
            l_attn = l_attn + loss
        return z, l_attn

    def _step(self, z: Tensor, step: tuple[int, int], embedding: Tensor, maps: dict | None):
        if maps is None:
            return self.denoise(z, step, embedding), z.new_zeros(len(z))
        with self.guidance.compare(maps) as losses:
            z = self.denoise(z, step, embedding)
        return z, torch.stack(list(losses.values())).sum(0).to(z.dtype)
