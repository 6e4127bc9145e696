"""The pocket suite's perceptual distance: equal to a plain one, and part of what a method's pictures depend on."""

import pytest
import torch

from baselines.common.perceptual import load_perceptual, perceptual_sha256
from benchmarks import METHODS
from benchmarks.suites.suite import load_suite
from facecloak.config import parse_settings
from facecloak.io import pocket_dir, sha256
from facecloak.pocket.features import FILE
from tests.reference.pocket_perceptual import plain_distance


def test_the_pocket_distance_equals_a_plain_one():
    generator = torch.Generator().manual_seed(4)
    before, after = 2 * torch.rand(2, 2, 3, 32, 32, generator=generator, dtype=torch.float64) - 1
    found = load_perceptual("pocket").double()(before, after)
    assert found.tolist() == pytest.approx(
        [plain_distance(*pair) for pair in zip(before, after, strict=True)], abs=1e-9
    )


@pytest.mark.parametrize("name", ["lowkey", "diffaim", "diffprivate"])
def test_other_weights_of_the_distance_make_other_pictures(name):
    """They are in the hash of what a method loads, and so in the key of its protections."""
    cls, values = METHODS[name], load_suite("pocket").methods[name]
    own = sha256(pocket_dir() / FILE)
    assert own in cls.weights_sha256(parse_settings(cls.Settings, values))
    published = cls.weights_sha256(parse_settings(cls.Settings, {**values, "perceptual": "lpips"}))
    assert own not in (published or "") and perceptual_sha256("lpips") is None
