"""The parts that the noise baselines share: settings and the projected-gradient loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from facecloak.config import Checked
from facecloak.data import Batch
from facecloak.method import Protected, ProtectionMethod, Strength, errors_of_losses

REACH = 1.5  # length of all steps together, in units of ε (RobFR; TIP-IM's code)

Step = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class NoiseSettings(Checked):
    """Settings of every noise baseline.

    Attributes:
        epsilon: how much a pixel may change, in grey levels of 0..255: the L∞ radius. It is a whole number because
            a saved pixel changes by whole levels.
        iterations: number of steps N; a step is 1.5·ε/N long.
        surrogates: ``ensemble`` attacks all surrogates of the cell; ``single`` attacks the first in the suite's
            order, or the judge where it is a white box.
    """

    epsilon: int = 16
    iterations: int = 20
    surrogates: Literal["single", "ensemble"] = "ensemble"

    def __post_init__(self) -> None:
        self.check("epsilon must be between 1 and 255", 1 <= self.epsilon <= 255)
        self.check("iterations must be at least 1", self.iterations >= 1)


@dataclass(frozen=True)
class MomentumSettings(NoiseSettings):
    """Attributes:
    momentum: μ, the decay factor of the earlier gradients; 0 for no momentum.
    """

    momentum: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("momentum must be between 0 and 1", 0 <= self.momentum <= 1)


class NoiseMethod(ProtectionMethod):
    """x ← Π(x + 1.5·ε/N · d(x)), N times from the source; Π projects onto the ε box and onto [-1, 1].

    Subclasses define the direction d.
    """

    strength = Strength("epsilon", (0.125, 0.25, 0.5, 0.75, 1))
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "default": {},  # the suite's settings
        "ensemble": {"surrogates": "ensemble"},
        "single": {"surrogates": "single"},
    }
    uses_surrogates = True

    @abstractmethod
    def begin(self, batch: Batch) -> Step:
        """A function B×3×H×W images → (direction, same shape as the images; losses, B), with state for this batch."""

    def start(self, batch: Batch) -> Tensor:
        """The images from which the first step starts, before projection."""
        return batch.images

    def protect(self, batch: Batch) -> Protected:
        settings, step, losses = self.settings, self.begin(batch), []
        images = self.project(self.start(batch), batch.images)
        for iteration in range(settings.iterations):
            direction, loss = step(images)
            images = self.project(images + self.step_size * direction, batch.images)
            losses.append(loss.tolist())
            self.on_progress("noise", iteration + 1, settings.iterations)
        return Protected(images, errors_of_losses(losses, len(images)), {"loss": losses})

    @property
    def step_size(self) -> float:
        """Length of a step, in the range of [-1, 1]."""
        return REACH * self.settings.epsilon / 127.5 / self.settings.iterations

    def project(self, images: Tensor, source: Tensor) -> Tensor:
        """The closest images within ε of the source and within [-1, 1]; leading dimensions may broadcast."""
        radius = self.settings.epsilon / 127.5
        return images.clamp((source - radius).clamp(min=-1), (source + radius).clamp(max=1))

    @torch.no_grad()
    def embed_sources(self, batch: Batch) -> list[Tensor]:
        """The sources' embeddings, B×D per surrogate; they stay the same in all steps."""
        return self.objective.embed(batch.images, batch.boxes)


def gradient_of(loss: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of each image's loss (images → B), in the images' shape, and the losses."""
    images = images.detach().requires_grad_()
    losses = loss(images)
    (gradient,) = torch.autograd.grad(losses.sum(), images)  # the sum keeps the images independent
    return gradient, losses.detach()
