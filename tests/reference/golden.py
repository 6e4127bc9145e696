"""The golden files' model, recognizers and arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.reference.cloak import Models
from tests.reference.models import STAND_INS, StandIn


def load_models(folder: Path, dtype: torch.dtype = torch.float64) -> Models:
    """The random model of Stable Diffusion 2's form and its three surrogates."""
    weights, recognizers = load_file(folder / "surrogates.safetensors"), []
    for name, (channels, size) in STAND_INS.items():
        network = StandIn(channels, nn.PReLU)
        network.load_state_dict({k.removeprefix(name + "."): v for k, v in weights.items() if k.startswith(name + ".")})
        recognizers.append((network.to(dtype).eval(), size))
    unet = UNet2DConditionModel.from_pretrained(folder / "tiny_sd/unet").to(dtype).requires_grad_(False)
    vae = AutoencoderKL.from_pretrained(folder / "tiny_sd/vae").to(dtype).requires_grad_(False)
    scheduler = DDIMScheduler.from_pretrained(folder / "tiny_sd/scheduler")
    null_embedding = torch.from_numpy(np.load(folder / "tiny_sd/uncond.npy")).to(dtype)
    return Models(unet, vae, scheduler, null_embedding, recognizers)


def load_arrays(folder: Path, goal: str) -> dict[str, Tensor]:
    """Inputs and outputs of the released code's run."""
    arrays = np.load(folder / f"cloak_{goal}.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
