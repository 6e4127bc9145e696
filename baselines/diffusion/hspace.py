"""`hspace`: the proposed method with the UNet's middle features as variable, an own design of this project.

It is not SD4Privacy (An et al., ICME 2024), of which neither text nor code could be found. That the output of the
middle block is a semantic space of a diffusion model, h-space, was found by Kwon et al. (ICLR 2023, "Asyrp").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from facecloak.cloak.inversion import ddim_step
from facecloak.cloak.method import FaceCloak
from facecloak.cloak.middle import Middle, noise_from, reach_middle
from facecloak.cloak.settings import CloakSettings
from facecloak.data import Batch
from facecloak.method import Origin
from facecloak.objectives import BOTH


@dataclass(frozen=True)
class HSpaceSettings(CloakSettings):
    """Settings of HSpace: those of the proposed method, of which these mean something else.

    Attributes:
        iterations: Adam steps on the changes of the middle features, N.
        lr: their learning rate; 1 is the features' own size.
        lambda_attn: weight of L_attn, the structure term, here of the UNet's up blocks; 0 turns it off.
    """

    name: ClassVar[str] = "hspace"

    iterations: int = 20
    lr: float = 0.1


class Condition(NamedTuple):
    """What a generation step depends on beside the latent.

    Attributes:
        embedding: B×L×d.
        change: of the middle features, B×C×h×w.
        middle: the step's way down, if it does not depend on the changes.
    """

    embedding: Tensor
    change: Tensor
    middle: Middle | None = None


class HSpace(FaceCloak):
    """Adversarial changes of the UNet's middle features (h-space) in every generation step; an own design.

    The inversion, the learned embeddings, the first latent and the losses are the proposed method's (Salar et al.
    2025); the first latent stays as it is. The change of step i is Δh_i = s_i·v_i, where s_i is the root mean square
    of the photo's own middle features in that step, and v_i, which begins at 0, is what Adam changes.

    Only the way up is differentiated: the later steps' ways down see the changed latent, but hand no gradient on. The
    first step's way down never changes and is computed once for each photo.
    """

    Settings: ClassVar[type[Any]] = HSpaceSettings
    origin = Origin("latent", "this project", 2026, BOTH, "gradients through half of a diffusion model")
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}
    watched = "up_blocks"

    def attack(self, batch: Batch, z: Tensor, embeddings: list[Tensor]) -> tuple[Tensor, dict]:
        with torch.no_grad():
            conditions, sizes, maps = self.follow_source(z, embeddings)
        values = torch.zeros(len(sizes), *conditions[0].change.shape).to(z).requires_grad_()

        def changed() -> list[Condition]:
            changes = (size * value for size, value in zip(sizes, values, strict=True))
            return [one._replace(change=change) for one, change in zip(conditions, changes, strict=True)]

        optimizer = torch.optim.Adam([values], lr=self.settings.lr)
        history = self.descend(batch, values, optimizer, lambda: self.generate_and_compare(z, changed(), maps))
        with torch.no_grad():
            return self.backbone.decode(self.generate(z, changed())).clamp(-1, 1), history

    def follow_source(self, z: Tensor, embeddings: list[Tensor]) -> tuple[list[Condition], list[Tensor], list | None]:
        """The photos' own path: per step the condition with a change of 0, s_i (B×1×1×1), and, if L_attn has a weight,
        the self-attention maps."""
        conditions, sizes, maps = [], [], []
        for step, embedding in zip(self.schedule.generation, embeddings, strict=True):
            middle = reach_middle(self.backbone, z, step[0], embedding)
            features = middle.features.to(z.dtype)
            sizes.append(features.square().mean((1, 2, 3), keepdim=True).sqrt())
            conditions.append(Condition(embedding, torch.zeros_like(features), None if conditions else middle))
            with self.guidance.record() as recorded:
                z = self.denoise(z, step, conditions[-1]._replace(middle=middle))
            maps.append(recorded)
        return conditions, sizes, maps if self.settings.lambda_attn else None

    def denoise(self, z: Tensor, step: tuple[int, int], condition: Condition) -> Tensor:
        """A generation step with changed middle features, whose way down takes no gradient."""
        middle = condition.middle
        if middle is None:
            with torch.no_grad():
                middle = reach_middle(self.backbone, z, step[0], condition.embedding)
        noise = noise_from(self.backbone, middle, condition.change)
        return ddim_step(z, noise, self.backbone.alpha(step[0]), self.backbone.alpha(step[1]))
