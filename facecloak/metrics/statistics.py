"""Which images succeed, rates and means with their intervals, and Pareto fronts: numpy only, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

# kind of success → the cosines that decide it: to the target's test photo, to another photo of the same person
NEEDED = {"impersonation": ("target",), "obfuscation": ("self",), "joint": ("target", "self")}


def outcomes(cosines: Mapping[str, ArrayLike], failed: ArrayLike, threshold: ArrayLike, kind: str) -> np.ndarray:
    """Which protected images succeed: the one rule that every rate follows.

    Impersonation: cos(protected, the target's test photo) > threshold. Obfuscation: cos(protected, another photo of
    the same person) < threshold. Joint: both. A failed image never succeeds; an image without a face counts in no rate.

    Args:
        cosines: "target" and "self" → (N,) in [-1, 1], NaN where no face was found or nothing was made; only those
            that the kind needs are read.
        failed: (N,) bool, True where the method made no protected image.
        threshold: cosine at the wanted false accept rate; a number, or (M, 1) for M of them at once.
        kind: a key of `NEEDED`.

    Returns:
        (N,) or (M, N) float64: 1 for a success, 0 for none, NaN for an image in no rate.
    """
    needed = {side: np.asarray(cosines[side], dtype=np.float64) for side in NEEDED[kind]}
    failed = np.asarray(failed, dtype=bool)
    won = ~failed
    for side, cosine in needed.items():
        won = won & (cosine > threshold if side == "target" else cosine < threshold)
    counted = failed | ~np.any([np.isnan(cosine) for cosine in needed.values()], axis=0)
    return np.where(counted, won.astype(np.float64), np.nan)


class Rate(NamedTuple):
    """A share with its 95 % Wilson interval, fractions (NaN for n = 0), and the number n of images in it."""

    value: float
    low: float
    high: float
    n: int


def rate_of(results: np.ndarray) -> Rate:
    """The rate of `outcomes` (N,); images with NaN are left out."""
    counted = results[~np.isnan(results)]
    won, n = int(counted.sum()), len(counted)
    return Rate(won / n if n else math.nan, *wilson_interval(won, n), n)


class Estimate(NamedTuple):
    """A mean and its 95 % interval; NaN for what the data does not give. ``n`` counts the clusters in it."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside of the interval; False without an interval."""
        return self.low > 0 or self.high < 0


def number_text(value: float, digits: int = 1) -> str:
    """A number for a cell of a table: a minus sign before negative ones, nothing before 0 and positive ones.

    A hyphen, or a plus sign, would make a spreadsheet take the cell for a formula.
    """
    return f"{value:z.{digits}f}".replace("-", "−")


def interval_text(found: Estimate, digits: int = 0) -> str:
    """LOW to HIGH."""
    return f"{number_text(found.low, digits)} to {number_text(found.high, digits)}"


def estimate_text(found: Estimate) -> str:
    """MEAN (LOW to HIGH), of per cent or points: a digit of the mean, none of the interval."""
    return f"{number_text(found.mean)} ({interval_text(found)})"


def bootstrap_mean(values: ArrayLike, clusters: ArrayLike, resamples: int = 4000, seed: int = 0) -> Estimate:
    """The mean of all values, with a percentile interval from resampling clusters (Efron & Tibshirani 1993, ch. 13).

    Values of one cluster are not independent: each resample draws clusters with replacement, and all values of a
    cluster come along as often as it was drawn. With few clusters such intervals are too narrow.

    Args:
        values: N numbers; NaN where nothing was measured, in no mean.
        clusters: N labels, of what each value belongs to.

    Returns:
        no interval with fewer than two clusters, and no mean without any.
    """
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    labels, places = np.unique(np.asarray(clusters)[finite], return_inverse=True)
    n = len(labels)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    sums, counts = np.bincount(places, values[finite]), np.bincount(places)
    mean = float(sums.sum() / counts.sum())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    low, high = np.percentile((draws @ sums) / (draws @ counts), (2.5, 97.5))
    return Estimate(mean, float(low), float(high), n)


def rate_over_clusters(values: ArrayLike, clusters: ArrayLike) -> Estimate:
    """The rate of all results, with Wilson's interval, computed as if a cluster had one result.

    The several results of a cluster, such as those of a photo by several recognizers, are not independent.

    Args:
        values: N results, 100, 0, or NaN for one in no rate; the estimate is in per cent.
        clusters: N labels, of what each result belongs to.
    """
    found = bootstrap_mean(values, clusters)
    low, high = wilson_interval(found.mean / 100 * found.n, found.n)
    return found._replace(low=100 * low, high=100 * high)


def pareto_front(psr: pd.Series, quality: pd.Series) -> pd.Series:
    """Which lines no other line beats: no other has at least as much of both and more of one.

    Quality may be infinite; a line with NaN is in no front.

    Returns:
        bool, with the index of ``psr``.
    """
    known = psr.notna() & quality.notna()
    rate, worth = psr[known].to_numpy(dtype=float), quality[known].to_numpy(dtype=float)
    as_good = (rate[None] >= rate[:, None]) & (worth[None] >= worth[:, None])
    better = (rate[None] > rate[:, None]) | (worth[None] > worth[:, None])
    unbeaten = pd.Series(False, index=psr.index)
    unbeaten[known] = ~(as_good & better).any(axis=1)
    return unbeaten


Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson_interval(successes: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion (Wilson, JASA 1927), without continuity correction.

    Args:
        successes: number of successes, 0..n; a fraction where each trial is a mean of several results.
        n: number of trials.

    Returns:
        (low, high) as fractions in [0, 1]; (nan, nan) for n = 0.
    """
    if n == 0:
        return math.nan, math.nan
    share, z2 = successes / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # exact at the ends, where rounding would leave 1e-17
    return 0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half
