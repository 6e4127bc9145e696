"""`facecloak fetch`, `list` and `licences`: what they show, and what a failure leaves undone."""

import pytest

from benchmarks.suites.paths import FOLDER
from facecloak.assets import is_here
from facecloak.assets import store as stores
from facecloak.assets.store import folder_of
from facecloak.assets.table import find_asset
from facecloak.cli.main import main
from facecloak.config import read_yaml, to_yaml
from tests.standins import frbench_release, serve

KEY = "mobilefacenet_arcface_ms1m"


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.delenv("FACECLOAK_OFFLINE")
    monkeypatch.setenv("FACECLOAK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(stores, "_verified", set())
    with serve() as web:
        web.files |= {**frbench_release([f"frbench:{KEY}"]), "/a.png": b"a photo"}
        common = {"about": "a test", "licence": "MIT", "cite": "Nobody 2026", "base": [web.url]}
        table = {
            "frbench": common | {"files": [{"addresses": ["manifest.json"]}]},
            "photos": common | {"size": 7, "files": [{"addresses": ["a.png"]}]},
            "gone": common | {"files": [{"addresses": ["gone.png"]}]},
            "form": {"about": "a test", "licence": "MIT", "by_hand": "the form at example.org", "holds": ["*.png"]},
        }
        (tmp_path / "assets.yaml").write_text(to_yaml(table))
        monkeypatch.setenv("FACECLOAK_ASSETS", str(tmp_path / "assets.yaml"))
        yield web


def suite_file(tmp_path, **changes) -> str:
    (tmp_path / "mine.yaml").write_text(to_yaml(read_yaml(FOLDER / "pocket.yaml") | changes))
    return str(tmp_path / "mine.yaml")


def test_a_suite_is_fetched_as_far_as_it_goes_and_the_rest_is_said(web, tmp_path, capsys, monkeypatch):
    suite = suite_file(
        tmp_path, recognizers=[f"frbench:{KEY}", "pocket_ir", "pocket_irse"], held_out=[],
        sources={"groups": {"1": "asset:gone/1", "2": "asset:photos", "3": "asset:form/3", "4": "asset:photos/4"}},
    )  # fmt: skip
    assert main(["fetch", "--list", suite]) == 0
    before = capsys.readouterr().out
    assert "can be fetched (4.9 MB)" in before and "by hand: the form at example.org" in before
    assert main(["fetch", suite]) == 1
    said = capsys.readouterr()
    assert "gone (gone.png) cannot be fetched" in said.err and "the server answers 404" in said.err
    assert "the form at example.org" in said.err and str(folder_of(find_asset("form"))) in said.err
    assert "2 of 4 assets are here." in said.out and is_here("photos") and is_here(f"frbench:{KEY}")
    web.files["/gone.png"] = b"found"
    folder_of(find_asset("form")).mkdir(parents=True)
    (folder_of(find_asset("form")) / "b.png").write_bytes(b"by hand")
    assert main(["fetch", suite]) == 0
    assert main(["fetch", "--list", suite]) == 0
    assert "can be" not in capsys.readouterr().out


def test_a_recognizer_is_fetched_by_its_name_and_listed_as_here(web, capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if f"frbench:{KEY} " in line)
    assert "can be fetched (4.9 MB): facecloak fetch" in line and "here" not in line
    assert "by hand: amt" not in "".join(lines) and any("celeba_hq " in line and "by hand" in line for line in lines)
    assert any(line.startswith("│ pocket ") and line.rstrip(" │").endswith("here") for line in lines)
    assert main(["fetch", f"frbench:{KEY}"]) == 0
    assert main(["fetch", "pocket_ir"]) == 0  # nothing to do
    capsys.readouterr()
    assert main(["list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if f"frbench:{KEY} " in line)
    assert "here:" in line


def test_a_recognizer_whose_package_is_missing_is_said(web, capsys, monkeypatch):
    monkeypatch.setattr("facecloak.assets.store.find_spec", lambda name: None)
    assert main(["fetch", "dlib"]) == 1
    said = capsys.readouterr()
    assert "pip install 'facecloak[dlib]'" in said.err and "0 of 1" in said.out


def test_a_name_that_nobody_knows(web, capsys):
    assert main(["fetch", "photoss"]) == 2
    assert "Did you mean 'photos'?" in capsys.readouterr().err


def test_licences_of_a_run_without_any(tmp_path, capsys):
    assert main(["licences", str(tmp_path)]) == 2
    assert "Traceback" not in (said := capsys.readouterr().err) and "error:" in said
