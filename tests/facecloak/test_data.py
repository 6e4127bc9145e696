"""Photos at the suite's size, folders of them, pixel conversions, and batches that never change."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facecloak.data import Photo, Sources, batches_of, list_images, read_photo, to_tensor, to_uint8
from facecloak.errors import FacecloakError
from facecloak.io import write_png


def everywhere(image):
    """A face detector that finds a face in every image."""
    return (1.0, 2.0, 3.0, 4.0)


def unasked(image):
    raise AssertionError("the detector was asked although the box is known")


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(32, 32, slice(0, 32), slice(0, 32)), (32, 52, slice(0, 32), slice(10, 42)), (41, 32, slice(4, 36), slice(0, 32))],
)
def test_a_photo_is_its_central_square(tmp_path, height, width, rows, columns):
    image = picture(height, width)
    write_png(tmp_path / "a.png", image)
    photo = read_photo(tmp_path / "a.png", 32, everywhere)
    np.testing.assert_array_equal(photo.image, image[rows, columns])
    assert photo.box == (1.0, 2.0, 3.0, 4.0) and photo.error is None


def test_a_photo_is_brought_to_the_suites_size(tmp_path):
    image = picture(48, 80)
    write_png(tmp_path / "a.png", image)
    photo = read_photo(tmp_path / "a.png", 24, everywhere)
    expected = Image.fromarray(image[:, 16:64]).resize((24, 24), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(photo.image, np.asarray(expected))


def test_a_known_box_follows_the_photo(tmp_path):
    image = np.zeros((60, 100, 3), dtype=np.uint8)
    image[15:45, 32:68] = 255
    write_png(tmp_path / "a.png", image)
    photo = read_photo(tmp_path / "a.png", 20, unasked, box=(32, 15, 68, 45))
    assert photo.box == pytest.approx((4, 5, 16, 15))
    assert photo.image[5:15, 4:16].min() > 200
    assert photo.image[:4].max() < 60 and photo.image[:, :3].max() < 60


def test_a_known_box_outside_of_the_central_square_is_said_so(tmp_path):
    write_png(tmp_path / "a.png", picture(40, 200))
    photo = read_photo(tmp_path / "a.png", 40, unasked, box=(2, 5, 60, 35))
    assert photo.box is None and "outside the central square" in photo.error


def test_an_unreadable_photo_and_one_without_a_face_say_so_in_one_line(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    write_png(tmp_path / "empty.png", picture(32, 32))
    broken = read_photo(tmp_path / "broken.png", 32, everywhere)
    assert broken.image is None and broken.box is None
    assert str(tmp_path / "broken.png") in broken.error and "\n" not in broken.error
    faceless = read_photo(tmp_path / "empty.png", 32, lambda image: None)
    assert faceless.image is not None and faceless.box is None
    assert faceless.error == f"{tmp_path / 'empty.png'}: no face found"


def test_images_are_listed_by_name_and_named_up_to_the_last_dot(tmp_path):
    for name in ("b.png", "a.b.c.png", "C.JPG", "notes.txt", "a.b.d.webp"):
        (tmp_path / name).touch()
    assert [path.stem for path in list_images(tmp_path)] == ["C", "a.b.c", "a.b.d", "b"]


def test_a_folder_without_images_or_with_a_name_twice_is_an_error(tmp_path):
    with pytest.raises(FacecloakError, match="no such folder"):
        list_images(tmp_path / "none")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FacecloakError, match="no image in it"):
        list_images(tmp_path)
    for name in ("a.b.png", "a.b.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(FacecloakError, match=r"two images are named 'a\.b'"):
        list_images(tmp_path)


def test_all_256_values_survive_the_way_to_a_tensor_and_back():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    tensor = to_tensor(values)
    assert tensor.shape == (1, 3, 16, 16) and tensor.dtype == torch.float32
    assert tensor.min() == -1 and tensor.max() == 1
    np.testing.assert_array_equal(to_uint8(tensor), values)


def test_channels_and_rows_keep_their_places():
    image = picture(4, 6)
    np.testing.assert_array_equal(to_tensor([image, image])[1].permute(1, 2, 0).add(1).mul(127.5).round(), image)
    np.testing.assert_array_equal(to_uint8(to_tensor([image]))[0], image)


def test_pixels_are_rounded_rather_than_truncated_and_cut_at_the_ends():
    grey = torch.tensor([-0.6, 0.4, 0.6, 99.4, 99.6, 254.4, 254.6, 255.7, 1000, -1000])
    pixels = to_uint8((grey / 127.5 - 1).expand(1, 3, 1, -1).requires_grad_())
    assert pixels[0, 0, :, 0].tolist() == [0, 0, 1, 99, 100, 254, 255, 255, 255, 0]


def photos(count=7):
    return {f"p{index}": Photo(picture(8, 8, index), (index, 0, 8, 8)) for index in range(count)}


def test_batches_keep_the_order_and_every_name():
    assert batches_of(photos(), 3) == [["p0", "p1", "p2"], ["p3", "p4", "p5"], ["p6"]]
    assert batches_of([], 3) == []


def test_the_loader_yields_every_image_once_with_its_own_box():
    sources = photos()
    seen = Counter()
    for batch in Sources(sources, batches_of(sources, 3)).predict_dataloader():
        seen.update(batch.ids)
        assert batch.images.shape == (len(batch.ids), 3, 8, 8) and batch.boxes.dtype == torch.float32
        for name, pixels, box in zip(batch.ids, to_uint8(batch.images), batch.boxes.tolist(), strict=True):
            np.testing.assert_array_equal(pixels, sources[name].image)
            assert tuple(box) == sources[name].box
    assert seen == Counter(dict.fromkeys(sources, 1))


def test_a_path_may_hold_dots_and_spaces(tmp_path):
    folder = tmp_path / "my photos v1.2"
    write_png(folder / "a.b c.png", picture(16, 16))
    (path,) = list_images(folder)
    assert path == Path(folder / "a.b c.png") and path.stem == "a.b c"
    assert read_photo(path, 16, everywhere).error is None
