"""The embedded default suite, run from the command line, where only the package is available."""

import json
import re

import pandas as pd
import pytest

from benchmarks.results.distances import MINIMUM
from benchmarks.suites.suite import load_suite
from facecloak.cli.main import main


@pytest.fixture
def alone(tmp_path, monkeypatch):
    for name in ("SHARED", "DATA", "WEIGHTS"):
        monkeypatch.setenv(f"FACECLOAK_{name}", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_suite_holds_photos_targets_and_thresholds_that_fit():
    suite = load_suite("pocket")
    sources = suite.load_sources()
    assert len(sources) == 24 and all(source.second for source in sources)
    assert suite.target_names() == ["1", "2", "3", "4"] and len(suite.recognizers) == 5
    assert [source.group for source in sources] == [name for name in "1234" for _ in range(6)]
    assert suite.surrogates_for(["pocket_ir"]) == ["pocket_irse", "pocket_mobile", "pocket_inception"]
    assert suite.surrogates_for(["pocket_dense"]) == suite.recognizers[:4]  # the recognizer that is never attacked


def test_a_benchmark_of_the_proposed_method_needs_nothing_else(alone, capsys):
    """With few iterations; what the method does with all of them is seen in the demo."""
    few = ["--facecloak.iterations=3", "--facecloak.embedding_iterations=1"]
    arguments = ["--methods", "none,facecloak", "--targets", "1", "--limit", "1", "--out", "r", *few]
    assert main(["benchmark", "pocket", *arguments, "--black-box", "pocket_ir,pocket_dense"]) == 0
    printed = capsys.readouterr().out
    assert "facecloak" in printed and "grid.png" in printed
    assert {"leaderboard.csv", "leaderboard_wide.csv", "leaderboard.md", "grid.png"} <= {
        p.name for p in (alone / "r").iterdir()
    }
    table = pd.read_csv(alone / "r" / "leaderboard.csv").query("far == 0.01").set_index("method")
    clean, cloaked = table.loc["none"], table.loc["facecloak"]
    assert len(cloaked) == 2 and (clean["n_identical"] == 1).all() and cloaked["psnr"].mean() > 22
    assert (cloaked["cosine_rise_surrogates"] > 0.02).all()
    assert table["fd"].isna().all() and (table["n_fid"] < MINIMUM).all()
    assert table["threshold_source"].str.startswith("drawn people 20000 to 20399").all()
    records = [
        json.loads(line)
        for path in (alone / "r").glob("protections/*/judgements/*/*/records.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len(records) == 4 and not any(record["error"] for record in records)


def test_the_demo_needs_nothing_else_and_brings_a_portrait_nearer_to_the_target(alone, capsys):
    assert main(["demo"]) == 0
    printed = capsys.readouterr().out
    rises = {
        (name, role): float(after) - float(before)
        for name, role, before, after in re.findall(r"(pocket_\w+).+?(surrogate|black box).+?(\S+) → (\S+)", printed)
    }
    assert len(rises) == 5 and rises.pop(("pocket_dense", "black box")) > 0.1
    assert min(rises.values()) > 0.1 and sum(rises.values()) / 4 > 0.2
    assert float(re.search(r"PSNR (\S+) dB", printed)[1]) > 22
    assert {path.name for path in (alone / "runs" / "demo").iterdir()} == {"original.png", "protected.png", "demo.png"}


@pytest.mark.slow
def test_the_proposed_method_protects_here_40_points_above_clean_at_24_db(alone):
    """The facecloak rows of the README's first table: 8 photos, 5 black boxes."""
    assert main(["benchmark", "pocket", "--methods", "facecloak", "--out", "r"]) == 0
    table = pd.read_csv(alone / "r" / "leaderboard.csv").query("far == 0.01")
    assert len(table) == 20 and not table["n_failed"].any()
    assert table["psr"].mean() - table["psr_clean"].mean() >= 0.40
    assert table["psnr"].mean() >= 24
