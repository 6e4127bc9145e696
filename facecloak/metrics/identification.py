"""Closed-set identification: is the target retrieved from the gallery, and is the own identity not?"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from facecloak.errors import FacecloakError


def rank_of(similarities: Tensor, index: Tensor) -> Tensor:
    """The 1-based rank of one gallery entry per probe, 1 being the most similar.

    The rank is the number of entries at least as similar, the entry itself included. A tie therefore counts
    against retrieval: against the protection where the target should be found, for it where the own identity
    should not.

    Args:
        similarities: (N, G) probe against gallery, without NaN.
        index: (N,) long, the entry of each probe, 0..G-1.

    Returns:
        (N,) long in 1..G.
    """
    own = similarities.gather(1, index[:, None])
    return (similarities >= own).sum(dim=1)


class Identification(Metric):
    """Rank-k rates of protected probes against a gallery of one photo per identity plus the targets.

    Targeted: the target is among the k most similar. Untargeted: the own identity is not. A k of at least the
    gallery's size makes the first 1 and the second 0 whatever the images.

    Args:
        ranks: the values of k.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    def __init__(self, ranks: tuple[int, ...] = (1, 5), **options: Any) -> None:
        super().__init__(**options)
        self.ranks = tuple(ranks)
        for rate in ("targeted", "untargeted"):
            self.add_state(f"hits_{rate}", default=torch.zeros(len(ranks)).long(), dist_reduce_fx="sum")
            self.add_state(f"n_{rate}", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, similarities: Tensor, own: Tensor, target: int | None) -> None:
        """Count one batch; rows of NaN (no face found, or no protected image) are not counted.

        Args:
            similarities: (N, G) cosines, probe against gallery.
            own: (N,) long, the gallery entry of the probe's own person, -1 where the gallery has none.
            target: gallery entry of the impersonation target, None without one.

        Raises:
            FacecloakError: different numbers of probes, or a row with some NaN (a faceless gallery photo).
        """
        if similarities.ndim != 2 or own.shape != similarities.shape[:1]:
            raise FacecloakError(
                f"Similarities must be N×G with N own entries, got {tuple(similarities.shape)} and {tuple(own.shape)}."
            )
        missing = similarities.isnan()
        counted = ~missing.all(dim=1)
        if missing[counted].any():
            entries = missing[counted].any(dim=0).nonzero().flatten().tolist()
            raise FacecloakError(f"No face was found in the gallery photos {entries}: leave them out.")
        similarities, own = similarities[counted], own[counted]
        if target is not None:
            self._count("targeted", rank_of(similarities, torch.full_like(own, target)), retrieved=True)
        known = own >= 0
        self._count("untargeted", rank_of(similarities[known], own[known]), retrieved=False)

    def _count(self, rate: str, rank: Tensor, retrieved: bool) -> None:
        within = rank[:, None] <= torch.tensor(self.ranks, device=rank.device)
        hits = (within == retrieved).sum(dim=0)
        setattr(self, f"hits_{rate}", getattr(self, f"hits_{rate}") + hits.to(self.device))
        setattr(self, f"n_{rate}", getattr(self, f"n_{rate}") + len(rank))

    def compute(self) -> dict[str, float]:
        """`rank{k}_targeted` and `rank{k}_untargeted` as fractions; nan where nothing was counted."""
        result = {}
        for rate in ("targeted", "untargeted"):
            n = int(getattr(self, f"n_{rate}"))
            for k, hits in zip(self.ranks, getattr(self, f"hits_{rate}").tolist(), strict=True):
                result[f"rank{k}_{rate}"] = hits / n if n else math.nan
        return result
