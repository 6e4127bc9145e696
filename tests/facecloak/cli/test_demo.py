"""`facecloak demo` on the toy suite."""

import re

import numpy as np
import pytest
import yaml

from benchmarks.results.pictures import GAP, HEADING, SIDE, difference
from facecloak.cli.demo import run_demo
from facecloak.cli.main import main
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import crop
from facecloak.io import read_image
from facecloak.recognizers import load_recognizer
from tests.facecloak.cloak.pipeline import save_pipeline

SETTINGS = {"lambda_adv": 1.0, "iterations": 6, "embedding_iterations": 0}


@pytest.fixture
def suite(toys, tmp_path):
    save_pipeline(tmp_path / "pipeline")
    content = yaml.safe_load(toys.read_text())
    methods = {"facecloak": {"backbone": str(tmp_path / "pipeline"), **SETTINGS}}
    toys.write_text(yaml.safe_dump({**content, "methods": methods, "held_out": ["bob"]}))
    return toys


def lines(printed):
    """recognizer → role, before, after, threshold, matched before, matched after."""
    found = re.findall(
        r"(\w+) +[│|] (surrogate|black box) *[│|] (.+?) → (.+?) *[│|] (\S+) *[│|] (yes|no) → (yes|no)", printed
    )
    return {name: rest for name, *rest in found}


def cosine(name, picture, test):
    network, box = load_recognizer(name, False), [[4.0, 4.0, 60.0, 60.0]]
    images = to_tensor([read_image(picture), read_image(test)])
    one, other = network(crop(images, images.new_tensor(box * 2), network.input_size))
    return float(one @ other)


def test_the_table_says_what_the_saved_pictures_say(suite, tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--suite", str(suite), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    found, test = lines(printed), suite.parent / "targets" / "100_test.png"
    assert {name: line[0] for name, line in found.items()} == {
        "ada": "surrogate",
        "bob": "black box",
        "cyd": "surrogate",
    }
    for name, (_, before, after, threshold, *matched) in found.items():
        cosines = [cosine(name, out / file, test) for file in ("original.png", "protected.png")]
        assert [before, after] == [f"{value:.2f}" for value in cosines]
        assert threshold == "0.40" and matched == ["yes" if value > 0.4 else "no" for value in cosines]
    assert all(float(found[name][2]) > float(found[name][1]) for name in ("ada", "cyd"))
    assert re.search(r"PSNR \d+\.\d dB, SSIM 0\.\d{3}, \d+\.\d seconds", printed)


def test_the_pictures_stand_side_by_side(suite, tmp_path):
    out = tmp_path / "demo"
    run_demo(str(suite), out)
    original, protected, page = (read_image(out / f"{name}.png") for name in ("original", "protected", "demo"))
    assert np.array_equal(original, read_image(suite.parent / "photos" / "p0.png"))
    assert not np.array_equal(original, protected)
    assert page.shape == (HEADING + SIDE, 3 * (SIDE + GAP) - GAP, 3)
    for column, picture in enumerate((original, protected, difference(protected, original))):
        left = column * (SIDE + GAP)
        assert np.array_equal(page[HEADING:, left : left + SIDE][::4, ::4], picture)


def test_without_held_out_recognizers_the_first_is_the_black_box(suite, tmp_path, capsys):
    suite.write_text(suite.read_text().replace("held_out:\n- bob", "held_out: []"))
    run_demo(str(suite), tmp_path / "demo")
    roles = {name: line[0] for name, line in lines(capsys.readouterr().out).items()}
    assert roles == {"ada": "black box", "bob": "surrogate", "cyd": "surrogate"}


def test_a_photo_that_cannot_be_protected_is_an_error(suite, tmp_path, capsys):
    suite.write_text(suite.read_text().replace("iterations: 6", "iterations: 6\n    lr: 1.0e+30"))
    assert main(["demo", "--suite", str(suite), "--out", str(tmp_path / "demo")]) == 2
    assert "could not be protected: the loss became" in capsys.readouterr().err
    (suite.parent / "photos" / "p0.png").write_text("not a picture")
    with pytest.raises(FacecloakError, match="its first photo cannot be used: .*p0.png"):
        run_demo(str(suite), tmp_path / "demo")
