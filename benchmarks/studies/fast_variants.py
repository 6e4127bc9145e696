"""What `facecloak:fast` would be with one thing changed each; `benchmarks.studies.fast --variants` compares them."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmarks.suites.suite import Suite, load_suite
from facecloak.cloak.embeddings import learn_embeddings
from facecloak.cloak.fast import CLEAN, FastCloak
from facecloak.cloak.inversion import Schedule, ddim_step, denoise
from facecloak.cloak.middle import noise_from, reach_middle
from facecloak.config import far_key
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.method import Protected
from facecloak.recognizers import weights_file

FAST = "facecloak:fast"
OTHERS = 4  # what is learned once is learned from the photos after the first four of each group, who are not protected


class SlowMomentum(FastCloak):
    """Adam's usual momentum."""

    def optimizer(self, z: Tensor) -> torch.optim.Optimizer:
        return torch.optim.Adam([z], lr=self.settings.lr)


class SignSteps(FastCloak):
    """Steps of equal size for all elements, along the gradient's sign."""

    def optimizer(self, z: Tensor) -> torch.optim.Optimizer:
        return _Sign([z], {"lr": self.settings.lr})


class _Sign(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad.sign()


class WholePicture(FastCloak):
    """The decoded picture itself, as the proposed method makes it, and not its change."""

    def picture(self, photos: Tensor, z: Tensor, unchanged: Tensor) -> Tensor:
        return self.decode(z)


class NoDenoising(FastCloak):
    """The autoencoder's latent, without the diffusion model."""

    def start(self, photos: Tensor) -> Tensor:
        return self.backbone.encode(photos, self.settings.seed)

    def decode(self, z: Tensor) -> Tensor:
        return self.backbone.decode(z, for_gradient=True)


class MiddleFeatures(FastCloak):
    """The change of the UNet's middle features in place of the latent's (h-space): its gradient needs no way down."""

    def start(self, photos: Tensor) -> Tensor:
        self.noisy, null = super().start(photos), self.backbone.null_embedding(len(photos))
        self.middle = reach_middle(self.backbone, self.noisy, self.settings.level, null)
        return torch.zeros_like(self.middle.features, dtype=photos.dtype)

    def decode(self, z: Tensor) -> Tensor:
        alphas = (self.backbone.alpha(timestep) for timestep in (self.settings.level, CLEAN))
        clean = ddim_step(self.noisy, noise_from(self.backbone, self.middle, z), *alphas)
        return self.backbone.decode(clean, for_gradient=True)


class _OfPocket(FastCloak):
    """What needs thresholds or other people, which are pocket's."""

    @classmethod
    def pick_surrogates(cls, settings: Any, pool: list[str]) -> list[str]:
        if others := [name for name in pool if name not in pocket().recognizers]:
            raise FacecloakError(
                f"{cls.__name__} knows the thresholds and other people of suite pocket only, which does not have "
                f"{others[0]}: use --variants with --suite pocket."
            )
        return super().pick_surrogates(settings, pool)


class EarlyStop(_OfPocket):
    """A photo is finished as soon as its cosine to the target exceeds every surrogate's threshold by a margin.

    Photo by photo; in a batch, its row would leave the loop.
    """

    margin: ClassVar[float] = 0.0

    def protect(self, batch: Batch) -> Protected:
        rows = [self._protect(batch.images[k : k + 1], batch.boxes[k : k + 1]) for k in range(len(batch.ids))]
        images, passes = zip(*rows, strict=True)
        return Protected(torch.cat(images), [None] * len(rows), {}, unet_passes=round(sum(passes) / len(rows)))

    def _protect(self, photo: Tensor, box: Tensor) -> tuple[Tensor, int]:
        """The protected photo, 1×3×H×W, and the UNet passes that it took."""
        passes = self.backbone.passes
        with torch.no_grad():
            start = self.start(photo)
            unchanged = self.decode(start)
            source_faces = self.objective.embed(photo, box)
        wanted = [threshold(surrogate.name) + self.margin for surrogate in self.objective.surrogates]
        enough = torch.tensor(wanted, device=photo.device)
        z = start.clone().requires_grad_()
        optimizer = self.optimizer(z)
        for _ in range(self.settings.iterations):
            image = self.picture(photo, z, unchanged)
            terms = self.objective(image, box, source_faces)
            if (1 - terms[0] > enough).all():
                break
            change = self.settings.lambda_change * (image - photo).square().mean()
            self.backbone.update(optimizer, z, terms.mean() + change)
        else:
            with torch.no_grad():
                image = self.picture(photo, z, unchanged)
        return image.detach().clamp(-1, 1), self.backbone.passes - passes


class LateStop(EarlyStop):
    """The same with a margin of 0.15."""

    margin = 0.15


class OwnEmbedding(FastCloak):
    """The embedding with which the denoising retraces its way up, learned for each photo; the proposed method's idea.

    Learned before the loop, in `passes_to_learn` passes.
    """

    passes_to_learn: ClassVar[int] = 10

    def start(self, photos: Tensor) -> Tensor:
        start = super().start(photos)
        self.embedding = self.learn(photos, start)
        return start

    def learn(self, photos: Tensor, start: Tensor) -> Tensor:
        """Embeddings, B×L×d."""
        clean, steps = self.backbone.encode(photos, self.settings.seed), Schedule([], [(self.settings.level, CLEAN)])
        with torch.enable_grad():
            (learned,) = learn_embeddings(
                self.backbone, [clean, start], steps, self.passes_to_learn, 1e-2, lambda *done: None
            )
        return learned

    def decode(self, z: Tensor) -> Tensor:
        clean = denoise(self.backbone, z, (self.settings.level, CLEAN), self.embedding)
        return self.backbone.decode(clean, for_gradient=True)


class SharedEmbedding(_OfPocket, OwnEmbedding):
    """The mean of the embeddings of other people, learned once for all photos."""

    def start(self, photos: Tensor) -> Tensor:
        if not hasattr(self, "shared"):
            passes, others = self.backbone.passes, other_people().to(self.device)
            self.shared = self.learn(others.images, FastCloak.start(self, others.images)).mean(0, keepdim=True)
            self.backbone.passes = passes  # those of no photo
        self.embedding = self.shared.expand(len(photos), -1, -1)
        return FastCloak.start(self, photos)


class WarmStart(_OfPocket):
    """It begins with one change of the latent that moves other people towards the target, learned once per target."""

    learned: ClassVar[dict[str, Tensor]] = {}  # by the target's embeddings
    steps: ClassVar[int] = 10
    part: ClassVar[float] = 1.0  # of the change

    def optimizer(self, z: Tensor) -> torch.optim.Optimizer:
        """The usual one, of a variable that it moves to its beginning first."""
        targets = torch.cat([each.flatten() for each in self.objective.targets]).cpu()
        key = hashlib.sha256(targets.numpy()).hexdigest()
        if key not in self.learned:
            passes = self.backbone.passes
            self.learned[key] = self._learn(other_people().to(self.device))
            self.backbone.passes = passes  # those of no photo
        with torch.no_grad():
            z += self.part * self.learned[key]
        return super().optimizer(z)

    def _learn(self, others: Batch) -> Tensor:
        """The change, 1×C×h×w, that lowers the mean loss of other people's photos."""
        photos = others.images
        with torch.no_grad():
            start = self.start(photos)
            unchanged = self.decode(start)
            source_faces = self.objective.embed(photos, others.boxes)
        change = torch.zeros_like(start[:1]).requires_grad_()
        optimizer = super().optimizer(change)
        for _ in range(self.steps):
            images = self.picture(photos, start + change, unchanged)
            cost = self.settings.lambda_change * (images - photos).square().mean()
            loss = self.objective(images, others.boxes, source_faces).mean() + cost
            self.backbone.update(optimizer, change, loss)
        return change.detach()


class HalfStart(WarmStart):
    """It begins with half of that change."""

    part = 0.5


@cache
def pocket() -> Suite:
    """The suite whose people are protected; $FACECLOAK_POCKET says which."""
    return load_suite("pocket")


@cache
def other_people() -> Batch:
    """Photos of people of the suite who are not protected, see `OTHERS`."""
    first = {*pocket().batch(limit=OTHERS).ids}
    everyone = pocket().batch()
    rows = [row for row, name in enumerate(everyone.ids) if name not in first]
    return Batch([everyone.ids[row] for row in rows], everyone.images[rows], everyone.boxes[rows])


@cache
def threshold(recognizer: str) -> float:
    """The suite's threshold of a recognizer at FAR 0.01."""
    return pocket().load_thresholds(recognizer, sha256(weights_file(recognizer)))["fars"][far_key(0.01)]["threshold"]


def _own(cls: type[FastCloak], **settings: Any) -> tuple[str, dict[str, Any]]:
    return f"{cls.__module__}:{cls.__name__}", settings


def _fast(**settings: Any) -> tuple[str, dict[str, Any]]:
    return FAST, settings


# what is changed → method and settings
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "full decoder": _fast(tiny_decoder=None),
    "3 iterations": _fast(iterations=3),
    "8 iterations": _fast(iterations=8),
    "level 151": _fast(level=151),
    "level 501": _fast(level=501),
    "the size of a change costs nothing": _fast(lambda_change=0.0),
    "Adam's usual momentum": _own(SlowMomentum),
    "sign steps": _own(SignSteps, lr=0.2),
    "whole picture, not its change": _own(WholePicture),
    "no denoising": _own(NoDenoising, lr=0.1),
    "middle features (h-space)": _own(MiddleFeatures, lr=4.0, level=601),
    "early stop, at the thresholds": _own(EarlyStop),
    "early stop, 0.15 above them": _own(LateStop),
    "early stop, 0.15 above them, at most 8 iterations": _own(LateStop, iterations=8),
    "embeddings learned for each photo": _own(OwnEmbedding),
    "one embedding, the mean of other people's": _own(SharedEmbedding),
    "warm start, 1 iteration": _own(WarmStart, iterations=1),
    "warm start, 3 iterations": _own(WarmStart, iterations=3),
    "warm start": _own(WarmStart),
    "half a warm start, 3 iterations": _own(HalfStart, iterations=3),
    "half a warm start": _own(HalfStart),
}
