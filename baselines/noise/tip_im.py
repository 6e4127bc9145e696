"""TIP-IM: Yang et al., "Towards Face Encryption by Generating Adversarial Identity Masks", ICCV 2021."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.common.gradients import accumulate, signs
from baselines.common.randomness import generators
from baselines.noise.mmd import mmd
from baselines.noise.projected_gradient import MomentumSettings, NoiseMethod, Step
from facecloak.data import Batch
from facecloak.method import GRADIENTS, Origin

SMALLEST = 0.01  # the smallest s of the input diversity

Gain = Literal["gain1", "gain2", "gain3"]

PUBLISHED = {
    "epsilon": 12, "momentum": 1.0, "norm": "l2", "gain": "gain3", "gamma": 0.0, "diversity": 0.1,
    "surrogates": "single",
}  # fmt: skip


@dataclass(frozen=True)
class TIPIMSettings(MomentumSettings):
    """Settings of TIP-IM; the defaults are the paper's for iterations (50) and the released code's for the rest.

    Attributes:
        norm: ``l2`` steps along the momentum, scaled to a root mean square of 1; ``linf`` steps along its sign. The
            L∞ box is the same for both.
        targets: ``single`` impersonates the cell's target. ``set`` lets each image choose, in each iteration,
            among all targets of the suite. A cell is still judged by its own target: its PSR under impersonation
            is then the share of images that chose, or resemble, that one target. Dodging, and the PSR of
            obfuscation, count images whatever target they chose.
        gain: how a candidate is rated, see `gain_of`.
        gamma: γ, weight of the MMD between the protected and the source image, each a set of one vector of grey
            levels 0..255. The identity terms are means over the embedding's D numbers and are within ±4/D, ±0.008
            for D = 512; the MMD goes from 0 to 38. So γ = 0.1, a fraction of the paper's (up to 2.5, on terms of
            another scale), leaves no protection; the released code's default is 0.
        diversity: the largest s of the input diversity, see `draw_maps`.
        seed: random seed of the input diversity.
    """

    name: ClassVar[str] = "tip_im"
    epsilon: int = 12
    iterations: int = 50
    norm: Literal["l2", "linf"] = "l2"
    targets: Literal["single", "set"] = "single"
    gain: Gain = "gain3"
    gamma: float = 0.0
    diversity: float = 0.1
    seed: int = 8888

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("gamma must be at least 0", self.gamma >= 0)
        self.check(f"diversity must be between {SMALLEST} and 1", SMALLEST <= self.diversity <= 1)


class TIPIM(NoiseMethod):
    """Targeted identity-protection masks, with input diversity and a greedy choice of the target (Yang et al. 2021).

    The loss for target j is mean((f − f_tj)²) − mean((f − f_src)²) + γ·MMD(x', x), averaged over the surrogates. It
    moves away from the source and towards the target under both objectives, which differ in the target (obfuscation: a
    synthetic face) and in what counts as success. The presets ``paper`` and ``code`` attack a single surrogate; for
    ``set`` see the settings.
    """

    Settings: ClassVar[type[Any]] = TIPIMSettings
    origin = Origin("noise", "Yang et al., ICCV", 2021, ("impersonation",), GRADIENTS)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        **NoiseMethod.presets,
        "paper": {**PUBLISHED, "iterations": 50},
        "code": {**PUBLISHED, "iterations": 100},
        "set": {"targets": "set"},
    }

    @classmethod
    def uses_target_set(cls, settings: TIPIMSettings) -> bool:
        return settings.targets == "set"

    def begin(self, batch: Batch) -> Step:
        settings, source, momentum = self.settings, self.embed_sources(batch), torch.zeros_like(batch.images)
        random = generators(settings.seed, batch.ids)
        images_of_batch = torch.arange(len(batch.ids), device=batch.images.device)

        def step(images: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal momentum
            gradients, losses = self.gradients(images, batch, source, draw_maps(random, settings.diversity))
            momenta = accumulate(momentum, gradients, settings.momentum)
            directions = -(signs(momenta) if settings.norm == "linf" else unit_rms(momenta))
            choice = torch.zeros_like(images_of_batch)
            if len(directions) > 1:
                candidates = self.project(images + self.step_size * directions, batch.images)
                choice = self.gains(candidates, batch, source).argmax(0)
            momentum = momenta[choice, images_of_batch]
            return directions[choice, images_of_batch], losses[choice, images_of_batch]

        return step

    def gradients(self, images: Tensor, batch: Batch, source: list[Tensor], maps: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient for each target, T×B×3×H×W, and the losses, T×B, under input diversity.

        Args:
            images: B×3×H×W, the images so far.
            source: embeddings of the sources, B×D per surrogate.
            maps: B×2×3, see `warp`.
        """
        images = images.detach().requires_grad_()
        embeddings = self.objective.embed(images, batch.boxes, lambda faces: warp(faces, maps))
        terms = [
            (now - targets.unsqueeze(1)).square().mean(-1) - (now - own).square().mean(-1)
            for now, own, targets in zip(embeddings, source, self.objective.targets, strict=True)
        ]
        losses = torch.stack(terms).mean(0)
        if self.settings.gamma:
            now, own = (127.5 * (x.flatten(1)[:, None] + 1) for x in (images, batch.images))
            losses = losses + self.settings.gamma * mmd(now, own)
        gradients = [torch.autograd.grad(loss.sum(), images, retain_graph=True)[0] for loss in losses]
        return torch.stack(gradients), losses.detach()

    @torch.no_grad()
    def gains(self, candidates: Tensor, batch: Batch, source: list[Tensor]) -> Tensor:
        """Gain of the candidates T×B×3×H×W, averaged over the surrogates, T×B. All are embedded as one batch."""
        count = len(candidates)
        embeddings = self.objective.embed(candidates.flatten(0, 1), batch.boxes.repeat(count, 1))
        gains = []
        for now, own, targets in zip(embeddings, source, self.objective.targets, strict=True):
            to_source = (now - own.repeat(count, 1)).norm(dim=1)
            to_targets = (now[:, None] - targets).norm(dim=2)
            gains.append(gain_of(self.settings.gain, to_source, to_targets))
        return torch.stack(gains).mean(0).unflatten(0, (count, -1))


def gain_of(kind: Gain, to_source: Tensor, to_targets: Tensor) -> Tensor:
    """log(1 + Σ_j exp(‖f − f_src‖ − ‖f − f_tj‖)) for ``gain1``. ``gain2`` has the smallest term instead of the sum,
    ``gain3`` the largest (Yang et al. 2021, section 3.3, and the released code).

    Args:
        to_source: N distances.
        to_targets: N×T distances.
    """
    terms = (to_source[:, None] - to_targets).exp()
    return torch.log1p({"gain1": terms.sum, "gain2": terms.amin, "gain3": terms.amax}[kind](dim=1))


def unit_rms(momentum: Tensor) -> Tensor:
    """√n·g/‖g‖₂ of each image in …×3×H×W, where n is how many numbers the image has; zeros stay zeros."""
    rms = momentum.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
    return momentum / rms.clamp(min=torch.finfo(rms.dtype).tiny)


def draw_maps(random: list[torch.Generator], largest: float) -> Tensor:
    """Input diversity, B×2×3 maps for `warp`: the identity with every number jittered by N(0, s), then a rotation by
    N(0, s) radians, with s ~ U(0.01, ``largest``) for each image. ``largest`` is 0.1 in the released code."""
    maps = []
    for generator in random:
        s = SMALLEST + (largest - SMALLEST) * torch.rand((), generator=generator)
        jitter, angle = s * torch.randn(2, 3, generator=generator), s * torch.randn((), generator=generator)
        rotation = torch.eye(3)
        rotation[:2, :2] = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
        maps.append((torch.eye(3)[:2] + jitter) @ rotation)
    return torch.stack(maps)


def warp(faces: Tensor, maps: Tensor) -> Tensor:
    """Resample each face of B×3×S×S, in [-1, 1], with its own affine map; places outside the face are black.

    Args:
        maps: B×2×3, each from places in the result to places in the face, both with coordinates from -1 to 1.
    """
    grid = F.affine_grid(maps.to(faces), list(faces.shape), align_corners=False)
    return F.grid_sample(faces + 1, grid, padding_mode="zeros", align_corners=False) - 1
