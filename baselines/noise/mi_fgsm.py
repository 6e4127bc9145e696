"""MI-FGSM: Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from baselines.common.gradients import accumulate, signs
from baselines.noise.projected_gradient import MomentumSettings, NoiseMethod, Step, gradient_of
from facecloak.data import Batch
from facecloak.method import GRADIENTS, Origin
from facecloak.objectives import BOTH


@dataclass(frozen=True)
class MIFGSMSettings(MomentumSettings):
    """`MomentumSettings`; the defaults are RobFR's: ε 16, 20 iterations, μ 1."""

    name: ClassVar[str] = "mi_fgsm"


class MIFGSM(NoiseMethod):
    """Steps along the sign of the accumulated, normalised gradients (Dong et al. 2018).

    The preset ``robfr`` has RobFR's settings, on a single surrogate.
    """

    Settings: ClassVar[type[Any]] = MIFGSMSettings
    origin = Origin("noise", "Dong et al., CVPR", 2018, BOTH, GRADIENTS)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        **NoiseMethod.presets,
        "robfr": {"epsilon": 16, "iterations": 20, "momentum": 1.0, "surrogates": "single"},
    }

    def begin(self, batch: Batch) -> Step:
        source, momentum = self.embed_sources(batch), torch.zeros_like(batch.images)

        def step(images: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal momentum
            gradient, losses = gradient_of(lambda x: self.objective(x, batch.boxes, source).mean(1), images)
            momentum = accumulate(momentum, gradient, self.settings.momentum)
            return -signs(momentum), losses

        return step
