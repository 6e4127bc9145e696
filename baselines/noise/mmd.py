"""Maximum mean discrepancy with a bank of Gaussian kernels (Gretton et al. 2012; the bank of Bousmalis et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

BANDWIDTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6)


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """The squared maximum mean discrepancy of two sets of vectors (biased estimate, Gretton et al. 2012, eq. 5).

    The kernel is the sum over the bank of exp(−‖a − b‖²/(2σ)), so that the discrepancy is between 0 and 2·19 = 38.

    Args:
        x: …×N×d.
        y: …×M×d.

    Returns:
        one number for each of the leading dimensions.
    """
    return kernel(x, x).mean((-2, -1)) + kernel(y, y).mean((-2, -1)) - 2 * kernel(x, y).mean((-2, -1))


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """…×N×M: the bank's kernel of every vector of …×N×d with every vector of …×M×d."""
    squares = (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1)
    return sum(torch.exp(-squares / (2 * bandwidth)) for bandwidth in BANDWIDTHS)
