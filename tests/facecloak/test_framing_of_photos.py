"""Bringing any photo into the frame of an aligned set."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from facecloak.faces import AlignedCrop, FaceDetector
from facecloak.framing import CENTRE_X, CENTRE_Y, FACE_HEIGHT, NOT_CUT, frame
from facecloak.io import write_png

SIZE = 128


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture
def whole(detector):
    return AlignedCrop([0, 0, SIZE, SIZE], detector)


def placed(tmp_path, left, name="photo.png"):
    """The astronaut's head and shoulders somewhere in a wide grey photo."""
    canvas = np.full((300, 700, 3), 128, dtype=np.uint8)
    canvas[20:260, left : left + 240] = astronaut()[:240, 100:340]
    write_png(tmp_path / name, canvas)
    return tmp_path / name


def centre(box):
    x0, y0, x1, y1 = box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, y1 - y0]) / SIZE


def test_a_face_anywhere_comes_to_its_place(tmp_path, detector, whole):
    frames = [frame(placed(tmp_path, left), SIZE, whole, detector)[0].image for left in (0, 230, 450)]
    for image in frames:
        assert centre(detector(image)) == pytest.approx([CENTRE_X, CENTRE_Y, FACE_HEIGHT], abs=0.1)


def test_an_aligned_photo_is_used_as_it_is(tmp_path, detector, whole):
    aligned, _ = frame(placed(tmp_path, 230), SIZE, whole, detector)
    write_png(tmp_path / "aligned.png", aligned.image)
    photo, framing = frame(tmp_path / "aligned.png", SIZE, whole, detector)
    assert framing == NOT_CUT and np.array_equal(photo.image, aligned.image)


def test_a_protected_photo_is_framed_as_its_original(tmp_path, detector, whole):
    """This holds even if its own face has moved or disappeared."""
    _, framing = frame(placed(tmp_path, 230), SIZE, whole, detector)
    blank = np.full((300, 700, 3), 128, dtype=np.uint8)
    write_png(tmp_path / "blank.png", blank)
    photo, _ = frame(tmp_path / "blank.png", SIZE, whole, detector, framing)
    assert photo.image.shape == (SIZE, SIZE, 3) and photo.box is None
    other, same = frame(placed(tmp_path, 450, "other.png"), SIZE, whole, detector, framing)
    assert same == framing and np.array_equal(other.image[:, :5], photo.image[:, :5])


def test_no_face_and_no_photo_are_errors_of_the_photo(tmp_path, detector, whole):
    Image.new("RGB", (200, 100), "white").save(tmp_path / "wall.png")
    assert "no face found" in frame(tmp_path / "wall.png", SIZE, whole, detector)[0].error
    (tmp_path / "text.png").write_text("not a picture")
    assert "not an image file" in frame(tmp_path / "text.png", SIZE, whole, detector)[0].error
