"""The proposed method in the whole harness, on a random diffusion model of Stable Diffusion's form."""

import json

import pandas as pd
import pytest
import yaml

from facecloak.cli.main import main
from tests.facecloak.cloak.pipeline import save_pipeline
from tests.toys import RECOGNIZERS

QUICK = ["--facecloak.iterations=6", "--facecloak.embedding_iterations=2", "--limit", "2"]


@pytest.fixture
def suite(toys, tmp_path):
    save_pipeline(tmp_path / "pipeline")
    content = yaml.safe_load(toys.read_text())
    content["methods"] = {"none": {}, "facecloak": {"backbone": str(tmp_path / "pipeline"), "lambda_adv": 1.0}}
    toys.write_text(yaml.safe_dump(content))
    return toys


def test_every_recognizer_judges_and_the_others_are_the_surrogates(suite, tmp_path):
    out = tmp_path / "out"
    assert main(["benchmark", str(suite), "--methods", "facecloak", *QUICK, "--out", str(out)]) == 0
    table = pd.read_csv(out / "leaderboard.csv")
    for _, row in table.iterrows():
        assert set(row["surrogates"].split("+")) == set(RECOGNIZERS) - {row["black_box"]}
    assert (table["cosine_rise_surrogates"] > 0.02).all()
    # inversion, embeddings with their last pass, source maps, the loop, the final image
    assert set(table["unet_passes"]) == {3 + 3 * (2 + 1) + 3 + 6 * 3 + 3}
    for outcome in out.glob("protections/*/outcomes/*.json"):
        adv = json.loads(outcome.read_text())["history"]["adv"]
        assert len(adv) == 6 and adv[-1] < adv[0]


def test_a_white_box_is_among_the_surrogates_and_marked(suite, tmp_path):
    arguments = ["benchmark", str(suite), "--methods", "facecloak,none", *QUICK, "--out", str(tmp_path / "out")]
    assert main([*arguments, "--white-box", "ada"]) == 0
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv").set_index("method")
    assert set(table.loc["facecloak", "surrogates"]) == {"+".join(RECOGNIZERS)}
    assert table.loc["facecloak", "white_box"].all() and not table.loc["none", "white_box"].any()


def test_another_diffusion_model_gives_other_pictures(suite, tmp_path):
    arguments = ["benchmark", str(suite), "--methods", "facecloak", *QUICK, "--black-box", "ada"]
    main([*arguments, "--out", str(tmp_path / "out")])
    weights = tmp_path / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    main([*arguments, "--out", str(tmp_path / "out")])
    assert len(list((tmp_path / "out" / "protections").iterdir())) == 2


def test_a_loss_that_is_no_number_is_an_outcome(suite, tmp_path, capsys):
    arguments = ["benchmark", str(suite), "--methods", "facecloak", *QUICK, "--black-box", "ada", "--facecloak.lr=1e30"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
    (records,) = (tmp_path / "out").glob("protections/*/judgements/*/*/records.jsonl")
    errors = [json.loads(line)["error"] for line in records.read_text().splitlines()]
    assert all("the loss became" in error for error in errors)
    assert not list((tmp_path / "out").glob("protections/*/images/*"))
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert set(table["n_failed"]) == {2} and set(table["psr"]) == {0}


def test_a_missing_diffusion_model_is_one_line(suite, tmp_path, capsys):
    arguments = ["--methods", "facecloak", "--facecloak.backbone=./gone", "--out", str(tmp_path / "out")]
    assert main(["benchmark", str(suite), *arguments]) == 2
    assert "gone: no such folder. Set 'backbone'" in capsys.readouterr().err


def test_presets_that_come_to_the_same_are_not_merged_silently(suite, tmp_path, capsys):
    same = ["--facecloak.iterations=6", "--facecloak.reduction=sum"]
    arguments = ["--methods", "facecloak:code,facecloak:paper", *same, "--out", str(tmp_path / "out")]
    assert main(["benchmark", str(suite), *arguments]) == 2
    assert "facecloak:code* and facecloak:paper* have the same settings" in capsys.readouterr().err
