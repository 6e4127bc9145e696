"""Recognizers that judge and are never attacked."""

import json

import pandas as pd
import pytest
import yaml
from skimage.data import astronaut

from benchmarks.harness.plan import Request, make_plan
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
    plan = make_plan(load_suite(str(suite)), Request(out=tmp_path / "out", methods=["facecloak"], **options))
    return {judge: task.protection.surrogates for task in plan.tasks for judge in task.judges}


def test_every_recognizer_judges_and_only_the_others_are_attacked(suite, tmp_path):
    assert surrogates(suite, tmp_path) == {"ada": ("bob",), "bob": ("ada",), "cyd": ("ada", "bob")}


def test_a_white_box_leaves_it_out_too(suite, tmp_path):
    assert surrogates(suite, tmp_path, white_boxes=["ada"]) == {"ada": ("ada", "bob")}
    with pytest.raises(FacecloakError, match="--white-box cyd: suite toys holds it out"):
        surrogates(suite, tmp_path, white_boxes=["cyd"])


def test_only_what_was_attacked_is_in_the_mean_over_the_surrogates(suite, tmp_path):
    """A method that attacks no recognizer has no such mean."""
    out = tmp_path / "out"
    main(["benchmark", str(suite), "--methods", "blur,facecloak", "--black-box", "ada", "--out", str(out)])
    table = pd.read_csv(out / "leaderboard.csv").set_index("method")
    assert table.loc["blur", "cosine_rise_surrogates"].isna().all()
    (measured,) = (json.loads(path.read_text()) for path in out.glob("protections/facecloak_*/measured.json"))
    seen = [image["surrogates"] for image in measured["images"]]
    assert all(list(each) == ["bob"] for each in seen)
    rises = [now - clean for each in seen for clean, now in each.values()]
    assert list(table.loc["facecloak", "cosine_rise_surrogates"]) == pytest.approx([sum(rises) / len(rises)] * 2)


@pytest.mark.parametrize(
    ("asked", "attacked"),
    [([], ["ada", "bob"]), (["--judge", "ada"], ["bob"]), (["--judge", "cyd"], ["ada", "bob"])],
)
def test_protect_does_not_attack_it(suite, tmp_path, asked, attacked):
    write_png(tmp_path / "portrait.png", astronaut()[:400])
    arguments = [str(tmp_path / "portrait.png"), "--suite", str(suite), "--out", str(tmp_path / "made")]
    assert main(["protect", *arguments, *asked]) == 0
    (outcome,) = json.loads((tmp_path / "made" / "protect.json").read_text())["photos"]
    assert outcome["surrogates"] == attacked == list(outcome["faces"][0]["cosine_to_target_after"])


def test_protect_needs_somebody_to_attack(suite, tmp_path, capsys):
    arguments = ["photo.png", "--suite", str(suite), "--out", str(tmp_path / "made"), "--judge", "ada,bob"]
    assert main(["protect", *arguments]) == 2
    assert "Suite toys has no recognizer to attack except ada, bob" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"held_out": ["cid"]}, "Did you mean 'cyd'"),
        ({"held_out": ["bob", "cyd"]}, "held_out must leave at least two recognizers"),
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
