"""DiffAIM: "Diffusion-based Adversarial Identity Manipulation for Facial Privacy Protection", ACM Multimedia 2025
(arXiv 2504.21646)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.diversity import diverse, draw_numbers
from baselines.common.perceptual import Perceptual, load_perceptual, with_perceptual
from baselines.common.randomness import generators
from baselines.diffusion.attention import AttentionFeatures, Seen
from baselines.diffusion.edit_friendly import invert, noisy_step
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.inversion import Schedule
from facecloak.cloak.latent import LatentMethod
from facecloak.cloak.settings import DenoisingSettings
from facecloak.data import Batch
from facecloak.method import Origin, Protected, Strength, errors_of_losses
from facecloak.objectives import Objective

POSITIONS = 1024  # self-attention layers with more are not compared

# all settings of the released code, because a preset wins over the suite's settings
PUBLISHED = {
    "steps": 100, "start_step": 80, "iterations": 10, "step_size": 3.0, "radius": 0.05, "copies": 5,
    "lambda_semantic": 2.0, "lambda_structure": 0.1, "lambda_perceptual": 8.0, "tolerance": 0.01,
    "perceptual": "lpips", "seed": 8888,
}  # fmt: skip


@dataclass(frozen=True)
class DiffAIMSettings(DenoisingSettings):
    """Settings of DiffAIM; the defaults are the published ones, without the code's slip.

    Attributes:
        steps: DDIM steps T, with noise (η = 1).
        iterations: gradient steps on the latent before each denoising step.
        step_size: by which the raw gradient is multiplied.
        radius: how far a number of the latent may be moved before each denoising step.
        copies: random copies of the face (AMT-GAN's input diversity) that are attacked in each iteration.
        lambda_semantic: weight of the change of the deepest features, which is rewarded.
        lambda_structure: weight of the change of the self-attention's similarities.
        lambda_perceptual: weight of the perceptual distance between picture and photo above ``tolerance``.
        tolerance: perceptual distance that costs nothing.
        perceptual: ``lpips``, or ``pocket`` for drawn portraits.
        attention: ``broadcast``: in the comparison the unchanged latent gets the attention outputs of the changed one,
            as in the released code; ``separate``: its own.
        seed: of the noise of the inversion and of the copies.
    """

    name: ClassVar[str] = "diffaim"

    steps: int = 100
    start_step: int = 80
    iterations: int = 10
    step_size: float = 3.0
    radius: float = 0.05
    copies: int = 5
    lambda_semantic: float = 2.0
    lambda_structure: float = 0.1
    lambda_perceptual: float = 8.0
    tolerance: float = 0.01
    perceptual: Perceptual = "lpips"
    attention: Literal["broadcast", "separate"] = "separate"
    seed: int = 8888

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = (self.lambda_semantic, self.lambda_structure, self.lambda_perceptual, self.tolerance)
        self.check("iterations and copies must be at least 1", min(self.iterations, self.copies) >= 1)
        self.check("step_size and radius must be above 0", self.step_size > 0 and self.radius > 0)
        self.check(
            "lambda_semantic, lambda_structure, lambda_perceptual and tolerance must be at least 0", min(weights) >= 0
        )


class DiffAIM(LatentMethod):
    """Identity guidance in each of the last denoising steps from an edit-friendly inversion (ACM Multimedia 2025).

    The score that rises is S_id + λ·S_sem − λ·S_struct − λ·max(0, perceptual − tolerance). S_id is the weighted sum
    over the surrogates of cos(·, x_t) − cos(·, x_s) + 1, for both goals; the recognizers see the harness's face crop.
    The preset ``code`` has the released code's slip in the attention, ``paper`` does not.
    """

    Settings: ClassVar[type[Any]] = DiffAIMSettings
    origin = Origin(
        "latent", "Wang et al., ACM MM", 2025, ("impersonation",), "a diffusion model's gradients, 200 times"
    )
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        "code": {**PUBLISHED, "attention": "broadcast"},
        "paper": {**PUBLISHED, "attention": "separate"},
    }
    strength = Strength("radius", (0.25, 0.5, 1, 2))

    def __init__(self, settings: DiffAIMSettings, objective: Objective, backbone: Backbone | None = None) -> None:
        super().__init__(settings, objective, backbone)
        self.perceptual = load_perceptual(settings.perceptual)
        self.features = AttentionFeatures(self.backbone.unet, POSITIONS)
        # of the variants the one that ends at the picture: here each latent is denoised at its own level
        self.steps = Schedule.of(self.backbone, settings.steps, settings.start_step, "code").generation

    @classmethod
    def weights_sha256(cls, settings: DiffAIMSettings) -> str:
        return with_perceptual(super().weights_sha256(settings), settings.perceptual)

    def protect(self, batch: Batch) -> Protected:
        settings, backbone, passes = self.settings, self.backbone, self.backbone.passes
        random = generators(settings.seed, batch.ids)
        path = invert(backbone, backbone.encode(batch.images, None), self.steps, random)
        with torch.no_grad():
            attack = _Attack(self, batch, random, self.objective.embed(batch.images, batch.boxes))
        z = path.latents[0]
        for step, benign, noise in zip(self.steps, path.latents, path.noises, strict=True):
            alphas = backbone.alpha(step[0]), backbone.alpha(step[1])
            changed, predicted = attack.ascend(z, benign, step[0])
            mean, spread = noisy_step(z, predicted, *alphas)
            z = mean + spread * noise + (changed - z)
        with torch.no_grad():
            images = backbone.decode(z).clamp(-1, 1)
        errors = errors_of_losses(attack.history["score"], len(images))
        return Protected(images, errors, attack.history, unet_passes=backbone.passes - passes)


class _Attack:
    """The ascent of a batch; the surrogates' weights and the random numbers go on from step to step.

    Args:
        random: a generator per photo.
        own: embeddings of the photos, B×D per surrogate.
    """

    def __init__(self, method: DiffAIM, batch: Batch, random: list[torch.Generator], own: list[Tensor]) -> None:
        self.method, self.settings, self.backbone = method, method.settings, method.backbone
        self.batch, self.random, self.own = batch, random, own
        self.weights = batch.images.new_full((len(batch.ids), len(own)), 1 / len(own))
        self.history: dict[str, list[list[float]]] = {
            name: [] for name in ("identity", "semantic", "structure", "perceptual", "score")
        }

    def ascend(self, first: Tensor, benign: Tensor, timestep: int) -> tuple[Tensor, Tensor]:
        """Move the latents of a step, B×C×h×w.

        Args:
            first: where they are.
            benign: where the photos themselves are at this timestep.

        Returns:
            the latents within ``radius`` of the first, and the noise that the UNet predicts at the first.
        """
        settings, total = self.settings, len(self.method.steps) * self.settings.iterations
        separate = self.look(benign, timestep) if settings.attention == "separate" else None
        z, at_first = first, None
        for _ in range(settings.iterations):
            z = z.detach().requires_grad_()
            with self.method.features.watch() as seen:
                noise = self.backbone.predict_noise(z, timestep, self.backbone.null_embedding(len(z)))
            at_first = noise.detach() if at_first is None else at_first
            unchanged = separate or self.look(benign, timestep, seen)
            terms = self.terms(z, noise, timestep, seen, unchanged)
            (gradient,) = self.backbone.gradients(terms["score"].sum(), [z])
            z = (z.detach() + settings.step_size * gradient).clamp(first - settings.radius, first + settings.radius)
            for name, value in terms.items():
                self.history[name].append(value.tolist())
            self.method.on_progress("latent", len(self.history["score"]), total)
        return z, at_first

    def look(self, benign: Tensor, timestep: int, other: Seen | None = None) -> Seen:
        """What the photos' own latents show; with ``other``, under its attention outputs, which pass gradients on."""
        with (
            torch.set_grad_enabled(other is not None),
            self.method.features.watch(None if other is None else other.outputs) as seen,
        ):
            self.backbone.predict_noise(benign, timestep, self.backbone.null_embedding(len(benign)))
        return seen

    def terms(self, z: Tensor, noise: Tensor, timestep: int, seen: Seen, unchanged: Seen) -> dict[str, Tensor]:
        """The weighted terms of the score, B each; the surrogates' weights follow from them."""
        settings, alpha = self.settings, self.backbone.alpha(timestep)
        images = self.backbone.decode((z - (1 - alpha).sqrt() * noise) / alpha.sqrt(), for_gradient=True)
        scores = self.identity(images)
        alike = F.cosine_similarity(seen.deepest.to(z).flatten(2), unchanged.deepest.to(z).flatten(2), dim=2)
        pairs = zip(seen.similarities, unchanged.similarities, strict=True)
        apart = [(mine.to(z) - own.to(z)).square().flatten(1).mean(1) for mine, own in pairs]
        too_far = (self.method.perceptual(images, self.batch.images) - settings.tolerance).clamp(min=0)
        terms = {
            "identity": (self.weights * scores).sum(1),
            "semantic": settings.lambda_semantic * (1 - alike.mean(1)),
            "structure": -settings.lambda_structure * torch.stack(apart).sum(0),
            "perceptual": -settings.lambda_perceptual * too_far,
        }
        self.weights = (1 - scores.detach()).softmax(1)  # the next iteration's: those that are behind count more
        return {**terms, "score": torch.stack(list(terms.values())).sum(0)}

    def identity(self, images: Tensor) -> Tensor:
        """cos(·, x_t) − cos(·, x_s) + 1 of each surrogate, averaged over random copies of the faces: B×K."""
        count = self.settings.copies
        numbers = draw_numbers(self.random, count)
        objective, boxes = self.method.objective, self.batch.boxes.repeat(count, 1)
        copies = objective.embed(
            images.repeat(count, 1, 1, 1), boxes, lambda faces: diverse(faces, numbers, self.random)
        )
        scores = []
        for mine, wanted, own in zip(copies, objective.targets, self.own, strict=True):
            mine = mine.unflatten(0, (count, -1))  # copies×B×D
            scores.append(((mine * wanted[0]).sum(2) - (mine * own).sum(2) + 1).mean(0))
        return torch.stack(scores, dim=1)
