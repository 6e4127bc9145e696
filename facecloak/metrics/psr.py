"""Protection success rate (PSR): impersonation, obfuscation ("dodging"), and both at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from facecloak.errors import FacecloakError
from facecloak.metrics.statistics import NEEDED, outcomes, wilson_interval
from facecloak.registry import unknown_name


def successes(to_target: Tensor | None, to_self: Tensor | None, threshold: float, kind: str) -> Tensor:
    """Which protected images succeed.

    Impersonation: cos(protected, the target's test photo) > threshold. Obfuscation: cos(protected, another
    photo of the same person) < threshold. Joint: both.

    Args:
        to_target, to_self: (N,) cosines in [-1, 1]; the one that the kind does not need may be None. NaN
            never succeeds.
        threshold: cosine at the wanted false acceptance rate, of the recognizer that gave the cosines.
        kind: "impersonation", "obfuscation" or "joint".

    Returns:
        (N,) bool, on the CPU.

    Raises:
        FacecloakError: unknown kind, missing cosines, or cosines of different shapes.
    """
    cosines = _needed_cosines(to_target, to_self, kind)
    failed = np.zeros(len(next(iter(cosines.values()))), dtype=bool)
    return torch.from_numpy(outcomes(cosines, failed, threshold, kind) == 1)


def _needed_cosines(to_target: Tensor | None, to_self: Tensor | None, kind: str) -> dict[str, np.ndarray]:
    """Side → float64 cosines: as they are stored in records, so that a rate computed from those decides the same."""
    if kind not in NEEDED:
        raise unknown_name("kind of success", kind, NEEDED)
    given = {"target": to_target, "self": to_self}
    if missing := [side for side in NEEDED[kind] if given[side] is None]:
        raise FacecloakError(f"{kind} needs the cosines to_{missing[0]}, and they are missing.")
    cosines = {side: given[side].detach().to("cpu", torch.float64).numpy() for side in NEEDED[kind]}
    shapes = {cosine.shape for cosine in cosines.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise FacecloakError(f"Cosines must be of one shape (N,), got {sorted(shapes)}.")
    return cosines


class ProtectionSuccessRate(Metric):
    """Share of protected images that succeed, with its 95 % Wilson interval.

    An image without a protected version (`failed`) is in the denominator and never a success. A protected
    image in which no face was found (NaN) is neither success nor failure: it is counted separately, and left out.

    Args:
        threshold: cosine threshold at the wanted false acceptance rate.
        kind: "impersonation", "obfuscation" or "joint"; see `successes`.

    Raises:
        FacecloakError: unknown kind.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    def __init__(self, threshold: float, kind: str, **options: Any) -> None:
        super().__init__(**options)
        if kind not in NEEDED:
            raise unknown_name("kind of success", kind, NEEDED)
        self.threshold = threshold
        self.kind = kind
        for count in ("n_success", "n", "n_undetected", "n_failed"):
            self.add_state(count, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, to_target: Tensor | None, to_self: Tensor | None, failed: Tensor) -> None:
        """Count one batch.

        Args:
            to_target, to_self: (N,) cosines in [-1, 1], NaN where no face was found or nothing was produced;
                None for one that the kind does not need.
            failed: (N,) bool, True where the method produced no protected image.

        Raises:
            FacecloakError: missing cosines or different shapes.
        """
        cosines = _needed_cosines(to_target, to_self, self.kind)
        n = len(next(iter(cosines.values())))
        failed = failed.detach().to("cpu", torch.bool).numpy()
        if failed.shape != (n,):
            raise FacecloakError(f"{failed.shape} failed flags for {n} cosines.")
        results = outcomes(cosines, failed, self.threshold, self.kind)
        undetected = np.isnan(results)
        self.n_success += int(np.nansum(results))
        self.n += int((~undetected).sum())
        self.n_undetected += int(undetected.sum())
        self.n_failed += int(failed.sum())

    def compute(self) -> dict[str, float | int]:
        """`rate`, `low`, `high` (fractions; nan for n = 0) and `n`, `n_undetected`, `n_failed`.

        n counts the detected and the failed, so that n + n_undetected is the number of images seen.
        """
        won, n = int(self.n_success), int(self.n)
        low, high = wilson_interval(won, n)
        return {
            "rate": won / n if n else math.nan,
            "low": low,
            "high": high,
            "n": n,
            "n_undetected": int(self.n_undetected),
            "n_failed": int(self.n_failed),
        }
