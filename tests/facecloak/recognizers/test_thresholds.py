"""Thresholds against plain loops, and the coverage of intervals."""

import time

import numpy as np
import pytest
import torch

from facecloak.recognizers.thresholds import (
    area_under_curve,
    bootstrap_interval,
    threshold_at,
)
from tests.reference.impostors import impostor_scores


def people(count, photos, dim=8, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(count, dim)).repeat(photos, axis=0)
    return centres + random.normal(size=centres.shape), np.repeat([f"p{i}" for i in range(count)], photos)


def cosine(u, v):
    return u @ v / np.linalg.norm(u) / np.linalg.norm(v)


def test_impostor_scores_of_two_sets():
    (a, of_a), (b, of_b) = people(5, 2, seed=1), people(7, 1, seed=2)
    expected = [cosine(u, v) for u, i in zip(a, of_a, strict=True) for v, j in zip(b, of_b, strict=True) if i != j]
    assert len(expected) == 10 * 7 - 10
    np.testing.assert_allclose(impostor_scores(a, b, of_a, of_b), expected, atol=1e-12)
    tensors = impostor_scores(torch.from_numpy(a), torch.from_numpy(b), of_a, of_b)
    np.testing.assert_allclose(tensors, expected, atol=1e-12)


def test_impostor_scores_within_one_set_count_a_pair_once():
    a, of_a = people(5, 3)
    expected = [cosine(a[i], a[j]) for i in range(15) for j in range(i) if of_a[i] != of_a[j]]
    scores = impostor_scores(a, a.copy(), of_a, list(of_a))
    assert len(scores) == 15 * 12 / 2
    np.testing.assert_allclose(np.sort(scores), np.sort(expected), atol=1e-12)


def test_embeddings_without_a_direction_are_refused():
    a, of_a = people(3, 1)
    for value in (0.0, np.nan):
        a[1] = value
        with pytest.raises(ValueError, match="zero or not finite"):
            impostor_scores(a, a, of_a, of_a)


@pytest.mark.parametrize("far", [0.5, 0.3, 0.29, 0.1, 0.07, 0.01, 0.001])
@pytest.mark.parametrize("count", [1, 2, 10, 100, 1000])
@pytest.mark.parametrize("decimals", [1, 12])
def test_threshold_is_the_smallest_score_that_keeps_the_far(far, count, decimals):
    scores = np.random.default_rng(count).normal(size=count).round(decimals)  # with ties and without
    expected = min(t for t in scores if np.mean(scores > t) <= far)
    assert threshold_at(scores, far) == expected


@pytest.mark.parametrize("far", [0, 1, -0.1, 1.5])
def test_senseless_fars(far):
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_at([0.1, 0.2], far)


def test_no_scores():
    with pytest.raises(ValueError, match="no impostor scores"):
        threshold_at([], 0.1)


def test_bootstrap_equals_repeating_the_people():
    random = np.random.default_rng(0)
    pairs = [(i, j) for i in range(12) for j in range(i)]
    first, second = np.array(pairs).T
    scores = random.normal(size=len(pairs)).round(1)
    fars = (0.3, 0.1)
    draws = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12), 50)
    found = []
    for counts in draws:
        repeated = [s for s, (i, j) in zip(scores, pairs, strict=True) for _ in range(counts[i] * counts[j])]
        found.append([threshold_at(repeated, far) for far in fars])
    expected = np.percentile(found, (2.5, 97.5), axis=0).T
    np.testing.assert_array_equal(bootstrap_interval(scores, first, second, fars, 50, seed=5), expected)


def test_bootstrap_with_too_few_people_to_draw_a_pair_each_time():
    interval = bootstrap_interval([0.3, 0.1], ["a", "a"], ["b", "b"], [0.5])
    assert interval.shape == (1, 2) and np.isfinite(interval).all()


def test_bootstrap_covers_where_resampling_pairs_does_not():
    """Scores with an effect per person, as recognizers have: 95 % intervals should contain the true value."""
    random = np.random.default_rng(3)
    first, second = np.triu_indices(60, 1)

    def draw():
        person = random.normal(size=60)
        return person[first] + person[second] + random.normal(size=len(first))

    truth = 1.2815515655446004 * np.sqrt(3)  # FAR 0.1 of a normal distribution of variance 3
    by_people = by_pairs = 0
    for trial in range(60):
        scores = draw()
        low, high = bootstrap_interval(scores, first, second, [0.1], 100, seed=trial)[0]
        by_people += low <= truth <= high
        resampled = random.choice(scores, (100, len(scores)))
        low, high = np.percentile([threshold_at(sample, 0.1) for sample in resampled], (2.5, 97.5))
        by_pairs += low <= truth <= high
    assert by_people >= 51  # of 60; the chance of fewer is below 0.1 % if coverage is 95 %
    assert by_pairs < 30


def test_bootstrap_is_seeded_and_quick():
    first, second = np.triu_indices(350, 1)
    scores = np.random.default_rng(0).normal(size=len(first))
    assert len(scores) > 60_000
    start = time.perf_counter()
    one = bootstrap_interval(scores, first, second, (0.1, 0.01, 0.001))
    assert time.perf_counter() - start < 5
    assert np.array_equal(one, bootstrap_interval(scores, first, second, (0.1, 0.01, 0.001)))
    assert not np.array_equal(one, bootstrap_interval(scores, first, second, (0.1, 0.01, 0.001), seed=1))
    points = [threshold_at(scores, far) for far in (0.1, 0.01, 0.001)]
    assert all(low < point < high for (low, high), point in zip(one, points, strict=True))


def test_area_under_curve_counts_ties_half():
    genuine, impostor = np.random.default_rng(0).normal(size=(2, 50)).round(1)
    expected = np.mean([(g > i) + 0.5 * (g == i) for g in genuine for i in impostor])
    assert area_under_curve(genuine, impostor) == pytest.approx(expected, abs=1e-12)
