"""Photos and a FaceCloak small enough for float64 tests."""

from __future__ import annotations

import torch
from torch import Tensor

from facecloak.cloak.backbone import Backbone
from facecloak.cloak.method import FaceCloak
from facecloak.cloak.settings import CloakSettings
from facecloak.data import Batch
from facecloak.faces import whole_image
from facecloak.objectives import Objective
from tests.reference.models import Models, surrogates

BOXES = [(5.3, 8.6, 50.2, 61.7), (0.0, 0.0, 64.0, 64.0), (10.0, 2.0, 43.0, 40.0), (-3.0, 4.0, 70.0, 59.5)]


def photos(count: int, seed: int = 0, side: int = 64) -> Tensor:
    """Smooth random images, B×3×side×side in [-1, 1], float64; each depends only on its seed and its place."""
    images = []
    for index in range(count):
        generator = torch.Generator().manual_seed(1000 * seed + index)
        coarse = torch.rand(1, 3, 8, 8, generator=generator, dtype=torch.float64) * 2 - 1
        images.append(torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic"))
    return torch.cat(images).clamp(-1, 1)


def batch_of(images: Tensor, indices: list[int] | None = None) -> Batch:
    """Images with a box each; ``indices`` picks some of them."""
    indices = list(range(len(images))) if indices is None else indices
    return Batch([f"p{index}" for index in indices], images[indices], torch.tensor([BOXES[i] for i in indices]))


def make_objective(models: Models, goal: str) -> Objective:
    """The models' surrogates against `target`."""
    target = photos(1, seed=99).to(models.null_embedding)
    return Objective(goal, surrogates(models), target, whole_image(target))


def make_method(models: Models, goal: str = "impersonation", gradient_decoder=None, **settings) -> FaceCloak:
    """A FaceCloak on these models against `target`; it has few iterations unless they are given."""
    objective = make_objective(models, goal)
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding, gradient_decoder)
    return FaceCloak(CloakSettings(**{"embedding_iterations": 2, "iterations": 3, **settings}), objective, backbone)
