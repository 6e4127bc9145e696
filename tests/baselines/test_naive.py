"""The naive baselines against slow references, and the contract that every method must fulfil."""

import math

import pytest
import torch

from baselines.naive import Blur, BlurSettings, Mask, NoProtection, Pixelate, PixelateSettings
from facecloak.config import parse_settings
from facecloak.data import Batch
from facecloak.errors import FacecloakError
from facecloak.method import NoSettings, Protected, ProtectionMethod

BOXES = [[6.0, 4, 27, 34], [-3, 10, 18, 99], [0, 0, 36, 40]]
METHODS = {
    "none": NoProtection(NoSettings()),
    "blur": Blur(BlurSettings(sigma=1.5)),
    "pixelate": Pixelate(PixelateSettings(blocks=4)),
    "mask": Mask(NoSettings()),
}


def make_batch(boxes=BOXES) -> Batch:
    images = torch.rand(len(boxes), 3, 40, 36, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch([f"p{index}" for index in range(len(boxes))], images, torch.tensor(boxes))


def inside(batch: Batch) -> torch.Tensor:
    """B×1×H×W, true in the face boxes."""
    mask = torch.zeros(len(batch.ids), 1, 40, 36, dtype=torch.bool)
    for index, (x0, y0, x1, y1) in enumerate(batch.boxes.int().clamp(min=0).tolist()):
        mask[index, :, y0:y1, x0:x1] = True
    return mask


def slow_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A separable Gaussian over mirrored edges, one pixel after the other, in float64."""
    radius = int(3 * sigma + 0.5)
    weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-radius, radius + 1)]
    for axis in (1, 2):
        length = image.shape[axis]
        lines = []
        for position in range(length):
            line = 0
            for weight, offset in zip(weights, range(-radius, radius + 1), strict=True):
                source = abs(position + offset)
                source = source if source < length else 2 * (length - 1) - source
                line = line + weight / sum(weights) * image.select(axis, source).double()
            lines.append(line)
        image = torch.stack(lines, dim=axis)
    return image


def slow_pixelate(face: torch.Tensor, blocks: int) -> torch.Tensor:
    block = round(max(face.shape[1:]) / blocks)
    result = face.clone()
    for top in range(0, face.shape[1], block):
        for left in range(0, face.shape[2], block):
            part = face[:, top : top + block, left : left + block]
            result[:, top : top + block, left : left + block] = part.mean((1, 2), keepdim=True)
    return result


@pytest.mark.parametrize("name", METHODS)
def test_outside_of_the_face_every_bit_is_kept_and_the_sources_are_untouched(name):
    batch = make_batch()
    before = batch.images.clone()
    protected = METHODS[name].predict_step(batch)
    outside = ~inside(batch).expand_as(before)
    assert torch.equal(protected.images[outside], before[outside])
    assert torch.equal(batch.images, before)
    assert protected.errors == [None] * 3 and protected.unet_passes == 0 and protected.seconds >= 0
    assert protected.images.abs().max() <= 1


@pytest.mark.parametrize("name", METHODS)
def test_an_images_result_does_not_depend_on_its_batch(name):
    together = METHODS[name].predict_step(make_batch()).images
    for index, image in enumerate(make_batch().images):
        alone = METHODS[name].predict_step(Batch(["p"], image[None], torch.tensor([BOXES[index]]))).images
        torch.testing.assert_close(together[index], alone[0], rtol=0, atol=1e-6)


def test_no_protection_is_the_source_itself():
    assert torch.equal(METHODS["none"].predict_step(make_batch()).images, make_batch().images)


def test_blur_equals_a_plain_gaussian_inside_of_the_face():
    batch = make_batch()
    blurred = METHODS["blur"].predict_step(batch).images
    expected = torch.stack([slow_blur(image, 1.5) for image in batch.images]).float()
    mask = inside(batch).expand_as(expected)
    torch.testing.assert_close(blurred[mask], expected[mask], rtol=0, atol=1e-5)


def test_a_larger_sigma_blurs_more():
    def roughness(sigma):
        return Blur(BlurSettings(sigma=sigma)).predict_step(make_batch([BOXES[2]])).images.diff(dim=-1).abs().mean()

    assert roughness(0.5) > roughness(1.0) > roughness(3.0) > 0


@pytest.mark.parametrize("blocks", [1, 3, 4, 16])
def test_pixelate_has_blocks_of_their_mean_colour(blocks):
    batch = make_batch()
    images = Pixelate(PixelateSettings(blocks=blocks)).predict_step(batch).images
    for image, source, (x0, y0, x1, y1) in zip(images, batch.images, batch.boxes.int().clamp(min=0), strict=True):
        expected = slow_pixelate(source[:, y0:y1, x0:x1], blocks)
        torch.testing.assert_close(image[:, y0:y1, x0:x1], expected, rtol=0, atol=1e-5)


def test_a_mask_is_black_inside_of_the_face():
    batch = make_batch()
    images = METHODS["mask"].predict_step(batch).images
    assert (images[inside(batch).expand_as(images)] == -1).all()


@pytest.mark.parametrize("name", ["blur", "pixelate", "mask"])
def test_a_box_without_a_pixel_is_an_error_and_not_an_unprotected_image(name):
    with pytest.raises(FacecloakError, match="holds no pixel"):
        METHODS[name].predict_step(make_batch([[50.0, 4, 60, 20]]))


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf])
def test_a_sigma_that_is_not_above_0_is_refused(sigma):
    with pytest.raises(FacecloakError, match="blur: sigma"):
        parse_settings(BlurSettings, {"sigma": sigma}, name="blur")


def test_a_sigma_too_large_for_the_images_is_refused():
    with pytest.raises(FacecloakError, match="too large"):
        Blur(BlurSettings(sigma=12.0)).predict_step(make_batch())


@pytest.mark.parametrize("blocks", [0, -3])
def test_less_than_one_block_is_refused(blocks):
    with pytest.raises(FacecloakError, match="pixelate: blocks"):
        PixelateSettings(blocks=blocks)


class Toy(ProtectionMethod):
    """A method whose `protect` is given as an argument."""

    def __init__(self, protect) -> None:
        super().__init__(NoSettings())
        self._protect = protect

    def protect(self, batch: Batch) -> Protected:
        return Protected(self._protect(batch.images), [None] * len(batch.ids))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pixels_that_are_no_numbers_are_an_error_of_their_image_only(value):
    def damage(images):
        images = images.clone()
        images[1, 2, 3, 4] = value
        return images

    protected = Toy(damage).predict_step(make_batch())
    assert protected.errors[0] is None and protected.errors[2] is None
    assert "NaN or infinite" in protected.errors[1]


@pytest.mark.parametrize("change", [lambda images: images[:2], lambda images: images[..., :35]])
def test_a_result_of_another_shape_is_refused(change):
    with pytest.raises(FacecloakError, match="Toy returned"):
        Toy(change).predict_step(make_batch())


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("made_inside", [True, False])
def test_gradients_are_on_inside_protect_whatever_is_outside(mode, made_inside):
    def ascend(images):
        change = torch.zeros_like(images, requires_grad=True)
        (images * change).exp().sum().backward()
        return change.grad

    batch = make_batch()
    with mode():
        batch = make_batch() if made_inside else batch
        protected = Toy(ascend).predict_step(batch)
    assert torch.equal(protected.images, make_batch().images)
    assert not protected.images.is_inference()
