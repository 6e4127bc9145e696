"""Input diversity of AMT-GAN (Hu et al., CVPR 2022) and of those that follow it: noise, and a smaller face on grey."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PROBABILITY = 0.5  # of the noise, and of the smaller size
SPREAD = 0.1**0.5  # of the noise, before its random factor
SMALLEST = 0.9  # the smallest side, in units of the original side: 230 of 256 pixels
NUMBERS = 6  # that decide what happens to a face


def draw_numbers(random: list[torch.Generator], copies: int) -> Tensor:
    """What is to happen to the copies of B faces: (copies·B)×6 in [0, 1), the copy's number varying slowest.

    Args:
        random: a generator per face, see `baselines.common.randomness`.
    """
    drawn = [torch.rand(copies, NUMBERS, generator=generator) for generator in random]
    return torch.stack(drawn, dim=1).flatten(0, 1)


def diverse(faces: Tensor, numbers: Tensor, random: list[torch.Generator]) -> Tensor:
    """With probability ½ noise of a random size is added; then with ½ the face gets smaller and is put on grey (0).

    Both ends of the sizes, 0.9 to 1, and of the places are possible. Noise takes faces out of [-1, 1].

    Args:
        faces: (copies·B)×3×S×S in [-1, 1].
        numbers: `draw_numbers`: whether there is noise, its size, whether the face gets smaller, how small, and its
            distances from the top and from the left.
        random: B generators, for the noise.
    """
    size = faces.shape[-1]
    smallest = int(SMALLEST * size)
    views = []
    for index, (face, row) in enumerate(zip(faces, numbers.tolist(), strict=True)):
        noisy, spread, smaller, scale, down, right = row
        if noisy < PROBABILITY:
            noise = torch.randn(face.shape, generator=random[index % len(random)])
            face = face + spread * SPREAD * noise.to(face)
        if smaller < PROBABILITY:
            side = smallest + int(scale * (size - smallest + 1))
            top, left = int(down * (size - side + 1)), int(right * (size - side + 1))
            face = F.interpolate(face[None], (side, side), mode="bilinear", align_corners=False)[0]
            face = F.pad(face, (left, size - side - left, top, size - side - top))
        views.append(face)
    return torch.stack(views)
