"""Intervals of means whose values are not independent."""

import math

import numpy as np
import pytest

from facecloak.io import FORMULA
from facecloak.metrics.statistics import (
    Estimate,
    bootstrap_mean,
    estimate_text,
    interval_text,
    number_text,
    rate_over_clusters,
    wilson_interval,
)


def test_constant_values_have_an_interval_of_no_width():
    found = bootstrap_mean([0.25] * 12, [*"aaaaaabbbccd"])
    assert found.mean == found.low == found.high == 0.25 and found.n == 4 and found.excludes_zero
    assert not bootstrap_mean([0.0] * 4, [*"aabb"]).excludes_zero


def test_repeated_values_of_a_cluster_tell_nothing_new():
    values = np.random.default_rng(3).normal(size=30)
    once = bootstrap_mean(values, range(30))
    assert bootstrap_mean(values.repeat(12), np.arange(30).repeat(12)) == pytest.approx(once)
    independent = bootstrap_mean(values.repeat(12), range(360))
    assert independent.high - independent.low < 0.4 * (once.high - once.low)


def test_the_interval_is_the_normal_one_where_that_holds():
    values = np.random.default_rng(0).normal(5, 2, size=400)
    found, half = bootstrap_mean(values, range(400)), 1.96 * values.std() / 20
    assert [found.mean, found.low, found.high] == pytest.approx([m := values.mean(), m - half, m + half], abs=0.03)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """300 data sets of 40 photos; the 6 results of a photo share most of their variation, and some are missing."""
    random, hits = np.random.default_rng(1), 0
    for _ in range(300):
        values = 0.3 + random.normal(0, 1, (40, 1)) + random.normal(0, 0.5, (40, 6))
        values[random.random((40, 6)) < 0.1] = np.nan
        found = bootstrap_mean(values.ravel(), np.arange(40).repeat(6), resamples=500)
        hits += found.low < 0.3 < found.high
    assert 0.91 <= hits / 300 <= 0.98


def test_values_that_are_missing_are_in_no_mean():
    found = bootstrap_mean([1, np.nan, 3, np.nan, np.nan], [*"aabcc"])
    assert found.mean == 2 and found.n == 2 and (found.low, found.high) == (1, 3)


def test_one_cluster_has_no_interval_and_none_no_mean():
    one, none = bootstrap_mean([1, 2], ["a", "a"]), bootstrap_mean([np.nan], ["a"])
    assert one.mean == 1.5 and math.isnan(one.low) and not one.excludes_zero
    assert math.isnan(none.mean) and none.n == 0 and not none.excludes_zero


def test_the_interval_of_a_rate_is_wilsons_as_if_a_photo_had_one_result():
    """8 photos, each judged twice; 6 of the 16 results are successes, one is in no rate."""
    values = [100.0] * 6 + [0.0] * 10
    found = rate_over_clusters([*values, np.nan], [*range(8), *range(8), 8])
    low, high = wilson_interval(3, 8)
    assert found == pytest.approx((37.5, 100 * low, 100 * high, 8))
    assert rate_over_clusters([100.0] * 16, [*range(8)] * 2) == rate_over_clusters([100.0] * 8, range(8))
    assert rate_over_clusters([100.0] * 16, [*range(8)] * 2).high == 100
    assert rate_over_clusters([np.nan], ["a"])[:3] == pytest.approx([math.nan] * 3, nan_ok=True)


@pytest.mark.parametrize(("value", "digits", "text"), [
    (4.25, 1, "4.2"), (-4.25, 1, "−4.2"), (-0.04, 1, "0.0"), (0.0, 0, "0"), (-0.0012, 3, "−0.001"),
    (math.nan, 1, "nan"),
])  # fmt: skip
def test_a_number_in_a_cell_has_a_minus_sign_and_no_plus(value, digits, text):
    assert number_text(value, digits) == text
    assert not text.startswith(FORMULA)


def test_an_estimate_in_a_cell():
    found = Estimate(-1.24, -8.6, 0.4, 9)
    assert estimate_text(found) == "−1.2 (−9 to 0)" and interval_text(found, 1) == "−8.6 to 0.4"
