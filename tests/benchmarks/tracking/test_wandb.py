"""Weights & Biases online: the real client and its agent, with a stand-in for the server."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from optuna.trial import TrialState
from sweeps.config import schema_violations_from_proposed_config

from benchmarks.sweep.agents import study_of
from benchmarks.sweep.files import load_sweep
from tests.benchmarks.tracking.wandb_server import Server
from tests.benchmarks.tracking.written import write_method

SETTINGS = {"folder": "/home/jane/models"}
LONG = 3_000  # iterations: some time after the first report
FILES = sorted((Path(__file__).parents[3] / "sweeps").glob("*.yaml"))


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_MODE", "online")
        monkeypatch.setenv("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "1")  # seconds
        yield server
    assert server.unknown == []


@pytest.fixture
def out(tmp_path):
    """A run of one method with two judgements, and a curve of two iterations."""
    write_method(tmp_path / "my run", {("1", "ada", "bob"): 0.5, ("1", "bob", "ada"): 0.7}, settings=SETTINGS)
    return tmp_path / "my run"


def apart(module, *arguments, cwd=None) -> subprocess.CompletedProcess:
    """Run in a separate process, because W&B's client keeps the server that it first used."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def uploaded(server, kind):
    """The files of each artifact of a kind that was uploaded and committed."""
    keys = [key for key, each in server.artifacts.items() if each["type"] == kind and each["committed"]]
    return [{path.partition(f"/{key}/")[2] for path in server.uploads if path.startswith(f"/{key}/")} for key in keys]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_sweep_file_fulfils_the_schema_of_weights_and_biases(path):
    content = yaml.safe_load(path.read_text())
    assert schema_violations_from_proposed_config(content) == []
    assert schema_violations_from_proposed_config({**content, "method": "bayesian"})


def track(out, *arguments):
    return apart("facecloak.cli", "track", out, *arguments)


def losses(run):
    return [line["loss/loss"] for line in run.history.values() if "loss/loss" in line]


def offline(out):
    return sorted((out / "wandb").glob("offline-run-*"))


def test_a_method_is_sent_once_without_faces_and_paths_and_again_when_there_is_more(server, out, tmp_path):
    for _ in range(2):
        sent = track(out)
        assert sent.returncode == 0 and sent.stdout.startswith("online: pgd (toys, impersonation"), sent.stderr
        (run,) = server.runs.values()
        assert losses(run) == [3, 2] and run.starts == 1 and run.ended == 0
    assert (run.about["jobType"], run.about["groupName"]) == ("method", "toys")
    assert run.about["displayName"].startswith("pgd:default (impersonation, settings ")
    assert run.summary["psr"] == pytest.approx(60) and run.summary["psr/ada/1/0.01"] == 50
    assert run.config["pgd"]["value"] == {"folder": "models"}
    assert {each["type"] for each in server.artifacts.values()} == {"run_table"}
    assert not [address for address in server.uploads if address.endswith(".png")] and "host" not in run.about
    for private in (str(tmp_path), str(Path.home()), "my run", socket.gethostname(), "jane", "p10"):
        found = [heard for heard in server.heard if re.search(rb"\b%s\b" % re.escape(private.encode()), heard)]
        assert not found, f"{private!r} was sent: {found[0][:2000]}"

    write_method(out, {("1", "cyd", "ada"): 0.0}, settings=SETTINGS)
    assert track(out).returncode == 0
    earlier, later = server.runs.values()  # both have the same name: only the tag says which one counts
    assert earlier.about["tags"] == ["pgd", "default", "impersonation", "superseded"]
    assert later.about["tags"] == ["pgd", "default", "impersonation"]
    assert earlier.about["displayName"] == later.about["displayName"] and later.summary["psr"] == pytest.approx(40)
    assert losses(earlier) == losses(later) == [3, 2]
    assert len(offline(out)) == 1 and not [*(out / "wandb" / "superseded").iterdir()]


def test_pictures_and_files_are_sent_when_they_are_asked_for(server, out):
    assert track(out, "--wandb-images").returncode == 0
    kept = {path.relative_to(out / "protections").as_posix() for path in out.glob("protections/**/*") if path.is_file()}
    assert uploaded(server, "method") == [kept]
    assert len([address for address in server.uploads if "/media/images/" in address]) == 2


@pytest.mark.parametrize("at", ["createArtifact(", "file_stream"])
def test_a_server_that_dies_in_the_middle_loses_nothing(server, out, monkeypatch, at):
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "4")
    server.dies_at = at
    sent = track(out, "--wandb-images")
    assert sent.returncode == 1 and "error: pgd" in sent.stderr
    server.dies_at, server.is_dead = None, False  # the server is back
    assert apart("wandb", "sync", *offline(out)).returncode == 0
    (run,) = server.runs.values()
    # lines that arrived before the server died are sent again: a step is there at least once, and with its own value
    by_step = {(line["_step"], line["loss/loss"]) for line in run.history.values() if "loss/loss" in line}
    assert sorted(by_step) == [(0, 3), (1, 2)] and run.summary["psr"] == pytest.approx(60)
    assert len(uploaded(server, "method")) == 1


@pytest.fixture
def file(toys, tmp_path):
    """A sweep of PGD on the toy suite."""
    head = ["${env}", "${interpreter}", "-m", "benchmarks.sweep.trial"]
    content = {
        "program": "benchmarks.sweep.trial", "method": "random", "metric": {"name": "objective", "goal": "maximize"},
        "parameters": {"pgd.epsilon": {"min": 1, "max": 64}, "pgd.iterations": {"min": 1, "max": LONG}},
        "command": [*head, str(toys), "--methods=pgd", "--black-box=ada,bob", "--limit=2", "--floor=20",
                    "--accelerator=cpu", "${args}"],
    }  # fmt: skip
    (tmp_path / "toy_sweep.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "toy_sweep.yaml"


def test_an_agent_gets_parameters_runs_trials_that_report_and_stops(server, file, tmp_path):
    """The server stops the second trial; that is an early end, not a failure."""
    server.trials = [{"pgd.epsilon": 4, "pgd.iterations": 2}, {"pgd.epsilon": 32, "pgd.iterations": LONG}]
    server.stops = "trial2"
    command = ["sweep", str(file), "--backend", "wandb", "--count", "2", "--out", "out"]
    ended = apart("facecloak.cli", *command, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert server.sweeps["sweep1"]["command"] == yaml.safe_load(file.read_text())["command"]
    assert list(server.runs) == ["trial1", "trial2"] and server.trials == []
    for name, epsilon, cells in (("trial1", 4, 2), ("trial2", 32, 1)):
        run = server.runs[name]
        assert run.sweep == "sweep1" and run.ended == 0 and run.about["jobType"] == "trial", ended.stdout + ended.stderr
        assert run.config["pgd.epsilon"]["value"] == epsilon
        assert f"--pgd.epsilon={epsilon}" in run.config["arguments"]["value"]
        reported = [line for line in run.history.values() if "objective" in line]
        assert [(line["cells"], line["of"]) for line in reported] == [(1, 2), (2, 2)][:cells]
        assert run.summary["objective"] == reported[-1]["objective"]
    assert {name for beat in server.beats for name in beat} == {"trial1", "trial2"}
    table = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert [*table["pgd.epsilon"]] == [4, 32] and [*table["state"]] == ["complete", "pruned"]
    assert [*table["objective"]] == [run.summary["objective"] for run in server.runs.values()]
    assert table["pareto"].any() and (tmp_path / "out" / "pareto.png").stat().st_size > 3000
    again = apart("facecloak.cli", *command, cwd=tmp_path)  # all have ended: nothing is registered or run again
    assert list(server.sweeps) == ["sweep1"] and list(server.runs) == ["trial1", "trial2"]
    assert again.returncode == 0 and "team/facecloak/sweep1" in again.stdout


def test_an_interrupted_trial_is_none_of_those_that_have_ended(file):
    """Although it has a score, another trial has to be run in its place."""
    scored = {"config": {"pgd.epsilon": 4, "pgd.iterations": 2}, "summary": {"objective": 1.0, "cells": 1, "of": 2}}
    runs = [{"name": state, "state": state, **scored} for state in ("finished", "failed", "crashed", "running")]
    study = study_of(load_sweep(file), runs)
    assert [(trial.user_attrs["run"], trial.state) for trial in study.trials] == [("finished", TrialState.PRUNED)]


def test_without_an_account_the_backend_is_refused_with_a_hint(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    refused = apart("facecloak.cli", "sweep", file, "--backend", "wandb", "--out", tmp_path / "out")
    assert refused.returncode == 2 and "wandb login" in refused.stderr
