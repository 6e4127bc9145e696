"""The features of source photos are computed once, however many protections are of the same photos."""

import numpy as np
import torch

from benchmarks.harness import quality
from facecloak.data import Photo


class Counting(torch.nn.Module):
    """Features: the mean colour; it counts the photos that it sees."""

    name, convention, is_fid, seen = "mean", "none", False, 0

    def forward(self, pixels):
        self.seen += len(pixels)
        return pixels.float().mean((2, 3))


def photos(seed, number=3):
    images = np.random.default_rng(seed).integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)
    return [Photo(image, (0.0, 0.0, 8.0, 8.0)) for image in images]


def test_photos_that_are_known_are_not_embedded_again(monkeypatch):
    monkeypatch.setattr(quality, "FEATURES", {"mean": Counting})
    measured = quality.Quality("mean")
    sources = photos(1)
    first = measured.features(photos(2), sources)
    again = measured.features(photos(3), [*sources])
    assert measured._network.seen == 3 + 3 + 3
    assert np.array_equal(first.sources, again.sources) and not np.array_equal(first.protected, again.protected)


def test_other_photos_have_other_features(monkeypatch):
    """Fewer of the same photos, too: one of them may have failed."""
    monkeypatch.setattr(quality, "FEATURES", {"mean": Counting})
    measured = quality.Quality("mean")
    sources = photos(1)
    whole, part = measured.features(photos(2), sources), measured.features(photos(2, 2), sources[1:])
    assert np.array_equal(part.sources, whole.sources[1:])
    assert not np.array_equal(measured.features(photos(2), photos(4)).sources, whole.sources)
