"""How different two drawn portraits look, to the pocket suite's feature network: a stand-in for LPIPS."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facecloak.io import pocket_dir
from facecloak.pocket.features import FILE, network
from facecloak.recognizers.checkpoints import load_weights

EPSILON = 1e-6


class PocketPerceptual(nn.Module):
    """LPIPS without learned channel weights, on the pocket suite's feature network, frozen; always available.

    In each layer the features of each place are normalised to length 1, and the squared distance is averaged over the
    places; the layers are summed (Zhang et al. 2018, eq. 1, w = 1). It is a different measure, whose values cannot be
    compared with LPIPS.

    Raises:
        FacecloakError: the weights are missing.
    """

    def __init__(self) -> None:
        super().__init__()
        whole = network()
        load_weights(whole, pocket_dir() / FILE)
        second = nn.Sequential(whole.maxpool, whole.stage2)
        self.layers = nn.ModuleList([whole.conv1, second, whole.stage3, whole.stage4])
        self.requires_grad_(False).eval()

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """B distances of B×3×H×W images in [-1, 1], 0 for identical images."""
        distances = []
        for layer in self.layers:
            before, after = layer(before), layer(after)
            distances.append((_unit(before) - _unit(after)).square().sum(1).mean((1, 2)))
        return torch.stack(distances).sum(0)


def _unit(features: Tensor) -> Tensor:
    """Features of length 1 at each place; those that a ReLU made zero stay zero, with a finite gradient."""
    return features * (features.square().sum(1, keepdim=True) + EPSILON).rsqrt()
