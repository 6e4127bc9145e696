"""Models and a photo for measuring speed."""

from __future__ import annotations

import torch

from facecloak.errors import FacecloakError
from facecloak.io import shared_dir
from tests.reference.cloak import Case, Models
from tests.reference.golden import load_arrays, load_models
from tests.reference.models import random_models, random_photos


def prepare(size: str, golden: bool, dtype: torch.dtype, side: int = 256) -> tuple[Models, Case]:
    """Random weights of a size, or the golden files' model and photos, on the GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = shared_dir() / "golden"
    if golden and not folder.is_dir():
        raise FacecloakError(f"{folder}: no such folder. Set FACECLOAK_SHARED to the folder that has golden/.")
    if golden:
        models, arrays = load_models(folder, dtype), load_arrays(folder, "impersonation")
        image, target = arrays["image"].to(dtype), arrays["target"].to(dtype)
    else:
        models = random_models(size, dtype=dtype)
        image, target = random_photos(2, side, dtype)
    for module in (models.unet, models.vae, *(network for network, _ in models.recognizers)):
        module.to(device)
    models.null_embedding = models.null_embedding.to(device)
    return models, Case(image.to(device), None, target.to(device), embedding_iterations=1)
