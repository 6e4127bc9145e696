"""`python -m facecloak.pocket.train` at a very small size: single stages, in order, resumed, and their files."""

import pytest
import torch
from diffusers import DDPMPipeline

from facecloak.cloak.backbone import Backbone
from facecloak.io import read_json, sha256
from facecloak.pocket import train
from facecloak.pocket.training import autoencoder, diffusion, language, parameters, pixels, recognition, tiny
from facecloak.recognizers import load_recognizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pocket")


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.setattr(train, "TRAIN", range(0, 4))
    for module in (recognition, language, parameters):
        monkeypatch.setattr(module, "EPOCHS", 1)
        monkeypatch.setattr(module, "BATCH", 16)
    monkeypatch.setattr(autoencoder, "FORM", {**autoencoder.FORM, "until": 2})
    monkeypatch.setattr(autoencoder, "COLOUR", {**autoencoder.COLOUR, "steps": 2})
    monkeypatch.setattr(tiny, "PEOPLE", 2)
    for module in (autoencoder, diffusion, pixels, tiny):
        monkeypatch.setattr(module, "BATCH", 2)
    for module in (diffusion, pixels, tiny):
        monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(autoencoder, "SCALING_BATCH", 4)

    def run(*stages: str) -> None:
        arguments = ["--out", str(folder / "out"), "--work", str(folder / "work"), "--stages", ",".join(stages)]
        monkeypatch.setattr("sys.argv", ["train", *arguments, "--device", "cpu"])
        train.main()

    return run


def test_a_stage_says_what_it_needs(run):
    with pytest.raises(SystemExit, match="no stage painting. Known: clip, ir"):
        run("painting")
    with pytest.raises(SystemExit, match="vae is missing: run the stage autoencoder first"):
        run("diffusion")


def test_every_stage_leaves_a_model_that_loads(run, folder, monkeypatch, capsys):
    run("ir", "clip", "features", "autoencoder", "ddpm")
    run("tiny")
    run("diffusion")  # on its own, from the files of the others
    assert "clip: 2/2" in capsys.readouterr().out
    out = folder / "out"
    monkeypatch.setenv("FACECLOAK_POCKET", str(out))
    assert load_recognizer("pocket_ir", True)(torch.zeros(1, 3, 64, 64)).shape == (1, 128)
    backbone = Backbone.load(str(out / "diffusion"), "float32", "float32", str(out / "tiny_decoder"))
    latent = backbone.encode(torch.zeros(1, 3, 128, 128), 1)
    assert latent.shape == (1, 12, 16, 16) and backbone.decode(latent).shape == (1, 3, 128, 128)
    assert backbone.decode(latent, for_gradient=True).shape == (1, 3, 128, 128)
    assert backbone.null_embedding(1).shape == (1, 32, 96)
    assert DDPMPipeline.from_pretrained(out / "ddpm").unet.config.sample_size == 128 // pixels.FOLD
    listed = read_json(out / "manifest.json")
    assert str(out) not in (out / "diffusion" / "vae" / "config.json").read_text()
    assert "recognizers/pocket_ir.safetensors" in listed and "clip/tokenizer.json" in listed
    assert all(sha256(out / name) == digest for name, digest in listed.items())


def test_a_finished_stage_is_written_again_without_training(run, folder, capsys):
    file = folder / "out" / "recognizers" / "pocket_ir.safetensors"
    run("ir")  # whether or not another test has run it
    capsys.readouterr()
    before = sha256(file)
    file.unlink()
    run("ir")
    assert sha256(file) == before and "ir: 2/2" not in capsys.readouterr().out
