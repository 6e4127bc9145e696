"""The point of a hull that is nearest to a point: the quadratic programs of OPOM (Zhong & Deng, TPAMI 2022)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

RANK = 1e-5  # a direction in which features differ by less, relative to their largest difference, is rounding
SLACK = 1e-12  # of products of unit features, which are 1 at most


def affine_weights(features: Tensor, points: Tensor) -> Tensor:
    """The weights w of min ‖p − Σ_j w_j f_j‖², Σ_j w_j = 1, for each point; the shortest where many are best.

    With c the features' mean, w = 1/N + (p − c)·(F − c)⁺; the rows of (F − c)⁺ sum to 0.

    Args:
        features: f, N×D.
        points: p, M×D.

    Returns:
        M×N, float64 on the CPU; NaN if a number is not finite.
    """
    features, points = features.detach().cpu().double(), points.detach().cpu().double()
    if not (features.isfinite().all() and points.isfinite().all()):
        return torch.full((len(points), len(features)), torch.nan, dtype=torch.float64)
    centre = features.mean(0)
    return 1 / len(features) + (points - centre) @ torch.linalg.pinv(features - centre, rtol=RANK)


def convex_weights(features: Tensor, points: Tensor) -> Tensor:
    """The same as `affine_weights` with all w_j ≥ 0, and so also at most 1."""
    f, p = (each.detach().cpu().double().numpy() for each in (features, points))
    if not (np.isfinite(f).all() and np.isfinite(p).all()):
        return torch.full((len(p), len(f)), torch.nan, dtype=torch.float64)
    products = f @ f.T
    return torch.from_numpy(np.stack([_simplex(products, linear) for linear in p @ f.T]))


def _simplex(products: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """min ½ wᵀGw − bᵀw over w ≥ 0, Σw = 1, by an active set (Wolfe, "Finding the nearest point in a polytope", 1976).

    The set of positive weights grows by the feature that promises most, and loses those whose weights would become
    negative. Each set's optimum is lower than the last, so it ends; the limit is only for what rounding might do.
    """
    count = len(linear)
    weights = np.zeros(count)
    weights[np.argmin(products.diagonal() / 2 - linear)] = 1
    for _ in range(10 * count):
        gradient = products @ weights - linear
        best = int(np.argmin(gradient))
        if weights[best] > 0 or gradient[best] >= weights @ gradient - SLACK:
            break
        active = weights > 0
        active[best] = True
        while True:
            wanted = np.zeros(count)
            wanted[active] = _on_plane(products[np.ix_(active, active)], linear[active])
            if (wanted >= 0).all():
                weights = wanted
                break
            falling = active & (wanted < 0)
            reach = (weights[falling] / (weights[falling] - wanted[falling])).min()
            weights = weights + reach * (wanted - weights)
            weights[falling & (weights <= SLACK)] = 0
            active &= weights > 0
    return weights


def _on_plane(products: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """The same minimum with Σw = 1 only: the Karush–Kuhn–Tucker equations."""
    count = len(linear)
    system = np.ones((count + 1, count + 1))
    system[:count, :count], system[count, count] = products, 0
    return np.linalg.lstsq(system, np.append(linear, 1), rcond=None)[0][:count]
