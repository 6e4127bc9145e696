"""The square around the face of a photo of any size, and back."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from facecloak.framing import SOFT_EDGE, cut_square, paste_square

BOX = (181.0, 62.0, 268.0, 172.0)  # the astronaut's face


def resized(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def smooth(shape, low, high, seed=0):
    """A smooth random picture with values from low to high."""
    grid = np.random.default_rng(seed).integers(low, high + 1, (6, 6, 3)).astype(np.uint8)
    return resized(grid, shape[1], shape[0])


def protect(square, strength=40):
    """A smooth change that stays within 0..255, so that nothing is lost by clipping."""
    change = smooth(square.shape, 0, strength).astype(int) - strength // 2
    return (square.astype(int) + change).clip(0, 255).astype(np.uint8)


def photo(width=512, height=512):
    """A photo without extreme pixels, and the box of its face."""
    picture = (resized(astronaut(), width, height) * 0.6 + 50).astype(np.uint8)
    box = tuple(value * side / 512 for value, side in zip(BOX, (width, height, width, height), strict=True))
    return picture, box


CASES = {
    "square": (*photo(), 64),
    "model finer than the photo": (*photo(100, 100), 256),
    "3000 pixels": (*photo(3000, 3000), 128),
    "portrait": (photo()[0][:, 100:400].copy(), (81.0, 62.0, 168.0, 172.0), 96),
    "landscape": (photo()[0][20:230].copy(), (181.0, 42.0, 268.0, 152.0), 96),
    "face over the left and upper edge": (photo()[0][70:, 200:].copy(), (0.0, 0.0, 68.0, 102.0), 96),
    "face over the right and lower edge": (photo()[0][:150, :240].copy(), (181.0, 62.0, 240.0, 150.0), 96),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_the_face_lies_in_the_square_as_in_an_aligned_photo():
    picture, box = photo()[0], (190.0, 62.0, 260.0, 172.0)
    square = cut_square(picture, box, 64)
    height = box[3] - box[1]
    assert square.side == round(height / 0.733)
    assert square.image.shape == (64, 64, 3)
    assert abs((box[0] + box[2]) / 2 - (square.left + 0.502 * square.side)) <= 0.5
    assert abs((box[1] + box[3]) / 2 - (square.top + 0.545 * square.side)) <= 0.5


def test_a_wide_face_is_not_cut_off():
    square = cut_square(photo()[0], (100.0, 200.0, 300.0, 260.0), 64)
    assert square.left < 100 and square.left + square.side > 300


def test_an_unprotected_square_pasted_back_changes_nothing(case):
    picture, box, size = case
    square = cut_square(picture, box, size)
    np.testing.assert_array_equal(paste_square(picture, square, square.image), picture)


def test_outside_of_the_square_every_bit_is_kept(case):
    picture, box, size = case
    before = picture.copy()
    square = cut_square(picture, box, size)
    result = paste_square(picture, square, 255 - square.image)
    assert result.shape == picture.shape and result.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)
    outside = np.ones(picture.shape[:2], dtype=bool)
    outside[max(square.top, 0) : square.top + square.side, max(square.left, 0) : square.left + square.side] = False
    np.testing.assert_array_equal(result[outside], picture[outside])
    assert (result[~outside] != picture[~outside]).mean() > 0.5


def test_at_the_models_size_the_result_is_the_protected_square(case):
    picture, box, size = case
    square = cut_square(picture, box, size)
    protected = protect(square.image)
    seen = cut_square(paste_square(picture, square, protected), box, size).image.astype(int)
    margin = SOFT_EDGE + 4 / size  # the widths of the soft edge and of the resampling, as shares of the side
    shares = (np.arange(size) + 0.5) / size
    rows, columns = (
        (shares > margin + max(0, -start / square.side)) & (shares < min(1, (end - start) / square.side) - margin)
        for start, end in zip((square.top, square.left), picture.shape[:2], strict=True)
    )
    inside = np.ix_(rows, columns)
    assert rows.sum() > size // 3 and columns.sum() > size // 3
    assert np.abs(seen - protected)[inside].mean() < 1
    assert np.abs(seen - protected)[inside].max() <= 4
    assert np.abs(protected.astype(int) - square.image)[inside].mean() > 5


def test_the_change_fades_out_towards_the_edge_of_the_square():
    picture, box = np.full((300, 300, 3), 100, dtype=np.uint8), (100.0, 100.0, 170.0, 190.0)
    square = cut_square(picture, box, 64)
    change = paste_square(picture, square, square.image + 50)[..., 0].astype(int) - 100
    middle = change[square.top + square.side // 2, square.left : square.left + square.side]
    half = middle[: square.side // 2]
    assert half[0] <= 1 and half[-1] == 50
    assert (np.diff(half) >= 0).all() and np.diff(half).max() <= 12  # no visible step
    np.testing.assert_array_equal(middle, middle[::-1])


@pytest.mark.parametrize("up", [True, False])
def test_values_are_cut_at_black_and_white_and_do_not_wrap(up):
    grain = np.where(np.indices((300, 300)).sum(0) % 2, 250, 5).astype(np.uint8)  # finer than the model's square
    picture = np.stack([grain] * 3, axis=-1)
    square = cut_square(picture, (80.0, 80.0, 190.0, 220.0), 32)
    result = paste_square(picture, square, square.image + 60 if up else square.image - 60)
    assert (result >= picture).all() if up else (result <= picture).all()
    assert result.max() == 255 if up else result.min() == 0
