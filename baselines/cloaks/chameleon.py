"""Chameleon: Chow et al., "Personalized Privacy Protection Mask Against Unauthorized Facial Recognition", ECCV 2024."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from baselines.cloaks.dssim import Weights, dissimilarity, excess
from baselines.cloaks.person import MASK, PersonMask, PersonSettings, put_on
from baselines.common.gradients import signs
from baselines.common.randomness import generators
from facecloak.data import Album
from facecloak.faces import crop
from facecloak.method import Origin

PARALLEL = 1 - 1e-6  # cosine above which the slope of arccos, which has no limit there, is not followed


@dataclass(frozen=True)
class ChameleonSettings(PersonSettings):
    """Settings of Chameleon; the defaults are the released code's.

    Attributes:
        epochs: passes over the album.
        photos: of the album, for each step.
        budget: τ, the structural dissimilarity (DSSIM) of the faces that costs nothing.
    """

    name: ClassVar[str] = "chameleon"
    epsilon: int = 16
    step: float = 0.255
    epochs: int = 50
    photos: int = 4
    budget: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("epochs must be at least 1", self.epochs >= 1)
        self.check("photos must be at least 1", self.photos >= 1)
        self.check("budget must be above 0 and at most 1", 0 < self.budget <= 1)


class Chameleon(PersonMask):
    """A personal mask (P3) that turns a person's features away within a budget of visible change (Chow et al. 2024).

    The loss of a step is −Σ arccos(f·f′) + λ·max(0, DSSIM − τ): the sum is over its photos and the surrogates, f and f′
    are a photo's features without and with the mask, DSSIM is the mean over its photos. λ is doubled where the faces
    have changed too much and halved where they could change more, with Fawkes' rule (see `Weights`; λ = 1/c). It only
    leaves the source, under both objectives: the paper has no form for impersonation. All surrogates of the cell are
    attacked; the paper's choice by diversity is not included.
    """

    Settings: ClassVar[type[Any]] = ChameleonSettings
    origin = Origin("cloak", "Chow et al., ECCV", 2024, ("obfuscation",), MASK)
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        **PersonMask.presets,
        "paper": {"epsilon": 16, "step": 0.255, "epochs": 50, "photos": 4, "budget": 0.03, "grid": 112},
    }

    def learn(self, album: Album) -> tuple[Tensor, list[float]]:
        settings, own, mask, losses = self.settings, self.embed_album(album), self.start(album), []
        faces = crop(album.images, album.boxes, settings.grid)
        weights = Weights(settings.budget, 1, mask.device)
        (random,) = generators(settings.seed, ["order"])
        for epoch in range(settings.epochs):
            total = 0.0
            for part in torch.randperm(len(faces), generator=random).to(mask.device).split(settings.photos):
                mask.requires_grad_()
                boxes = album.boxes[part]
                photos = put_on(album.images[part], boxes, mask.expand(len(part), -1, -1, -1))
                now = self.objective.embed(photos, boxes)
                angles = sum(angle(here, features[part]).sum() for here, features in zip(now, own, strict=True))
                looks = dissimilarity(crop(photos, boxes, settings.grid), faces[part]).mean()
                loss = (excess(looks, settings.budget) / weights.values - angles).sum()
                (gradient,) = torch.autograd.grad(loss, mask)
                mask = self.move(mask.detach(), signs(gradient))
                weights.update(looks[None])
                total += loss.item()
            losses.append(total / len(faces))
            self.on_progress("mask", epoch + 1, settings.epochs)
        return mask, losses


def angle(here: Tensor, there: Tensor) -> Tensor:
    """arccos of the cosine of unit rows, N×D each, in radians; its slope is 0 where they are almost parallel."""
    return (here * there).sum(1).clamp(-PARALLEL, PARALLEL).arccos()
