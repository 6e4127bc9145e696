"""`facecloak evaluate`, `calibrate` and `list`."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from skimage.data import astronaut

from benchmarks import METHODS
from benchmarks.suites.paths import list_suites
from benchmarks.suites.suite import load_suite
from facecloak.assets import find_asset
from facecloak.assets.store import folder_of, write_record
from facecloak.cli.arguments import LISTS
from facecloak.cli.main import main
from facecloak.errors import FacecloakError
from facecloak.io import write_png
from tests.facecloak.cloak.pipeline import save_pipeline
from tests.toys import RECOGNIZERS, write_photo, write_suite


@pytest.fixture
def portrait(tmp_path):
    """A 400×512 photo with one real face."""
    path = tmp_path / "photos" / "portrait.v1.png"
    write_png(path, astronaut()[:400])
    return path


def test_what_protect_attacked_is_a_white_box_to_evaluate(toys, tmp_path, portrait, capsys):
    save_pipeline(tmp_path / "pipeline")
    settings = [f"--facecloak.backbone={tmp_path / 'pipeline'}", "--facecloak.iterations=1", "--judge", "bob"]
    arguments = ["--suite", str(toys), "--method", "facecloak", "--out", str(portrait.parent / "protected"), *settings]
    assert main(["protect", str(portrait), *arguments]) == 0
    photos = ["--originals", portrait.parent, "--protected", portrait.parent / "protected"]
    assert evaluate(toys, tmp_path, photos) == 0
    scores = pd.read_csv(tmp_path / "scores" / "leaderboard.csv")
    assert dict(scores.groupby("black_box")["white_box"].first()) == {"ada": True, "bob": False, "cyd": True}
    assert "ada (white box)" in capsys.readouterr().out


@pytest.fixture
def folders(tmp_path):
    """Originals and another tool's results: the target itself, the original itself, and one that is missing."""
    for person in range(3):
        write_photo(tmp_path / "originals" / f"p{person}.png", person)
        write_photo(tmp_path / "others" / f"p{person}.png", person, shot=1)
    write_photo(tmp_path / "made" / "p0.png", 100, shot=1)
    write_photo(tmp_path / "made" / "p1.png", 1)
    return ["--originals", tmp_path / "originals", "--protected", tmp_path / "made"]


def evaluate(toys, tmp_path, arguments):
    command = ["evaluate", "--suite", toys, "--out", tmp_path / "scores", *arguments]
    return main([str(argument) for argument in command])


def test_evaluate_scores_what_anyone_made(toys, tmp_path, folders, capsys):
    assert evaluate(toys, tmp_path, [*folders, "--others", tmp_path / "others"]) == 1
    assert "p2: " in capsys.readouterr().err
    scores = pd.read_csv(tmp_path / "scores" / "leaderboard.csv")
    assert set(scores["black_box"]) == set(RECOGNIZERS)
    assert set(scores["n_failed"]) == {1} and set(scores["n_identical"]) == {1}
    (path,) = (tmp_path / "scores").glob("protections/*/judgements/none/ada/records.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[0]["cosine"]["target"] == pytest.approx(1, abs=1e-5)
    for _, row in scores[scores["black_box"] == "ada"].iterrows():
        hits = [record["cosine"]["target"] > row["threshold"] for record in records[:2]]
        assert row["psr"] == pytest.approx(sum(hits) / 3)


def test_evaluate_wants_equal_sizes(toys, tmp_path, folders, capsys):
    write_png(tmp_path / "made" / "p2.png", np.zeros((32, 64, 3), dtype=np.uint8))
    assert evaluate(toys, tmp_path, folders) == 1
    assert "64×32, its original is 64×64" in capsys.readouterr().err


def test_evaluate_refuses_a_picture_without_original(toys, tmp_path, folders, capsys):
    write_photo(tmp_path / "made" / "stranger.png", 9)
    assert evaluate(toys, tmp_path, folders) == 2
    assert "no original of the same name" in capsys.readouterr().err


def test_calibrated_thresholds_can_be_used_at_once(tmp_path, monkeypatch, capsys):
    root = tmp_path / "toys"
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(root / "weights"))
    suite = write_suite(root, people=34, thresholds=str(tmp_path / "new.json"))
    assert main(["calibrate", str(suite), "--out", str(tmp_path / "new.json")]) == 0
    assert "1122 impostor pairs of 34 people" in capsys.readouterr().out
    table = json.loads((tmp_path / "new.json").read_text())
    assert set(table) == set(RECOGNIZERS)
    for entry in table.values():
        point = entry["fars"]["0.01"]
        assert point["low"] <= point["threshold"] <= point["high"]
    arguments = ["benchmark", str(suite), "--methods", "none", "--limit", "2", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0


def test_what_machines_keep_beside_photos_is_no_person(toys, tmp_path, capsys):
    for person in range(34):
        for shot in range(2):
            write_photo(tmp_path / "people" / f"p{person:02d}" / f"{shot}.png", person, shot)
    write_photo(tmp_path / "people" / ".ipynb_checkpoints" / "1.png", 1)
    write_photo(tmp_path / "people" / "@eaDir" / "1.png", 1)
    (tmp_path / "people" / "empty").mkdir()
    (tmp_path / "people" / "empty" / ".DS_Store").touch()
    write_photo(tmp_path / "people" / "p00" / "0.jpg", 0)  # two with the same name: nothing is named after them here
    command = ["calibrate", str(toys), "--photos", str(tmp_path / "people"), "--out", str(tmp_path / "new.json")]
    assert main(command) == 0
    assert "impostor pairs of 34 people" in capsys.readouterr().out


def test_calibration_refuses_a_far_that_the_pairs_cannot_resolve(toys, tmp_path, capsys):
    assert main(["calibrate", str(toys), "--out", str(tmp_path / "new.json")]) == 2
    assert "12 impostor pairs cannot resolve" in capsys.readouterr().err


def test_list_shows_methods_recognizers_and_suites(toys, tmp_path, capsys):
    (tmp_path / "toys" / "weights" / "bob.onnx").unlink()
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"tip_im *│ noise *│ Yang et al., ICCV", printed)
    words = ("facecloak", "blur", "ir152", "ada", "here: ", "by hand", "can be fetched", "pocket_dense (held out)")
    for word in (*words, *list_suites()):
        assert word in printed
    alone = ""
    own = {"methods": "tip_im", "recognizers": "licence", "suites": "(held out)", "countermeasures": "purify301"}
    for what in LISTS:
        assert main(["list", what]) == 0
        only = capsys.readouterr().out
        assert only.startswith(what) and only in printed
        assert [word in only for word in own.values()] == [each == what for each in own], what
        alone += only
    assert alone == printed
    with pytest.raises(SystemExit, match="2"):
        main(["list", "photos"])
    assert "invalid choice: 'photos'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [name for name in METHODS if not name.startswith(("none", "blur", "pixelate", "mask"))]
)
def test_every_attack_says_where_it_comes_from_and_what_it_takes(name):
    origin = METHODS[name].origin
    assert origin.paper and origin.cost and origin.goals and 2017 < origin.year < 2030
    assert METHODS[name].uses_surrogates


@pytest.mark.parametrize("name", list_suites())
def test_every_suite_file_is_valid(name):
    assert load_suite(name).name == name


def test_the_literature_suite_loads_its_folders(tmp_path, monkeypatch):
    """The folder layout of the literature, with files made up here, put where a message says."""
    monkeypatch.setenv("FACECLOAK_CACHE", str(tmp_path))
    suite = load_suite("celeba_hq")
    with pytest.raises(FacecloakError, match="get by hand"):
        suite.load_sources()
    for group in "1234":
        for photo in range(2):
            write_photo(folder_of(find_asset("celeba_hq_groups")) / group / f"{group}{photo}.png", photo)
    targets = folder_of(find_asset("targets"))
    for pair in suite.targets.pairs:
        write_photo(targets / pair.image, 1)
        write_photo(targets / pair.test, 2)
    write_record(find_asset("targets"), targets, "made up", None)
    sources = suite.load_sources(limit=1)
    assert [(source.name, source.group) for source in sources] == [("10", "1"), ("20", "2"), ("30", "3"), ("40", "4")]
    assert [suite.load_target(name, "impersonation").name for name in suite.target_names()] == ["1", "2", "3", "4"]
    for recognizer in suite.recognizers:
        assert suite.load_thresholds(recognizer, "any file's hash")["source"] == "reported"


def test_thresholds_may_lie_beside_a_suite(toys, tmp_path):
    toys.write_text(toys.read_text().replace(str(toys.parent / "thresholds.json"), "thresholds.json"))
    assert "thresholds: thresholds.json" in toys.read_text()
    assert main(["benchmark", str(toys), "--methods", "none", "--out", str(tmp_path / "out")]) == 0
