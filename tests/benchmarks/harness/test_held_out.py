"""Recognizers that judge and that nothing ever attacks."""

import json

import pandas as pd
import pytest
import yaml
from skimage.data import astronaut

from benchmarks.harness.plan import make_plan
from benchmarks.suites.suite import load_suite
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from facecloak.io import write_png
from tests.facecloak.cloak.pipeline import save_pipeline


def change(suite, **values):
    suite.write_text(yaml.safe_dump(yaml.safe_load(suite.read_text()) | values))


@pytest.fixture
def suite(toys, tmp_path):
    save_pipeline(tmp_path / "pipeline")
    settings = {"backbone": str(tmp_path / "pipeline"), "iterations": 1, "embedding_iterations": 0}
    change(toys, held_out=["cyd"], methods={"none": {}, "facecloak": settings})
    return toys


def surrogates(suite, tmp_path, **options):
    plan = make_plan(load_suite(str(suite)), tmp_path / "out", ["facecloak"], **options)
    return {cell.black_box: cell.surrogates for cell in plan.cells}


def test_every_recognizer_judges_and_only_the_others_are_attacked(suite, tmp_path):
    assert surrogates(suite, tmp_path) == {"ada": ("bob",), "bob": ("ada",), "cyd": ("ada", "bob")}


def test_a_white_box_cell_leaves_it_out_too(suite, tmp_path):
    assert surrogates(suite, tmp_path, white_boxes=["ada"]) == {"ada": ("ada", "bob")}
    with pytest.raises(FacecloakError, match="--white-box cyd: suite toys holds it out"):
        surrogates(suite, tmp_path, white_boxes=["cyd"])


def test_it_is_in_no_mean_over_the_surrogates(suite, tmp_path):
    """Also of a method that attacks nobody; and a suite that holds none out is judged again."""
    out = tmp_path / "out"
    arguments = ["benchmark", str(suite), "--methods", "blur", "--black-box", "ada", "--out", str(out)]
    for held_out, others in ((["cyd"], ["bob"]), ([], ["bob", "cyd"])):
        change(suite, held_out=held_out)
        main(arguments)
        (records,) = out.glob("cells/*/records.jsonl")
        rises = [
            record["cosine"]["target"][name] - record["cosine_clean"]["target"][name]
            for record in map(json.loads, records.read_text().splitlines())
            for name in others
        ]
        found = pd.read_csv(out / "leaderboard.csv")["cosine_rise_surrogates"]
        assert list(found) == pytest.approx([sum(rises) / len(rises)] * 2)


@pytest.mark.parametrize(
    ("asked", "attacked"),
    [([], ["ada", "bob"]), (["--black-box", "ada"], ["bob"]), (["--black-box", "cyd"], ["ada", "bob"])],
)
def test_protect_does_not_attack_it(suite, tmp_path, asked, attacked):
    write_png(tmp_path / "portrait.png", astronaut()[:400])
    arguments = [str(tmp_path / "portrait.png"), "--suite", str(suite), "--out", str(tmp_path / "made")]
    assert main(["protect", *arguments, *asked]) == 0
    (outcome,) = json.loads((tmp_path / "made" / "protect.json").read_text())["photos"]
    assert outcome["surrogates"] == attacked == list(outcome["cosine_to_target_after"])


def test_protect_needs_somebody_to_attack(suite, tmp_path, capsys):
    arguments = ["photo.png", "--suite", str(suite), "--out", str(tmp_path / "made"), "--black-box", "ada,bob"]
    assert main(["protect", *arguments]) == 2
    assert "suite toys has no other recognizer to attack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"held_out": ["cid"]}, "Did you mean 'cyd'"),
        ({"held_out": ["bob", "cyd"]}, "held_out must leave two recognizers"),
        ({"surrogates": ["cyd"]}, "surrogates and held_out must not share a name"),
    ],
)
def test_a_suite_that_cannot_be_is_refused(suite, values, message):
    change(suite, **values)
    with pytest.raises(FacecloakError, match=message):
        load_suite(str(suite))


def test_surrogates_that_are_fixed_stay(suite, tmp_path):
    change(suite, surrogates=["ada"])
    assert surrogates(suite, tmp_path) == {"bob": ("ada",), "cyd": ("ada",)}
    rows = ["benchmark", str(suite), "--methods", "none", "--limit", "1", "--out", str(tmp_path / "out")]
    assert main(rows) == 0
    assert set(pd.read_csv(tmp_path / "out" / "leaderboard.csv")["black_box"]) == {"bob", "cyd"}
