"""From a gradient to the direction of a step: momentum and signs."""

from __future__ import annotations

import torch
from torch import Tensor


def accumulate(momentum: Tensor, gradient: Tensor, decay: float) -> Tensor:
    """μ·m + g/mean|g| (Dong et al. 2018, eq. 6, which divides g by its sum instead: the same up to a factor).

    Args:
        momentum, gradient: …×3×H×W; the mean is over one image. A gradient of zeros adds nothing.
        decay: μ.
    """
    mean = gradient.abs().mean(dim=(-3, -2, -1), keepdim=True)
    return decay * momentum + gradient / mean.clamp(min=torch.finfo(mean.dtype).tiny)


def signs(direction: Tensor) -> Tensor:
    """−1, 0 or 1. NaN stays NaN: `Tensor.sign` gives 0 for it, which would silently leave the source unprotected."""
    return torch.where(direction.isnan(), direction, direction.sign())
