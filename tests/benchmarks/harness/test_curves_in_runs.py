"""`facecloak curves` from end to end on toys: a grid is made once, read at equal quality, and written."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import METHODS
from benchmarks.harness.curves import plan_points
from benchmarks.leaderboard.curves import curves_markdown, equal_quality, find_curves
from benchmarks.leaderboard.plots.curves import draw_curves
from benchmarks.suites.suite import load_suite
from facecloak import benchmark, curves
from facecloak.config import parse_settings
from facecloak.errors import FacecloakError
from tests.forked import run

METHODS_USED = ["none", "pgd"]
SETTINGS = ["--pgd.iterations=2"]


def test_a_grid_is_made_read_and_written(toys, tmp_path, request):
    out = tmp_path / "out"
    command = ["curves", toys, "--methods", ",".join(METHODS_USED), *SETTINGS, "--out", out, "--objective",
               "obfuscation", "--black-box", "ada", "--wandb", "offline"]  # fmt: skip
    first = run(*command)
    assert first.returncode == 0, first.stderr
    assert "compared at equal quality" in first.stdout and "PSR at 30 dB" in first.stdout
    assert "toys, obfuscation" in first.stdout and "PSR is dodging here" in first.stdout
    points = pd.read_csv(out / "board" / "curves.csv")
    assert points.groupby("method").size().to_dict() == {"none": 1, "pgd": 5}
    assert points[points["method"] == "pgd"]["value"].tolist() == [2, 4, 8, 12, 16]
    own = points[points["method"] == "pgd"]
    assert (np.diff(own["psnr"]) < 0).all()  # stronger, and further from the photo
    rows = pd.read_csv(out / "board" / "long.csv")
    rows = rows[(rows["method"] == "pgd") & (rows["far"] == 0.01)]
    for value, psr in rows.groupby("settings_hash")["psr"].mean().items():
        assert any(math.isclose(psr, each, abs_tol=1e-9) for each in own["psr"]), value
    levels = pd.read_csv(out / "board" / "equal_quality.csv").set_index(["method", "level"])
    for path in (out / "leaderboard_wide.csv", out / "board" / "wide.csv"):
        wide = pd.read_csv(path).query("source == 'measured'").groupby("method")["PSR at 30 dB, %"]
        assert wide.size()["pgd"] == 5 and wide.count()["none"] == 0
        assert wide.agg(list)["pgd"] == pytest.approx([levels["mean"]["pgd", "PSR at 30 dB, %"]] * 5)
    assert "compared at equal quality" in (out / "leaderboard.md").read_text()
    for name in ("index.html", "equal_quality.csv", "plots/toys_obfuscation_curves.png"):
        assert (out / "board" / name).is_file()
    made = {path: path.stat().st_mtime_ns for path in out.glob("protections/*/images/*")}
    assert len(made) == (5 + 1) * 4
    assert (out / "leaderboard.csv").is_file() and len([*(out / "wandb").glob("offline-run-*")]) == 6
    request.getfixturevalue("tables_only")  # from here on
    again = run(*command)
    assert again.returncode == 0 and {path: path.stat().st_mtime_ns for path in made} == made
    assert again.stdout.split("compared at")[1] == first.stdout.split("compared at")[1]


def test_every_points_settings_are_those_of_the_suite_except_for_the_strength(toys, tmp_path):
    results = curves(str(toys), methods=["blur"], out=tmp_path / "out")
    settings = [each.protection["settings"] for each in results.judgements.values()]
    assert {each["sigma"] for each in settings} == {1.0, 2.0, 4.0, 8.0}
    (board,) = results.curves.values()
    assert board[0].setting == "sigma" and board[0].values == [1.0, 2.0, 4.0, 8.0]
    table = results.equal_quality()
    assert table["method"].tolist() == ["blur"] and table.shape == (1, 11)


def test_distances_belong_to_points_and_no_level_is_read_from_them(toys, tmp_path):
    results = curves(str(toys), methods=["blur"], black_boxes=["ada", "bob"], out=tmp_path / "out")
    strengths = {key: each.protection["settings"]["sigma"] for key, each in results.judgements.items()}
    distances = results.plain["run_id"].map(strengths) * 3
    results.plain["fd"], results.plain["fd_network"] = distances, "toys"
    (board,) = find_curves(results.plain, results.judgements, results.records.get).values()
    assert board[0].distances.tolist() == [3, 6, 12, 24] and board[0].distance_name == "fd_toys"
    axes = draw_curves(board, "toys").axes
    assert [each.get_xlabel() for each in axes][-1] == "fd_toys (lower is better)"
    assert axes[-1].lines[-1].get_xdata().tolist() == [3, 6, 12, 24]
    assert "fd_toys" not in curves_markdown({("toys", "impersonation"): board})


def test_a_method_above_the_level_at_all_strengths_has_a_bound(toys, tmp_path):
    results = curves(str(toys), methods=["blur"], out=tmp_path / "out")
    (board,) = results.curves.values()
    far = replace(board[0], quality={**board[0].quality, "psnr": board[0].quality["psnr"] + 40})
    table, _ = equal_quality([far])
    reading = table["PSR at 30 dB, %"][0]
    assert reading.bound and reading.mean == pytest.approx(100 * np.nanmean(far.won[-1]))
    assert f"≥ {reading.mean:.1f}" in curves_markdown({("toys", "impersonation"): [far]})


def test_a_run_of_one_strength_has_no_curve(toys, tmp_path):
    results = benchmark(str(toys), methods=["none", "blur"], out=tmp_path / "out")
    assert results.curves == {}
    with pytest.raises(FacecloakError, match="none, run `facecloak curves` first"):
        results.equal_quality()
    with pytest.raises(FacecloakError, match="nothing for the plot curves"):
        results.plot("curves")


def test_the_strength_cannot_be_typed(toys, tmp_path):
    said = run("curves", toys, "--methods", "blur", "--blur.sigma=3", "--out", tmp_path / "out")
    assert said.returncode == 2 and "blur.sigma is the strength" in said.stderr


@pytest.mark.parametrize("name", list(METHODS))
def test_every_methods_grid_has_settings_that_are_allowed(name):
    strength, suite = METHODS[name].strength, load_suite("pocket")
    if strength is None:
        assert name in ("none", "mask")
        return
    assert len(strength.factors) >= 3
    points = plan_points(suite, [name])
    for point in points:
        parse_settings(METHODS[name].Settings, {**suite.methods.get(name, {}), **point[name]}, name=name)
    values = [point[name][strength.setting] for point in points]
    assert len(set(values)) == len(values) >= 3
