"""`facecloak protect`: every face of any photo, folders of photos, and results that are recognised by content."""

import io
import json
import os
import shutil

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image, ImageCms
from skimage.data import astronaut

import facecloak
from baselines.naive import Blur
from benchmarks.harness import photo_store
from benchmarks.harness.photos import protect_photos
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from facecloak.io import read_image, write_png
from tests.toys import write_photo


@pytest.fixture
def portrait(tmp_path):
    """A 400×512 photo with one real face."""
    path = tmp_path / "portrait.v1.png"
    write_png(path, astronaut()[:400])
    return path


@pytest.fixture
def group(tmp_path):
    """A 200×512 photo of two real faces, the second one smaller."""
    face, small = astronaut()[:256, 90:346], Image.fromarray(astronaut()[:256, 90:346]).resize((160, 160))
    photo = np.full((256, 512, 3), 90, dtype=np.uint8)
    photo[:, :256], photo[48:208, 304:464] = face, np.asarray(small)
    path = tmp_path / "group.png"
    write_png(path, photo)
    return path


def outcomes(out):
    return json.loads((out / "protect.json").read_text())["photos"]


def protect(toys, out, *photos, options=()):
    return main(["protect", *map(str, photos), *options, "--suite", str(toys), "--method", "blur", "--out", str(out)])


def test_protect_changes_the_face_only_and_keeps_the_size(toys, tmp_path, portrait, capsys):
    assert protect(toys, tmp_path / "out", portrait) == 0
    before, after = read_image(portrait), read_image(tmp_path / "out" / "portrait.v1.png")
    assert after.shape == before.shape
    changed = np.argwhere((before != after).any(axis=2))
    x0, y0, x1, y1 = outcomes(tmp_path / "out")[0]["faces"][0]["box"]
    assert len(changed) > 1000
    centre, (height, width) = changed.mean(axis=0), (y1 - y0, x1 - x0)
    assert abs(centre[0] - (y0 + y1) / 2) < height / 2 and abs(centre[1] - (x0 + x1) / 2) < width / 2
    assert np.array_equal(before[:, 350:], after[:, 350:])
    assert "similarity" in capsys.readouterr().out


def test_protect_records_what_it_could_not_protect(toys, tmp_path, portrait, capsys):
    faceless, broken = tmp_path / "wall.png", tmp_path / "broken.png"
    write_png(faceless, np.full((120, 90, 3), 128, dtype=np.uint8))
    broken.write_text("not a picture")
    assert protect(toys, tmp_path / "out", faceless, broken, tmp_path / "gone.jpg", portrait) == 1
    found = outcomes(tmp_path / "out")
    assert ["no face found" in (o["error"] or "") for o in found] == [True, False, False, False]
    assert "not a readable image" in found[1]["error"] and "no such file" in found[2]["error"]
    assert found[3]["error"] is None
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["portrait.v1.png"]


def test_protect_never_overwrites_its_source(toys, portrait, capsys):
    before = portrait.read_bytes()
    assert protect(toys, portrait.parent, portrait) == 2
    assert "would be overwritten" in capsys.readouterr().err and portrait.read_bytes() == before


def test_protect_never_touches_a_file_that_is_not_its_own(toys, tmp_path, portrait, capsys):
    own = tmp_path / "out" / portrait.name
    write_photo(own, 5)
    before = own.read_bytes()
    assert protect(toys, tmp_path / "out", portrait) == 2
    assert "is not a result of" in capsys.readouterr().err and own.read_bytes() == before
    own.unlink()
    assert protect(toys, tmp_path / "out", portrait) == protect(toys, tmp_path / "out", portrait) == 0


def test_protect_takes_any_file_name(toys, tmp_path, portrait, capsys):
    odd = portrait.rename(tmp_path / "my [red] face.png")
    assert protect(toys, tmp_path / "out", odd) == 0
    assert "[red]" in capsys.readouterr().out


def changed(before, after, left, right):
    return int((read_image(before) != read_image(after))[:, left:right].any(axis=2).sum())


def test_every_face_of_a_group_is_protected(toys, tmp_path, group, capsys):
    assert protect(toys, tmp_path / "all", group) == 0
    (outcome,) = outcomes(tmp_path / "all")
    assert (outcome["n_faces"], outcome["n_protected"], len(outcome["faces"])) == (2, 2, 2)
    assert all(changed(group, tmp_path / "all" / "group.png", *side) > 500 for side in ((0, 256), (280, 512)))
    assert "2 of 2" in capsys.readouterr().out
    assert protect(toys, tmp_path / "one", group, options=["--faces", "largest"]) == 0
    (outcome,) = outcomes(tmp_path / "one")
    assert (outcome["n_faces"], outcome["n_protected"], len(outcome["faces"])) == (2, 1, 1)
    assert changed(group, tmp_path / "one" / "group.png", 0, 256) > 500
    assert changed(group, tmp_path / "one" / "group.png", 290, 512) == 0
    assert "1 of 2" in capsys.readouterr().out


def test_a_group_is_protected_wholly_or_not_at_all(toys, tmp_path, group, monkeypatch, capsys):
    step, faces = Blur.predict_step, iter([False, True])

    def fail_at_the_second(self, batch, *rest):
        if next(faces):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return step(self, batch, *rest)

    monkeypatch.setattr(Blur, "predict_step", fail_at_the_second)
    assert protect(toys, tmp_path / "out", group) == 1
    assert not list((tmp_path / "out").glob("*.png")) and "out of memory" in outcomes(tmp_path / "out")[0]["error"]


def test_one_photo_that_is_too_much_does_not_end_the_others(toys, tmp_path, portrait, monkeypatch, capsys):
    photos = [shutil.copy(portrait, tmp_path / f"{number}.png") for number in range(3)]
    step, calls = Blur.predict_step, iter([None, torch.OutOfMemoryError("CUDA out of memory."), None])

    def fail(self, batch, *rest):
        error = next(calls)
        if error:
            raise error
        return step(self, batch, *rest)

    monkeypatch.setattr(Blur, "predict_step", fail)
    assert protect(toys, tmp_path / "out", *photos) == 1
    assert [bool(outcome["error"]) for outcome in outcomes(tmp_path / "out")] == [False, True, False]
    assert "1.png: out of memory" in (said := capsys.readouterr().err) and "--batch-size" not in said


def test_two_photos_of_one_name_both_get_a_result(toys, tmp_path, portrait, capsys):
    write_png(tmp_path / "other" / "portrait.v1.tif.png", astronaut()[:410])
    Image.fromarray(astronaut()[:410]).save(tmp_path / "other" / "portrait.v1.tif")
    assert protect(toys, tmp_path / "out", portrait, tmp_path / "other" / "portrait.v1.tif") == 0
    sizes = {path.name: read_image(path).shape[0] for path in (tmp_path / "out").glob("*.png")}
    assert sizes == {"portrait.v1.png": 400, "portrait.v1.tif.png": 410}
    assert (
        protect(toys, tmp_path / "out", tmp_path / "other" / "portrait.v1.tif") == 0
    )  # protected on its own, it goes to a new place
    assert read_image(tmp_path / "out" / "portrait.v1.png").shape[0] == 400


def test_own_results_are_known_wherever_they_are(toys, tmp_path, portrait, monkeypatch, capsys):
    assert protect(toys, tmp_path / "out", portrait) == 0
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    made = (moved / portrait.name).stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    assert protect(toys, "elsewhere", portrait.name) == 0
    assert "done before" in capsys.readouterr().out and (moved / portrait.name).stat().st_mtime_ns == made
    assert protect(toys, "elsewhere", portrait.name, options=["--blur.sigma=9"]) == 0  # other settings: made again
    assert "done before" not in capsys.readouterr().out and (moved / portrait.name).stat().st_mtime_ns != made
    assert len(outcomes(moved)) == 1


def test_a_killed_command_can_be_repeated(toys, tmp_path, portrait, monkeypatch, capsys):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(photo_store, "write_bytes", kill)  # the picture; the data about it have already been written
        assert protect(toys, tmp_path / "out", portrait) == 2
    with monkeypatch.context() as patch:
        patch.setattr(photo_store, "write_json", kill)
        assert protect(toys, tmp_path / "out", portrait) == 2
    assert protect(toys, tmp_path / "out", portrait) == 0
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == [portrait.name]
    assert len(outcomes(tmp_path / "out")) == 1


def test_folders_are_walked_and_their_tree_is_kept(toys, tmp_path, portrait, capsys):
    for place in ("album/1.png", "album/rome/1.png", "album/.trash/2.png", "album/@eaDir/3.png", "out_of_it/4.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portrait, tmp_path / place)
    (tmp_path / "album" / "dir.png").mkdir()
    (tmp_path / "album" / "link.png").symlink_to(tmp_path / "out_of_it" / "4.png")
    out = tmp_path / "album" / "protected"  # inside the folder that is searched: results are not protected again
    assert protect(toys, out, tmp_path / "album") == protect(toys, out, tmp_path / "album") == 0
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert found == ["1.png", "rome/1.png"]
    assert protect(toys, tmp_path / "new", tmp_path / "album" / ".trash") == 0  # asked for by name
    assert protect(toys, out, out) == 2 and "all of them are results" in capsys.readouterr().err


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png", b"x" * 245 + b".png", "Ünal 東.png".encode()])
def test_odd_names_are_protected_and_resumed(toys, tmp_path, portrait, name, capsys):
    photo = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
    os.rename(portrait, photo)
    assert protect(toys, tmp_path / "out", photo) == 0
    (result,) = (tmp_path / "out").glob("*.png")
    made = result.stat().st_mtime_ns
    assert protect(toys, tmp_path / "out", photo) == 0
    assert len(outcomes(tmp_path / "out")) == len(list((tmp_path / "out").glob("*.png"))) == 1
    assert result.stat().st_mtime_ns == made


def test_the_function_returns_what_the_file_says(toys, tmp_path, portrait, capsys):
    (made,) = protect_photos([portrait], tmp_path / "out", suite=str(toys), method="blur")
    assert capsys.readouterr().out == ""
    assert {key: made[key] for key in made if key != "done_before"} == outcomes(tmp_path / "out")[0]


def test_a_foreign_file_of_that_name_is_an_error(toys, tmp_path, portrait, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "protect.json").write_text("[1]")
    assert protect(toys, tmp_path / "out", portrait) == 2
    assert "was not made by this version of `facecloak protect`" in capsys.readouterr().err


def test_colours_of_a_profile_become_those_of_srgb(tmp_path):
    """A photo in a profile with red and green swapped is read as a screen shows it, not as its raw numbers."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {srgb[132 + 12 * k : 136 + 12 * k].decode(): 132 + 12 * k for k in range(int.from_bytes(srgb[128:132]))}
    for offset in (4, 8):  # where the colorants are, and their sizes
        red, green = (slice(tags[tag] + offset, tags[tag] + offset + 4) for tag in ("rXYZ", "gXYZ"))
        srgb[red], srgb[green] = srgb[green], srgb[red]
    name = bytes(srgb).find("sRGB".encode("utf-16-be"))
    srgb[name : name + 8] = "swap".encode("utf-16-be")
    picture = Image.new("RGB", (8, 8), (200, 40, 90))
    stream = io.BytesIO()
    picture.save(stream, "PNG", icc_profile=bytes(srgb))
    (tmp_path / "swapped.png").write_bytes(stream.getvalue())
    picture.save(tmp_path / "plain.png")
    picture.save(tmp_path / "broken.png", icc_profile=b"not a profile")
    assert np.abs(read_image(tmp_path / "swapped.png")[0, 0].astype(int) - (40, 200, 90)).max() <= 2
    for name in ("plain.png", "broken.png"):
        assert tuple(read_image(tmp_path / name)[0, 0]) == (200, 40, 90)


def write_jpeg(path):
    """A phone's JPEG: turned by EXIF, with a place, a thumbnail and a comment."""
    tags = Image.Exif()
    tags[0x0112] = 6  # to be turned by 90 degrees
    tags.get_ifd(0x8825)[1] = "N"
    tags.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    lying = Image.fromarray(astronaut()[:400]).transpose(Image.Transpose.ROTATE_90)
    lying.save(path, exif=tags.tobytes(), quality=98, comment=b"at home")
    return path


def test_a_jpeg_stays_a_jpeg_if_asked_upright_and_without_place_or_other_metadata(toys, tmp_path, capsys):
    photo = write_jpeg(tmp_path / "phone.jpg")
    assert b"Exif" in photo.read_bytes() and b"at home" in photo.read_bytes()
    assert protect(toys, tmp_path / "out", photo, options=("--format", "jpeg")) == 0
    assert "no GPS position" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "phone.jpg") as result:
        assert (result.format, result.size) == ("JPEG", (512, 400))
        assert not result.getexif() and result.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        pixels = np.asarray(result.convert("RGB")).astype(float)
    (made,) = outcomes(tmp_path / "out")
    error = np.mean((pixels - read_image(photo)) ** 2)
    assert made["psnr"] == pytest.approx(10 * np.log10(255**2 / error))
    assert protect(toys, tmp_path / "out", photo) == 0  # the PNG beside it
    assert sorted(path.name for path in (tmp_path / "out").glob("p*.*g")) == ["phone.jpg", "phone.png"]
    exact = next(each for each in outcomes(tmp_path / "out") if each["result"] == "phone.png")
    assert exact["psnr"] != made["psnr"] and np.mean((pixels - read_image(tmp_path / "out" / "phone.png")) ** 2) < 20


def test_a_photo_is_saved_only_as_what_it_was_measured_as(toys, tmp_path, portrait):
    made = facecloak.protect(portrait, suite=str(toys), method="blur", format="jpeg")
    with pytest.raises(FacecloakError, match=r"protected as jpeg, so that its name must end in \.jpg"):
        made.save(tmp_path / "me.png")
    made.save(tmp_path / "me.jpg")
    assert np.array_equal(read_image(tmp_path / "me.jpg"), made.image)


def test_two_commands_do_not_write_into_one_folder(toys, tmp_path, portrait, capsys):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".protect.lock"):
        assert protect(toys, tmp_path / "out", portrait) == 2
    assert "Another `facecloak protect` is writing to" in capsys.readouterr().err
    assert protect(toys, tmp_path / "out", portrait) == 0


def test_a_methods_own_sentence_becomes_part_of_one(toys, portrait, tmp_path, monkeypatch, capsys):
    def refuse(self, batch):
        raise FacecloakError("fp16 needs a GPU.")

    monkeypatch.setattr(Blur, "protect", refuse)
    assert protect(toys, tmp_path / "out", portrait) == 1
    assert f"{portrait}: fp16 needs a GPU, not protected." in capsys.readouterr().err
