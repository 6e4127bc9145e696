"""The wrapper: preprocessing, dtype, and weights that stay frozen."""

import numpy as np
import pytest
import torch
from torch import nn

from facecloak.errors import FacecloakError
from facecloak.recognizers import Recognizer


class Spy(nn.Module):
    def forward(self, pixels):
        self.received = pixels
        return pixels.flatten(1)


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())


def faces(*shape, dtype=torch.float64, seed=0):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_literatures_range_is_left_alone_to_the_last_bit():
    spy, x = Spy(), faces(2, 3, 8, 8)
    Recognizer(spy, "spy", 8, None)(x)
    assert torch.equal(spy.received, x)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (127.5, 128.0), (100.0, 50.0)])
@pytest.mark.parametrize("bgr", [False, True])
def test_other_ranges_and_colour_orders(mean, std, bgr):
    spy, x = Spy(), faces(2, 3, 8, 8)
    Recognizer(spy, "spy", 8, None, mean, std, bgr)(x)
    expected = ((x + 1) * 127.5 - mean) / std
    expected = expected[:, [2, 1, 0]] if bgr else expected
    torch.testing.assert_close(spy.received, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(20, 13), (5, 7)])
def test_resize_is_bilinear_with_half_pixel_centres_and_no_antialias(size):
    spy, x = Spy(), faces(1, 3, *size)
    Recognizer(spy, "spy", 8, None)(x)

    def axis(length):
        at = ((np.arange(8) + 0.5) * length / 8 - 0.5).clip(0, length - 1)
        low = np.floor(at).astype(int)
        weights = np.zeros((8, length))
        weights[np.arange(8), low] += 1 - (at - low)
        weights[np.arange(8), np.minimum(low + 1, length - 1)] += at - low
        return weights

    expected = np.einsum("ih,nchw,jw->ncij", axis(size[0]), x.numpy(), axis(size[1]))
    np.testing.assert_allclose(spy.received.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_rows_in_the_dtype_it_is_given(dtype):
    recognizer = Recognizer(small_network(), "small", 8, None).to(dtype)
    embeddings = recognizer(faces(3, 3, 16, 16, dtype=dtype))
    assert embeddings.dtype == dtype and embeddings.shape == (3, 4 * 36)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3, dtype=dtype))


def test_stays_frozen_and_in_eval_mode_inside_a_training_module():
    recognizer = Recognizer(small_network(), "small", 8, None).double()
    before = {name: value.clone() for name, value in recognizer.state_dict().items()}
    x = faces(4, 3, 8, 8)
    expected = recognizer(x)
    nn.ModuleList([recognizer]).train()
    recognizer.network.zero_grad()
    assert not any(module.training for module in recognizer.modules())
    assert not any(parameter.requires_grad for parameter in recognizer.parameters())
    assert torch.equal(recognizer(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in recognizer.state_dict().items())


def test_gradients_reach_the_pixels():
    recognizer = Recognizer(small_network(), "small", 8, None, 100.0, 50.0, bgr=True).double()
    assert torch.autograd.gradcheck(recognizer, faces(1, 3, 11, 9).requires_grad_())


def test_a_black_box_refuses_to_be_a_surrogate():
    recognizer = Recognizer(Spy(), "closed", 8, None, differentiable=False)
    with pytest.raises(FacecloakError, match="'closed' is loaded as a black box"):
        recognizer(faces(1, 3, 8, 8).requires_grad_())
    with torch.no_grad():
        recognizer(faces(1, 3, 8, 8).requires_grad_())
