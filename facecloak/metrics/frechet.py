"""Distances between two sets of images in a feature space: Fréchet (as in FID) and kernel (as in KID).

Pure functions on numpy arrays, without torch. Neither distance is comparable across numbers of images, feature
networks or resize conventions: record all three.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from facecloak.errors import FacecloakError


def frechet_distance(x1: ArrayLike, x2: ArrayLike) -> float:
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
    centred1, centred2 = x1 - x1.mean(axis=0), x2 - x2.mean(axis=0)
    scale1, scale2 = len(x1) - 1, len(x2) - 1
    nuclear_norm = np.linalg.svd(_reduced(centred1) @ _reduced(centred2).T, compute_uv=False).sum()
    distance = (
        np.square(x1.mean(axis=0) - x2.mean(axis=0)).sum()
        + np.square(centred1).sum() / scale1
        + np.square(centred2).sum() / scale2
        - 2 * nuclear_norm / math.sqrt(scale1 * scale2)
    )
    return max(float(distance), 0.0)  # rounding by itself can make it negative


def _reduced(x: np.ndarray) -> np.ndarray:
    # X = QR with orthonormal columns in Q, so R carries all the singular values when there are more rows
    # than features
    return np.linalg.qr(x, mode="r") if x.shape[0] > x.shape[1] else x


def kernel_distance(x1: ArrayLike, x2: ArrayLike) -> float:
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


def _kernel_sum(x1: ArrayLike, x2: ArrayLike) -> float:
    # in blocks of rows: the whole n×n matrix of 30 000 images would take 7 GB
    d = x1.shape[1]
    return sum(float(np.power(x1[start : start + 1024] @ x2.T / d + 1, 3).sum()) for start in range(0, len(x1), 1024))


def _kernel_diagonal(x: np.ndarray) -> float:
    return float(np.power(np.square(x).sum(axis=1) / x.shape[1] + 1, 3).sum())


def _doubles(x1: ArrayLike, x2: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x1, x2 = np.asarray(x1, dtype=np.float64), np.asarray(x2, dtype=np.float64)
    if x1.ndim != 2 or x2.ndim != 2 or x1.shape[1] != x2.shape[1]:
        raise FacecloakError(f"Features must be n1×d and n2×d, got {x1.shape} and {x2.shape}.")
    if not (np.isfinite(x1).all() and np.isfinite(x2).all()):
        raise FacecloakError("Some features are NaN or infinite: the network or its weights are at fault.")
    return x1, x2
