"""Perceptual distances: pocket's is measured without anything fetched, LPIPS beside it once its network is here."""

import numpy as np
import pytest
import torch

from benchmarks.harness import quality
from benchmarks.harness.quality import Quality
from benchmarks.results.records import read_one
from benchmarks.results.store import find_judgements
from benchmarks.results.table import long_table
from facecloak import benchmark
from facecloak.data import Photo
from tests.reference.pocket_perceptual import plain_distance
from tests.toys import write_suite


class Brightness(torch.nn.Module):
    """In the place of LPIPS: the difference of the means, N×1×1×1."""

    def forward(self, before, after):
        return (before - after).mean((1, 2, 3), keepdim=True).abs()


@pytest.fixture
def fetched(monkeypatch):
    """A function after which LPIPS' network is here, which it is not before."""
    monkeypatch.setattr(quality, "lpips_network", lambda: None)
    return lambda: monkeypatch.setattr(quality, "lpips_network", Brightness)


@pytest.fixture
def photos():
    """A photo of 32×32 pixels, and the same with noise."""
    random = np.random.default_rng(5)
    image = random.integers(40, 200, (32, 32, 3), dtype=np.uint8)
    noisy = image + random.integers(-12, 13, image.shape).astype(np.uint8)
    return [Photo(each, (0.0, 0.0, 32.0, 32.0)) for each in (image, noisy)]


def test_pockets_distance_is_that_of_the_pixels_and_0_for_equal_photos(fetched, photos):
    source, protected = photos
    found = Quality("pocket").measure(protected, source)
    pair = [torch.from_numpy(each.image).permute(2, 0, 1).double() / 127.5 - 1 for each in photos]
    assert found["pocket_perceptual"] == pytest.approx(plain_distance(*pair), abs=1e-5) and "lpips" not in found
    assert found["pocket_perceptual"] > 1e-3
    assert Quality("pocket").measure(source, source)["pocket_perceptual"] == 0


def test_lpips_is_measured_beside_it_and_measures_are_made_again_then(fetched, photos):
    source, protected = photos
    before = Quality("pocket")
    fetched()
    after = Quality("pocket")
    assert before.available == ["pocket", "pocket_perceptual"]
    assert after.available == ["pocket", "lpips", "pocket_perceptual"]
    first, second = (each.measure(protected, source) for each in (before, after))
    mean = abs(float(source.image.mean()) - float(protected.image.mean())) / 127.5
    assert second.pop("lpips") == pytest.approx(mean, abs=1e-6) and second == first


def test_a_suite_of_photos_has_no_distance_of_a_network_of_drawings(fetched, photos):
    found = Quality("mtcnn")
    assert found.available == ["mtcnn"] and "pocket_perceptual" not in found.measure(*photos)


def test_records_and_rows_have_it_and_are_made_again_after_a_fetch(fetched, toys, tmp_path):
    suite, out = write_suite(toys.parent, features="pocket"), tmp_path / "out"
    rows, records = [], []
    for after in (None, fetched):
        if after:
            after()
        benchmark(str(suite), methods=["blur"], black_boxes=["ada"], out=out)
        (folder,) = find_judgements([out])
        rows.append(long_table([folder]).iloc[0])
        records.append(read_one(folder))
    for row, record in zip(rows, records, strict=True):
        assert row["pocket_perceptual"] == pytest.approx(record.pocket_perceptual.mean())
        assert (record.pocket_perceptual > 0).all()
    assert np.isnan(records[0].lpips).all() and rows[0]["lpips"] is None
    assert rows[1]["lpips"] == pytest.approx(records[1].lpips.mean()) and (records[1].lpips > 0).all()
