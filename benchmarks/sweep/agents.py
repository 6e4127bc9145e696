"""Runs a sweep at Weights & Biases: registers it, starts agents, and reports the results of all machines' trials."""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.harness.processes import handle_sigterm, ignoring_interruptions, was_terminated
from benchmarks.sweep.agent import PATIENCE, Agent
from benchmarks.sweep.ends import END, end_of_run
from benchmarks.sweep.files import Sweep, load_sweep
from benchmarks.sweep.local import TRIAL, environments
from benchmarks.sweep.notes import left_over
from benchmarks.sweep.outcome import write_outcome
from benchmarks.sweep.report import MEASURES, VALUES
from benchmarks.sweep.status import Running, Status, duration
from benchmarks.sweep.study import has_reached
from facecloak.config import read_yaml
from facecloak.errors import FacecloakError
from facecloak.io import read_json, writable, write_json

STATE = "wandb_sweep.json"  # says to which sweep of W&B a folder belongs
GOING_ON = ("pending", "running", "preempting")  # states of runs that have not ended
LEFT_OUT = "left out"  # attribute of a study: names of runs that cannot be trials of the file


def run_wandb_sweep(path: Path, out: Path, count: int, jobs: int | None, say: Callable[[str], None]) -> bool:
    """Register a sweep, or continue the sweep of ``out``, and run agents here until ``count`` trials have ended.

    Trials of this folder of which Weights & Biases does not have the end are run again first, with the same values.

    Args:
        path: YAML file, see `load_sweep`.
        out: folder of the sweep's path, the agents' files, ``trials.csv`` and plots.
        count: number of trials in all, or the file's ``run_cap`` if that is less; trials of other machines count if
            they have ended when this command starts.
        jobs: number of agents, see `environments`.
        say: called with a line about the sweep.

    Returns:
        whether all of them have ended, including those of other machines.

    Raises:
        FacecloakError: the file is wrong, nobody is logged in, an agent failed, or no trial has a score.
    """
    from benchmarks.tracking.sweeps import has_ended, register_sweep, sweep_runs

    sweep = load_sweep(path)
    count = sweep.capped(count)
    if sweep.method == "grid":  # W&B hands out each place once
        count = min(count, math.prod(len(parameter.places()) for parameter in sweep.parameters.values()))
    writable(out)
    known = read_json(out / STATE) if (out / STATE).is_file() else None
    if known is None:
        known = {"sweep": register_sweep(read_yaml(path)), "file": sweep.sha256}
    if known["file"] != sweep.sha256:
        raise FacecloakError(f"{path} has changed since {known['sweep']} was registered; use another --out.")
    write_json(out / STATE, {**known, "count": count})
    say(f"sweep {known['sweep']}; on other machines: wandb agent --forward-signals --count N {known['sweep']}")
    runs = sweep_runs(known["sweep"])
    ran, waiting = _run_again(known["sweep"], out, runs, environments(jobs)[0], say)
    if ran:
        runs = sweep_runs(known["sweep"])
    left = count - waiting - sum(_ended(run) for run in runs)
    over = left > 0 and has_ended(known["sweep"])  # then it takes no agents
    trouble = _agents(known["sweep"], out, left, environments(jobs)[:left]) if left > 0 and not over else ""
    study = study_of(sweep, sweep_runs(known["sweep"]))
    for name in study.user_attrs[LEFT_OUT]:
        say(f"the run {name} is left out: its config is not one that {path} gives")
    table = write_outcome(study, sweep, out, say)
    if table.empty and not trouble:
        raise FacecloakError(f"No trial of {known['sweep']} has ended with a score; see above, or its runs at W&B.")
    if has_reached(sweep, study.trials):
        say(f"the target {sweep.target:g} has been reached after {len(table)} of {count} trials")
        return True
    if trouble and len(table) < count:
        raise FacecloakError(f"{trouble}; run the same command again to continue.")
    if len(table) < count:
        ended = f"{len(table)} of {count} trials have ended"
        if over:
            ended += (
                "; the sweep is over, and Weights & Biases hands out no place twice: to run those that failed again, "
            )
            ended += f"delete their runs there, type `wandb sweep --resume {known['sweep']}` and this command"
        say(f"{ended}.")
    return len(table) >= count


def is_of_wandb(out: Path) -> bool:
    """Whether the sweep in a folder is one of Weights & Biases."""
    return (out / STATE).is_file()


def wandb_status(out: Path) -> Status:
    """The status of the sweep in a folder, with the trials of all machines.

    Raises:
        FacecloakError: nobody is logged in, or the server does not answer.
    """
    from benchmarks.tracking.sweeps import sweep_runs

    known = read_json(out / STATE)
    runs = sweep_runs(known["sweep"])
    ended = [run for run in runs if _ended(run)]
    complete = [run for run in ended if run["summary"].get("cells") == run["summary"].get("of")]
    running = [
        Running(run["name"], {}, run["summary"].get("cells", 0), run["summary"].get("of"),
                run["summary"].get("_runtime", 0.0), interrupted=False)
        for run in runs if run["state"] == "running"
    ]  # fmt: skip
    others = [run for run in runs if run not in ended and run["state"] not in GOING_ON]
    best = max(complete, key=lambda run: run["summary"]["objective"], default=None)
    return Status(
        known["sweep"], known["count"], len(ended), len(ended) - len(complete),
        Counter(end_of_run(run["state"], run["summary"]) for run in others), running,
        best and (best["name"], best["summary"]["objective"], {}), None,
    )  # fmt: skip


def _ended(run: dict[str, Any]) -> bool:
    """Whether a run is complete or was ended early by the server; runs that failed or were interrupted do not count."""
    return run["state"] == "finished" and "objective" in run["summary"]


def study_of(sweep: Sweep, runs: list[dict[str, Any]]) -> optuna.Study:
    """The runs of a W&B sweep that have ended, as an Optuna study in memory.

    A finished run that has not judged all of its cells was ended early; those that did not finish are failed trials.
    Runs whose config is not one that the file gives, such as runs that somebody has changed, are left out; their names
    are in the study's attribute `LEFT_OUT`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    left_out = []
    for run in runs:
        if run["state"] in GOING_ON:
            continue
        try:
            study.add_trial(_trial_of(sweep, run))
        except (KeyError, TypeError, ValueError):
            left_out.append(run["name"])
    study.set_user_attr(LEFT_OUT, left_out)
    return study


def _trial_of(sweep: Sweep, run: dict[str, Any]) -> FrozenTrial:
    """Raises KeyError, TypeError or ValueError if the run's config is not one that the file gives."""
    summary, state = run["summary"], TrialState.FAIL
    complete = _ended(run) and summary.get("cells") == summary.get("of")
    if _ended(run):
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
    values = {name: _of_config(run["config"], name) for name in sweep.parameters}
    return optuna.trial.create_trial(
        state=state,
        params={name: each.drawn(values[name]) for name, each in sweep.parameters.items()},
        distributions=sweep.space,
        value=summary["objective"] if complete else None,
        user_attrs={name: summary[name] for name in MEASURES if name in summary}
        | {"run": run["name"], VALUES: values}
        | ({} if _ended(run) else {END: end_of_run(run["state"], summary)}),
    )


def _of_config(config: Any, name: str) -> Any:
    """The value of a parameter, which W&B stores under its dotted name, or nested as in the file."""
    if name in config:
        return config[name]
    outer, _, inner = name.partition(".")
    return _of_config(config[outer], inner)


def _run_again(
    sweep: str, out: Path, runs: list[dict[str, Any]], environment: dict[str, str], say: Callable[[str], None]
) -> tuple[int, int]:
    """Run again the trials of this folder of which W&B does not have the end.

    Returns:
        the number of these trials, and of those that cannot be run yet: W&B takes them for running, and may have handed
        them out on another machine.
    """
    states, ran, waiting = {run["name"]: run["state"] for run in runs}, 0, 0
    for note, about in left_over(out, sweep.rpartition("/")[2]).items():
        state = states.get(note.stem, "pending")
        if state in ("running", "preempting"):
            say(f"Weights & Biases still takes {note.stem} for running; type this again in 5 minutes to complete it")
            waiting += 1
        elif state in ("pending", "crashed"):
            say(
                f"Weights & Biases does not have all of {note.stem}; it is run again, and goes on from what is finished"
            )
            own = {**about["environment"], "WANDB_DIR": str(out.resolve())}
            subprocess.run([*TRIAL, *about["arguments"]], env={**environment, **own})
            ran += 1
        else:
            note.unlink()  # W&B has its end after all, or hands it out again
    return ran, waiting


def _agents(sweep: str, out: Path, count: int, places: list[dict[str, str]]) -> str:
    """Run agents here until they have started ``count`` trials; returns what went wrong with one, or nothing."""
    handle_sigterm()
    command = [sys.executable, "-m", "wandb", "agent", "--forward-signals", "--count"]
    with path_with_python() as path:
        here = {"PATH": path, "WANDB_DIR": str(out.resolve())}
        agents = [
            Agent([*command, str((count + place) // len(places)), sweep], {**environment, **here})
            for place, environment in enumerate(places)
        ]
        try:
            failed = any([agent.wait() for agent in agents])
        except KeyboardInterrupt as error:
            with ignoring_interruptions():
                for agent in agents:  # it passes the signal on to its trial, and waits for that
                    agent.process.send_signal(signal.SIGTERM if was_terminated(error) else signal.SIGINT)
                for agent in agents:
                    agent.wait()
            raise
    if failed:
        return "An agent of Weights & Biases failed, see above"
    if any(agent.was_idle for agent in agents):
        return (
            f"For {duration(PATIENCE)} Weights & Biases has given an agent no trial: its server refuses or does not "
            "answer, or the sweep is paused there"
        )
    return ""


@contextmanager
def path_with_python() -> Iterator[str]:
    """A ``$PATH`` on which ``python``, the command of W&B's agents, is this interpreter.

    Its environment does not have to be active, and may have only a ``python3``. A symbolic link from elsewhere would
    not find the environment's packages; a script does.
    """
    with TemporaryDirectory() as folder:
        python = Path(folder) / "python"
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        # the second folder is for machines where nothing in a temporary folder may be executed
        yield os.pathsep.join([folder, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
