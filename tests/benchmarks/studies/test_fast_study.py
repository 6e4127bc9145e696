"""The study of facecloak:fast: differences of pairs, no ratio for a method that loses too much, and its variants."""

import argparse
import runpy

import pandas as pd
import pytest
import torch

import facecloak
from benchmarks.harness.methods import load_method, method_name
from benchmarks.studies import fast
from benchmarks.studies.ablation import CELL
from facecloak.cloak.fast import FastCloak
from facecloak.errors import FacecloakError


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
    assert table.loc["black-box PSR, %", "mean"] == "+25.0"
    assert table.loc["PSNR, dB", "95 %"] == "+0.50 to +0.50" and "higher" in table.loc["PSNR, dB", "in words"]
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


@pytest.mark.parametrize("spec", fast.OWN.values(), ids=fast.OWN)
def test_a_variant_differs_from_the_method_in_what_it_makes(spec):
    suite = facecloak.load_suite("pocket")
    batch = suite.batch(target="1", limit=1)
    settings = {**suite.methods[fast.FAST], "iterations": 2}
    made = [
        load_method(name, suite, target="1", black_box="pocket_ir", **settings).predict_step(batch)
        for name in (fast.FAST, spec)
    ]
    assert all(each.errors == [None] for each in made)
    assert not torch.equal(made[0].images, made[1].images)
    assert float((made[1].images - batch.images).abs().max()) > 0.01


def test_photos_that_fail_are_an_error(tmp_path, monkeypatch):
    def protect(self, batch):
        made = plain(self, batch)
        return facecloak.Protected(made.images * torch.nan, made.errors)

    plain = FastCloak.protect
    monkeypatch.setattr(FastCloak, "protect", protect)
    options = argparse.Namespace(suite="pocket", out=tmp_path, limit=1, accelerator="cpu", batch_size=8)
    with pytest.raises(FacecloakError, match="photos failed"):
        fast.run_variant(options, fast.FAST, {"iterations": 1}, ["pocket_ir"])


def test_variants_are_found_by_name_when_the_study_is_a_program():
    """As a program the study is the module __main__, in which nobody looks for methods."""
    program = runpy.run_module("benchmarks.studies.fast", run_name="program")
    for spec in program["OWN"].values():
        assert spec.startswith("benchmarks.studies.fast:")
        assert method_name(spec) == spec.partition(":")[2]
