"""Distances between two sets of images in a feature space: Fréchet (as in FID) and kernel (as in KID).

Neither is comparable across numbers of images, feature networks or resize conventions: record all three.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from facecloak.errors import FacecloakError


def frechet_distance(x1: Tensor, x2: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, eq. 6).

    ‖μ1 − μ2‖² + Tr Σ1 + Tr Σ2 − 2 Tr √(Σ1Σ2), with unbiased covariances. With the centred features X1 and X2
    as rows, Tr √(Σ1Σ2) = ‖X1 X2ᵀ‖_* / √((n1 − 1)(n2 − 1)): exact, and for n < d without the d×d matrices and
    the root of a singular one that make the usual route slow and inaccurate.

    Args:
        x1, x2: (n1, d) and (n2, d), finite.

    Returns:
        The distance (a squared length), at least 0; nan with fewer than two rows on a side.

    Raises:
        FacecloakError: different numbers of features, or features that are not finite.
    """
    if min(len(x1), len(x2)) < 2:
        return math.nan
    x1, x2 = _doubles(x1, x2)
    centred1, centred2 = x1 - x1.mean(dim=0), x2 - x2.mean(dim=0)
    scale1, scale2 = len(x1) - 1, len(x2) - 1
    nuclear_norm = torch.linalg.svdvals(_reduced(centred1) @ _reduced(centred2).T).sum()
    distance = (
        (x1.mean(dim=0) - x2.mean(dim=0)).square().sum()
        + centred1.square().sum() / scale1
        + centred2.square().sum() / scale2
        - 2 * nuclear_norm / math.sqrt(scale1 * scale2)
    )
    return max(float(distance), 0.0)  # rounding alone can make it negative


def _reduced(x: Tensor) -> Tensor:
    # X = QR with orthonormal columns in Q, so R carries all the singular values when there are more rows
    # than features
    return torch.linalg.qr(x, mode="r").R if x.shape[0] > x.shape[1] else x


def kernel_distance(x1: Tensor, x2: Tensor) -> float:
    """Squared maximum mean discrepancy, unbiased, over the whole sets.

    With the kernel (xᵀy / d + 1)³ of KID (Bińkowski et al. 2018); the estimator is Gretton et al. 2012,
    Lemma 6. KID as often reported is its average over random subsets: the same expectation, with noise from
    the drawing.

    Args:
        x1, x2: (n1, d) and (n2, d), finite.

    Returns:
        The estimate, negative at times for sets that agree; nan with fewer than two rows on a side.

    Raises:
        FacecloakError: different numbers of features, or features that are not finite.
    """
    n1, n2 = len(x1), len(x2)
    if min(n1, n2) < 2:
        return math.nan
    x1, x2 = _doubles(x1, x2)
    within1 = (_kernel_sum(x1, x1) - _kernel_diagonal(x1)) / (n1 * (n1 - 1))
    within2 = (_kernel_sum(x2, x2) - _kernel_diagonal(x2)) / (n2 * (n2 - 1))
    return within1 + within2 - 2 * _kernel_sum(x1, x2) / (n1 * n2)


def _kernel_sum(x1: Tensor, x2: Tensor) -> float:
    # in blocks of rows: the whole n×n matrix of 30 000 images would take 7 GB
    d = x1.shape[1]
    return sum(float((rows @ x2.T / d + 1).pow(3).sum()) for rows in x1.split(1024))


def _kernel_diagonal(x: Tensor) -> float:
    return float((x.square().sum(dim=1) / x.shape[1] + 1).pow(3).sum())


def _doubles(x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
    if x1.ndim != 2 or x2.ndim != 2 or x1.shape[1] != x2.shape[1]:
        raise FacecloakError(f"Features must be n1×d and n2×d, got {tuple(x1.shape)} and {tuple(x2.shape)}.")
    if not (x1.isfinite().all() and x2.isfinite().all()):
        raise FacecloakError("Some features are NaN or infinite: the network or its weights are at fault.")
    # on the CPU: a one-off, and not every accelerator has float64 or a decent SVD
    return x1.to("cpu", torch.float64), x2.to("cpu", torch.float64)


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
    """`frechet_distance` of the protected images from the unprotected; FID with FID's own network alone."""

    def compute(self) -> float:
        """The distance; nan with fewer than two images on a side."""
        return frechet_distance(self._features("real"), self._features("protected"))


class KernelDistance(_FeatureDistance):
    """`kernel_distance` of the protected images from the unprotected; KID with FID's own network alone."""

    def compute(self) -> float:
        """The unbiased estimate; nan with fewer than two images on a side."""
        return kernel_distance(self._features("real"), self._features("protected"))
