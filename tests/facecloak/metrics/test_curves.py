"""Curves read at a level, against plain loops."""

import math

import numpy as np
import pytest

from facecloak.metrics.curves import Draws, bound_at, estimate, probability_higher, value_at


def slowly(x, y, level):
    """Along the curve, until the level is reached."""
    for place, (x0, y0) in enumerate(zip(x, y, strict=True)):
        if x0 == level and not math.isnan(y0):
            return y0
        if place + 1 < len(x):
            x1, y1 = x[place + 1], y[place + 1]
            value = y0 * (x1 - level) / (x1 - x0) + y1 * (level - x0) / (x1 - x0) if x0 != x1 else math.nan
            if min(x0, x1) < level < max(x0, x1) and not math.isnan(value):
                return value
    return math.nan


def test_a_curve_is_read_as_by_hand():
    random = np.random.default_rng(0)
    x, y = random.integers(0, 8, (300, 5)).astype(float), random.uniform(0, 1, (300, 5))
    for level in (0, 3, 3.5, 7, 9):
        wanted = [slowly(*pair, level) for pair in zip(x, y, strict=True)]
        np.testing.assert_allclose(value_at(x, y, level), wanted)
    assert np.isnan(value_at(x, y, 9)).all() and not np.isnan(value_at(x, y, 3)).all()


@pytest.mark.parametrize(
    "x, y, level, wanted",
    [
        ([40, 30, 20], [0.0, 0.5, 0.8], 30, 0.5), ([40, 30, 20], [0.0, 0.5, 0.8], 19, math.nan),
        ([30], [0.4], 30, 0.4), ([31], [0.4], 30, math.nan), ([30, 20, 30], [0.1, 0.5, 0.7], 25, 0.3),
        ([math.nan, 30, 20], [0.1, 0.5, 0.7], 25, 0.6), ([40, 20], [math.nan, 0.7], 30, math.nan),
    ],
)  # fmt: skip
def test_levels_at_the_ends_and_missing_points(x, y, level, wanted):
    assert float(value_at(x, y, level)) == pytest.approx(wanted, nan_ok=True)


def test_draws_are_means_over_photos_drawn_with_replacement():
    values = np.array([[0.0, 1, 1, np.nan], [5, 6, 7, 8]])
    draws = Draws.of(4, resamples=500)
    means = draws.means(values)
    assert means.shape == (501, 2) and np.allclose(means[0], [2 / 3, 6.5])
    assert draws.counts.sum(1).tolist() == [4] * 501
    for counts, mean in zip(draws.counts[1:20], means[1:20], strict=True):
        repeated = np.repeat(values, counts, axis=1)
        np.testing.assert_allclose(mean, np.nanmean(repeated, axis=1))


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        sample = np.random.default_rng([seed, 1]).normal(3, 2, 40)
        found = estimate(Draws.of(40, resamples=400, seed=seed).means(sample[None])[:, 0], 40)
        assert found.mean == pytest.approx(sample.mean())
        hits += found.low <= 3 <= found.high
    assert 175 <= hits <= 199


def test_no_interval_where_draws_often_miss_the_level():
    values = np.array([0.5] + [0.4, 0.6] * 50)
    assert estimate(values, 9).low == pytest.approx(0.4)
    values[1:11] = np.nan
    found = estimate(values, 9)
    assert found.mean == 0.5 and math.isnan(found.low) and math.isnan(found.high)


def test_the_probability_that_one_is_higher_is_paired_and_counts_ties_as_half():
    one, other = np.array([9, 1.0, 2, 3, 4]), np.array([9, 0.0, 2, 4, 3])
    assert probability_higher(one, other) == pytest.approx(0.625)
    assert probability_higher(one, other) + probability_higher(other, one) == pytest.approx(1)
    assert math.isnan(probability_higher(one, np.array([9, np.nan, 2, 4, 3])))


@pytest.mark.parametrize(
    ("x", "y", "level", "end", "wanted"),
    [
        ([40, 35, 32], [0.1, 0.2, 0.4], 30, -1, 0.4),  # better than 30 dB at all strengths
        ([40, 35, 30], [0.1, 0.2, 0.4], 30, -1, math.nan),  # reaches it, so that it has a value
        ([0.6, 0.8], [33, 31], 0.5, 0, 33),  # succeeds more often at all strengths: at least as good as the weakest
        ([40, math.nan], [0.1, 0.2], 30, -1, math.nan),
        ([40], [0.1], 30, -1, math.nan),  # a single point says nothing about others
    ],
)
def test_a_curve_that_is_above_the_level_everywhere_has_a_bound(x, y, level, end, wanted):
    assert float(bound_at(x, y, level, end)) == pytest.approx(wanted, nan_ok=True)
    assert math.isnan(wanted) or math.isnan(float(value_at(x, y, level)))
