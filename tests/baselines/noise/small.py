"""Photos on the 8-bit grid, small smooth recognizers in float64, and noise methods on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks import METHODS
from facecloak.config import parse_settings
from facecloak.data import Batch
from facecloak.method import ProtectionMethod
from facecloak.objectives import Objective
from facecloak.recognizers.base import Recognizer

SIDE = 24
BOXES = [(2.0, 3, 22, 23), (0, 0, 24, 24), (4, 1, 20, 19), (-3, 2, 30, 21), (5, 5, 21, 20)]


def photos(count: int, seed: int = 0) -> Tensor:
    """B×3×24×24 random grey levels in [-1, 1], float64, including black and white."""
    levels = torch.randint(-40, 296, (count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))
    return levels.clamp(0, 255).double() / 127.5 - 1


def batch_of(images: Tensor, indices: list[int] | None = None) -> Batch:
    """Images with a box each; ``indices`` picks some of them."""
    indices = list(range(len(images))) if indices is None else indices
    boxes = torch.tensor([BOXES[index % len(BOXES)] for index in indices])
    return Batch([f"p{index}" for index in indices], images[indices], boxes)


def recognizer(seed: int, size: int) -> Recognizer:
    """A smooth network, so that no result depends on the side of a kink on which a rounding error falls."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 6, 5, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(6 * ((size - 3) // 2) ** 2, 8)
        )
    return Recognizer(network.double(), f"toy{seed}", size, None)


def make_objective(goal: str = "impersonation", targets: int = 1) -> Objective:
    """Two surrogates of 12 and 16 pixels, and as many targets as asked for."""
    images = photos(targets, seed=99)
    boxes = torch.tensor([[0.0, 0, SIDE, SIDE]] * targets)
    return Objective(goal, [recognizer(1, 12), recognizer(2, 16)], images, boxes)


def make_method(name: str, goal: str = "impersonation", count: int = 1, **settings) -> ProtectionMethod:
    """A noise method on `make_objective` with ``count`` targets; it has few iterations unless they are given."""
    cls = METHODS[name]
    return cls(parse_settings(cls.Settings, {"iterations": 6, **settings}), make_objective(goal, count))
