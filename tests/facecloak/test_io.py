"""Reading any photo as upright RGB, atomic writing, hashes, folders."""

import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import astronaut

from facecloak.assets.paths import expand
from facecloak.errors import FacecloakError
from facecloak.io import (
    read_image,
    read_json,
    remove_leftovers,
    sha256,
    sha256_json,
    to_csv,
    write_bytes,
    write_json,
    write_png,
)  # fmt: skip

# how a camera that stores orientation k has turned the upright picture (EXIF 2.32, tag 0x0112)
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.fixture
def photo():
    return np.ascontiguousarray(astronaut()[40:200, 150:270])  # 160×120, a portrait


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_is_read_upright(tmp_path, photo, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](photo)))
    stored.save(tmp_path / f"photo{suffix}", exif=exif, lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / f"photo{suffix}"), photo)


def test_an_odd_exif_tag_does_not_keep_a_photo_from_being_turned(tmp_path, photo):
    width = struct.pack("<HHI4s", 0x0100, 2, 4, b"wid")  # as a string, which it may not be
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + width + orientation + bytes(4)
    Image.fromarray(np.rot90(photo)).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), photo)


def test_grey_becomes_three_equal_channels(tmp_path, photo):
    grey = photo[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=-1))


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    grey = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    expected = np.round(grey / 257)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([expected] * 3, axis=-1))


def test_one_bit_is_black_and_white(tmp_path):
    pattern = np.indices((9, 14)).sum(0) % 2 == 0
    Image.fromarray(pattern).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png"), np.stack([pattern * 255] * 3, axis=-1))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_transparency_is_laid_over_white(tmp_path, photo, suffix):
    alpha = np.arange(photo.shape[0] * photo.shape[1], dtype=np.uint32).reshape(photo.shape[:2]) % 256
    Image.fromarray(np.dstack([photo, alpha.astype(np.uint8)])).save(tmp_path / f"a{suffix}", lossless=True, exact=True)
    weight = alpha[..., None] / 255
    expected = weight * photo + (1 - weight) * 255
    assert np.abs(read_image(tmp_path / f"a{suffix}") - expected).max() <= 1


@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_is_resolved(tmp_path, transparent):
    indices = np.arange(60, dtype=np.uint8).reshape(6, 10) % 4
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], dtype=np.uint8)
    image = Image.frombytes("P", (10, 6), indices.tobytes())
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "palette.png", **({"transparency": 2} if transparent else {}))
    expected = colours.copy()
    if transparent:
        expected[2] = 255
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), expected[indices])


def test_a_cmyk_jpeg_is_read_as_rgb(tmp_path):
    Image.new("RGB", (32, 24), (200, 40, 90)).convert("CMYK").save(tmp_path / "photo.jpg", quality=95)
    image = read_image(tmp_path / "photo.jpg")
    assert image.shape == (24, 32, 3)
    assert np.abs(image.astype(int) - (200, 40, 90)).max() <= 4


WHOLE = io.BytesIO()
Image.fromarray(astronaut()[:64, :96]).save(WHOLE, "PNG")
WHOLE = WHOLE.getvalue()
HALF = len(WHOLE) // 2
BOMB = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
BOMB += chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(WHOLE[:HALF], "truncated", id="truncated"),
        pytest.param(WHOLE[:HALF] + bytes([WHOLE[HALF] ^ 255]) + WHOLE[HALF + 1 :], "data stream", id="corrupt"),
        pytest.param(BOMB, "decompression bomb", id="bomb"),
        pytest.param(b"", "not an image file", id="empty"),
        pytest.param(b"not an image", "not an image file", id="text"),
        pytest.param(None, "no such file", id="missing"),
    ],
)
def test_what_is_no_image_is_one_line_with_the_path(tmp_path, content, word):
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FacecloakError, match=word) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_named_as_an_image_is_said_to_be_one(tmp_path):
    with pytest.raises(FacecloakError, match=rf"^{tmp_path}: a folder, not an image\.$"):
        read_image(tmp_path)


def test_floating_point_pixels_are_refused_rather_than_cut_to_black(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(FacecloakError, match="floating-point"):
        read_image(tmp_path / "float.tif")


def test_png_round_trip_is_exact_and_same_pixels_are_same_bytes(tmp_path, photo):
    write_png(tmp_path / "new" / "a.png", photo)
    write_png(tmp_path / "b.png", np.asfortranarray(photo))
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), photo)
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    write_bytes(tmp_path / "file", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "file", b"new and longer")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


KILLED = """
import os, signal, sys
from facecloak.io import write_bytes
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(sys.argv[1], b"new and longer")
"""


def killed_in_a_write(file):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def test_what_a_killed_write_leaves_behind_is_removed_and_nothing_else(tmp_path):
    file = tmp_path / "cells" / "images" / "a.png"
    write_bytes(file, b"old")
    (file.parent / ".a.png.x1y2").write_bytes(b"somebody else's")
    before = set(file.parent.iterdir())
    killed_in_a_write(file)
    assert len(set(file.parent.iterdir()) - before) == 1
    remove_leftovers(tmp_path)
    assert set(file.parent.iterdir()) == before
    assert file.read_bytes() == b"old"


def test_what_a_living_process_or_another_machine_writes_is_not_a_leftover(tmp_path, monkeypatch):
    def is_kept():
        """Note whether the temporary file still exists after `remove_leftovers`, just before a write is finished."""
        [temporary] = tmp_path.glob(".facecloak-tmp-*")
        remove_leftovers(tmp_path)
        kept.append(temporary.exists())

    kept, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (is_kept(), replace(*names)))
    write_bytes(tmp_path / "file", b"new")
    assert kept == [True]
    assert (tmp_path / "file").read_bytes() == b"new"

    killed_in_a_write(tmp_path / "file")
    [temporary] = tmp_path.glob(".facecloak-tmp-*")
    monkeypatch.setattr("platform.node", lambda: "another machine")
    remove_leftovers(tmp_path)
    assert temporary.exists()
    os.utime(temporary, (time.time() - 25 * 3600,) * 2)
    remove_leftovers(tmp_path)
    assert not temporary.exists()


def test_a_file_has_the_permissions_that_the_users_umask_gives(tmp_path):
    for umask, mode in ((0o027, 0o640), (0o002, 0o664), (0o077, 0o600)):
        before = os.umask(umask)
        try:
            write_bytes(tmp_path / "file", b"")
        finally:
            os.umask(before)
        assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    name = "a" * 251 + ".png"
    write_bytes(tmp_path / name, b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\n"])
def test_text_that_a_spreadsheet_would_compute_is_marked_as_text(start):
    name = f'{start}HYPERLINK("http://example.org")'
    table = pd.DataFrame({"method": [name, "pgd"], "psr": [-1.5, 2.0], "psnr": ["identical", -3], f"{start}x": [1, 2]})
    read = pd.read_csv(io.BytesIO(to_csv(table)))
    assert list(read["method"]) == [f"'{name}", "pgd"]
    assert list(read["psr"]) == [-1.5, 2.0]
    assert list(read["psnr"]) == ["identical", "-3"]
    assert list(read.columns) == ["method", "psr", "psnr", f"'{start}x"]


def test_a_carriage_return_begins_no_new_row():
    table = pd.DataFrame({"method": ["\rx", "pgd\r=1+1"], "psr": [1.0, 2.0]})
    assert to_csv(table) == b"method,psr\n' x,1.0\npgd =1+1,2.0\n"


def test_a_table_without_formulas_is_what_pandas_writes():
    table = pd.DataFrame({
        "text": ["a=b", "", "x-y"], "whole": [-1, 2, 3], "number": [-0.1, float("nan"), float("-inf")],
        "some": [1, None, "identical"], "truth": [True, False, None], "kind": pd.Categorical(["a", "b", "a"]),
    })  # fmt: skip
    for part in (table, table[:0], table[[]], pd.DataFrame()):
        assert to_csv(part) == part.to_csv(index=False).encode()


def test_json_is_sorted_and_a_damaged_file_is_named(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}
    assert list(read_json(tmp_path / "a.json")) == ["a", "b"]
    (tmp_path / "bad.json").write_text('{"a": ')
    for name, word in (("bad.json", "not valid JSON"), ("none.json", "no such file"), (".", "folder")):
        with pytest.raises(FacecloakError, match=word) as caught:
            read_json(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_sha256_of_files_and_of_values(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert sha256_json({"b": [1, 2.5], "a": None}) == hashlib.sha256(b'{"a":null,"b":[1,2.5]}').hexdigest()


def test_expand_knows_the_shared_folder_its_default_and_the_home(monkeypatch):
    monkeypatch.setenv("FACECLOAK_SHARED", "/data/faces")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("PART", "targets")
    assert expand("$FACECLOAK_SHARED/$PART/1.png") == Path("/data/faces/targets/1.png")
    assert expand("~/photos") == Path("/home/ada/photos")
    assert expand(Path("plain/a.png")) == Path("plain/a.png")
    monkeypatch.delenv("FACECLOAK_SHARED")
    assert expand("$FACECLOAK_SHARED/models") == Path("../shared/models")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_read_json_would_refuse_is_not_written(tmp_path, number):
    write_json(tmp_path / "a.json", [1.5])
    with pytest.raises(FacecloakError, match=r"a\.json: not written"):
        write_json(tmp_path / "a.json", {"rows": [{"psr": number}]})
    assert read_json(tmp_path / "a.json") == [1.5]


def test_expand_knows_braces_and_no_longer_name(monkeypatch):
    for name in ("FACECLOAK_CACHE", "FACECLOAK_DATA", "FACECLOAK_DATAX", "FACECLOAK_POCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert expand("${FACECLOAK_DATA}/1") == expand("$FACECLOAK_DATA/1") == Path("/home/ada/.cache/facecloak/data/1")
    assert expand("${FACECLOAK_POCKET}s") == Path(f"{expand('$FACECLOAK_POCKET')}s")
    assert expand("$FACECLOAK_DATAX/1") == Path("$FACECLOAK_DATAX/1")
    assert expand("${FACECLOAK_DATAX}/1") == Path("${FACECLOAK_DATAX}/1")
    monkeypatch.setenv("FACECLOAK_DATAX", "/other")
    assert expand("$FACECLOAK_DATAX/1") == expand("${FACECLOAK_DATAX}/1") == Path("/other/1")


def test_a_home_of_nobody_stays_as_it_is():
    assert expand("~nobody-of-that-name/photos") == Path("~nobody-of-that-name/photos")
