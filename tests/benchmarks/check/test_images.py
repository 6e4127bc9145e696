"""The check of pictures: a run has exactly the pictures that its outcomes and measurements name."""

import os
import shutil

import numpy as np
import pytest
import torch

from benchmarks.check.quality import psnr, ssim
from benchmarks.results.distances import read_features, write_features
from benchmarks.results.store import protection_of
from facecloak.io import TEMPORARY, read_image, read_json, sha256, write_json, write_png
from facecloak.metrics import quality
from tests.benchmarks.handmade import answer, edit_json, edit_measured, edit_records, findings, recompute


@pytest.fixture
def protection(cell):
    """The pictures that `cell` judges."""
    return protection_of(cell)


@pytest.mark.parametrize("shape", [(16, 16), (64, 64), (7, 40), (65, 31)])
def test_psnr_and_ssim_are_those_of_the_metrics(shape):
    random = np.random.default_rng(shape)
    photo = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for picture in (photo, photo ^ 1, photo // 2, random.integers(0, 256, (*shape, 3), dtype=np.uint8)):
        pair = [torch.tensor(image).permute(2, 0, 1)[None] for image in (picture, photo)]
        assert psnr(picture, photo) == pytest.approx(float(quality.psnr(*pair)), rel=1e-6)
        assert ssim(picture, photo) == pytest.approx(float(quality.ssim(*pair)), rel=1e-9)


def test_a_removed_and_an_added_picture_are_named(run, cell, protection, capsys):
    (protection / "images" / "p13.png").rename(protection / "images" / "p99.png")
    found = findings(capsys, run, cell)
    assert "images/p13.png is missing" in found and "images/p99.png exists, but no outcome" in found


def test_an_edited_picture_is_named(run, cell, protection, capsys):
    write_png(protection / "images" / "p13.png", read_image(protection / "images" / "p12.png"))
    assert "images/p13.png has SHA-256" in findings(capsys, run, cell)


def test_an_edited_picture_with_its_hash_has_another_quality(run, cell, protection, capsys):
    shutil.copy(protection / "images" / "p12.png", protection / "images" / "p13.png")
    hash_again(protection, "p13")
    found = findings(capsys, run, cell)
    assert "images/p13.png: psnr is" in found and "images/p13.png: ssim is" in found


def test_a_quality_changed_everywhere_is_named(run, cell, capsys):
    edit_measured(cell, "p11", lambda image: image.update(psnr=60.0))
    edit_records(cell, lambda records: records[1].update(psnr=60.0))
    recompute(cell)
    assert "images/p11.png: psnr is 60.0 in measured.json, but is 2" in findings(capsys, run, cell)


def test_a_picture_of_a_failed_photo_is_named(run, cell, protection, capsys):
    write_png(protection / "images" / "p10.png", np.zeros((16, 16, 3), np.uint8))
    assert "images/p10.png exists, but no outcome" in findings(capsys, run, cell)


def hash_again(protection, name: str) -> None:
    """Put the hash of the existing picture into an outcome."""
    found = sha256(protection / "images" / f"{name}.png")
    edit_json(protection / "outcomes" / f"{name}.json", lambda outcome: outcome.update(png_sha256=found))


def test_outcomes_that_are_damaged_or_missing_are_named(run, cell, protection, capsys):
    (protection / "outcomes" / "p11.json").write_text("3")
    (protection / "outcomes" / "p12.json").write_text("{")
    (protection / "outcomes" / "p13.json").unlink()
    found = findings(capsys, run, cell)
    assert "outcomes/p11.json: it is 3" in found and "outcomes/p12.json: not valid JSON" in found
    assert "outcomes/p13.json is missing" in found and "images/p13.png exists" in found
    assert "images/p11.png" not in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["images"].pop(0), "measured.json has no measurements of p11"),
        (
            lambda content: content["images"].append(content["images"][0] | {"id": "p10"}),
            "measured.json has measurements of p10",
        ),
        (lambda content: content["images"].append(content["images"][0]), "it contains p11 2 times"),
        (lambda content: content["images"][0].update(identical=True), "p11: psnr is"),
        (lambda content: content["images"][0].update(ssim=None), "p11: ssim is None, not a number"),
        (lambda content: content["images"][0]["surrogates"].update(eve=[0, 0]), "not cosines by 'bob+cyd'"),
        (lambda content: content["images"][0]["surrogates"].update(bob=[0.5]), "the cosines by bob are [0.5]"),
        (lambda content: content["images"][0]["surrogates"].update(bob=[0, 2]), "the cosines by bob are [0, 2]"),
        (lambda content: content.pop("images"), "it contains no images"),
    ],
)
def test_measurements_of_another_form_are_named(run, cell, protection, capsys, change, said):
    edit_json(protection / "measured.json", change)
    assert said in findings(capsys, run, cell)


def test_missing_measurements_are_named(run, cell, protection, capsys):
    (protection / "measured.json").unlink()
    assert "measured.json: no such file" in findings(capsys, run, cell)


@pytest.mark.parametrize("sources", [True, False])
@pytest.mark.parametrize(
    ("side", "said"), [(None, "not a readable image"), (4, "images/p11.png has 4×4 pixels, but image_size is 16")]
)
def test_a_picture_that_is_none_or_of_another_size_with_its_hash_is_named(
    run, cell, protection, capsys, sources, side, said
):
    """This holds whether or not the run kept the source."""
    picture = protection / "images" / "p11.png"
    write_png(picture, np.zeros((side, side, 3), np.uint8)) if side else picture.write_bytes(b"")
    hash_again(protection, "p11")
    if not sources:
        shutil.rmtree(run / "sources")
    assert said in findings(capsys, run, cell)


def test_a_picture_that_may_not_be_read_is_named(run, cell, protection, capsys, monkeypatch):
    def refuse(path):
        if path.is_relative_to(protection):
            raise PermissionError(13, "Permission denied", str(path))
        return sha256(path)

    monkeypatch.setattr("benchmarks.check.images.sha256", refuse)
    assert "images/p11.png cannot be read (Permission denied)" in findings(capsys, run, cell)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda side: side[:-1], "has features of 2 pictures, but 3 were made"),
        (lambda side: side * np.inf, "damaged"),
        (lambda side: side[0], "damaged"),
    ],
)
def test_features_that_are_not_of_the_pictures_are_named(run, cell, protection, capsys, change, said):
    features = read_features(protection)
    write_features(
        protection, features._replace(protected=change(features.protected), sources=change(features.sources))
    )
    assert said in findings(capsys, run, cell)


def test_features_that_are_damaged_are_named(run, cell, protection, capsys):
    (protection / "features.safetensors").write_bytes(b"features")
    assert "features.safetensors: damaged" in findings(capsys, run, cell)


def test_unknown_files_are_named(run, cell, protection, capsys):
    names = ("notes.txt", "outcomes/p11.txt", "judgements/none/ada/cosines.npy", "judgements/readme")
    for name in names:
        (protection / name).write_text("")
    found = findings(capsys, run, cell)
    assert all(f"{name} is not a result file" in found for name in names) and len(found.splitlines()) == len(names)


def test_what_a_killed_process_left_is_named_and_what_one_is_writing_is_not(run, cell, protection, capsys):
    for folder in (".", "images", "outcomes", "judgements/none/ada"):
        path = protection / folder / f"{TEMPORARY}elsewhere-1-abc"
        path.write_text("")
    assert answer(capsys, run)[0] == 0
    os.utime(path, (0, 0))
    found = findings(capsys, run, cell)
    assert "elsewhere-1-abc was left by a killed process" in found and len(found.splitlines()) == 1


def test_an_outcome_of_another_photo_is_named(run, cell, protection, capsys):
    outcome = read_json(protection / "outcomes" / "p12.json")
    write_json(protection / "outcomes" / "p11.json", outcome)
    assert "outcomes/p11.json: id is 'p12', not the name of its file" in findings(capsys, run, cell)
