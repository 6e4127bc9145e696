"""DiffPrivate and DiffAIM on models small enough for float64 tests."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.common.perceptual import load_perceptual
from baselines.diffusion.diffaim import DiffAIM, DiffAIMSettings
from baselines.diffusion.diffprivate import DiffPrivate, DiffPrivateSettings
from facecloak.cloak.backbone import Backbone, Caption
from tests.facecloak.cloak.small import make_objective
from tests.reference.cloak import Models

TOKENS = 3


def random_caption(models: Models) -> Tensor:
    """1×L×d."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(models.null_embedding.shape, generator=generator, dtype=models.null_embedding.dtype)


def make_diffprivate(models: Models, goal: str = "impersonation", **settings) -> DiffPrivate:
    """Few iterations unless they are given; the perceptual distance is pocket's."""
    settings = {"embedding_iterations": 1, "iterations": 3, "start_step": 18, "perceptual": "pocket", **settings}
    caption = Caption(random_caption(models), TOKENS)
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding, None, caption)
    return DiffPrivate(DiffPrivateSettings(**settings), make_objective(models, goal), backbone).double()


def make_diffaim(models: Models, goal: str = "impersonation", **settings) -> DiffAIM:
    """Few iterations unless they are given; the perceptual distance is pocket's."""
    settings = {"steps": 20, "start_step": 18, "iterations": 2, "copies": 2, "perceptual": "pocket", **settings}
    backbone = Backbone(models.unet, models.vae, models.scheduler, models.null_embedding)
    return DiffAIM(DiffAIMSettings(**settings), make_objective(models, goal), backbone).double()


def pocket_distance():
    """The pocket suite's perceptual distance in float64."""
    return load_perceptual("pocket").double()
