"""The suites of real faces, with stand-ins for all that they fetch: one command each, from nothing."""

import os
import shutil
import subprocess
import sys

import pytest

import facecloak
from benchmarks.suites.suite import FOLDER
from facecloak.assets import store as stores
from facecloak.cli.main import main
from facecloak.config import read_yaml, to_yaml
from facecloak.io import read_image, read_json
from tests.real_faces import LFW, VARIANTS, furnish
from tests.standins import insightface_pack, serve

pytestmark = pytest.mark.skipif(not LFW.is_dir(), reason="needs photos of real faces in $FACECLOAK_SHARED")
SURROGATES, JUDGES = [f"frbench:{name}" for name in VARIANTS[:2]], [f"frbench:{name}" for name in VARIANTS[2:]]


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.delenv("FACECLOAK_OFFLINE")
    monkeypatch.setenv("FACECLOAK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("FACECLOAK_ASSETS", str(tmp_path / "assets.yaml"))
    monkeypatch.setattr(stores, "_verified", set())
    with serve() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        yield web


def smaller(tmp_path, suite: str, **changes):
    """A copy of a suite with other recognizers and fewer people, which a test has time for."""
    (tmp_path / f"{suite}.yaml").write_text(to_yaml(read_yaml(FOLDER / f"{suite}.yaml") | changes))
    return str(tmp_path / f"{suite}.yaml")


def test_ten_judges_and_fixed_surrogates_cost_one_protection_and_ten_judgements(web, tmp_path, capsys):
    """LFW is fetched, thresholds are measured on its people, and the run says what it used."""
    furnish(web, tmp_path / "assets.yaml", people=45)
    suite = smaller(
        tmp_path, "lfw", recognizers=[*SURROGATES, *JUDGES], surrogates=SURROGATES, features="mtcnn",
        calibration={"people": "asset:lfw_funneled/lfw_funneled", "number": 34},
        fars=[0.1, 0.01], methods={"pgd": {"iterations": 2}},
    )  # fmt: skip
    results = facecloak.benchmark(suite, limit=2, out=tmp_path / "run", black_boxes=JUDGES)
    run = tmp_path / "run"
    (protection,) = (run / "protections").iterdir()
    assert len([*(protection / "images").iterdir()]) == 2
    assert sorted(results.table["black_box"].unique()) == sorted(JUDGES) and results.check() == []
    photos = read_json(protection / "outcomes" / "Aaron_Sorkin.json")["id"]
    assert photos == "Aaron_Sorkin"  # sources are named after people

    row = results.table.iloc[0]
    assert row["threshold_source"] == "the last 34 people, first × second photos"
    assert "lfw_funneled" in row["assets"] and row["black_box"] in row["assets"] and SURROGATES[0] in row["assets"]
    asked = len(web.asked)
    again = facecloak.benchmark(suite, limit=2, out=run, black_boxes=JUDGES)
    assert len(web.asked) == asked and again.table["date"].equals(results.table["date"])

    assert main(["licences", str(run)]) == 0
    said = capsys.readouterr().out
    assert "lfw_funneled" in said and "Huang et al. 2007" in said and "MIT" in said and VARIANTS[-1] in said


def test_a_person_is_source_target_or_calibrates_but_never_two_of_these(web, tmp_path):
    furnish(web, tmp_path / "assets.yaml", people=40, recognizers=VARIANTS[:1])
    facecloak.assets.fetch(["lfw_funneled", "targets"])
    suite = facecloak.load_suite(
        smaller(tmp_path, "lfw", calibration={"people": "asset:lfw_funneled/lfw_funneled", "number": 10})
    )
    sources, calibrating = {source.name for source in suite.load_sources()}, {*suite.calibration_people()}
    targets = {suite.load_target(name, "impersonation").image.parent.name for name in suite.target_names()}
    assert len(calibrating) == 10 and len(targets) == 4 and len(sources) > 25
    assert not sources & calibrating and not sources & targets and not targets & calibrating
    assert [source.name for source in suite.load_sources(3)] == sorted(sources)[:3]


def test_protect_fetches_says_what_and_makes_a_photo_nobody_was_shown(web, tmp_path):
    """The README's command, in a process of its own, with the suite that a person gets who names none."""
    names = [name for name in facecloak.load_suite("faces").recognizers if name.startswith("frbench:")]
    furnish(web, tmp_path / "assets.yaml", recognizers=[name.removeprefix("frbench:") for name in names])
    web.files["/buffalo_sc.zip"], _ = insightface_pack("w600k_mbf.onnx")
    shutil.copy(next(iter(sorted((LFW / "Abdullah_Gul").iterdir()))), tmp_path / "holiday.jpg")
    command = [sys.executable, "-m", "facecloak.cli", "protect", "holiday.jpg", "--out", "protected",
               "--accelerator", "cpu", "--tip_im.iterations=2"]  # fmt: skip
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert first.returncode == 0, first.stderr
    for text in (
        "Fetching frbench:mobilefacenet_arcface_ms1m",
        "4.9 MB",
        "non-commercial research",
        "Fetching targets",
    ):
        assert text in first.stderr
    assert "others may differ" in first.stdout and "mobilefacenet" in first.stdout
    (outcome,) = read_json(tmp_path / "protected" / "protect.json")["photos"]
    assert outcome["method"] == "tip_im:default*" and outcome["objective"] == "obfuscation"
    assert read_image(tmp_path / "protected" / "holiday.png").shape == (112, 112, 3)
    asked = len(web.asked)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert second.returncode == 0 and "done before" in second.stdout and len(web.asked) == asked
