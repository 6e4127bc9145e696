"""PGD: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from baselines.common.gradients import signs
from baselines.common.randomness import generators
from baselines.noise.projected_gradient import NoiseMethod, NoiseSettings, Step, gradient_of
from facecloak.data import Batch
from facecloak.method import GRADIENTS, Origin
from facecloak.objectives import BOTH


@dataclass(frozen=True)
class PGDSettings(NoiseSettings):
    """Attributes:
    random_start: begin at a uniformly random point of the box instead of at the source.
    seed: random seed of that point.
    """

    name: ClassVar[str] = "pgd"
    random_start: bool = False
    seed: int = 8888


class PGD(NoiseMethod):
    """Projected gradient descent: steps along the sign of the gradient (Madry et al. 2018).

    The preset ``robfr`` has RobFR's settings, on a single surrogate.
    """

    Settings: ClassVar[type[Any]] = PGDSettings
    origin = Origin("noise", "Madry et al., ICLR", 2018, BOTH, GRADIENTS)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        **NoiseMethod.presets,
        "random_start": {"random_start": True},
        "robfr": {"epsilon": 16, "iterations": 20, "random_start": False, "surrogates": "single"},
    }

    def start(self, batch: Batch) -> Tensor:
        if not self.settings.random_start:
            return batch.images
        noise = [torch.rand(batch.images.shape[1:], generator=g) for g in generators(self.settings.seed, batch.ids)]
        return batch.images + (2 * torch.stack(noise).to(batch.images) - 1) * self.settings.epsilon / 127.5

    def begin(self, batch: Batch) -> Step:
        source = self.embed_sources(batch)

        def step(images: Tensor) -> tuple[Tensor, Tensor]:
            gradient, losses = gradient_of(lambda x: self.objective(x, batch.boxes, source).mean(1), images)
            return -signs(gradient), losses

        return step
