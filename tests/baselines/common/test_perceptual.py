"""The pocket suite's perceptual distance: equal to a plain one, and part of what a method's pictures depend on."""

import pytest
import torch

from baselines.common.perceptual import load_perceptual, perceptual_sha256
from benchmarks import METHODS
from benchmarks.suites.suite import load_suite
from facecloak.config import parse_settings
from facecloak.io import pocket_dir, sha256
from facecloak.pocket.features import FILE, network
from facecloak.recognizers.checkpoints import load_weights


def plain(before, after):
    """Of two 3×S×S images: squared distances of features of length 1, place by place, in each of four layers."""
    whole = network()
    load_weights(whole, pocket_dir() / FILE)
    whole, total = whole.double().eval(), 0.0
    pair = torch.stack([before, after])
    with torch.no_grad():
        for name in ("conv1", "maxpool", "stage2", "stage3", "stage4"):
            pair = getattr(whole, name)(pair)
            if name == "maxpool":
                continue
            first, second = pair
            places = []
            for row in range(first.shape[1]):
                for column in range(first.shape[2]):
                    mine, other = first[:, row, column], second[:, row, column]
                    lengths = [((each**2).sum() + 1e-6).sqrt() for each in (mine, other)]
                    places.append(((mine / lengths[0] - other / lengths[1]) ** 2).sum())
            total += float(sum(places) / len(places))
    return total


def test_the_pocket_distance_equals_a_plain_one():
    generator = torch.Generator().manual_seed(4)
    before, after = 2 * torch.rand(2, 2, 3, 32, 32, generator=generator, dtype=torch.float64) - 1
    found = load_perceptual("pocket").double()(before, after)
    assert found.tolist() == pytest.approx([plain(*pair) for pair in zip(before, after, strict=True)], abs=1e-9)


@pytest.mark.parametrize("name", ["lowkey", "diffaim", "diffprivate"])
def test_other_weights_of_the_distance_make_other_pictures(name):
    """They are in the hash of what a method loads, and so in the key of its protections."""
    cls, values = METHODS[name], load_suite("pocket").methods[name]
    own = sha256(pocket_dir() / FILE)
    assert own in cls.weights_sha256(parse_settings(cls.Settings, values))
    published = cls.weights_sha256(parse_settings(cls.Settings, {**values, "perceptual": "lpips"}))
    assert own not in (published or "") and perceptual_sha256("lpips") is None
