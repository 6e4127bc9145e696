"""Gradient smoothing and input diversity against slow references."""

import math

import pytest
import torch

from baselines.noise.ti_dim import resize_and_pad, smooth
from baselines.noise.tip_im import draw_maps, warp


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 3, 7, 15])
def test_smoothing_equals_a_direct_sum_with_a_normalised_gaussian(size):
    gradient, half = randn(2, 3, 9, 10), size // 2
    weights = {
        (down, right): math.exp(-(down**2 + right**2) / (2 * 3.0**2))
        for down in range(-half, half + 1)
        for right in range(-half, half + 1)
    }
    total = sum(weights.values())
    expected = torch.zeros_like(gradient)
    for row in range(9):
        for column in range(10):
            for (down, right), weight in weights.items():
                if 0 <= row + down < 9 and 0 <= column + right < 10:  # zeros outside
                    expected[:, :, row, column] += weight / total * gradient[:, :, row + down, column + right]
    torch.testing.assert_close(smooth(gradient, size), expected, rtol=0, atol=1e-12)


def test_a_face_is_left_alone_or_made_smaller_on_black():
    faces = randn(3, 3, 20, 20).clamp(-1, 1)
    draws = torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.49, 0.0, 0.0, 0.999], [0.0, 0.999, 0.999, 0.0]])
    views = resize_and_pad(faces, draws)
    assert torch.equal(views[0], faces[0])
    black = views == -1
    assert black[1, :, 18:, :].all() and black[1, :, :, :2].all()  # 18 × 18, at the top right
    assert black[2, :, 0, :].all() and black[2, :, :, 19:].all()  # 19 × 19, at the bottom left
    for face, view, side in ((faces[1], views[1, :, :18, 2:], 18), (faces[2], views[2, :, 1:, :19], 19)):
        for row, column in ((0, 0), (side // 2, 3), (side - 1, side - 1)):
            assert view[:, row, column].tolist() == pytest.approx(slow_bilinear(face, side, row, column))


def slow_bilinear(face, side, row, column) -> list[float]:
    """One pixel of a square face made side × side, corners not aligned."""
    size = face.shape[-1]
    result = torch.zeros(3, dtype=face.dtype)
    places = []
    for place in (row, column):
        position = max((place + 0.5) * size / side - 0.5, 0)
        low = int(position)
        places.append([(low, 1 - (position - low)), (min(low + 1, size - 1), position - low)])
    for y, weight_y in places[0]:
        for x, weight_x in places[1]:
            result += weight_y * weight_x * face[:, y, x]
    return result.tolist()


def test_half_of_the_faces_are_resized_to_nine_tenths_at_least():
    faces = torch.zeros(400, 1, 30, 30).expand(-1, 3, -1, -1)
    views = resize_and_pad(faces, torch.rand(400, 4, generator=torch.Generator().manual_seed(0)))
    sides = (views[:, 0] > -0.5).any(dim=2).sum(dim=1)
    assert 0.4 < (sides < 30).double().mean() < 0.6
    assert set(sides.tolist()) == {27, 28, 29, 30}


def test_the_identity_changes_nothing_and_a_shift_uncovers_black():
    faces = randn(2, 3, 10, 10)
    maps = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[1, 0, 0.4], [0, 1, 0]]])  # 0.4 of half a side: 2 pixels
    views = warp(faces, maps)
    torch.testing.assert_close(views[0], faces[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(views[1, :, :, :8], faces[1, :, :, 2:], rtol=0, atol=1e-6)
    assert (views[1, :, :, 8:] + 1).abs().max() < 1e-6


def test_a_quarter_turn_is_a_quarter_turn():
    faces = randn(1, 3, 8, 8)
    turned = warp(faces, torch.tensor([[[0.0, -1, 0], [1, 0, 0]]]))
    torch.testing.assert_close(turned, faces.rot90(1, (2, 3)), rtol=0, atol=1e-6)


def test_the_maps_jitter_every_number_and_turn():
    """Their mean is the identity. Their spread is that of a jitter and, off the diagonal, also of a rotation."""
    maps = draw_maps([torch.Generator().manual_seed(seed) for seed in range(4000)], largest=0.1)
    spread = (maps - torch.eye(3)[:2]).square().mean(0)
    s2 = (0.1**3 - 0.01**3) / (3 * 0.09)  # the mean of s², s ~ U(0.01, 0.1)
    assert (maps.mean(0) - torch.eye(3)[:2]).abs().max() < 0.01
    expected = s2 * torch.tensor([[1.0, 2, 1], [2, 1, 1]])
    torch.testing.assert_close(spread, expected, rtol=0.1, atol=0)
    assert draw_maps([torch.Generator().manual_seed(0)], 0.01).sub(torch.eye(3)[:2]).abs().max() < 0.06
