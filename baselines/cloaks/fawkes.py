"""Fawkes: Shan et al., "Fawkes: Protecting Privacy against Unauthorized Deep Learning Models", USENIX Security 2020,
and version 1.0 of its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from baselines.cloaks.dssim import Weights, dissimilarity, excess
from baselines.common.gradients import signs
from baselines.common.randomness import generators
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.method import GRADIENTS, Origin, Protected, ProtectionMethod, Strength, errors_of_losses
from facecloak.objectives import BOTH

FACE = 112  # pixels, side of the face of which DSSIM is taken
INSIDE = 1 - 1e-6  # keeps black and white finite in tanh space
START = 1e-4  # the first change is U(−START, START), in tanh space
FIRST = 0.01  # length of the first step along the sign, in tanh space
RADIUS = 15 / 127.5  # of the change of a pixel
STEEPNESS = 1e6  # of the hinge
RHO, EPSILON = 0.95, 1e-7  # of Adadelta: the defaults of Keras, which the released code uses


@dataclass(frozen=True)
class FawkesSettings:
    """The defaults are those of the mode high.

    Attributes:
        budget: τ, the DSSIM of the face up to which a change is free.
        iterations: number of steps.
        lr: learning rate of Adadelta.
        surrogates: ``ensemble`` attacks all surrogates of the cell; ``single`` attacks the first in the suite's order,
            or the judge where it is a white box.
        form: ``untargeted`` moves the features away from the source (version 1.0), ``targeted`` towards the target
            (the paper, and version 0.3). ``auto`` is targeted for impersonation and untargeted for obfuscation.
        seed: random seed of the start.
    """

    budget: float = 0.017
    iterations: int = 150
    lr: float = 15.0
    surrogates: Literal["single", "ensemble"] = "ensemble"
    form: Literal["auto", "untargeted", "targeted"] = "auto"
    seed: int = 8888

    def __post_init__(self) -> None:
        for rule, holds in (
            ("budget must be above 0 and below 1", 0 < self.budget < 1),
            ("iterations must be at least 1", self.iterations >= 1),
            ("lr must be above 0", self.lr > 0),
        ):
            if not holds:
                raise FacecloakError(f"fawkes: {rule}.")


class Fawkes(ProtectionMethod):
    """Moves the features as far as a budget of DSSIM allows (Shan et al. 2020, and version 1.0 of its code).

    Its loss is 10⁶·max(0, DSSIM − τ)² − c·Σ_k ‖f_k(x') − f_k(x)‖², with the weight c of `Weights`. The targeted form
    has + c·Σ_k ‖f_k(x') − f_k(x_t)‖² instead; under obfuscation its target is the synthetic face. Returned is the image
    of all iterations that did best by the second term among those with DSSIM ≤ 1.1 τ.

    The change is in the photo's own pixels, where the released code changes a copy of the face of 112 pixels and
    enlarges the change. Both measure DSSIM on that copy. The presets ``low``, ``mid`` and ``high`` are the published
    modes; ``low`` attacks a single surrogate, as ``single`` does with the suite's settings.
    """

    Settings: ClassVar[type[Any]] = FawkesSettings
    origin = Origin("cloak", "Shan et al., USENIX Security", 2020, BOTH, GRADIENTS)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        "low": {"budget": 0.004, "iterations": 40, "lr": 25.0, "surrogates": "single"},
        "mid": {"budget": 0.012, "iterations": 75, "lr": 20.0, "surrogates": "ensemble"},
        "high": {"budget": 0.017, "iterations": 150, "lr": 15.0, "surrogates": "ensemble"},
        "targeted": {"form": "targeted"},
        "single": {"surrogates": "single"},
    }
    uses_surrogates = True
    strength = Strength("budget", (0.125, 0.25, 0.5, 0.75, 1))

    def protect(self, batch: Batch) -> Protected:
        settings, count, losses = self.settings, len(batch.ids), []
        faces = crop(batch.images, batch.boxes, FACE)
        sign, anchors = self.aim(batch)
        noise = [torch.rand(batch.images.shape[1:], generator=g) for g in generators(settings.seed, batch.ids)]
        change = (START * (2 * torch.stack(noise).to(batch.images) - 1)).requires_grad_()
        optimizer = torch.optim.Adadelta([change], lr=settings.lr, rho=RHO, eps=EPSILON)
        weights = Weights(settings.budget, count, batch.images.device)
        kept, lowest = batch.images, torch.full((count,), torch.inf).to(batch.images)
        for iteration in range(settings.iterations + 1):
            images = cloaked(batch.images, change)
            dssim = dissimilarity(crop(images, batch.boxes, FACE), faces)
            now = self.objective.embed(images, batch.boxes)
            far = sum((mine - anchor).square().sum(1) for mine, anchor in zip(now, anchors, strict=True))
            term = sign * far
            better = weights.allow(dssim) & (term < lowest)
            lowest = torch.where(better, term, lowest).detach()
            kept = torch.where(better[:, None, None, None], images, kept).detach()
            if iteration == settings.iterations:  # what the last step led to has been looked at
                break
            loss = STEEPNESS * excess(dssim, settings.budget).square() + weights.values * term
            (change.grad,) = torch.autograd.grad(loss.sum(), change)  # the sum keeps the images independent
            optimizer.step()
            if iteration == 0:
                with torch.no_grad():
                    change -= FIRST * signs(change.grad)
            weights.update(dssim)
            losses.append(loss.tolist())
            self.on_progress("cloak", iteration + 1, settings.iterations)
        errors = errors_of_losses(losses, count)
        for index, found in enumerate(lowest.isfinite().tolist()):
            if not found:
                errors[index] = errors[index] or f"no step kept DSSIM within {settings.budget:g}, its budget"
        return Protected(kept, errors, {"loss": losses})

    @torch.no_grad()
    def aim(self, batch: Batch) -> tuple[int, list[Tensor]]:
        """1 and the target's features, 1×D per surrogate, to come near; or −1 and the sources', B×D, to leave."""
        form = self.settings.form
        if form == "targeted" or (form == "auto" and self.objective.goal == "impersonation"):
            return 1, [targets[:1] for targets in self.objective.targets]
        return -1, self.objective.embed(batch.images, batch.boxes)


def cloaked(source: Tensor, change: Tensor) -> Tensor:
    """The source, B×3×H×W in [-1, 1], with a change in tanh space; no pixel moves by more than 15 of 255 levels."""
    moved = torch.tanh(torch.atanh(source * INSIDE) + change)
    return (source + (moved - source).clamp(-RADIUS, RADIUS)).clamp(-1, 1)
