"""Cropping, resizing and embedding of faces, written by hand; the adversarial loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def embed(recognizers: list[tuple[nn.Module, int]], image: Tensor, box: tuple[float, ...] | None) -> list[Tensor]:
    """The D features of one face per (network, input size)."""
    return [network(resize(cut(image, box), size))[0] for network, size in recognizers]


def adversarial_loss(mine: list[Tensor], target: list[Tensor], source: list[Tensor], goal: str, reduction: str):
    """1 − cos to the target, over the recognizers; for obfuscation, 1 − cos to the source is subtracted."""
    terms = []
    for index in range(len(mine)):
        term = 1 - F.cosine_similarity(mine[index], target[index], dim=0)
        if goal == "obfuscation":
            term = term - (1 - F.cosine_similarity(mine[index], source[index], dim=0))
        terms.append(term)
    return sum(terms) if reduction == "sum" else sum(terms) / len(terms)


def cut(image: Tensor, box: tuple[float, ...] | None) -> Tensor:
    """The box (x0, y0, x1, y1), rounded to pixels; None is the whole image."""
    if box is None:
        return image
    left, top, right, bottom = (round(float(value)) for value in box)
    return image[:, :, max(top, 0) : bottom, max(left, 0) : right]


def resize(image: Tensor, size: int) -> Tensor:
    """Bilinear, pixel centres at half integers, no antialiasing: rows · image · columnsᵀ."""
    rows, columns = (tent_weights(length, size).to(image) for length in image.shape[2:])
    return rows @ image @ columns.T


def tent_weights(length: int, size: int) -> Tensor:
    """size×length: the weight of each of ``length`` pixels in each of ``size`` pixels."""
    centres = ((torch.arange(size, dtype=torch.float64) + 0.5) * length / size - 0.5).clamp(0, length - 1)
    return (1 - (centres[:, None] - torch.arange(length)).abs()).clamp(min=0)
