"""The losses of DiffAM against plain references: NumPy's loops, scikit-image's histogram matching."""

import numpy as np
import pytest
import torch
from skimage.exposure import match_histograms

from baselines.diffam.losses import (
    REGION_WEIGHTS,
    directional,
    histogram,
    identity,
    l1,
    log_directional,
    match_histogram,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks(count: int, seed: int) -> torch.Tensor:
    """bool count×4×16×16; each region about a third of the pixels, and they overlap."""
    return random(count, 4, 16, 16, seed=seed) > 0.4


def plain_directional(before, after, direction) -> list[float]:
    losses = []
    for a, b in zip(before.numpy(), after.numpy(), strict=True):
        move, way = b - a, direction.numpy().reshape(-1)
        losses.append(1 - np.dot(move, way) / np.sqrt(np.dot(move, move) * np.dot(way, way)))
    return losses


def test_directional_is_one_minus_the_cosine_of_two_moves():
    before, after, direction = random(5, 8), random(5, 8, seed=1), random(1, 8, seed=2)
    expected = plain_directional(before, after, direction)
    assert directional(before, after, direction).tolist() == pytest.approx(expected)
    expected = [-np.log((2 - loss) / 2) for loss in expected]
    assert log_directional(before, after, direction).tolist() == pytest.approx(expected)


def test_directional_knows_right_from_wrong_and_survives_an_image_that_did_not_move():
    before, direction = random(3, 8), random(1, 8, seed=1)
    after = before + torch.tensor([[0.5], [-2.0], [0.0]]) * direction
    assert directional(before, after, direction).tolist() == pytest.approx([0, 2, 1])
    unmoved = before.clone().requires_grad_()
    log_directional(before, unmoved, direction).sum().backward()
    assert unmoved.grad.isfinite().all()


def test_identity_and_l1():
    before, after = (torch.nn.functional.normalize(random(4, 8, seed=seed)) for seed in (0, 1))
    expected = [1 - float(np.dot(a, b)) for a, b in zip(before.numpy(), after.numpy(), strict=True)]
    assert identity(before, after).tolist() == pytest.approx(expected)
    one, two = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    expected = [np.abs(a - b).mean() for a, b in zip(one.numpy(), two.numpy(), strict=True)]
    assert l1(one, two).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_histogram_matching_is_scikit_images(seed):
    generator = np.random.default_rng(seed)
    values = generator.normal(100, 30 + seed, 60 + 37 * seed)
    template = generator.normal(160, 20, 211)
    if seed % 2:  # whole levels, with many ties
        values, template = values.round(), template.round()
    ours = match_histogram(torch.from_numpy(values), torch.from_numpy(template))
    np.testing.assert_allclose(ours, match_histograms(values, template), atol=1e-9)


def test_histogram_matching_of_constants_and_of_a_set_with_itself():
    values = random(50)
    assert torch.allclose(match_histogram(values, values), values)
    assert match_histogram(values, torch.tensor([3.0, 3.0], dtype=torch.float64)).unique().tolist() == [3]
    assert len(match_histogram(torch.ones(4), random(9).float()).unique()) == 1


def plain_histogram(image, regions, reference, reference_regions) -> float:
    """The histogram loss of one image, with scikit-image, in loops."""
    image, reference = (127.5 * (array.numpy() + 1) for array in (image, reference))
    loss = 0.0
    for weight, mask, goal in zip(REGION_WEIGHTS, regions.numpy(), reference_regions.numpy(), strict=True):
        for channel in range(3):
            own = image[channel][mask]
            loss += weight * np.abs(own - match_histograms(own, reference[channel][goal])).sum()
    return loss / image.size


def test_histogram_loss_is_the_weighted_distance_to_matched_pixels():
    images, regions = random(3, 3, 16, 16).tanh(), masks(3, seed=1)
    reference, goal = random(3, 16, 16, seed=2).tanh(), masks(1, seed=3)[0]
    expected = [plain_histogram(image, own, reference, goal) for image, own in zip(images, regions, strict=True)]
    assert histogram(images, regions, reference, goal).tolist() == pytest.approx(expected)


def test_the_gradient_of_the_histogram_loss_leads_to_the_reference_and_stays_in_the_regions():
    images, reference = random(1, 3, 16, 16).mul(0.1), random(3, 16, 16, seed=2).mul(0.1) + 0.5
    regions = torch.zeros(1, 4, 16, 16, dtype=torch.bool)
    regions[:, 2, 4:8, 2:12] = True
    images.requires_grad_()
    histogram(images, regions, reference, regions[0]).sum().backward()
    inside = images.grad[0][:, regions[0, 2]]
    assert (inside < 0).float().mean() > 0.95  # brighter
    assert images.grad[0][:, ~regions[0, 2]].eq(0).all()


def test_a_region_that_is_not_there_adds_nothing():
    images, regions, reference, goal = random(2, 3, 16, 16), masks(2, 1), random(3, 16, 16, seed=2), masks(1, 3)[0]
    regions[0], goal = False, goal.clone()
    losses = histogram(images, regions, reference, goal)
    assert losses[0] == 0 and losses[1] > 0
    goal[:3] = False
    only_skin = histogram(images, regions, reference, goal)
    assert 0 < only_skin[1] < losses[1]
