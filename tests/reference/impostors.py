"""All impostor scores of two sets of photos at once; the calibration itself must also know the pair of each score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from facecloak.recognizers.thresholds import cosine_matrix, pair_indices


def impostor_scores(
    embeddings_a: ArrayLike, embeddings_b: ArrayLike, identities_a: ArrayLike, identities_b: ArrayLike
) -> np.ndarray:
    """The cosines of all pairs of photos of different people.

    Args:
        embeddings_a, embeddings_b: N×D and M×D, of any length. Where both sides are the same set, every
            pair is counted once.
        identities_a, identities_b: N and M labels.

    Returns:
        float64 vector, in the order of the rows of a and, within a row, of b.
    """
    same = np.array_equal(embeddings_a, embeddings_b) and np.array_equal(identities_a, identities_b)
    rows, columns = pair_indices(np.asarray(identities_a)[:, None] != np.asarray(identities_b), same)
    return cosine_matrix(embeddings_a, embeddings_b)[rows, columns]
