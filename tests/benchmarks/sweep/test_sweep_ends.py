"""A trial of a local sweep that does not finish ends as what it is, and with the words of W&B's table."""

import sys

import pandas as pd
import pytest

from benchmarks.sweep import local
from facecloak.cli.main import main


@pytest.mark.parametrize(
    "status, word, said",
    [
        ("sys.exit(137)", "out of memory", "A trial ran out of memory"),
        ("os.kill(os.getpid(), 9)", "out of memory", "A trial ran out of memory"),
        ("sys.exit(143)", "preempted", "A trial was preempted"),
        ("sys.exit(130)", "interrupted", "A trial was interrupted"),
        ("sys.exit(2)", "failed", "A trial failed"),
    ],
)
def test_a_trial_that_does_not_finish_is_named_and_only_the_interrupted_go_on(
    sweep, quick, tmp_path, monkeypatch, capfd, status, word, said
):
    path, out = sweep({"pgd.epsilon": {"min": 1, "max": 64}}), tmp_path / "out"
    arguments = ["sweep", path, "--count", "1", "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr(local, "TRIAL", [sys.executable, "-S", "-c", f"import os, sys; {status}"])
        assert main(arguments) == 2
    assert said in capfd.readouterr().err
    assert main(arguments) == 0
    table = pd.read_csv(out / "trials.csv")
    assert [*table["state"]] == [word, "finished"]
    goes_on = word in ("preempted", "interrupted")
    assert (table["pgd.epsilon"].nunique() == 1) == goes_on
