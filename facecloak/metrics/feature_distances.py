"""Fréchet and kernel distance as metrics that collect features over batches and processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from facecloak.errors import FacecloakError
from facecloak.metrics.frechet import frechet_distance, kernel_distance


class _FeatureDistance(Metric):
    """Collects the features of both sets, as float32, in no particular order.

    Args:
        network: a module uint8 (N, 3, H, W) → (N, d), see `facecloak.metrics.FEATURES`; without one, `update`
            takes features.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    def __init__(self, network: nn.Module | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.network = network
        for side in ("real", "protected"):
            # Flat, with the number of rows beside them: gathering needs equal numbers of dimensions, and a
            # process that got no image does not know d
            self.add_state(side, default=[], dist_reduce_fx="cat")
            self.add_state(f"n_{side}", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, images_or_features: Tensor, real: bool) -> None:
        """Add a batch to one of the two sets.

        Args:
            images_or_features: uint8 (N, 3, H, W) with a network, (N, d) features without.
            real: True for unprotected, False for protected.

        Raises:
            FacecloakError: features that are not N×d.
        """
        features = images_or_features if self.network is None else self.network(images_or_features)
        if features.ndim != 2:
            raise FacecloakError(f"Features must be N×d, got {tuple(features.shape)}.")
        side = "real" if real else "protected"
        getattr(self, side).append(features.detach().to(torch.float32).flatten())
        setattr(self, f"n_{side}", getattr(self, f"n_{side}") + len(features))

    def _features(self, side: str) -> Tensor:
        n = int(getattr(self, f"n_{side}"))
        return dim_zero_cat(getattr(self, side)).reshape(n, -1) if n else torch.empty(0, 0)


class FrechetDistance(_FeatureDistance):
    """`frechet_distance` of the protected images from the unprotected; it is FID only with FID's own network."""

    def compute(self) -> float:
        """The distance; nan with fewer than two images on a side."""
        return frechet_distance(self._features("real").cpu(), self._features("protected").cpu())


class KernelDistance(_FeatureDistance):
    """`kernel_distance` of the protected images from the unprotected; it is KID only with FID's own network."""

    def compute(self) -> float:
        """The unbiased estimate; nan with fewer than two images on a side."""
        return kernel_distance(self._features("real").cpu(), self._features("protected").cpu())
