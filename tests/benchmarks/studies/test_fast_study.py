"""The study of facecloak:fast: differences of pairs, no ratio for a method that loses too much, and its variants."""

import argparse

import pandas as pd
import pytest
import torch

import facecloak
from benchmarks.harness.methods import load_method, method_name
from benchmarks.studies import fast, fast_variants
from benchmarks.studies.ablation import CELL
from benchmarks.studies.fast_variants import EarlyStop, WarmStart
from facecloak.cloak.fast import FastCloak
from facecloak.errors import FacecloakError
from facecloak.io import write_json

OWN = sorted({spec for spec, _ in fast_variants.VARIANTS.values()} - {fast.FAST})
EARLY, WARM = (f"{cls.__module__}:{cls.__name__}" for cls in (EarlyStop, WarmStart))
OTHER_PICTURES = [spec for spec in OWN if not spec.endswith("Stop")]


def results(psr, psnr):
    """Two judges' results of four photos."""
    lines = [
        {"source": f"p{photo}", "target": "1", "black_box": judge, "psr": psr[photo], "rise": 0.3,
         "psnr": psnr + photo, "ssim": 0.9}
        for photo in range(4) for judge in ("a", "b")
    ]  # fmt: skip
    return pd.DataFrame(lines)


def test_differences_are_those_of_pairs_whatever_their_order():
    exact, quick = results([0, 100, 0, 100], 25.0), results([100, 100, 0, 100], 25.5).sample(frac=1, random_state=1)
    table = fast.differences({fast.EXACT: exact, fast.FAST: quick}).set_index("fast − exact")
    assert table.loc["black-box PSR, %", "mean"] == "25.0"
    assert table.loc["PSNR, dB", "95 %"] == "0.50 to 0.50" and "higher" in table.loc["PSNR, dB", "in words"]
    assert set(CELL) <= set(exact.columns)
    assert fast.summaries({"one": exact}).iloc[0]["black-box PSR, %"] == 50.0


@pytest.mark.parametrize(("psr", "psnr", "said"), [
    ([0, 0, 0, 100], 25.0, "black-box PSR, %: -25.00"), ([0, 100, 0, 100], 24.6, "PSNR, dB: -0.40"),
    ([0, 100, 0, 100], 24.8, None),
])  # fmt: skip
def test_who_loses_more_than_allowed_gets_no_ratio(tmp_path, monkeypatch, capsys, psr, psnr, said):
    found = {fast.EXACT: results([0, 100, 0, 100], 25.0), fast.FAST: results(psr, psnr)}
    monkeypatch.setattr(fast, "run_variant", lambda options, name, settings, judges: found[name])
    monkeypatch.setattr(fast, "speed", lambda suite, accelerator: {fast.EXACT: 5.0, fast.FAST: 0.4})
    status = fast.main(["--out", str(tmp_path)])
    printed = capsys.readouterr()
    assert status == (1 if said else 0) and (said is None or said in printed.err)
    assert ("| pocket | 5.000 | 0.400 | 12.5 |" in printed.out) == (said is None)
    assert (tmp_path / "fast_speed.csv").exists() == (said is None)
    written = pd.read_csv(tmp_path / "fast_differences.csv", dtype=str).set_index("fast − exact")["mean"]
    change = (sum(psr) - 200) / 4
    assert written["black-box PSR, %"] == f"{change:.1f}".replace("-", "−")  # no apostrophe, as before a formula
    assert written["PSNR, dB"] == f"{psnr - 25:.2f}".replace("-", "−")


def protect(spec, batch, **settings):
    """What a variant makes of photos of target 1 in two iterations, unless the settings say otherwise."""
    suite = facecloak.load_suite("pocket")
    settings = {**suite.methods[fast.FAST], "iterations": 2, **settings}
    return load_method(spec, suite, target="1", black_box="pocket_ir", **settings).predict_step(batch)


@pytest.fixture(scope="module")
def batch():
    return facecloak.load_suite("pocket").batch(target="1", limit=1)


@pytest.fixture(scope="module")
def plain(batch):
    return protect(fast.FAST, batch)


@pytest.fixture
def quick(monkeypatch):
    """What is learned once is learned of one person, in three steps."""
    other = facecloak.load_suite("pocket").batch(target="2", limit=1)
    monkeypatch.setattr(fast_variants, "other_people", lambda: other)
    monkeypatch.setattr(WarmStart, "steps", 3)
    monkeypatch.setattr(WarmStart, "learned", {})


@pytest.mark.parametrize("name", ["EarlyStop", "LateStop", "SharedEmbedding", "WarmStart", "HalfStart"])
def test_what_needs_people_or_thresholds_of_pocket_refuses_another_suite(toys, name):
    with pytest.raises(FacecloakError, match=f"{name} knows .*does not have ada: use --variants with --suite pocket"):
        load_method(f"{fast_variants.__name__}:{name}", facecloak.load_suite(str(toys)), target="1")


@pytest.mark.parametrize("spec", OTHER_PICTURES, ids=lambda spec: spec.partition(":")[2])
def test_a_variant_differs_from_the_method_in_what_it_makes(spec, batch, plain, quick):
    made = [plain, protect(spec, batch)]
    assert all(each.errors == [None] for each in made)
    assert not torch.equal(made[0].images, made[1].images)
    assert float((made[1].images - batch.images).abs().max()) > 0.01


def test_a_photo_leaves_the_loop_when_it_is_past_all_thresholds(batch, plain, monkeypatch):
    monkeypatch.setattr(EarlyStop, "margin", 10.0)  # never
    never = protect(EARLY, batch)
    assert torch.equal(never.images, plain.images) and never.unet_passes == plain.unet_passes
    monkeypatch.setattr(EarlyStop, "margin", -10.0)  # before the first step
    at_once = protect(EARLY, batch)
    assert float((at_once.images - batch.images).abs().max()) < 1e-5 and at_once.unet_passes == plain.unet_passes - 2


def test_what_is_learned_once_is_learned_of_people_who_are_not_protected():
    others = fast_variants.other_people()
    assert len(others.ids) == 8 == len(others.images) == len(others.boxes)
    assert not {*others.ids} & {*facecloak.load_suite("pocket").batch(limit=fast_variants.OTHERS).ids}


def test_a_warm_start_needs_less_of_a_loop(batch, quick):
    """After one iteration the faces are nearer to the target, as one of its surrogates sees them."""
    suite = facecloak.load_suite("pocket")
    judge = load_method(fast.FAST, suite, target="1", black_box="pocket_ir", **suite.methods[fast.FAST]).objective
    warm, cold = (protect(spec, batch, iterations=1) for spec in (WARM, fast.FAST))
    assert warm.unet_passes == cold.unet_passes
    losses = [float(judge(made.images, batch.boxes, []).mean()) for made in (warm, cold)]
    assert losses[0] < losses[1] - 0.01


def test_the_table_of_variants_says_how_many_passes_a_photo_takes(tmp_path, monkeypatch, capsys):
    found = {(): results([0, 100, 0, 100], 25.0).assign(passes=8.0), (3,): results([0] * 4, 26.0).assign(passes=6.04)}
    monkeypatch.setattr(fast, "VARIANTS", {"3 iterations": (fast.FAST, {"iterations": 3})})
    monkeypatch.setattr(fast, "run_variant", lambda options, name, settings, judges: found[(*settings.values(),)])
    assert fast.main(["--variants", "--limit", "1", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| variant |") and lines[0].endswith("| UNet passes per photo |")
    assert lines[2].endswith("| 0.9 | 8.0 |") and lines[3].startswith("| 3 iterations | 0.0 |")
    assert lines[3].endswith("| 6.0 |")


def test_nobody_is_protected_of_whom_a_variant_has_learned(capsys):
    with pytest.raises(SystemExit):
        fast.main(["--variants", "--limit", "5"])
    assert "--limit: at most 4 with --variants" in capsys.readouterr().err


def test_the_passes_are_the_mean_of_photos(tmp_path):
    for name, passes in (("a", [8, 5]), ("b", [8])):
        for number, count in enumerate(passes):
            write_json(tmp_path / "protections" / name / "outcomes" / f"{number}.json", {"unet_passes": count})
    assert fast._passes(tmp_path, pd.DataFrame({"protection": ["a", "a", "b"]})) == 7


def test_photos_that_fail_are_an_error(tmp_path, monkeypatch):
    def protect(self, batch):
        made = plain(self, batch)
        return facecloak.Protected(made.images * torch.nan, made.errors)

    plain = FastCloak.protect
    monkeypatch.setattr(FastCloak, "protect", protect)
    options = argparse.Namespace(suite="pocket", out=tmp_path, limit=1, accelerator="cpu", batch_size=8)
    with pytest.raises(FacecloakError, match="photos failed"):
        fast.run_variant(options, fast.FAST, {"iterations": 1}, ["pocket_ir"])


def test_variants_are_found_by_name():
    for spec in OWN:
        assert method_name(spec) == spec.partition(":")[2]
