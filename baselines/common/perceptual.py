"""How different two images look: LPIPS, or the pocket suite's stand-in for it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, sha256
from facecloak.metrics.perceptual import LPIPS_FILE, lpips_network
from facecloak.pocket.features import FILE
from facecloak.pocket.perceptual import PocketPerceptual

Perceptual = Literal["lpips", "pocket"]


def load_perceptual(name: Perceptual) -> nn.Module:
    """A frozen module: two B×3×H×W images in [-1, 1] → B distances, 0 for identical images.

    ``lpips`` is LPIPS v0.1 with AlexNet; ``pocket`` is `PocketPerceptual`, a different measure, whose values cannot be
    compared with LPIPS. Both are quality metrics, too.

    Raises:
        FacecloakError: the weights are missing.
    """
    return Lpips() if name == "lpips" else PocketPerceptual()


def perceptual_sha256(name: Perceptual) -> str | None:
    """Hash of the weights of ``pocket``; None for ``lpips``, whose weights are published and never change."""
    return sha256(pocket_dir() / FILE) if name == "pocket" else None


def with_perceptual(models: str | None, name: Perceptual) -> str:
    """Hash of a method's other models, with that of its perceptual distance behind it."""
    return "+".join(filter(None, (models, perceptual_sha256(name))))


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
