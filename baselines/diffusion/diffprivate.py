"""DiffPrivate, its attack "Perturb": Le, Carlsson, "DiffPrivate: Facial Privacy Protection with Diffusion Models",
PoPETs 2025."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from baselines.common.perceptual import Perceptual, load_perceptual, with_perceptual
from baselines.diffusion.attention import CrossAttentionMaps
from facecloak.cloak.backbone import Backbone
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.inversion import Guide, Schedule, denoise, invert
from facecloak.cloak.latent import LatentMethod
from facecloak.cloak.settings import DenoisingSettings
from facecloak.cloak.structure import SelfAttentionGuidance
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.method import Origin, Protected, Strength, errors_of_losses
from facecloak.objectives import BOTH, Objective

MAP_SIDE = 8  # of the cross-attention maps
GAIN = 1.2  # of the mask
GROWTH = 2  # embedding steps that each timestep takes more than the one before
NEARLY = 1 - 1e-7  # the cosine above which the arc cosine's gradient is set to 0: it has none at 1

# all settings of the released code, because a preset wins over the suite's settings
PUBLISHED = {
    "caption": "a person", "guidance_scale": 2.5, "steps": 20, "start_step": 15, "embedding_iterations": 10,
    "embedding_lr": 0.1, "iterations": 250, "lr": 0.01, "stop_distance": 0.4, "lambda_perceptual": 0.6,
    "lambda_cross": 1e4, "lambda_self": 100.0, "perceptual": "lpips", "surrogates": "single", "seed": 8888,
}  # fmt: skip


@dataclass(frozen=True)
class DiffPrivateSettings(DenoisingSettings):
    """Settings of DiffPrivate; the defaults are the published ones with the code's two slips corrected.

    Attributes:
        caption: what the photos show, for the guidance and for the cross-attention maps.
        guidance_scale: weight of the classifier-free guidance by the caption.
        timesteps: ``code`` starts the way back one level too low, as the released code does; ``aligned`` does not.
        embedding_iterations: AdamW steps at the first timestep for the embeddings, 2 more at each further one; 0 keeps
            the empty prompt's.
        embedding_lr: their learning rate.
        iterations: AdamW steps on the latent, at most.
        lr: their learning rate.
        stop_distance: a photo is finished as soon as the first surrogate's angular distance between it and its source
            is larger, 0 … 1; at 1 none is finished early.
        lambda_perceptual: weight of the perceptual distance of the faces.
        lambda_cross: weight of the variance of the caption's cross-attention maps.
        lambda_self: weight of the difference of the self-attention maps.
        perceptual: ``lpips``, or ``pocket`` for drawn portraits.
        loss_range: of the pixels of the protected picture that the losses see; the source's are in [-1, 1]. ``code``:
            [0, 1], as in the released code; ``same``: [-1, 1].
        surrogates: ``ensemble`` attacks all surrogates of the cell (their mean); ``single`` the first in the suite's
            order, or the judge where it is a white box.
        seed: of the autoencoder's posterior sample.
        gradient_checkpointing: keep one step's activations at a time; slower, less memory, same result.
    """

    name: ClassVar[str] = "diffprivate"

    caption: str = "a person"
    guidance_scale: float = 2.5
    start_step: int = 15
    timesteps: Literal["code", "aligned"] = "aligned"
    embedding_iterations: int = 10
    embedding_lr: float = 0.1
    iterations: int = 250
    lr: float = 0.01
    stop_distance: float = 0.4
    lambda_perceptual: float = 0.6
    lambda_cross: float = 1e4
    lambda_self: float = 100.0
    perceptual: Perceptual = "lpips"
    loss_range: Literal["code", "same"] = "same"
    surrogates: Literal["single", "ensemble"] = "ensemble"
    seed: int = 8888
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = (self.lambda_perceptual, self.lambda_cross, self.lambda_self)
        self.check("iterations must be at least 1", self.iterations >= 1)
        self.check("embedding_iterations must be at least 0", self.embedding_iterations >= 0)
        self.check("lr and embedding_lr must be above 0", self.lr > 0 and self.embedding_lr > 0)
        self.check("stop_distance must be above 0 and at most 1", 0 < self.stop_distance <= 1)
        self.check("lambda_perceptual, lambda_cross and lambda_self must be at least 0", min(weights) >= 0)
        self.check("the caption must have a word", bool(self.caption.strip()))


@dataclass(frozen=True)
class Sources:
    """What the attack needs of B photos, none of which changes.

    Attributes:
        photos: B×3×H×W in [-1, 1].
        boxes: B×4 or B×5.
        faces: embeddings, B×D per surrogate.
        embeddings: the learned ones, B×L×d per generation step.
        maps: self-attention maps of the unchanged latent under the caption: per step, by layer, B×heads×N×N.
        mask: B×1×H×W in [0, 1], where the picture may change.
    """

    photos: Tensor
    boxes: Tensor
    faces: list[Tensor]
    embeddings: list[Tensor]
    maps: list[dict[Any, Tensor]]
    mask: Tensor

    def take(self, places: list[int]) -> Sources:
        """Those of some photos."""
        return Sources(
            self.photos[places], self.boxes[places], [each[places] for each in self.faces],
            [each[places] for each in self.embeddings],
            [{layer: each[places] for layer, each in step.items()} for step in self.maps], self.mask[places],
        )  # fmt: skip


class DiffPrivate(LatentMethod):
    """Adversarial latent codes under a caption, in angular distance, blended by a cross-attention mask (PoPETs 2025).

    Impersonation lowers d(x′, x_t) − d(x′, x_s), obfuscation −d(x′, x_s) without a target, d = arccos(cos)/π. The
    recognizers and the perceptual distance see the harness's face crop. The preset ``code`` is the released code with
    its two slips, ``paper`` has both corrected; both attack a single surrogate.
    """

    Settings: ClassVar[type[Any]] = DiffPrivateSettings
    origin = Origin(
        "latent", "Le and Carlsson, PoPETs", 2025, BOTH,
        "a diffusion model's gradients, in up to 250 iterations of 5 steps",
    )  # fmt: skip
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        "single": {"surrogates": "single"},
        "code": {**PUBLISHED, "timesteps": "code", "loss_range": "code"},
        "paper": {**PUBLISHED, "timesteps": "aligned", "loss_range": "same"},
    }
    strength = Strength("lr", (0.25, 0.5, 1, 2))

    def __init__(self, settings: DiffPrivateSettings, objective: Objective, backbone: Backbone | None = None) -> None:
        super().__init__(settings, objective, backbone, settings.caption)
        self.perceptual = load_perceptual(settings.perceptual)
        self.self_attention = SelfAttentionGuidance(self.backbone.unet)
        self.cross_attention = CrossAttentionMaps(self.backbone.unet, MAP_SIDE**2)
        self.schedule = Schedule.of(self.backbone, settings.steps, settings.start_step, settings.timesteps)

    @classmethod
    def weights_sha256(cls, settings: DiffPrivateSettings) -> str:
        return with_perceptual(super().weights_sha256(settings), settings.perceptual)

    def protect(self, batch: Batch) -> Protected:
        settings, backbone, passes = self.settings, self.backbone, self.backbone.passes
        trajectory = invert(backbone, backbone.encode(batch.images, settings.seed), self.schedule)
        embeddings = learn_embeddings(
            backbone, trajectory, self.schedule, settings.embedding_iterations, settings.embedding_lr,
            self.on_progress, GROWTH, self.guide_at,
        )  # fmt: skip
        sources = self.look_at(batch, trajectory[-1], embeddings)
        before = backbone.passes
        z, history, generated = self.optimise_latent(trajectory[-1], sources)
        passes += backbone.passes - before  # those of the loop are counted photo by photo
        with torch.no_grad():
            latent, _, _ = self.generate(z, sources)
            images = self.blend(backbone.decode(latent), sources)
        each = 2 * len(self.schedule.generation)
        return Protected(
            images, errors_of_losses(history["loss"], len(images)), history,
            unet_passes=backbone.passes - passes + round(sum(generated) / len(generated) * each),
        )  # fmt: skip

    def guide_at(self, z: Tensor, timestep: int) -> Guide:
        """Classifier-free guidance by the caption at a latent (Ho and Salimans 2022): ε₀ + w·(ε(caption) − ε₀)."""
        told = self.backbone.predict_noise(z, timestep, self.backbone.caption_embedding(len(z)))
        return lambda free: free + self.settings.guidance_scale * (told - free)

    @torch.no_grad()
    def look_at(self, batch: Batch, z: Tensor, embeddings: list[Tensor]) -> Sources:
        """The self-attention maps and the mask of the unchanged latent z, B×C×h×w."""
        recorded, seen = [], []
        for step, embedding in zip(self.schedule.generation, embeddings, strict=True):
            with self.self_attention.record() as maps, self.cross_attention.record() as cross:
                guide = self.guide_at(z, step[0])
            if not cross:
                raise FacecloakError(
                    f"diffprivate: with {batch.images.shape[-1]}-pixel photos the diffusion model has no "
                    f"cross-attention at {MAP_SIDE}×{MAP_SIDE}: use another image size or 'backbone'."
                )
            z = denoise(self.backbone, z, step, embedding, guide)
            recorded.append(maps)
            seen.append(torch.stack(cross).mean(0))
        attended = self.of_caption(torch.stack(seen).mean(0)).mean(2).to(batch.images.dtype)
        attended = (attended / attended.amax(1, keepdim=True)).unflatten(1, (1, MAP_SIDE, MAP_SIDE))
        enlarged = F.interpolate(attended, batch.images.shape[-2:], mode="bilinear", align_corners=False)
        faces = self.objective.embed(batch.images, batch.boxes)
        return Sources(batch.images, batch.boxes, faces, embeddings, recorded, (GAIN * enlarged).clamp(0, 1))

    def of_caption(self, maps: Tensor) -> Tensor:
        """The columns of the caption's words, B×positions×tokens, of maps B×positions×L."""
        return maps[..., 1 : 1 + self.backbone.caption_tokens]

    def optimise_latent(self, start: Tensor, sources: Sources) -> tuple[Tensor, dict[str, list], list[int]]:
        """AdamW from the inverted latent; a finished photo leaves the loop, its latent and AdamW's state untouched.

        Returns:
            the latents, B×C×h×w; the curves, in which a finished photo's last value is repeated; and how many times
            each photo was generated.
        """
        settings = self.settings
        latents = [row.clone().requires_grad_() for row in start.split(1)]
        optimizer = torch.optim.AdamW(latents, lr=settings.lr)
        names = ("adv", "perceptual", "cross", "self", "loss")
        history: dict[str, list[list[float]]] = {name: [] for name in names}
        active, here = list(range(len(latents))), sources
        generated, latest = [0] * len(latents), {name: [math.nan] * len(latents) for name in names}
        for iteration in range(settings.iterations):
            weighted, away = self.losses(torch.cat([latents[place] for place in active]), here)
            for name, value in weighted.items():
                for place, number in zip(active, value.tolist(), strict=True):
                    latest[name][place] = number
                history[name].append(list(latest[name]))
            for place in active:
                generated[place] += 1
            going = [index for index, distance in enumerate(away.tolist()) if not distance > settings.stop_distance]
            self.on_progress("latent", iteration + 1, settings.iterations)
            if not going:
                break
            optimizer.zero_grad()  # AdamW leaves what has no gradient as it is
            variables = [latents[active[index]] for index in going]
            gradients = self.backbone.gradients(weighted["loss"].sum(), variables)
            for variable, gradient in zip(variables, gradients, strict=True):
                variable.grad = gradient
            optimizer.step()
            if len(going) < len(active):
                active, here = [active[index] for index in going], here.take(going)
        return torch.cat(latents).detach(), history, generated

    def losses(self, z: Tensor, sources: Sources) -> tuple[dict[str, Tensor], Tensor]:
        """The weighted terms of the loss, B each, and the first surrogate's angular distances to the sources, B."""
        settings, size = self.settings, self.objective.surrogates[0].input_size
        latent, variance, difference = self.generate(z, sources)
        images = self.blend(self.backbone.decode(latent, for_gradient=True), sources)
        shown = (images + 1) / 2 if settings.loss_range == "code" else images
        embedded = self.objective.embed(shown, sources.boxes)
        terms = [angular_distance(mine, own) for mine, own in zip(embedded, sources.faces, strict=True)]
        adversarial = -torch.stack(terms)
        if self.objective.goal == "impersonation":
            pairs = zip(embedded, self.objective.targets, strict=True)
            adversarial = adversarial + torch.stack([angular_distance(mine, wanted[:1]) for mine, wanted in pairs])
        with torch.no_grad():
            if settings.loss_range == "code":
                own = self.objective.surrogates[0](crop(images, sources.boxes, size))
            else:
                own = embedded[0]
            away = angular_distance(own, sources.faces[0])
        apart = self.perceptual(crop(shown, sources.boxes, size), crop(sources.photos, sources.boxes, size))
        weighted = {
            "adv": adversarial.mean(0),
            "perceptual": settings.lambda_perceptual * apart,
            "cross": settings.lambda_cross * variance,
            "self": settings.lambda_self * difference,
        }
        weighted["loss"] = torch.stack(list(weighted.values())).sum(0)
        return weighted, away

    def blend(self, images: Tensor, sources: Sources) -> Tensor:
        """The pictures inside the mask, the sources outside: B×3×H×W in [-1, 1]."""
        return (sources.mask * images + (1 - sources.mask) * sources.photos).clamp(-1, 1)

    def generate(self, z: Tensor, sources: Sources) -> tuple[Tensor, Tensor, Tensor]:
        """Run the generation steps.

        Returns:
            latents B×C×h×w; the variance of the caption's cross-attention, averaged over layers and steps, B; the
            mean squared differences of the self-attention maps to the sources', summed over layers and steps, B.
        """
        seen, difference = [], z.new_zeros(len(z))
        for step, embedding, maps in zip(self.schedule.generation, sources.embeddings, sources.maps, strict=True):
            if self.settings.gradient_checkpointing:
                z, cross, loss = checkpoint(self._step, z, step, embedding, maps, use_reentrant=False)
            else:
                z, cross, loss = self._step(z, step, embedding, maps)
            seen.append(cross)
            difference = difference + loss
        attended = self.of_caption(torch.stack(seen).mean(0))
        return z, attended.flatten(1).var(1), difference

    def _step(self, z: Tensor, step: tuple[int, int], embedding: Tensor, maps: dict) -> tuple[Tensor, Tensor, Tensor]:
        with self.self_attention.compare(maps) as losses, self.cross_attention.record() as cross:
            guide = self.guide_at(z, step[0])
        z = denoise(self.backbone, z, step, embedding, guide)
        return z, torch.stack(cross).mean(0).to(z.dtype), torch.stack(list(losses.values())).sum(0).to(z.dtype)


def angular_distance(left: Tensor, right: Tensor) -> Tensor:
    """arccos(cos)/π of unit rows N×D, 0 … 1; where two are equal, the gradient is 0 and not infinite."""
    return (left * right).sum(1).clamp(-NEARLY, NEARLY).acos() / math.pi
