"""`python -m benchmarks.studies.ablation` on the toy suite."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.harness.plan import Request
from benchmarks.results.store import find_judgements, read_judgement
from benchmarks.studies.ablation import VARIANTS, main, make_plans, verdict
from facecloak.config import settings_hash
from facecloak.metrics.statistics import Estimate
from tests.facecloak.cloak.pipeline import save_pipeline

SETTINGS = {"lambda_adv": 1.0, "iterations": 2, "embedding_iterations": 1, "start_step": 18}


def test_what_the_embeddings_change_is_measured_after_countermeasures_too(suite, tmp_path, capsys):
    """The difference by hand, photo by photo, of the pictures that a diffusion model has purified."""
    keep_one_target(suite)
    out, arguments = tmp_path / "out", ["--suite", str(suite), "--limit", "2", "--countermeasures", "jpeg50,purify51"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "| purify51 | black-box cosine rise |" in capsys.readouterr().out
    table = pd.read_csv(out / "ablation_after.csv").set_index(["countermeasure", "measure"])
    assert {*table.index.get_level_values(0)} == {"none", "jpeg50", "purify51"}
    for name in ("none", "purify51"):
        rises = {"full": {}, "plain embedding": {}}
        for folder in find_judgements([out]):
            judgement = read_judgement(folder)
            variant = variant_of(judgement.protection["settings"])
            if folder.parent.name != name or variant not in rises:
                continue
            for line in (folder / "records.jsonl").read_text().splitlines():
                record = json.loads(line)
                rises[variant][judgement.rows[0]["target"], folder.name, record["id"]] = rise(record)
        line = table.loc[name, "black-box cosine rise"]
        assert line["full"] == pytest.approx(np.mean([*rises["full"].values()]))
        changes = [value - rises["plain embedding"][key] for key, value in rises["full"].items()]
        assert line["mean"] == pytest.approx(np.mean(changes)) and line["n"] == 2
    assert table.loc["none", "black-box cosine rise"]["full"] != table.loc["purify51", "black-box cosine rise"]["full"]


@pytest.fixture
def suite(toys, tmp_path):
    save_pipeline(tmp_path / "pipeline")
    content = yaml.safe_load(toys.read_text())
    content["methods"] = {"facecloak": {"backbone": str(tmp_path / "pipeline"), **SETTINGS}}
    toys.write_text(yaml.safe_dump(content | {"recognizers": ["ada", "bob"]}))
    return toys


def keep_one_target(suite):
    content = yaml.safe_load(suite.read_text())
    content["targets"]["pairs"] = content["targets"]["pairs"][:1]
    suite.write_text(yaml.safe_dump(content))


def variant_of(settings):
    """The variant to which these settings belong."""
    plain, loose = settings["embedding_iterations"] == 0, settings["lambda_attn"] == 0
    return {(False, False): "full", (True, False): "plain embedding", (False, True): "no structure term",
            (True, True): "neither"}[plain, loose]  # fmt: skip


def read_judgements(out):
    """variant → the rows of its judgements at FAR 0.01, and (variant, target, black box, photo) → record."""
    judgements, images = {}, {}
    for folder in find_judgements([out]):
        judgement = read_judgement(folder)
        name = variant_of(judgement.protection["settings"])
        row = next(row for row in judgement.rows if row["far"] == 0.01)
        judgements.setdefault(name, []).append(row)
        for line in (folder / "records.jsonl").read_text().splitlines():
            record = json.loads(line)
            images[name, row["target"], row["black_box"], record["id"]] = record
    return judgements, images


def rise(record):
    return record["cosine"]["target"] - record["cosine_clean"]["target"]


def test_the_tables_follow_from_the_judgements(suite, tmp_path, capsys):
    out = tmp_path / "claims"
    arguments = ["--suite", str(suite), "--limit", "2", "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    judgements, images = read_judgements(out)
    assert judgements.keys() == VARIANTS.keys()
    found = pd.read_csv(out / "ablation.csv").set_index(["what", "measure"])
    for name, rows in judgements.items():
        assert {(row["target"], row["black_box"]) for row in rows} == {(t, b) for t in "12" for b in ("ada", "bob")}
        mean_of = pd.DataFrame(rows).mean(numeric_only=True)
        means = {"psr": 100 * mean_of["psr"], "rise": mean_of["cosine_rise_black_box"]}
        for column, mean in (means | dict(mean_of[["psnr", "ssim"]])).items():
            assert found.loc[(name, column), "mean"] == pytest.approx(mean), (name, column)
            assert found.loc[(name, column), "low"] <= mean <= found.loc[(name, column), "high"]
    places = {key[1:] for key in images}
    assert len(places) == 2 * 2 * 2
    for other, column in (("plain embedding", "rise"), ("no structure term", "ssim"), ("no structure term", "psnr")):
        changes = {}
        for place in places:
            full, without = images["full", *place], images[other, *place]
            change = rise(full) - rise(without) if column == "rise" else full[column] - without[column]
            changes.setdefault(place[2], []).append(change)
        by_photo = [np.mean(values) for values in changes.values()]
        line = found.loc[f"full − {other}", column]
        assert line["mean"] == pytest.approx(np.mean(by_photo)) and line["n"] == 2
        assert min(by_photo) - 1e-9 <= line["low"] <= line["mean"] <= line["high"] <= max(by_photo) + 1e-9
    text = (out / "ablation.md").read_text()
    assert text in printed and "2 targets, 2 black boxes, 2 photos" in text and "2 photos are too few" in text
    assert text.count("| full − ") == 4 and text.count("the interval ") == 4

    before = {path: path.stat().st_mtime_ns for path in out.glob("protections/*/*/*")}
    assert main(arguments) == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("protections/*/*/*")}
    assert (out / "ablation.md").read_text() == text


def test_failed_images_protect_nobody_and_are_said(suite, tmp_path, capsys):
    keep_one_target(suite)
    suite.write_text(suite.read_text().replace("iterations: 2", "iterations: 2\n    lr: 1.0e+30"))
    assert main(["--suite", str(suite), "--limit", "1", "--out", str(tmp_path / "claims")]) == 1
    captured = capsys.readouterr()
    assert "Images failed" in captured.err and "too few photos for an interval" in captured.out
    found = pd.read_csv(tmp_path / "claims" / "ablation.csv").set_index(["what", "measure"])
    assert found.loc[("full", "psr"), "mean"] == 0 and np.isnan(found.loc[("full", "ssim"), "mean"])


def test_variants_that_are_the_same_are_refused(suite, tmp_path, capsys):
    suite.write_text(suite.read_text().replace("embedding_iterations: 1", "embedding_iterations: 0"))
    assert main(["--suite", str(suite), "--out", str(tmp_path / "claims")]) == 2
    assert "full and plain embedding have the same settings" in capsys.readouterr().err
    assert not (tmp_path / "claims" / "protections").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "0"], "--limit: must be at least 1"),
        (["--variants", "neither"], "--variants: full and some of"),
        (["--variants", "full,nothing"], "got full,nothing"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_only_some_variants_targets_and_judges(suite, tmp_path, capsys):
    options = ["--variants", "full,plain embedding", "--targets", "2", "--black-box", "bob", "--limit", "1"]
    assert main(["--suite", str(suite), *options, "--out", str(tmp_path / "claims")]) == 0
    judgements, images = read_judgements(tmp_path / "claims")
    assert {*judgements} == {"full", "plain embedding"}
    assert {key[1:3] for key in images} == {("2", "bob")}
    found = pd.read_csv(tmp_path / "claims" / "ablation.csv")
    assert [name for name in found["what"].unique() if "−" in name] == ["full − plain embedding"]
    printed = capsys.readouterr().out
    assert "1 targets, 1 black boxes, 1 photos" in printed and "no structure term" not in printed


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((2, 1, 3), "excludes 0: higher"),
        ((-2, -3, -1), "excludes 0: lower"),
        ((1, 0, 2), "includes 0"),
        ((1, -1, 3), "includes 0"),
        ((1, np.nan, np.nan), "too few photos"),
    ],
)
def test_an_interval_in_words(interval, words):
    assert words in verdict(Estimate(*interval, n=5))


def test_a_setting_that_is_typed_holds_for_all_variants(suite, tmp_path):
    plans = make_plans(str(suite), Request(out=tmp_path, limit=1, overrides=["facecloak.lr=0.5"]))
    assert {each.settings.lr for plan in plans.values() for each in plan.protections} == {0.5}
    assert len({settings_hash(plan.protections[0].settings) for plan in plans.values()}) == len(VARIANTS)
