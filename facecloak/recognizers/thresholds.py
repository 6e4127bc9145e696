"""Verification thresholds from impostor pairs and their uncertainty: pure functions.

A pair is accepted when its cosine is above the threshold; the false accept rate (FAR) is the share of
impostor pairs, photos of different people, that are accepted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def threshold_at(scores: ArrayLike, far: float) -> float:
    """The smallest score t among `scores` (impostor cosines) for which the share above t is at most `far`.

    Raises:
        ValueError: no scores, or a FAR outside 0 < far < 1.
    """
    if not 0 < far < 1:
        raise ValueError(f"a false accept rate must be between 0 and 1, got {far}")
    if np.size(scores) == 0:
        raise ValueError("no impostor scores")
    descending = np.sort(scores)[::-1]
    return float(descending[_rank(np.ones(descending.size), np.asarray(far))])


def bootstrap_interval(
    scores: ArrayLike,
    identities_a: ArrayLike,
    identities_b: ArrayLike,
    fars: Sequence[float],
    resamples: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """95 % percentile intervals of the thresholds, resampling people rather than pairs.

    Pairs that share a person are not independent: each resample draws the people with replacement, and
    a pair counts as often as its two people were drawn, one count times the other.

    Args:
        scores: P impostor cosines.
        identities_a, identities_b: P labels each, the two people of each pair.

    Returns:
        len(fars)×2, the low and the high end.
    """
    order = np.argsort(scores)[::-1]
    descending = np.asarray(scores)[order]
    people, codes = np.unique([identities_a, identities_b], return_inverse=True)
    first, second = codes.reshape(2, -1)[:, order]
    draws = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), resamples)
    ranks = [
        _rank(weights, np.asarray(fars))
        for counts in draws
        if (weights := counts[first] * counts[second]).any()  # few people: a draw may hold no pair at all
    ]
    return np.percentile(descending[np.stack(ranks)], (2.5, 97.5), axis=0).T


def area_under_curve(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """The probability that a genuine pair scores above an impostor pair, ties counted half."""
    impostor = np.sort(impostor)
    below, up_to = (np.searchsorted(impostor, genuine, side) for side in ("left", "right"))
    return float(np.mean((below + up_to) / (2 * impostor.size)))


def cosine_matrix(embeddings_a: ArrayLike, embeddings_b: ArrayLike) -> np.ndarray:
    """N×D and M×D → float64 N×M; `ValueError` for embeddings that have no direction."""
    unit = []
    for embeddings in (embeddings_a, embeddings_b):
        embeddings = np.asarray(embeddings, dtype=np.float64)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ValueError("an embedding is zero or not finite")
        unit.append(embeddings / lengths)
    return unit[0] @ unit[1].T


def pair_indices(wanted: np.ndarray, same: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the wanted pairs (bool N×M), each pair once if both sides are the same set."""
    return np.nonzero(np.triu(wanted, 1) if same else wanted)


def _rank(weights: np.ndarray, fars: np.ndarray) -> np.ndarray:
    """Index of the threshold at each FAR, for pairs in descending order of score that count `weights` times.

    The weight above it is what lies before it in the order; of tied scores none is above another, so that
    the share can only be smaller than that.
    """
    share = np.cumsum(weights) / weights.sum()
    return np.searchsorted(share, fars, side="right")
