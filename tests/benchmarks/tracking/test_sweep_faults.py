"""W&B's server refusing, hanging up, stopping or dying while a sweep runs: no trial is lost or doubled.

Trials: the real client, and the real trial without its work. Agents: W&B's own, with trials that take no time.
"""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
import yaml
from wandb.cli.cli import cli
from wandb.wandb_agent import Agent

from benchmarks.sweep import agent, agents, report, trial
from benchmarks.sweep.files import load_sweep
from benchmarks.sweep.notes import left_over, noted
from benchmarks.tracking import client, sweeps
from facecloak.io import write_json
from tests.benchmarks.tracking.test_faults import CLIENT
from tests.benchmarks.tracking.test_trial_ends import SCORE, cells
from tests.benchmarks.tracking.wandb_runs import Run
from tests.benchmarks.tracking.wandb_server import Fault, Server
from tests.forked import Forked, start
from tests.toys import write_suite

TINY = Path(__file__).with_name("tiny_trial.py")
SHORT = {**CLIENT, "WANDB_HTTP_TIMEOUT": "1", "WANDB__FILE_STREAM_TIMEOUT_SECONDS": "1", "WANDB_INIT_TIMEOUT": "5",
         "WANDB_FINISH_TIMEOUT": "4"}  # fmt: skip
OF_A_TRIAL = [  # endpoint, how it fails, requests that are answered before
    *(("upsertBucket", how, 0) for how in (403, 500, "took it", "dies")),
    *(("file_stream", how, 0) for how in (403, 429, "took it", "stops", "dies")),
    *(("file_stream", how, 1) for how in (500, "dies")),
    ("stopped", 403, 0),
    ("nothing", None, 0),
]
TRIALS = {f"trial{place}": f"{endpoint} {how} {after}" for place, (endpoint, how, after) in enumerate(OF_A_TRIAL, 1)}
OF_AGENTS = [
    *(("createAgent", how, 0) for how in (403, 500, "dies")),
    *(("agentHeartbeat", how, 0) for how in (403, "stops")),
    *(("agentHeartbeat", how, 1) for how in (404, "dies")),
]
SWEEPS = {f"sweep{place}": f"{endpoint} {how} {after}" for place, (endpoint, how, after) in enumerate(OF_AGENTS, 1)}
KILLED = f"sweep{len(SWEEPS) + 1}"  # its only trial was killed


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """Trial → what it said, and what the server had: with its fault, and when it was run again as its note says."""
    top = tmp_path_factory.mktemp("trials")
    toys, three = write_suite(top / "toys"), [[*TRIALS][place::3] for place in range(3)]
    with Server() as server:
        server.sweeps.content["sweep1"] = {"method": "random", "program": "x", "parameters": {"a": {"values": [1, 2]}}}
        for name, fault in zip(TRIALS, OF_A_TRIAL, strict=True):
            server.sweeps.heartbeat({"id": "sweep1", "runState": "{}"})
            server.faults[fault[0], name] = Fault(*fault[1:])
        typed = [str(toys), "--methods=pgd", "--black-box=ada,bob", f"--out={top / 'out'}"]
        environment = {
            **SHORT, "WANDB_BASE_URL": server.url, "WANDB_ENTITY": "team", "WANDB_PROJECT": "facecloak",
            "WANDB_DIR": str(top), "WANDB_SWEEP_ID": "sweep1",
            "FACECLOAK_WEIGHTS": str(top / "toys" / "weights"), "FACECLOAK_SHARED": str(top / "nothing"),
        }  # fmt: skip

        def run(tasks: dict[str, tuple]) -> Forked:
            def target():
                trial.run_trial, sweeps.LATE = judge_twice, ()
                for name, (arguments, own) in tasks.items():
                    os.environ.update(own)
                    print(f"{name}: {trial.main(arguments)}", file=sys.stderr, flush=True)
                    client.teardown()  # otherwise the client would not look at the environment again
                return 0

            return Forked(target, **environment)

        def said(tasks: list[dict[str, tuple]]) -> dict[str, tuple]:
            printed = "".join([process.wait().stderr for process in [run(each) for each in tasks]])
            found, lines = {}, []
            for line in printed.splitlines():
                name, _, status = line.partition(": ")
                if name in TRIALS:
                    found[name] = (int(status), lines, cells(server.runs.get(name, Run(name))))
                lines = [] if name in TRIALS else [*lines, line]
            return found

        first = said([{name: (typed, {"WANDB_RUN_ID": name}) for name in part} for part in three])
        notes = {note.stem: (about["arguments"], about["environment"])
                 for note, about in left_over(top, "sweep1").items()}  # fmt: skip
        server.recover()
        again = said([{name: notes[name] for name in part if name in notes} for part in three])
        yield server, first, again, {*notes}, {note.stem for note in left_over(top, "sweep1")}
    assert server.unknown == []


def judge_twice(arguments, report):
    """What a trial does when its protections are finished."""
    for cell in (1, 2):
        report(cell, 2, SCORE)
    return SCORE


@pytest.mark.parametrize("name", TRIALS, ids=TRIALS.values())
def test_a_trial_that_met_a_fault_ends_says_so_and_is_whole_when_it_is_run_again(tried, name):
    server, first, again, noted_first, noted_again = tried
    run = server.runs[name]
    status, lines, there = first[name]
    about = [line for line in lines if line.startswith("Weights & Biases does not have all of this trial; ")]
    assert status == 0 and len(about) == (name in noted_first) and "Traceback" not in "".join(lines)
    assert name in noted_first or there == [1, 2], "it is whole"
    assert not about or f"WANDB_RUN_ID={name}" in about[0]
    assert (run.state, run.summary["objective"], run.summary["end"], cells(run)) == ("finished", 50, "finished", [1, 2])
    assert name not in noted_again and (name in again) == (name in noted_first)
    assert run.sweep == "sweep1"


def test_faults_of_trials_are_met(tried):
    """Otherwise the table would prove nothing."""
    unharmed = {TRIALS[name] for name in TRIALS if name not in tried[3]}
    assert unharmed == {"nothing None 0"}


class ForkedAgent:
    """`wandb agent` in place of a process that is started; it asks ten times a second."""

    def __init__(self, command, stderr, env, **_):
        read, write = os.pipe()

        def target():
            os.dup2(write, 2)
            Agent.POLL_INTERVAL = 0.1
            return cli(command[3:])

        self.forked = Forked(target, **env)
        os.close(write)
        self.stderr, self.terminate = os.fdopen(read), lambda: self.forked.kill(15)

    def wait(self):
        return self.forked.wait().returncode


def sweep(server, folder, name):
    """The command for one of the sweeps, in a process of its own."""
    python = folder / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S {TINY} "$@"\n')
    python.chmod(0o755)

    def patch():
        os.chdir(folder)
        agent.PATIENCE, agent.REPORTS = 0.2, 1
        agent.subprocess = type("subprocess", (), {"Popen": ForkedAgent, "PIPE": subprocess.PIPE})
        agents.TRIAL = [sys.executable, "-S", str(TINY)]
        agents.path_with_python = lambda: nullcontext(f"{python.parent}:{os.environ['PATH']}")
        agents.write_outcome, report._save = lambda study, _, out, say: report.write_report(study, out), lambda *_: None

    typed = ["sweep", f"{name}.yaml", "--backend", "wandb", "--out", name]
    return start(*typed, patch=patch, **SHORT, WANDB_BASE_URL=server.url)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Sweep → how its command ended: with its fault, and without."""
    top = tmp_path_factory.mktemp("sweeps")
    with Server() as server:
        for name, (endpoint, how, after) in zip([*SWEEPS, KILLED], [*OF_AGENTS, ("nothing", None, 0)], strict=True):
            content = {
                "program": "benchmarks.sweep.trial", "method": "grid", "parameters": {"pgd.epsilon": {"values": [4]}},
                "metric": {"name": "objective", "goal": "maximize"},
                "command": ["${env}", "${interpreter}", "-m", "benchmarks.sweep.trial", "toys", "${args}"],
            }  # fmt: skip
            content["parameters"]["pgd.epsilon"]["values"] += [32] if after else []
            (top / f"{name}.yaml").write_text(yaml.safe_dump(content))
            server.sweeps.upsert({"config": (top / f"{name}.yaml").read_text()})
            (top / name).mkdir()
            known = {"sweep": f"team/facecloak/{name}", "file": load_sweep(top / f"{name}.yaml").sha256}
            write_json(top / name / agents.STATE, known)
            server.faults[endpoint, name] = Fault(how, after)
        leave_note(server, top / KILLED)

        def run():
            started = {name: sweep(server, top, name) for name in [*SWEEPS, KILLED]}
            return {name: process.wait() for name, process in started.items()}

        first = run()
        server.recover()
        again = run()
        yield server, first, again, top
    assert server.unknown == []


def leave_note(server, out):
    """Hand a sweep's only trial out and leave the note of a trial that was killed."""
    (order,) = json.loads(server.sweeps.heartbeat({"id": KILLED, "runState": "{}"})["commands"])
    environment = {"WANDB_DIR": str(out), "WANDB_SWEEP_ID": KILLED, "WANDB_RUN_ID": order["run_id"]}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with noted(["toys", "--pgd.epsilon=4"]):
            pass


@pytest.mark.parametrize("name", SWEEPS, ids=SWEEPS.values())
def test_agents_that_meet_a_fault_end_with_a_line_and_the_same_command_completes_the_sweep(swept, name):
    server, first, again, top = swept
    ended, (endpoint, how, _) = first[name], SWEEPS[name].split()
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert (ended.returncode == 2 and len(errors) == 1) or "1 of 2 trials have ended." in ended.stdout, ended
    if errors and how != "dies":
        # an agent that no longer finds its sweep fails, unless one of its trials is running
        silent = endpoint == "agentHeartbeat" and how != "404"
        said = "has given an agent no trial: its server refuses" if silent else "An agent of Weights & Biases failed"
        assert said in errors[0] and errors[0].endswith("run the same command again to continue.")
    assert "Traceback" not in ended.stderr + again[name].stderr
    assert again[name].returncode == 0, again[name]
    table = pd.read_csv(top / name / "trials.csv")
    assert [*table["pgd.epsilon"]] == [4, 32][: len(table)] and {*table["state"]} == {"finished"}
    runs = [run for run in server.runs.values() if run.sweep == name]
    assert len(runs) == len(table) == 1 + SWEEPS[name].endswith("1")
    assert all(run.starts == 1 and cells(run) == [1, 2] for run in runs)


def test_a_trial_that_was_killed_is_run_again_under_its_id_though_its_place_was_handed_out(swept):
    server, first, again, top = swept
    (run,) = [run for run in server.runs.values() if run.sweep == KILLED]
    assert first[KILLED].returncode == 0 and f"does not have all of {run.name}; it is run again" in first[KILLED].stdout
    assert run.starts == 1 and ("createAgent", KILLED) not in server.asked
    # the trial of this test does not remove its note, but the server has all of it by now
    assert again[KILLED].returncode == 0 and "is run again" not in again[KILLED].stdout
    assert not left_over(top / KILLED, KILLED)
