"""How different two images look: LPIPS, or the pocket suite's stand-in for it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, sha256
from facecloak.metrics.perceptual import LPIPS_FILE, lpips_network
from facecloak.pocket.features import FILE, network
from facecloak.recognizers.checkpoints import load_weights

Perceptual = Literal["lpips", "pocket"]
EPSILON = 1e-6


def load_perceptual(name: Perceptual) -> nn.Module:
    """A frozen module: two B×3×H×W images in [-1, 1] → B distances, 0 for identical images.

    ``lpips`` is LPIPS v0.1 with AlexNet, like the quality metric; ``pocket`` is `PocketPerceptual`, a different
    measure, whose values cannot be compared with LPIPS.

    Raises:
        FacecloakError: the weights are missing.
    """
    return Lpips() if name == "lpips" else PocketPerceptual()


def perceptual_sha256(name: Perceptual) -> str | None:
    """Hash of the weights of ``pocket``; None for ``lpips``, whose weights are published and never change."""
    return sha256(pocket_dir() / FILE) if name == "pocket" else None


class Lpips(nn.Module):
    """LPIPS (Zhang et al., CVPR 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = lpips_network()
        if self.net is None:
            raise FacecloakError(
                f"The weights of LPIPS ({LPIPS_FILE}) are missing: run `facecloak fetch lpips`, or set 'perceptual' to "
                "'pocket' for drawn portraits."
            )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """B distances of B×3×H×W images in [-1, 1]."""
        return self.net(before, after).flatten()


class PocketPerceptual(nn.Module):
    """LPIPS without learned channel weights, on the pocket suite's feature network.

    In each layer the features of each place are normalised to length 1, and the squared distance is averaged over the
    places; the layers are summed (Zhang et al. 2018, eq. 1, w = 1).
    """

    def __init__(self) -> None:
        super().__init__()
        whole = network()
        load_weights(whole, pocket_dir() / FILE)
        second = nn.Sequential(whole.maxpool, whole.stage2)
        self.layers = nn.ModuleList([whole.conv1, second, whole.stage3, whole.stage4])
        self.requires_grad_(False).eval()

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """B distances of B×3×H×W images in [-1, 1]."""
        distances = []
        for layer in self.layers:
            before, after = layer(before), layer(after)
            distances.append((_unit(before) - _unit(after)).square().sum(1).mean((1, 2)))
        return torch.stack(distances).sum(0)


def _unit(features: Tensor) -> Tensor:
    """Features of length 1 at each place; those that a ReLU made zero stay zero, with a finite gradient."""
    return features * (features.square().sum(1, keepdim=True) + EPSILON).rsqrt()
