"""What `facecloak protect` takes as photos: patterns that the shell has not expanded, and HEIC."""

import json
import sys

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from benchmarks.harness.folders import find_photos
from facecloak.cli.main import main
from facecloak.errors import FacecloakError


@pytest.fixture
def album(tmp_path):
    for name in ("b.jpg", "a.jpg", "c.png", "notes.txt", ".hidden.jpg", "rome/1.jpg", "rome/2.png", "[x].jpg", "x.jpg"):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "album" / name).write_bytes(b"x")
    return tmp_path / "album"


def found(*paths, is_result=lambda path: False):
    return [(path.name, folder.as_posix()) for path, folder in find_photos(paths, is_result)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("[ab].jpg", ["a.jpg", "b.jpg"]),
        ("?.png", ["c.png"]),
        ("*.txt", None),
        ("*.gif", None),
        ("*/*.jpg", ["1.jpg"]),
        ("**/*.png", ["c.png", "2.png"]),
        ("[x].jpg", ["[x].jpg"]),  # a file of that very name
    ],
)
def test_a_pattern_means_the_photos_that_match_it(album, pattern, names):
    if names is None:
        with pytest.raises(FacecloakError, match="no photo matches this pattern"):
            found(album / pattern)
    else:
        assert found(album / pattern) == [(name, ".") for name in names]


def test_a_pattern_may_match_folders_and_photos_that_were_named_already(album):
    assert found(album / "a.jpg", album / "*") == [
        (name, ".") for name in ("a.jpg", "[x].jpg", "b.jpg", "c.png", "1.jpg", "2.png", "x.jpg")
    ]


def test_a_pattern_leaves_out_earlier_results(album):
    assert found(album / "*.jpg", is_result=lambda path: path.name != "a.jpg") == [("a.jpg", ".")]
    with pytest.raises(FacecloakError, match="only results of `facecloak protect` match"):
        found(album / "*.jpg", is_result=lambda path: True)


def test_the_home_of_the_user_may_begin_a_pattern(album, monkeypatch):
    monkeypatch.setenv("HOME", str(album))
    assert found(album.__class__("~/?.png")) == [("c.png", ".")]


def protect(toys, out, *photos):
    return main(["protect", *map(str, photos), "--suite", str(toys), "--method", "blur", "--out", str(out)])


def test_a_pattern_that_matches_nothing_ends_the_command(toys, tmp_path, capsys):
    assert protect(toys, tmp_path / "out", tmp_path / "*.jpg") == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/*.jpg: no photo matches this pattern.\n"


def test_heic_is_protected_and_in_a_folder_it_is_an_error_without_its_reader(toys, tmp_path, monkeypatch, capsys):
    pillow_heif = pytest.importorskip("pillow_heif", reason="pip install 'facecloak[heic]'")
    (tmp_path / "album").mkdir()
    picture = Image.fromarray(np.ascontiguousarray(astronaut()[:256, 90:346]))
    picture.save(tmp_path / "album" / "other.png")
    pillow_heif.from_pillow(picture).save(tmp_path / "album" / "IMG_1.HEIC")
    # imageio, which reads the astronaut, registers HEIC's reader if there is one
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        assert protect(toys, tmp_path / "out", tmp_path / "album") == 1
    assert capsys.readouterr().err == f"{tmp_path}/album/IMG_1.HEIC: HEIC needs pip install 'facecloak[heic]'\n"
    assert protect(toys, tmp_path / "out", tmp_path / "album") == 0
    photos = json.loads((tmp_path / "out" / "protect.json").read_text())["photos"]
    assert sorted(photo["result"] for photo in photos) == ["IMG_1.png", "other.png"]
