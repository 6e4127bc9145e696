"""Weights & Biases online: the real client and its agent, with a stand-in for the server."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from optuna.trial import TrialState
from sweeps.config import schema_violations_from_proposed_config

from benchmarks.sweep import agents
from benchmarks.sweep.agents import path_with_python, study_of
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.report import state_of
from tests.benchmarks.tracking.test_faults import CLIENT
from tests.benchmarks.tracking.test_trial_ends import SLURM, cells
from tests.benchmarks.tracking.wandb_runs import Run
from tests.benchmarks.tracking.wandb_server import EVERY, Fault, Server
from tests.benchmarks.tracking.written import write_method
from tests.forked import run as forked

LONG = 3_000  # iterations: some time after the first report
SETTINGS = {"folder": "/home/jane/models"}
LIGHT, AGENT = (Path(__file__).with_name(f"light_{name}.py") for name in ("trial", "agent"))
GUIDE = Path(__file__).parents[3] / "sweeps" / "README.md"
FILES = sorted((Path(__file__).parents[3] / "sweeps").glob("*.yaml"))


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        for name, value in {**CLIENT, "WANDB_BASE_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        yield server
    assert server.unknown == []


@pytest.fixture
def out(tmp_path):
    """A run of one method with two judgements, and a curve of two iterations."""
    write_method(tmp_path / "my run", {("1", "ada", "bob"): 0.5, ("1", "bob", "ada"): 0.7}, settings=SETTINGS)
    return tmp_path / "my run"


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
    return forked("track", out, *arguments)


def losses(run):
    return [line["loss/loss"] for line in run.history.values() if "loss/loss" in line]


def offline(out):
    return sorted((out / "wandb").glob("offline-run-*"))


def test_a_method_is_sent_once_without_faces_and_paths_and_again_when_there_is_more(server, out, tmp_path):
    asked = 0
    for _ in range(2):
        sent = track(out)
        assert sent.returncode == 0 and sent.stdout.startswith("online: pgd (toys, impersonation"), sent.stderr
        (run,) = server.runs.values()
        assert losses(run) == [3, 2] and run.starts == 1 and run.ended == 0
        asked = asked or len(server.asked)
    assert len(server.asked) == asked, "what was sent is not asked for"
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


@pytest.mark.slow
def test_results_that_count_again_are_rid_of_their_tag(server, out):
    first = out / "protections"
    assert track(out).returncode == 0
    (earlier,) = server.runs.values()
    (more,) = write_method(out, {("1", "cyd", "ada"): 0.0}, settings=SETTINGS)
    assert track(out).returncode == 0 and "superseded" in earlier.about["tags"]
    (more / "judgement.json").unlink()
    assert track(out).returncode == 0 and first.exists()
    assert "superseded" not in earlier.about["tags"] and losses(earlier) == [3, 2] and earlier.starts == 1
    assert [run.about["tags"].count("superseded") for run in server.runs.values()] == [0, 1]


@pytest.fixture
def file(toys, tmp_path):
    """A grid of PGD on the toy suite."""
    head = ["${env}", "${interpreter}", "-m", "benchmarks.sweep.trial"]
    content = {
        "program": "benchmarks.sweep.trial", "method": "grid", "metric": {"name": "objective", "goal": "maximize"},
        "parameters": {"pgd.epsilon": {"values": [4, 32]}, "pgd.iterations": {"value": 2}},
        "command": [*head, str(toys), "--methods=pgd", "--black-box=ada,bob", "--limit=2", "--floor=20",
                    "--accelerator=cpu", "${args}"],
    }  # fmt: skip
    (tmp_path / "toy_sweep.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "toy_sweep.yaml"


def sweep(file, out, *arguments):
    """The command, in a folder of its own, and with trials and an agent that take no time."""
    python, agent = file.parent / "bin" / "python", file.parent / "bin" / "agent"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {LIGHT} "$@"\n')
    agent.write_text(f'#!/bin/sh\nshift 2  # -m wandb\nexec {sys.executable} {AGENT} "$@"\n')
    python.chmod(0o755)
    agent.chmod(0o755)

    def patch():
        os.chdir(file.parent)
        agents.sys = SimpleNamespace(executable=str(agent))
        agents.path_with_python = lambda: nullcontext(f"{python.parent}:{os.environ['PATH']}")

    return forked("sweep", file, "--backend", "wandb", "--out", out, *arguments, patch=patch)


def test_agents_run_the_trials_of_the_engine_and_the_report_has_them(server, file, tmp_path):
    """The grid has fewer places than the command's --count; when it is used up, the sweep takes no more agents."""
    ended = sweep(file, "out")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert server.sweeps.content["sweep1"]["command"] == yaml.safe_load(file.read_text())["command"]
    assert list(server.runs) == ["trial1", "trial2"]
    for name, epsilon in (("trial1", 4), ("trial2", 32)):
        run = server.runs[name]
        assert run.sweep == "sweep1" and run.state == "finished" and run.about["jobType"] == "trial"
        assert run.config["pgd.epsilon"]["value"] == epsilon
        assert f"--pgd.epsilon={epsilon}" in run.config["arguments"]["value"] and cells(run) == [1, 2]
        assert run.summary["objective"] == run.history[max(run.history)]["objective"]
    beats = {name for beat in server.sweeps.beats for name in beat}
    assert beats <= {"trial1", "trial2"}  # a trial that ends between two beats is in none
    table = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert [*table["pgd.epsilon"]] == [4, 32] and [*table["state"]] == ["finished", "finished"]
    assert [*table["objective"]] == [run.summary["objective"] for run in server.runs.values()]
    assert table["pareto"].any() and (tmp_path / "out" / "pareto.png").stat().st_size > 3000
    again = sweep(file, "out")  # all have ended: nothing is registered or run again
    assert list(server.sweeps.content) == ["sweep1"] and list(server.runs) == ["trial1", "trial2"]
    assert again.returncode == 0 and "team/facecloak/sweep1" in again.stdout
    server.runs["trial2"].ended = 1  # as if it had failed: the server hands out no place twice
    over = sweep(file, "out")
    assert over.returncode == 1 and "1 of 2 trials have ended; the sweep is over" in over.stdout
    assert "wandb sweep --resume team/facecloak/sweep1" in over.stdout and "Traceback" not in over.stderr
    assert [*pd.read_csv(tmp_path / "out" / "trials.csv")["state"]] == ["finished", "failed"]


@pytest.mark.slow
def test_an_agent_of_another_machine_hands_on_signals_and_takes_up_what_was_preempted(server, file, tmp_path):
    """The line of sweeps/README.md as typed, but in a job of SLURM; the machine is taken away after the first cell."""
    content = yaml.safe_load(file.read_text())
    content["parameters"]["pgd.iterations"]["value"] = LONG
    server.sweeps.content["sweep1"] = {**content, "run_cap": 1}
    (line,) = re.findall(r"^CUDA_VISIBLE_DEVICES=0 (wandb agent .*) PATH$", GUIDE.read_text(), re.MULTILINE)
    command = ["/usr/bin/env", *line.replace("--count 6", "--count 1").split(), "team/facecloak/sweep1"]
    with path_with_python() as path:
        environment = {**os.environ, **SLURM, "PATH": path}
        agent = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        server.wait_until(lambda: "trial1" in server.runs and server.runs["trial1"].history)
        agent.send_signal(signal.SIGTERM)
        said, _ = agent.communicate()
        run = server.runs["trial1"]
        assert (run.state, run.summary["end"]) == ("preempted", "preempted"), said
        done = len([*tmp_path.glob("runs/trials/*/protections/*/outcomes/*.json")])
        assert done
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert (run.state, run.summary["end"], cells(run)) == ("finished", "finished", [1, 2])
    assert len([*tmp_path.glob("runs/trials/*")]) == 1 and list(server.runs) == ["trial1"]


def test_reading_a_sweep_costs_one_question_for_each_page(server, file, tmp_path):
    (tmp_path / "out").mkdir()
    content = yaml.safe_load(file.read_text())
    server.sweeps.content["sweep1"] = content
    for number in range(25):
        name = f"trial{number:02d}"
        run = server.runs[name] = Run(name)
        run.sweep, run.ended, run.summary = (
            "sweep1",
            0,
            {"objective": 1.0, "psr": 1.0, "psnr": 30.0, "cells": 2, "of": 2},
        )
        run.config = {"pgd.epsilon": {"value": 4}, "pgd.iterations": {"value": 2}}
        server.sweeps.given[name] = ("sweep1", run.config)
    known = {"sweep": "team/facecloak/sweep1", "file": load_sweep(file).sha256}
    (tmp_path / "out" / "wandb_sweep.json").write_text(json.dumps(known))
    assert sweep(file, "out").returncode == 0
    assert len(pd.read_csv(tmp_path / "out" / "trials.csv")) == 25
    assert len(server.asked) <= 14, server.asked  # read twice: who asks (three times), the sweep, three pages


OF_SWEEPS = [("upsertSweep", 403), ("viewer", 403), ("sweep", 404), ("runs", 429), ("runs", "dies")]


def test_every_refusal_of_a_sweep_is_one_line_and_the_same_command_goes_on(server, file, tmp_path):
    for endpoint, how in OF_SWEEPS:
        server.faults[endpoint, EVERY] = Fault(how)
        ended = forked("sweep", file, "--backend", "wandb", "--out", tmp_path / "out", WANDB_FINISH_TIMEOUT="1")
        lines = [line for line in ended.stderr.splitlines() if not line.startswith("wandb: ")]  # who is logged in
        assert ended.returncode == 2 and len(lines) == 1 and lines[0].startswith("error: Weights & Biases"), (
            endpoint, how, ended.stderr,
        )  # fmt: skip
        server.recover()
    assert len(server.sweeps.content) == 1, "it was registered once"


@pytest.mark.parametrize("mode", ["offline", "disabled", "dryrun"])
def test_a_sweep_of_a_server_is_refused_without_a_connection(server, file, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    refused = sweep(file, "out")
    assert refused.returncode == 2 and "$WANDB_MODE is " in refused.stderr and not server.asked


def test_an_interrupted_trial_is_none_of_those_that_have_ended(file):
    """Although it has a score, another trial has to be run in its place."""
    scored = {"config": {"pgd.epsilon": 4, "pgd.iterations": 2}, "summary": {"objective": 1.0, "cells": 1, "of": 2}}
    states = ("finished", "failed", "crashed", "running", "preempted", "preempting", "killed")
    study = study_of(load_sweep(file), [{"name": state, "state": state, **scored} for state in states])
    ended = study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])
    assert [(trial.user_attrs["run"], trial.state) for trial in ended] == [("finished", TrialState.PRUNED)]
    words = {trial.user_attrs["run"]: state_of(trial) for trial in study.trials}
    assert words == {"finished": "ended early", "failed": "failed", "crashed": "failed", "preempted": "preempted",
                     "killed": "interrupted"}  # fmt: skip


def test_without_an_account_the_backend_is_refused_with_a_hint(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE")
    refused = sweep(file, "out")
    assert refused.returncode == 2 and "wandb login" in refused.stderr
