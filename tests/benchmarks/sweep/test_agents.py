"""W&B's agents, without a server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sweep import agents
from benchmarks.sweep.agents import LEFT_OUT, STATE, path_with_python, study_of
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.notes import left_over, noted, typed
from benchmarks.sweep.report import state_of, write_report
from benchmarks.tracking import sweeps
from facecloak.cli.main import main
from facecloak.io import write_json


def run(name, state="finished", epsilon=4, **summary):
    return {"name": name, "state": state, "config": {"pgd.epsilon": epsilon}, "summary": summary}


def test_a_run_whose_config_is_not_of_the_file_is_left_out_by_name(sweep):
    found = load_sweep(Path(sweep({"pgd.epsilon": {"values": [4, 8]}})))
    runs = [run("good", objective=1.0, cells=2, of=2), run("other", epsilon=5, objective=1.0, cells=2, of=2),
            {**run("none", objective=1.0), "config": {}}]  # fmt: skip
    study = study_of(found, runs)
    assert [trial.user_attrs["run"] for trial in study.trials] == ["good"]
    assert study.user_attrs[LEFT_OUT] == ["other", "none"]


def test_a_run_of_which_the_end_is_missing_is_none_of_those_that_have_ended(sweep, tmp_path):
    """Although it has a score, and says that it has finished: it will be run again, and would count twice."""
    scores = {"objective": 1.0, "psr": 1.0, "psnr": 30.0, "cells": 2, "of": 2, "end": "finished"}
    runs = [run("a", "crashed", **scores), run("b", **scores), run("c", end="finished")]
    study = study_of(load_sweep(Path(sweep({"pgd.epsilon": {"values": [4, 8]}}))), runs)
    assert [state_of(trial) for trial in study.trials] == ["failed", "finished", "failed"]
    assert len(write_report(study, tmp_path)) == 1


def test_the_status_of_a_sweep_there_counts_the_trials_of_all_machines(tmp_path, monkeypatch, capsys):
    write_json(tmp_path / STATE, {"sweep": "team/faces/abc", "file": "0", "count": 9})
    runs = [
        run("a", objective=40.0, cells=4, of=4), run("b", objective=50.0, cells=4, of=4),
        run("c", objective=90.0, cells=1, of=4), run("d", "crashed", objective=99.0, cells=4, of=4),
        run("e", "running", cells=1, of=4, _runtime=30.0), run("f", "running"), run("g", "pending"),
        run("h", "failed", end="out of memory"), run("i", "failed", end="failed", objective=80.0, cells=4, of=4),
        run("j", "preempted", end="preempted", objective=70.0, cells=3, of=4), run("k", "preempting"),
        run("l", "preempted", end="interrupted"), run("m", "killed"), run("n", "crashed"), run("o", "finished"),
    ]  # fmt: skip
    monkeypatch.setattr(sweeps, "sweep_runs", lambda path: runs if path == "team/faces/abc" else [])
    assert main(["sweep", "--status", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "team/faces/abc: 3 of 9 trials done, 2 running, 1 ended early, 4 failed, 2 interrupted, 1 out of memory, "
        "1 preempted, best 50.0",
        "  best: trial b, objective 50.0",
        "  trial e: running, cell 1 of 4, 30 s",
        "  trial f: running, no cell yet, 0 s",
    ]


@pytest.mark.parametrize(
    "state, ran, waiting, kept",
    [("pending", 1, 0, True), ("crashed", 1, 0, True), (None, 1, 0, True), ("running", 0, 1, True),
     ("preempting", 0, 1, True), ("finished", 0, 0, False), ("failed", 0, 0, False), ("preempted", 0, 0, False)],
)  # fmt: skip
def test_a_trial_of_which_the_end_is_missing_is_run_again_unless_it_may_run_elsewhere(
    tmp_path, monkeypatch, state, ran, waiting, kept
):
    for name, value in (("SWEEP_ID", "abc"), ("RUN_ID", "a"), ("DIR", str(tmp_path))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    with noted(["out.txt"]) as note:
        assert left_over(tmp_path, "abc") == {}, "it is running"
    assert left_over(tmp_path, "another") == {}
    write = "import os, sys; open(sys.argv[1], 'w').write(os.environ['WANDB_RUN_ID'] + os.environ['WANDB_SWEEP_ID'])"
    monkeypatch.setattr(agents, "TRIAL", [sys.executable, "-S", "-c", write])
    monkeypatch.chdir(tmp_path)
    said = []
    runs = [run("a", state)] if state else []
    assert agents._run_again("team/faces/abc", tmp_path, runs, {**os.environ}, said.append) == (ran, waiting)
    assert (tmp_path / "out.txt").exists() == bool(ran) and note.exists() == kept and len(said) == ran + waiting
    assert not ran or (tmp_path / "out.txt").read_text() == "aabc"
    line = typed(note).split() if kept else []
    assert not kept or (line[:3] == ["env", "WANDB_RUN_ID=a", "WANDB_SWEEP_ID=abc"] and line[-1] == "out.txt")


@pytest.mark.parametrize("known", ["/usr/bin:/bin", None])
def test_what_an_agent_calls_python_is_this_interpreter_even_where_there_is_only_a_python3(
    monkeypatch, tmp_path, known
):
    only = tmp_path / "my bin" / "python3"
    only.parent.mkdir()
    only.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    only.chmod(0o755)
    monkeypatch.setenv("PATH", known) if known else monkeypatch.delenv("PATH")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(only))
        with path_with_python() as path:
            call = ["/usr/bin/env", "python", "-c", "import sys, numpy; print(sys.prefix)"]
            called = subprocess.run(call, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert called.stdout.strip() == sys.prefix, called.stderr
    assert not os.path.exists(path.split(os.pathsep)[0])
