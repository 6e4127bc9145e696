"""The smallest method that learns from albums: one mask for each person, the signs of the mean of its album."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from facecloak.data import Batch
from facecloak.method import Protected, ProtectionMethod

PATH = "tests.benchmarks.masked:Masked"
SEEN: dict[str, torch.Tensor] = {}  # source → images of the album that it came with


@dataclass(frozen=True)
class MaskedSettings:
    strength: float = 8.0  # grey levels


class Masked(ProtectionMethod):
    """A mask for each person from its album."""

    Settings = MaskedSettings
    presets: ClassVar = {"default": {}, "strong": {"strength": 16.0}}
    uses_albums = True

    def protect(self, batch: Batch) -> Protected:
        masks = torch.stack([(album.images.mean(0) - album.images.mean()).sign() for album in batch.albums])
        SEEN.update({name: album.images for name, album in zip(batch.ids, batch.albums, strict=True)})
        made = batch.images + masks * self.settings.strength / 127.5
        errors = [None if torch.isfinite(image).all() else "not finite" for image in made]
        return Protected(made.clamp(-1, 1), errors)
