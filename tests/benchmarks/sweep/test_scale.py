"""Many trials on many agents of W&B: its limits, that no trial is lost or doubled, and the memory of the report."""

import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from optuna.trial import TrialState

from benchmarks.sweep.agents import STATE, study_of
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.outcome import write_outcome
from facecloak.io import write_json
from tests.benchmarks.sweep.many_agents import CREATES, FILES, HEARTBEAT, Agents, register
from tests.benchmarks.tracking.wandb_handler import Handler
from tests.benchmarks.tracking.wandb_server import Server

# the published default limits of W&B's servers, requests a second, docs.wandb.ai/platform/hosting/.../rate-limits
LIMITS = {FILES: 500, CREATES: 80}
OF_RUN = 2
MEMORY = 1500  # MB
SPACE = {"pgd.epsilon": {"min": 1.0, "max": 64.0}, "pgd.iterations": {"values": [1, 2, 3]}}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(Handler, "disable_nagle_algorithm", True)  # otherwise each answer takes 40 ms
    with Server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_MODE", "online")
        yield server


def many_trials(server, path, count, agents):
    """The id of a sweep of that many finished trials, and what was sent; no trial was handed out twice."""
    name = register(server.url, yaml.safe_load(path.read_text()))
    sent = Agents(server.url, name, count, agents, crash=0.05).run()
    assert len(set(sent.begun)) == len(sent.begun) > len(sent.ended) == count
    assert all(sent.most(kind, 1) < LIMITS[kind] / 2 for kind in LIMITS)  # also when all agents begin
    assert max(sent.of_run.values()) <= OF_RUN
    assert 60 * sent.most(HEARTBEAT, 60) <= agents * 13  # once in 5 seconds
    return name, sent


def check_table(out, count):
    table = pd.read_csv(out / "trials.csv")
    table = table[table["objective"] == 4]
    assert len(table) == count and table["number"].is_unique


def test_a_trial_of_many_agents_is_in_the_report_once_and_one_that_crashed_is_not(server, sweep, quick, tmp_path):
    path = Path(sweep(SPACE))
    _, sent = many_trials(server, path, 40, 8)
    runs = [
        {"name": name, "state": "finished" if run.ended == 0 else "crashed", "summary": run.summary,
         "config": {key: value["value"] for key, value in run.config.items()}}
        for name, run in server.runs.items()
    ]  # fmt: skip
    found = load_sweep(path)
    study = study_of(found, runs)
    complete = study.get_trials(states=[TrialState.COMPLETE])
    assert sorted(trial.user_attrs["run"] for trial in complete) == sorted(sent.ended)
    write_outcome(study, found, tmp_path, print)
    check_table(tmp_path, 40)


@pytest.mark.slow
def test_a_thousand_trials_on_64_agents_are_all_in_the_report_which_needs_little_memory(
    server, sweep, tmp_path, capsys
):
    count, agents, out = 1000, 64, tmp_path / "out"
    path = Path(sweep(SPACE))
    name, sent = many_trials(server, path, count, agents)
    out.mkdir()
    write_json(out / STATE, {"sweep": f"team/facecloak/{name}", "file": load_sweep(path).sha256})
    typed = ["sweep", path, "--backend", "wandb", "--count", count, "--out", out]
    command = [sys.executable, "-m", "facecloak.cli", *map(str, typed)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    check_table(out, count)
    page = (out / "sweep.html").stat().st_size
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    assert memory < MEMORY and page < 1000 * count
    with capsys.disabled():
        kinds = (HEARTBEAT, FILES, CREATES)
        print(f"\nrequests in the busiest minute { {kind: round(60 * sent.most(kind, 60)) for kind in kinds} }, in the "
              f"busiest second { {kind: sent.most(kind, 1) for kind in kinds} }; "
              f"report: {memory:.0f} MB, page {page / 1e6:.2f} MB")  # fmt: skip
