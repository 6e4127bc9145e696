"""Distances of pooled pictures follow their files."""

import os

import numpy as np

from benchmarks.results.distances import FILE, MINIMUM, Features, pooled_distances, write_features


def test_features_that_are_written_again_are_read_again(tmp_path):
    """Also within a process, which keeps what it has computed."""

    def pooled(count: int, shift: float, second: int) -> dict:
        sources = np.random.default_rng(0).normal(size=(count, 4))
        about = {"network": "toy", "convention": "made up", "is_fid": False}
        write_features(tmp_path, Features(sources + shift, sources, about))
        os.utime(tmp_path / FILE, (second, second))
        return pooled_distances([tmp_path])

    assert pooled_distances([tmp_path]) == {}
    few = pooled(MINIMUM, 1.0, 1)
    assert few["n_fid"] == MINIMUM and few == pooled_distances([tmp_path])
    assert pooled(MINIMUM + 4, 1.0, 1)["n_fid"] == MINIMUM + 4
    assert pooled(MINIMUM + 4, 2.0, 2)["fd"] > 2 * few["fd"]
    (tmp_path / FILE).unlink()
    assert pooled_distances([tmp_path]) == {}
