"""Sweeps whose trials are in a database server that many processes use at once."""

import os
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState

from benchmarks.sweep import local
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.study import PROCESS, open_study
from tests.benchmarks.sweep.postgres import postgres_url
from tests.forked import start

PROCESSES, COUNT = 8, 30
GRID = {"pgd.epsilon": {"values": [*range(1, 11)]}, "pgd.iterations": {"values": [1, 2, 3]}}


@pytest.fixture(scope="module")
def url():
    with postgres_url() as url:
        yield url


@pytest.fixture
def no_report(monkeypatch):
    """Eight processes would each draw the same plots."""
    monkeypatch.setattr(
        local, "write_outcome", lambda study, *_: pd.DataFrame(study.get_trials(states=[TrialState.COMPLETE]))
    )


def running(study):
    return study.get_trials(states=[TrialState.RUNNING])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "random"])
def test_eight_processes_run_each_place_once_and_take_up_those_of_killed_ones(
    sweep, quick, no_report, url, tmp_path, method
):
    """All begin at the same moment with an empty database. Two are killed while their trials run."""
    path, out = Path(sweep(GRID, method, name=method)), tmp_path / "out"
    path = path.rename(path.with_name(f"{method}.yaml"))
    out.mkdir()
    os.mkfifo(out / "hold")
    command = ["sweep", path, "--count", COUNT, "--storage", url, "--out", out]
    processes = [start(*command) for _ in range(PROCESSES)]
    study = None
    until = time.monotonic() + 120
    while not study or sum(len(trial.intermediate_values) == 2 for trial in running(study)) < PROCESSES:
        assert time.monotonic() < until, "the processes do not all run a trial"
        time.sleep(0.1)
        study = study or open_study(load_sweep(path), url)
    killed = processes[:2]
    for process in killed:
        process.kill()
        process.wait()
    (out / "hold").rename(out / "open")
    with open(out / "open", "w"):  # all go on
        pass
    said = [process.wait() for process in processes[2:]]
    assert {each.returncode for each in said} <= {0, 1}, said  # 1: others still ran the last trials
    trials = study.get_trials()
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    places = Counter(tuple(trial.params.values()) for trial in complete)
    assert len(complete) == COUNT and not running(study)
    lost = [trial for trial in trials if trial.state == TrialState.FAIL and trial.intermediate_values]
    assert len(lost) == len(killed) and all(places[tuple(trial.params.values())] for trial in lost)
    assert method == "random" or set(places.values()) == {1}
    assert len({trial.user_attrs[PROCESS] for trial in complete}) >= PROCESSES - len(killed)
