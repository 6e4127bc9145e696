"""Pocket's perceptual distance, place by place, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from facecloak.io import pocket_dir
from facecloak.pocket.features import FILE, network
from facecloak.recognizers.checkpoints import load_weights


def plain_distance(before: Tensor, after: Tensor) -> float:
    """Of two 3×S×S images in [-1, 1], float64: squared distances of features of length 1, in each of four layers."""
    whole = network()
    load_weights(whole, pocket_dir() / FILE)
    whole, total = whole.double().eval(), 0.0
    pair = torch.stack([before, after])
    with torch.no_grad():
        for name in ("conv1", "maxpool", "stage2", "stage3", "stage4"):
            pair = getattr(whole, name)(pair)
            if name == "maxpool":
                continue
            first, second = pair
            places = []
            for row in range(first.shape[1]):
                for column in range(first.shape[2]):
                    mine, other = first[:, row, column], second[:, row, column]
                    lengths = [((each**2).sum() + 1e-6).sqrt() for each in (mine, other)]
                    places.append(((mine / lengths[0] - other / lengths[1]) ** 2).sum())
            total += float(sum(places) / len(places))
    return total
