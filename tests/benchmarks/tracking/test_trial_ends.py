"""A trial that W&B's agent started, with the real client: it ends as what it is, and goes on if it was preempted."""

import os
import signal
import time

import pytest

from benchmarks.harness.processes import ending_together
from benchmarks.sweep import trial
from benchmarks.sweep.ends import STATUS, end_of_process
from benchmarks.tracking import sweeps  # noqa: F401 (here, so that the forked trials need not import it)
from tests.benchmarks.tracking.test_faults import CLIENT
from tests.benchmarks.tracking.wandb_server import EVERY, Fault, Server
from tests.forked import Forked

VALUES = {"pgd.epsilon": {"value": 4}, "pgd.iterations": {"value": 2}}
SCORE = {"objective": 50.0, "psr": 50.0, "psnr": 30.0}
SLURM = {f"SLURM_{name}": value for name, value in (
    ("PROCID", "1"), ("LOCALID", "1"), ("NTASKS", "4"), ("STEP_NUM_TASKS", "4"), ("NODEID", "0"), ("JOB_ID", "7"),
    ("JOB_NAME", "agents"),
)}  # fmt: skip


@pytest.fixture
def server():
    with Server() as server:
        server.sweeps.content["sweep1"] = {"method": "grid", "parameters": {}, "program": "x"}
        server.sweeps.given["trial1"] = ("sweep1", VALUES)
        yield server
    assert server.unknown == []


@pytest.fixture
def begin(server, toys, tmp_path):
    """Starts the trial as W&B's agent does; its work is a function of its report, or that of the real trial."""
    typed = [str(toys), "--methods=pgd", "--black-box=ada,bob", "--limit=2", "--floor=20", "--accelerator=cpu",
             f"--out={tmp_path / 'out'}", "--pgd.epsilon=4", "--pgd.iterations=2"]  # fmt: skip
    environment = {
        **CLIENT, "WANDB_BASE_URL": server.url, "WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "trial1",
        "WANDB_ENTITY": "team", "WANDB_PROJECT": "facecloak", "WANDB_DIR": str(tmp_path), "WANDB_FINISH_TIMEOUT": "20",
    }  # fmt: skip

    def begin(work=None, *more, **changes):
        def target():
            from wandb.sdk.lib.run_stopping import RunStopChecker

            RunStopChecker.__init__.__kwdefaults__["poll_interval"] = 0.2  # instead of 15 seconds
            if work:
                trial.run_trial = lambda arguments, report: work(report)
            return trial.main([*typed, *more])

        return Forked(target, **{**environment, **changes})

    return begin


def waits(report):
    """Judges once and then waits for a signal."""
    with ending_together():
        report(1, 2, SCORE)
        time.sleep(120)


def goes_on(report):
    """Judges twice; what was judged before is reported again, as a real trial does."""
    report(1, 2, SCORE)
    report(2, 2, SCORE)
    return SCORE


def runs_out_of_memory(report):
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def fails(report):
    report(1, 2, SCORE)
    raise ValueError("a bug")


def has_reported(server):
    return lambda: "trial1" in server.runs and server.runs["trial1"].history


def cells(run):
    return [line["cells"] for _, line in sorted(run.history.items())]


@pytest.mark.parametrize("by", ["stream", "agent"])
def test_a_trial_that_the_server_stops_is_ended_early_whichever_way_it_is_told(server, begin, by):
    server.sweeps.stop_by = {by}
    server.sweeps.pressed["trial1"] = 1
    process = begin(waits)
    if by == "agent":
        server.wait_until(has_reported(server))
        assert server.sweeps.wants_end(server.runs["trial1"])
        process.kill(signal.SIGTERM)
    ended, run = process.wait(), server.runs["trial1"]
    assert ended.returncode == 0 and "ended early, with the score so far" in ended.stdout, ended.stderr
    assert (run.state, run.summary["end"], run.summary["objective"]) == ("finished", "ended early", 50)
    assert cells(run) == [1]


@pytest.mark.parametrize(
    "number, word, status", [(signal.SIGTERM, "preempted", 143), (signal.SIGINT, "interrupted", 130)]
)
def test_a_trial_that_something_else_ends_is_handed_out_again_and_goes_on(server, begin, number, word, status):
    process = begin(waits)
    server.wait_until(has_reported(server))
    process.kill(number)
    process.kill(number)  # as an agent and SLURM both do
    ended, run = process.wait(), server.runs["trial1"]
    assert ended.returncode == status == STATUS[word] and f"{word}; what is finished is kept" in ended.stdout
    assert (run.state, run.summary["end"], cells(run)) == ("preempted", word, [1])
    order = server.sweeps.heartbeat({"id": "sweep1", "runState": "{}"})["commands"]
    assert '"resume"' in order and '"trial1"' in order
    added = [f"--{name}={value['value']}" for name, value in run.config.items() if name not in VALUES]
    assert {"_wandb", "arguments", "suite", "versions"} <= {text[2:].partition("=")[0] for text in added}
    ended = begin(goes_on, *added).wait()
    assert ended.returncode == 0, ended.stderr
    assert (run.state, run.summary["end"], cells(run)) == ("finished", "finished", [1, 2])


@pytest.mark.parametrize("work, word, status, state", [(runs_out_of_memory, "out of memory", 137, "failed"),
                                                       (fails, "failed", 1, "failed")])  # fmt: skip
def test_a_trial_that_fails_says_why(server, begin, work, word, status, state):
    ended, run = begin(work).wait(), server.runs["trial1"]
    assert ended.returncode == status and end_of_process(status) == word, ended.stderr
    assert (run.state, run.summary["end"]) == (state, word)


def test_a_trial_of_an_agent_that_srun_started_reports_and_sends_no_path(server, begin, tmp_path):
    """All of its work is real here."""
    ended, run = begin(None, **SLURM).wait(), server.runs["trial1"]
    assert ended.returncode == 0, ended.stderr
    assert (run.state, run.summary["end"], cells(run)) == ("finished", "finished", [1, 2])
    assert run.about["jobType"] == "trial" and "host" not in run.about
    for private in (str(tmp_path), tmp_path.name, os.uname().nodename, os.path.expanduser("~")):
        assert not [heard for heard in server.heard if private.encode() in heard], private


@pytest.mark.parametrize("how", [403, "dies"])
def test_a_trial_runs_to_its_end_without_a_server(server, begin, how):
    server.faults["upsertBucket", EVERY] = Fault(how)
    ended = begin(goes_on, WANDB_INIT_TIMEOUT="5").wait()
    assert ended.returncode == 0 and "objective 50" in ended.stdout and "does not answer" in ended.stderr
    assert not server.runs


@pytest.mark.parametrize("status, word", [(0, "finished"), (143, "preempted"), (-15, "preempted"), (130, "interrupted"),
                                          (-2, "interrupted"), (137, "out of memory"), (-9, "out of memory"),
                                          (1, "failed"), (2, "failed"), (-11, "failed")])  # fmt: skip
def test_the_end_of_a_process_has_the_same_words(status, word):
    assert end_of_process(status) == word
