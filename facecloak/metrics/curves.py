"""Curves of success against quality, read at one level of either: numpy only, without torch."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from facecloak.metrics.statistics import Estimate


def value_at(x: ArrayLike, y: ArrayLike, level: float) -> np.ndarray:
    """y where a curve first reaches x = ``level``, linearly between neighbouring points.

    Args:
        x, y: … × P points of curves, in order of strength; where a curve passes the level often, the weakest counts.

    Returns:
        … numbers; NaN for a curve that does not reach the level: nothing is extrapolated.

    Example:
        >>> float(value_at([40, 30, 20], [0.0, 0.5, 0.8], 25))
        0.65
        >>> float(value_at([40, 30, 20], [0.0, 0.5, 0.8], 45))
        nan
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    found = np.full((*x.shape[:-1], 2 * x.shape[-1] - 1), np.nan)  # at each point, and between it and the next one
    found[..., ::2] = np.where(x == level, y, np.nan)
    first, second = x[..., :-1], x[..., 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (level - first) / (second - first)
        between = y[..., :-1] + share * (y[..., 1:] - y[..., :-1])
    passes = (np.minimum(first, second) < level) & (level < np.maximum(first, second))
    found[..., 1::2] = np.where(passes, between, np.nan)
    known = ~np.isnan(found)
    values = np.take_along_axis(found, known.argmax(-1)[..., None], axis=-1)[..., 0]
    return np.where(known.any(-1), values, np.nan)


def bound_at(x: ArrayLike, y: ArrayLike, level: float, end: int) -> np.ndarray:
    """y at one end of a curve that is above x = ``level`` everywhere; NaN for other curves, and for single points.

    Args:
        x, y: as in `value_at`.
        end: the point that is nearest to the level: -1 where x falls along the curve, 0 where it rises.

    Example:
        >>> float(bound_at([40, 35], [0.1, 0.4], 30, -1))
        0.4
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    above = (x > level).all(-1) & (x.shape[-1] > 1)
    return np.where(above, y[..., end], np.nan)


class Draws(NamedTuple):
    """How often each of N photos is in each of R resamples; the first row is the photos themselves, once each.

    The same draws are used for all methods, so that their differences are paired.
    """

    counts: np.ndarray

    @classmethod
    def of(cls, photos: int, resamples: int = 2000, seed: int = 0) -> Draws:
        """Resamples of ``photos`` photos with replacement (Efron & Tibshirani 1993, ch. 13)."""
        drawn = np.random.default_rng(seed).multinomial(photos, np.full(photos, 1 / photos), resamples)
        return cls(np.concatenate([np.ones((1, photos), dtype=drawn.dtype), drawn]))

    def means(self, values: ArrayLike) -> np.ndarray:
        """The mean over photos of each of P points (P×N numbers, NaN for what was not measured), (1 + R)×P."""
        values = np.asarray(values, dtype=np.float64)
        there = np.isfinite(values)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.counts @ np.where(there, values, 0).T) / (self.counts @ there.T)


def estimate(values: np.ndarray, photos: int) -> Estimate:
    """The first of 1 + R values, with a percentile interval from the others.

    The interval is NaN if more than one in twenty resamples has no value.
    """
    drawn = values[1:]
    known = drawn[~np.isnan(drawn)]
    if math.isnan(values[0]) or len(known) < 0.95 * len(drawn):
        return Estimate(float(values[0]), math.nan, math.nan, photos)
    low, high = np.percentile(known, (2.5, 97.5))
    return Estimate(float(values[0]), float(low), float(high), photos)


def probability_higher(one: np.ndarray, other: np.ndarray) -> float:
    """The share of resamples in which the first is higher, ties counted as half; NaN if either often has no value.

    Args:
        one, other: 1 + R values of the same `Draws`.
    """
    both = ~np.isnan(one[1:]) & ~np.isnan(other[1:])
    if both.mean() < 0.95:
        return math.nan
    difference = one[1:][both] - other[1:][both]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())
