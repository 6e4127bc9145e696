"""W&B's hyperband as a pruner of Optuna: a trial that is worse than most at a band is ended early."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from benchmarks.sweep.parameters import number
from facecloak.errors import FacecloakError
from facecloak.registry import unknown_name

KEYS = ("type", "min_iter", "max_iter", "s", "eta", "strict")
ETA = 3.0  # W&B's default
MOST = 1_000_000  # cells; no trial has more


@dataclass(frozen=True)
class Hyperband(BasePruner):
    """Ends a trial that, at the last band it has reached, is not among the best 1/eta.

    A trial has reached band N when it has reported N + 1 scores, because W&B counts iterations from 0. Optuna's own
    `HyperbandPruner` has several brackets, and its `SuccessiveHalvingPruner` needs a whole eta and has no last band.

    Attributes:
        bands: in rising order; none: no trial is ended early.
        eta: above 1.
        strict: compare the trial's score at the band; otherwise its best score so far, which ends fewer trials.
    """

    bands: tuple[int, ...]
    eta: float
    strict: bool

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial, whose scores were reported after each cell, is to end."""
        own = _history(trial)
        reached = [band for band in self.bands if band < len(own)]
        if not reached:
            return False
        band = reached[-1]
        # trials that failed are run again and would count twice
        others = (each for each in study.get_trials(deepcopy=False) if each.state != TrialState.FAIL)
        histories = [own if each.number == trial.number else _history(each) for each in others]
        scores = sorted((history[band] for history in histories if len(history) > band), reverse=True)
        least = scores[int(len(scores) / self.eta)]
        return (own[band] if self.strict else max(own)) < least


def _history(trial: FrozenTrial) -> list[float]:
    """A trial's scores in the order of its cells."""
    return [score for _, score in sorted(trial.intermediate_values.items())]


def read_hyperband(path: Path, spec: Any) -> tuple[Hyperband | None, list[str]]:
    """The ``early_terminate`` of a sweep file, and the keys in it that are without effect.

    Returns:
        None if the file has none or if it has no band.

    Raises:
        FacecloakError: a key or value is wrong.
    """
    if spec is None:
        return None, []
    place = f"{path}: early_terminate"
    if not isinstance(spec, dict) or spec.get("type") != "hyperband":
        raise FacecloakError(f"{place} must have type hyperband.")
    for key in spec:
        if key not in KEYS:
            raise unknown_name(f"key of early_terminate in {path}", key, KEYS)
    values = {key: number(f"{place}.{key}", spec[key], whole=key != "eta") for key in KEYS[1:-1] if key in spec}
    for key, value in values.items():
        if value < 1 or (key == "eta" and value == 1):
            raise FacecloakError(f"{place}.{key} must be {'above 1' if key == 'eta' else 'at least 1'}, got {value}.")
    strict = spec.get("strict", False)
    if not isinstance(strict, bool):
        raise FacecloakError(f"{place}.strict must be true or false, got {strict!r}.")
    eta = values.get("eta", ETA)
    if {"max_iter", "s"} <= set(values):
        bands, unused = sorted(_last_bands(values["max_iter"], values["s"], eta)), ("min_iter",)
    elif "min_iter" in values:
        bands, unused = [*_first_bands(values["min_iter"], eta)], ("max_iter", "s")
    else:
        raise FacecloakError(f"{place} must have min_iter, or max_iter and s.")
    return Hyperband(tuple(bands), eta, strict) if bands else None, [key for key in unused if key in values]


def _last_bands(last: float, count: float, eta: float) -> Iterator[int]:
    """The ``count`` bands before the cell ``last``, as long as they are at least 1."""
    for _ in range(int(count)):
        last /= eta
        if last < 1:
            return
        yield int(last)


def _first_bands(first: float, eta: float) -> Iterator[int]:
    while first < MOST:
        yield int(first)
        first *= eta
