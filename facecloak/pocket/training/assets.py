"""Where the trained models go: float16 safetensors in the folder of assets, with a manifest of hashes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save
from torch import nn
from transformers import CLIPModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256, write_bytes, write_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Assets:
    """The folder of assets, the folder of portraits and checkpoints, and the device to train on."""

    out: Path
    work: Path
    device: str

    def checkpoint(self, stage: str) -> Path:
        """Where a stage's training can be resumed from."""
        return self.work / f"{stage}.pt"

    def save_weights(self, network: nn.Module, file: str) -> None:
        """Write a network's weights and buffers, without counters."""
        state = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        halves = {name: value.detach().cpu().contiguous().half() for name, value in state.items()}
        write_bytes(self.out / file, save(halves))

    def save_folder(self, folder: str, *parts: Any) -> None:
        """Write models, tokenizers and processors in their libraries' own layout; models become float16 in place."""
        transformers_logging.disable_progress_bar()
        for part in parts:
            for network in getattr(part, "components", {"": part}).values():
                if isinstance(network, nn.Module):
                    network.half()
            part.save_pretrained(self.out / folder)
        for file in (self.out / folder).rglob("*.json"):
            if "_name_or_path" in (config := read_json(file)):  # a folder of this machine
                del config["_name_or_path"]
                write_json(file, config)

    def load_vae(self) -> AutoencoderKL:
        """The trained autoencoder, in float32."""
        return AutoencoderKL.from_pretrained(self.needs("diffusion/vae")).float().to(self.device).eval()

    def load_clip(self) -> tuple[CLIPModel, CLIPTokenizer]:
        """The trained CLIP, in float32, and its tokenizer."""
        folder = self.needs("clip")
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        return model.to(self.device).eval(), CLIPTokenizer.from_pretrained(folder)

    def needs(self, folder: str) -> Path:
        """A folder of assets that an earlier stage makes; `FacecloakError` names the stage if it is missing."""
        if not (self.out / folder).is_dir():
            stage = {"diffusion/vae": "autoencoder"}.get(folder, folder)
            raise FacecloakError(f"{self.out / folder} is missing: run the stage {stage} first.")
        return self.out / folder


def write_manifest(folder: Path) -> None:
    """Write the SHA-256 of every asset."""
    write_json(folder / MANIFEST, {name: sha256(folder / name) for name in _files(folder)})


def check_manifest(folder: Path) -> None:
    """Compare the assets with their manifest; `FacecloakError` names the first that is missing, changed or extra."""
    listed = read_json(folder / MANIFEST)
    for name in sorted({*listed, *_files(folder)}):
        file = folder / name
        found = sha256(file) if file.is_file() else None
        if found != listed.get(name):
            raise FacecloakError(f"{file}: {'changed' if found and name in listed else 'missing or unlisted'}.")


def _files(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return sorted(path.relative_to(folder).as_posix() for path in files)
