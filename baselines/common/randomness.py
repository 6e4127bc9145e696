"""Random numbers that belong to a photo, whatever its batch."""

from __future__ import annotations

import hashlib

import torch


def generators(seed: int, ids: list[str]) -> list[torch.Generator]:
    """A random generator per image that depends only on the seed and on the image's name, not on other images."""
    digests = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in ids]
    return [torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1) for digest in digests]
