"""Methods that learn a mask from further photos of a person: which photos they get, and what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from skimage.data import astronaut

import facecloak
from benchmarks.check.findings import findings
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.runner import Runner
from benchmarks.suites.suite import load_suite
from facecloak.cli.main import main
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.io import read_image, sha256, write_png
from facecloak.testing import check_method
from tests.benchmarks.masked import PATH, SEEN, Masked
from tests.toys import write_photo, write_suite


@pytest.fixture
def suite(toys):
    """The toy suite with three further photos of each of its four people."""
    return write_suite(toys.parent, albums=3)


def plan_of(suite, out, *methods, **options):
    return make_plan(
        load_suite(str(suite)), Request(out=out, methods=methods or [PATH], black_boxes=["ada"], **options)
    )


def run(suite, out, *methods, **options):
    SEEN.clear()
    return Runner(plan_of(suite, out, *methods, **options)).run()


def outcomes(out):
    found = (json.loads(path.read_text()) for path in out.glob("protections/Masked*/outcomes/*.json"))
    return {each["id"]: each for each in found}


def images_of(suite, name):
    return to_tensor(read_image(path) for path in sorted((suite.parent / "albums" / name).iterdir()))


def test_each_image_comes_with_the_photos_of_its_own_album_in_order(suite, tmp_path):
    run(suite, tmp_path / "out", batch_size=3)
    assert sorted(SEEN) == ["p0", "p1", "p2", "p3"]
    for name, images in SEEN.items():
        assert torch.equal(images, images_of(suite, name))
        assert {outcomes(tmp_path / "out")[name]["album_photos"]} == {3}
    mask = (SEEN["p2"].mean(0) - SEEN["p2"].mean()).sign().permute(1, 2, 0).numpy()
    (made,) = (tmp_path / "out").glob("protections/Masked*/images/p2.png")
    source = read_image(suite.parent / "photos" / "p2.png")
    assert np.array_equal(read_image(made), (source + 8 * mask).clip(0, 255))
    assert [*findings([tmp_path / "out"])] == []


def test_a_batch_has_albums_only_for_those_who_ask(suite):
    loaded = load_suite(str(suite))
    batch = loaded.batch(limit=2, albums=True)
    assert [len(album.images) for album in batch.albums] == [3, 3] and loaded.batch().albums is None
    assert torch.equal(batch.albums[1].boxes, torch.tensor([[4.0, 4.0, 60.0, 60.0]] * 3))
    method = facecloak.load_method(PATH, loaded, black_box="ada")
    assert method.predict_step(batch).errors == [None, None]
    with pytest.raises(FacecloakError, match=r"Masked learns from an album of each person: give `Batch.albums`"):
        method.predict_step(loaded.batch())


def test_another_photo_in_an_album_makes_another_protection_only_where_albums_are_used(suite, tmp_path):
    def keys(*methods):
        return {task.protection.method: task.protection.key for task in plan_of(suite, tmp_path, *methods).tasks}

    before = keys("blur", PATH)
    write_photo(suite.parent / "albums" / "p3" / "2.png", 3, shot=9)
    after = keys("blur", PATH)
    assert before["blur"] == after["blur"] and before["Masked"] != after["Masked"]
    assert {keys(PATH)["Masked"]} == {task.protection.key for task in plan_of(suite, tmp_path, limit=1).tasks}


def test_only_albums_of_a_targets_own_group_are_in_its_key(suite, tmp_path):
    content = yaml.safe_load(suite.read_text())
    (suite.parent / "one").mkdir()
    shutil.move(suite.parent / "photos" / "p0.png", suite.parent / "one")
    del content["sources"]["folder"]
    content["sources"]["groups"] = {"1": str(suite.parent / "one"), "2": str(suite.parent / "photos")}
    suite.write_text(yaml.safe_dump(content))
    tasks = plan_of(suite, tmp_path, targets=["1", "2"]).tasks
    assert [[*task.protection.albums] for task in tasks] == [["p0"], ["p1", "p2", "p3"]]
    own = [sha256(suite.parent / "albums" / "p0" / f"{shot}.png") for shot in (2, 3, 4)]
    assert tasks[0].protection.albums["p0"] == own


def test_a_stopped_run_goes_on_and_a_finished_one_has_nothing_to_do(suite, tmp_path):
    run(suite, tmp_path / "out", limit=2)
    assert sorted(SEEN) == ["p0", "p1"]
    run(suite, tmp_path / "out", limit=2)
    assert not SEEN
    next((tmp_path / "out").glob("protections/*/outcomes/p1.json")).unlink()
    run(suite, tmp_path / "out", limit=2)
    assert sorted(SEEN) == ["p1"]


def test_unusable_photos_are_left_out_and_said_and_too_few_are_an_error_of_their_source(suite, tmp_path, capsys):
    albums = suite.parent / "albums"
    (albums / "p0" / "3.png").write_bytes(b"no picture")
    for shot in (2, 3):
        (albums / "p1" / f"{shot}.png").write_bytes(b"no picture")
    arguments = ["benchmark", str(suite), "--methods", PATH, "--black-box", "ada", "--out", str(tmp_path / "out")]
    SEEN.clear()
    assert main([*arguments, "--batch-size", "2"]) == 1  # a photo failed
    assert "left out, since they cannot be used: 1 photos of albums; the first: " in capsys.readouterr().out
    found = outcomes(tmp_path / "out")
    assert torch.equal(SEEN["p0"], images_of_usable(albums / "p0", "2.png", "4.png"))
    assert found["p0"]["album_photos"] == 2 and found["p0"]["error"] is None and "p1" not in SEEN
    assert found["p1"]["error"].startswith("1 of 3 photos of the album can be used; ")
    assert "p1/2.png" in found["p1"]["error"] and sorted(SEEN) == ["p0", "p2", "p3"]
    assert [*findings([tmp_path / "out"])] == []
    run(suite, tmp_path / "out")
    assert not SEEN
    (albums / "p1" / "2.png").unlink()
    with pytest.raises(FacecloakError, match="1 of 2 photos of the album can be used"):
        load_suite(str(suite)).batch(albums=True)


def images_of_usable(folder, *names):
    return to_tensor(read_image(folder / name) for name in names)


def test_all_albums_may_be_unusable(suite, tmp_path):
    for path in (suite.parent / "albums").glob("*/*.png"):
        path.write_bytes(f"no picture {path.name}".encode())
    table = run(suite, tmp_path / "out")
    assert not SEEN and (table["n_failed"] == 4).all()
    assert [*findings([tmp_path / "out"])] == []


def copy(source, to):
    shutil.copy(source, to)


def as_bmp(source, to):
    Image.open(source).save(to, format="BMP")


@pytest.mark.parametrize("judged", ["photos/p1.png", "seconds/p3.png"])
@pytest.mark.parametrize("make", [copy, as_bmp])
def test_an_album_must_not_hold_a_photo_that_is_judged(suite, tmp_path, judged, make):
    made = suite.parent / "albums" / "p1" / ("7.bmp" if make is as_bmp else "7.png")
    make(suite.parent / judged, made)
    with pytest.raises(FacecloakError, match=f"{made.name} is the same picture as .*{judged}: a method must not learn"):
        run(suite, tmp_path / "out")
    assert main(["validate", str(suite)]) == 1
    run(suite, tmp_path / "out", "blur")  # nobody learns


def test_what_is_missing_is_said_before_anything_is_made(suite, toys, tmp_path, monkeypatch):
    def refused(message, *methods):
        with pytest.raises(FacecloakError, match=message):
            plan_of(suite, tmp_path / "out", *methods)

    (suite.parent / "albums" / "p1" / "2.png").unlink()
    (suite.parent / "albums" / "p1" / "3.png").unlink()
    refused("albums/p1: an album needs 2 photos or more, it has 1")
    shutil.rmtree(suite.parent / "albums" / "p1")
    refused("albums/p1: no such folder. Each source needs an album, a folder of its name")
    shutil.rmtree(suite.parent / "albums")
    refused("toys needs .*albums: no such folder")
    write_suite(suite.parent)
    monkeypatch.setattr("benchmarks.harness.plan.fetch_needed", lambda *_, **__: pytest.fail("fetched"))
    refused("Masked learns from albums, .* suite toys has none: name their folder in its file .sources: albums.", PATH)


def test_validate_names_what_is_wrong_with_albums(suite, capsys):
    assert main(["validate", str(suite)]) == 0
    shutil.rmtree(suite.parent / "albums" / "p1")
    assert main(["validate", str(suite)]) == 1
    assert "albums/p1: no such folder" in capsys.readouterr().err


def test_people_have_no_albums(suite):
    content = yaml.safe_load(suite.read_text())
    content["sources"] = {"people": "x", "albums": "y"}
    suite.write_text(yaml.safe_dump(content))
    with pytest.raises(FacecloakError, match="sources.albums is for a folder or groups"):
        load_suite(str(suite))


def test_a_photo_of_any_size_is_protected_with_an_album_of_its_person(suite, tmp_path, capsys):
    me, album = tmp_path / "me.png", tmp_path / "album"
    write_png(me, astronaut()[:400])
    for number, photo in enumerate([astronaut()[:390], astronaut()[:400, 20:, ::-1], np.zeros((90, 90, 3), np.uint8)]):
        write_png(album / f"{number}.png", photo)
    common = ["protect", str(me), "--suite", str(suite), "--out", str(tmp_path / "out"), "--faces", "largest"]
    arguments = [*common, "--method", PATH, "--album", str(album)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "left out, since they cannot be used: 1 photos of the album; the first: " in said and "2.png" in said
    assert SEEN["photo"].shape == (2, 3, 64, 64)
    SEEN.clear()
    assert main(arguments) == 0 and not SEEN  # done before
    write_png(album / "2.png", astronaut()[:380])
    assert main(arguments) == 0 and len(SEEN["photo"]) == 3
    made = facecloak.protect(me, suite=str(suite), method=PATH, album=album, faces="largest")
    assert np.array_equal(made.image, read_image(tmp_path / "out" / "me.png"))


def refused_albums(folder):
    """Folders that cannot be an album, and what is said of them."""
    photo, other = astronaut()[:390], astronaut()[:400, 20:, ::-1].copy()
    made = {"empty": [], "one": [photo], "text": [photo], "broken": [photo, other], "mine": [photo, other]}
    for name, photos in made.items():
        (folder / name).mkdir()
        for number, image in enumerate(photos):
            write_png(folder / name / f"{number}.png", image)
    (folder / "text" / "notes.txt").write_text("anna")
    (folder / "broken" / "1.png").write_bytes(b"no picture")
    shutil.copy(folder / "me.png", folder / "mine")
    needs = "an album needs 2 photos or more, it has"
    return {
        "empty": f"{folder}/empty: {needs} 0",
        "one": f"{folder}/one: {needs} 1",
        "text": f"{folder}/text: {needs} 1",
        "broken": "1 of 2 photos of the album can be used; ",
        "me.png": f"{folder}/me.png: no such folder",
        "mine": f"{folder}/me.png is the same picture as {folder}/mine/me.png: a method must not learn from",
    }


def test_a_folder_that_cannot_be_an_album_is_refused_in_one_line(suite, tmp_path):
    write_png(tmp_path / "me.png", astronaut()[:400])
    for name, message in refused_albums(tmp_path).items():
        with pytest.raises(FacecloakError, match=re.escape(message)) as caught:
            facecloak.protect(
                tmp_path / "me.png", suite=str(suite), method=PATH, album=tmp_path / name, faces="largest"
            )
        assert "\n" not in str(caught.value)


def test_photos_of_an_album_may_have_any_names(suite, tmp_path):
    """Results are not named after them: the same name twice is allowed."""
    write_png(tmp_path / "me.png", astronaut()[:400])
    write_png(tmp_path / "album" / "a.png", astronaut()[:390])
    Image.fromarray(astronaut()[:380]).save(tmp_path / "album" / "a.jpg")
    made = facecloak.protect(
        tmp_path / "me.png", suite=str(suite), method=PATH, album=tmp_path / "album", faces="largest"
    )
    assert made.outcome["n_protected"] == 1 and len(SEEN["photo"]) == 2


def test_other_photos_are_protected_where_one_is_in_the_album(suite, tmp_path, capsys):
    for number, rows in enumerate((400, 395)):
        write_png(tmp_path / "photos" / f"{number}.png", astronaut()[:rows])
        write_png(tmp_path / "album" / f"{number}.png", astronaut()[: rows - 10 * number])
    arguments = ["protect", str(tmp_path / "photos"), "--suite", str(suite), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--method", PATH, "--faces", "largest", "--album", str(tmp_path / "album")]) == 1
    assert "0.png is the same picture as" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["1.png"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Masked learns from further photos of the person: name their folder, --album FOLDER"),
        ({"album": "album"}, "Masked protects the person of --album only: add --faces largest"),
        ({"album": "album", "faces": "largest"}, "album: no such folder"),
        ({"album": "album", "method": "blur"}, "blur does not learn from an album: leave --album out"),
    ],
)
def test_an_album_is_for_methods_that_learn_from_it(suite, given, message):
    with pytest.raises(FacecloakError, match=message):
        facecloak.protect("me.jpg", suite=str(suite), **{"method": PATH, **given})


def test_the_check_names_albums_that_do_not_fit(suite, tmp_path):
    run(suite, tmp_path / "out")
    (folder,) = (tmp_path / "out").glob("protections/Masked*")
    about = json.loads((folder / "protection.json").read_text())

    def said(**changes):
        (folder / "protection.json").write_text(json.dumps(about | changes))
        return "\n".join(map(str, findings([tmp_path / "out"])))

    leaked = about["albums"] | {"p3": [*about["albums"]["p3"], outcomes(tmp_path / "out")["p0"]["source_sha256"]]}
    assert "p0 is protected, but it is a photo of the album of p3" in said(albums=leaked)
    assert "protection.json: the albums have the hash" in said(albums=leaked)
    fewer = about["albums"] | {"p3": about["albums"]["p3"][:2]}
    assert "outcomes/p3.json: album_photos is 3, but must be 2 to 2, the size of its album" in said(albums=fewer)
    assert "albums is [], not a list of hashes for each photo" in said(albums=[])
    assert "albums has something that is not a hash" in said(albums={"p3": [3]})
    without = {key: value for key, value in about.items() if key != "albums"}
    (folder / "protection.json").write_text(json.dumps(without))
    assert any("the albums have the hash None" in str(each) for each in findings([tmp_path / "out"]))
    assert said() == ""


@pytest.mark.parametrize("name", ["opom", "chameleon"])
def test_several_judges_give_the_pictures_that_each_gives_alone(name, suite, tmp_path):
    content = yaml.safe_load(suite.read_text())
    methods = {"opom": {"iterations": 2, "grid": 8}, "chameleon": {"epochs": 1, "grid": 8}}
    suite.write_text(yaml.safe_dump(content | {"methods": methods}))

    def pictures(out, *judges):
        plan = make_plan(load_suite(str(suite)), Request(out=out, methods=[name], black_boxes=judges, limit=1))
        Runner(plan).run()
        return {
            (tuple(task.protection.surrogates), path.name): path.read_bytes()
            for task in plan.tasks
            for path in sorted((task.protection.folder(out) / "images").iterdir())
        }

    both = pictures(tmp_path / "both", "ada", "bob")
    alone = pictures(tmp_path / "ada", "ada") | pictures(tmp_path / "bob", "bob")
    assert both == alone and len({surrogates for surrogates, _ in both}) == 2 and len({*both.values()}) == len(both)


class Keeping(Masked):
    def protect(self, batch):
        batch.albums[0].images.zero_()
        return super().protect(batch)


class Mixing(Masked):
    def protect(self, batch):
        batch.albums = [batch.albums[-1]] * len(batch.ids)
        return super().protect(batch)


def test_the_contract_of_methods_includes_their_albums():
    check_method(Masked)
    with pytest.raises(FacecloakError, match="changes the images, boxes or albums that it is given"):
        check_method(Keeping)
    with pytest.raises(FacecloakError, match="an image gives another result in a batch of 4 than alone"):
        check_method(Mixing)
    with pytest.raises(FacecloakError, match="suite celeba_hq has none"):
        check_method(Masked, suite="celeba_hq")
