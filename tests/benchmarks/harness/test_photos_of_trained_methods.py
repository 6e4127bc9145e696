"""`facecloak protect` with a method that must be trained: trained once in --out, found again, resumed after a kill."""

import json

import numpy as np
import pytest
from safetensors.torch import load_file
from skimage.data import astronaut

import facecloak
from benchmarks import METHODS
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from facecloak.io import read_image, write_png
from tests.benchmarks import tinted
from tests.benchmarks.tinted import DIES, FAILS, STEPS
from tests.forked import run


@pytest.fixture
def arguments(toys, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS._targets, "tinted", tinted.PATH)
    monkeypatch.setenv("FACECLOAK_POCKET", str(tmp_path / "nothing"))
    write_png(tmp_path / "me.png", astronaut()[:400])
    STEPS.clear()
    common = ["--suite", str(toys), "--method", "tinted", "--accelerator", "cpu"]
    return ["protect", str(tmp_path / "me.png"), *common, "--out", str(tmp_path / "out")]


def test_what_is_missing_is_announced_and_trained_once(arguments, tmp_path, capsys):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    places = [said.index(text) for text in ("tinted: 1 × mean to train, about 0 min", "1 × tint to train", "┃ photo")]
    assert places == sorted(places)
    STEPS.clear()
    write_png(tmp_path / "you.png", astronaut()[:390])
    assert main([*arguments[:2], str(tmp_path / "you.png"), *arguments[2:]]) == 0
    assert STEPS == [] and "to train" not in capsys.readouterr().out


def test_the_photo_has_the_colour_that_was_learnt(arguments, tmp_path):
    write_png(tmp_path / "me.png", np.clip(astronaut()[:400], 40, 215))  # the tint must not leave 0..255
    assert main(arguments) == 0
    (file,) = (tmp_path / "out" / "checkpoints").glob("tinted-tint-*.safetensors")
    tint = load_file(file)["colour"].flatten().numpy() * 127.5
    x0, y0, x1, y1 = json.loads((tmp_path / "out" / "protect.json").read_text())["photos"][0]["faces"][0]["box"]
    row, column = round((y0 + y1) / 2), round((x0 + x1) / 2)
    change = read_image(tmp_path / "out" / "me.png").astype(float) - read_image(tmp_path / "me.png")
    assert np.abs(tint).max() > 3 and np.abs(change[row, column] - tint).max() < 1.5


def test_a_benchmark_and_protect_share_what_they_train(arguments, tmp_path, capsys):
    suite = arguments[arguments.index("--suite") + 1]
    common = ["--methods", "tinted", "--black-box", "cyd", "--accelerator", "cpu", "--limit", "1"]
    assert main(["benchmark", suite, *common, "--out", str(tmp_path / "out")]) == 0
    STEPS.clear()
    assert main([*arguments, "--judge", "cyd"]) == 0
    assert STEPS == []
    assert main(arguments) == 0  # against other recognizers: only what depends on them is trained
    assert "tint" in STEPS and "mean" not in STEPS


def test_a_killed_training_goes_on_and_ends_with_the_same_photo(arguments, tmp_path):
    whole = [*arguments[:-1], str(tmp_path / "whole")]
    assert main(whole) == 0
    assert run(*arguments, patch=tinted.install, **{DIES: "2"}).returncode == 9
    assert not (tmp_path / "out" / "me.png").exists()
    STEPS.clear()
    assert main(arguments) == 0
    assert STEPS.count("tint") == 2 + 2 and "mean" not in STEPS  # two timed steps, and the unfinished pass
    assert np.array_equal(read_image(tmp_path / "out" / "me.png"), read_image(tmp_path / "whole" / "me.png"))


def test_a_training_that_fails_ends_the_command(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(FAILS, "1")
    assert main(arguments) == 2
    assert "the loss is not finite" in capsys.readouterr().err and not (tmp_path / "out" / "me.png").exists()


def test_a_method_of_another_size_is_refused_before_it_is_trained(arguments, monkeypatch, capsys):
    monkeypatch.setattr(tinted.Tinted, "side", 32)
    assert main(arguments) == 2
    assert "tinted makes pictures of 32×32 pixels, but suite toys has pictures of 64×64" in capsys.readouterr().err
    assert STEPS == []


def test_the_function_trains_only_where_it_is_told(arguments, tmp_path, capsys):
    given = {"suite": arguments[3], "method": "tinted", "accelerator": "cpu"}
    with pytest.raises(FacecloakError, match=r"tinted must be trained first .* protect\(…, trained_in=FOLDER\)"):
        facecloak.protect(tmp_path / "me.png", **given)
    assert STEPS == []
    made = facecloak.protect(tmp_path / "me.png", **given, trained_in=tmp_path / "models")
    assert STEPS and capsys.readouterr().out == ""
    STEPS.clear()
    assert main([*arguments[:-1], str(tmp_path / "models")]) == 0
    assert STEPS == [] and np.array_equal(read_image(tmp_path / "models" / "me.png"), made.image)


def test_diffam_protects_with_the_weights_that_ship(tmp_path, capsys):
    write_png(tmp_path / "me.png", astronaut()[:256, 90:346])
    command = ["protect", str(tmp_path / "me.png"), "--suite", "pocket", "--method", "diffam", "--target", "2"]
    assert main([*command, "--judge", "pocket_ir", "--out", str(tmp_path / "out")]) == 0
    assert "to train" not in capsys.readouterr().out and not (tmp_path / "out" / "checkpoints").exists()
    (outcome,) = json.loads((tmp_path / "out" / "protect.json").read_text())["photos"]
    (face,) = outcome["faces"]
    assert outcome["surrogates"] == ["pocket_irse", "pocket_mobile", "pocket_inception"]
    assert all(face["cosine_to_original_after"][name] < 0.95 for name in outcome["surrogates"])
