"""An image's result depends only on the image."""

import pytest
import torch

from facecloak.recognizers.base import Recognizer
from tests.facecloak.cloak.small import batch_of, make_method, photos


@pytest.mark.parametrize("goal", ["impersonation", "obfuscation"])
def test_four_at_once_equal_four_alone(models, goal):
    method, images = make_method(models, goal), photos(4)
    together = method.predict_step(batch_of(images))
    for index in range(4):
        alone = method.predict_step(batch_of(images, [index]))
        torch.testing.assert_close(together.images[index], alone.images[0], rtol=0, atol=1e-5)
        assert alone.history.keys() == together.history.keys()
        for name, rows in alone.history.items():
            curve = [row[index] for row in together.history[name]]
            assert curve == pytest.approx([row[0] for row in rows], abs=1e-5, rel=1e-5), name
        assert alone.unet_passes == together.unet_passes


def test_nothing_leaks_from_image_to_image(models):
    method, images = make_method(models), photos(2)
    first, other, again = (method.predict_step(batch_of(images, [index])) for index in (0, 1, 0))
    assert torch.equal(first.images, again.images)
    assert first.history == again.history
    assert not torch.equal(first.images, other.images)


def test_no_parameter_keeps_a_gradient_and_no_layer_a_map(models):
    method = make_method(models)
    method.predict_step(batch_of(photos(1)))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in method.parameters())
    layers = [p for p in models.unet.attn_processors.values() if hasattr(p, "recorded")]
    assert layers
    assert all(layer.recorded is None and layer.source is None and layer.compared is None for layer in layers)


class NaNForSecondOfThree(torch.nn.Module):
    """A recognizer that fails on one image, from the given call on."""

    def __init__(self, network: torch.nn.Module, first_call: int) -> None:
        super().__init__()
        self.network, self.first_call, self.calls = network, first_call, 0

    def forward(self, faces):
        features = self.network(faces)
        if len(faces) == 3:
            self.calls += 1
            if self.calls > self.first_call:
                broken = torch.zeros_like(features)
                broken[1] = torch.nan
                return features + broken
        return features


@pytest.mark.parametrize("broken_in", [1, 2])
def test_nan_is_an_error_of_its_image_alone(models, broken_in):
    method, images = make_method(models, goal="obfuscation"), photos(3)
    surrogate = method.objective.surrogates[1]
    broken = NaNForSecondOfThree(surrogate.network, first_call=broken_in)  # its first call embeds the sources
    method.objective.surrogates[1] = Recognizer(broken, "broken", surrogate.input_size, None)

    protected = method.predict_step(batch_of(images))
    without = method.predict_step(batch_of(images, [0, 2]))
    assert protected.errors == [None, f"the loss became nan in iteration {broken_in}", None]
    assert without.errors == [None, None]
    torch.testing.assert_close(protected.images[[0, 2]], without.images, rtol=0, atol=1e-10)
    for name, rows in without.history.items():
        for row, expected in zip(protected.history[name], rows, strict=True):
            assert [row[0], row[2]] == pytest.approx(expected, abs=1e-12)


def test_nan_pixels_are_an_error_of_their_image_alone(models):
    method, images = make_method(models), photos(2)
    alone = method.predict_step(batch_of(images, [1]))
    images = images.clone()
    images[0, :, 5, 5] = torch.nan
    protected = method.predict_step(batch_of(images))
    assert protected.errors[0] is not None
    assert protected.errors[1] is None
    torch.testing.assert_close(protected.images[1:], alone.images, rtol=0, atol=1e-10)
