"""How much of a change to the latent survives the denoising."""

import math

import pytest
import yaml

from benchmarks.studies import purification
from benchmarks.studies.purification import main, survival
from tests.facecloak.cloak.pipeline import save_pipeline
from tests.facecloak.cloak.small import make_method, photos
from tests.reference.models import random_models


def alphas(method):
    """(ᾱ before, ᾱ after) of each generation step."""
    return [(float(method.backbone.alpha(a)), float(method.backbone.alpha(b))) for a, b in method.schedule.generation]


def test_a_denoiser_that_sees_no_noise_takes_nothing_out():
    method = make_method(random_models("test"))
    method.backbone.predict_noise = lambda z, timestep, embedding: 0 * z
    z = photos(3)
    expected = math.prod(math.sqrt(after / before) for before, after in alphas(method))
    assert survival(method, z, [None] * 3, photos(3, seed=2)).tolist() == pytest.approx([expected] * 3)


def test_a_denoiser_that_knows_the_image_takes_all_out_but_the_noise_that_is_left():
    method, z = make_method(random_models("test")), photos(3)
    clean = photos(3, seed=1)

    def noise_over_clean(z, timestep, embedding):
        alpha = method.backbone.alpha(timestep)
        return (z - alpha.sqrt() * clean) / (1 - alpha).sqrt()

    method.backbone.predict_noise = noise_over_clean
    expected = math.prod(math.sqrt((1 - after) / (1 - before)) for before, after in alphas(method))
    assert expected < 0.5
    assert survival(method, z, [None] * 3, photos(3, seed=2)).tolist() == pytest.approx([expected] * 3)


@pytest.fixture
def suite(toys, tmp_path):
    save_pipeline(tmp_path / "pipeline")
    content = yaml.safe_load(toys.read_text())
    content["methods"] = {"facecloak": {"backbone": str(tmp_path / "pipeline")}}
    toys.write_text(yaml.safe_dump(content))
    return str(toys)


def test_the_command_compares_both_embeddings(suite, capsys):
    assert main(["--suite", suite, "--limit", "1", "--facecloak.embedding_iterations=3"]) == 0
    printed = capsys.readouterr().out
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    assert [row[0].strip("| ") for row in rows[2:]] == ["empty prompt", "learned"]
    empty, learned = (float(row[1].split()[0]) for row in rows[2:])
    assert min(empty, learned) > 0 and rows[2][1:] != rows[3][1:]  # one number of them may be the same when rounded


def test_a_small_step_along_the_gradient_lowers_the_adversarial_loss(suite, monkeypatch):
    monkeypatch.setattr(purification, "SIZE", 2e-3)
    lines = purification.measure(suite, 1, ["facecloak.embedding_iterations=3"])
    assert len(lines) == 2 and (lines["drop"] > 0).all()


@pytest.mark.parametrize(
    "argument, said", [("--facecloak.embedding_iterations=0", "embedding_iterations"), ("--facecloak.x=1", "x")]
)
def test_what_cannot_be_compared_is_refused(suite, capsys, argument, said):
    assert main(["--suite", suite, argument]) == 2
    assert said in capsys.readouterr().err
