"""HEIC, what iPhones make: read as any other photo, or an error that says what to install."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.data import astronaut

from facecloak.errors import FacecloakError
from facecloak.io import read_image

pillow_heif = pytest.importorskip("pillow_heif", reason="pip install 'facecloak[heic]'")
LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


@pytest.fixture
def photo(monkeypatch):
    pixels = np.ascontiguousarray(astronaut()[40:200, 150:270])  # 160×120
    # imageio, which reads the astronaut, registers HEIC's reader if there is one
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    return pixels


def save(path, picture, **options):
    pillow_heif.from_pillow(picture).save(path, **LOSSLESS, **options)
    return path


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".jpg"])
def test_it_is_known_by_its_content(tmp_path, photo, suffix):
    path = save(tmp_path / "photo.heic", Image.fromarray(photo)).rename(tmp_path / f"renamed{suffix}")
    np.testing.assert_array_equal(read_image(path), photo)


def test_another_photo_of_that_name_is_read(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo.heic", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "photo.heic"), photo)


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 1), (8, 3)])
def test_it_is_turned_once(tmp_path, photo, orientation, turn):
    """The file says twice how it is turned, in HEIC's own box and in EXIF, and only the first of them counts."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = Image.fromarray(np.ascontiguousarray(np.rot90(photo, turn)))
    path = save(tmp_path / "photo.heic", lying, exif=exif.tobytes())
    assert b"irot" in path.read_bytes()
    np.testing.assert_array_equal(read_image(path), photo)


def test_transparency_is_laid_over_white(tmp_path, photo):
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:, :60] = 0
    path = save(tmp_path / "photo.heic", Image.fromarray(np.dstack([photo, alpha])))
    image = read_image(path)
    assert (image[:, :60] == 255).all()
    np.testing.assert_array_equal(image[:, 60:], photo[:, 60:])


def test_colours_of_its_profile_become_those_of_srgb(tmp_path, photo):
    """As those of a PNG with the same profile, in which grey is not grey."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    name = lab.find("sRGB".encode("utf-16-be"))
    curves = lab[:name] + "swap".encode("utf-16-be") + lab[name + 8 :]
    tags = {curves[132 + 12 * k : 136 + 12 * k]: 132 + 12 * k for k in range(int.from_bytes(curves[128:132]))}
    swapped = bytearray(curves)
    red, green = (slice(tags[tag] + 4, tags[tag] + 12) for tag in (b"rXYZ", b"gXYZ"))
    swapped[red], swapped[green] = swapped[green], swapped[red]
    path = save(tmp_path / "photo.heic", Image.fromarray(photo), icc_profile=bytes(swapped))
    Image.fromarray(photo).save(tmp_path / "photo.png", icc_profile=bytes(swapped))
    found = read_image(path)
    np.testing.assert_array_equal(found, read_image(tmp_path / "photo.png"))
    assert np.abs(found[..., 0].astype(int) - photo[..., 1]).max() <= 2


def test_a_damaged_one_is_one_line(tmp_path, photo):
    path = save(tmp_path / "photo.heic", Image.fromarray(photo))
    for size in (40, len(path.read_bytes()) // 2):
        (tmp_path / "half.heic").write_bytes(path.read_bytes()[:size])
        with pytest.raises(FacecloakError, match=r"half\.heic: not a readable image \(") as error:
            read_image(tmp_path / "half.heic")
        assert "\n" not in str(error.value)


def test_one_of_too_many_pixels_is_refused(tmp_path, photo, monkeypatch):
    path = save(tmp_path / "photo.heic", Image.fromarray(photo))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", photo.shape[0] * photo.shape[1] // 2 - 1)
    with pytest.raises(FacecloakError, match="19200 pixels exceed the limit"):
        read_image(path)


def test_without_its_reader_it_is_one_line_and_never_misread(tmp_path, photo, monkeypatch):
    path = save(tmp_path / "photo.heic", Image.fromarray(photo))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(FacecloakError, match=r"^\S+photo\.heic: HEIC needs pip install 'facecloak\[heic\]'$"):
        read_image(path)


def test_reading_one_leaves_pillow_as_it_is(tmp_path, photo):
    path = save(tmp_path / "photo.heic", Image.fromarray(photo))
    program = (
        "import sys; from PIL import Image; from facecloak.io import read_image; "
        "Image.init(); before = sorted(Image.ID), dict(Image.EXTENSION); assert 'pillow_heif' not in sys.modules; "
        f"read_image({str(path)!r}); assert 'pillow_heif' in sys.modules; "
        "print(before == (sorted(Image.ID), dict(Image.EXTENSION)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "True\n"
