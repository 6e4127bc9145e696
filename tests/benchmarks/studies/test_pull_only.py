"""`python -m benchmarks.studies.pull_only` on the toy suite: the variant has no term away from the source."""

import runpy
import sys

import pandas as pd
import pytest
import torch
import yaml

from baselines.noise.tip_im import TIPIM, TIPIMSettings
from benchmarks.studies.pull_only import TIPIMPullOnly, main
from facecloak.data import Batch
from tests.baselines.noise.small import BOXES, make_objective, photos


def batch_of(count):
    return Batch([f"p{place}" for place in range(count)], photos(count), torch.tensor(BOXES[:count]))


def test_the_variants_losses_are_those_of_the_targets_alone():
    """As if each photo had no features: of unit features, the squared distance to zeros is 1, whatever the photo."""
    settings = TIPIMSettings(iterations=4, diversity=0.01)
    whole, pull = (cls(settings, make_objective("impersonation")) for cls in (TIPIM, TIPIMPullOnly))
    made, other = pull.predict_step(batch_of(2)), whole.predict_step(batch_of(2))
    assert not torch.equal(made.images, other.images)

    def cosines(protected):
        batch = batch_of(2)
        found = pull.objective.embed(protected.images, batch.boxes)
        return torch.stack([now @ target[0] for now, target in zip(found, pull.objective.targets, strict=True)]).mean()

    assert cosines(made) > cosines(other)
    again = pull.predict_step(batch_of(2))  # the objective is as it was
    assert torch.equal(again.images, made.images)
    assert "embed" not in vars(pull.objective)


def test_the_command_shows_each_method_with_and_without(toys, tmp_path, monkeypatch, capsys):
    content = yaml.safe_load(toys.read_text())
    toys.write_text(yaml.safe_dump(content | {"methods": {"tip_im": {"iterations": 2}}}))
    options = ["--suite", str(toys), "--methods", "tip_im", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["pull_only", *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("benchmarks.studies.pull_only", run_name="__main__")
    assert ended.value.code == 0
    table = pd.read_csv(tmp_path / "out" / "pull_only.csv")
    assert {*table["method"]} == {"tip_im", "tip_im, without the term away from the source"}
    assert "without the term" in capsys.readouterr().out


def test_a_method_without_such_a_term_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--methods", "pgd"])
    assert "some of tip_im, diffprivate, diffaim, got pgd" in capsys.readouterr().err
