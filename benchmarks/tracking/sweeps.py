"""Weights & Biases' sweeps: registers them, reads their runs, and reports a trial that an agent started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import wandb

from benchmarks.tracking import client
from benchmarks.tracking.content import without_paths
from benchmarks.tracking.server import LATE
from benchmarks.tracking.tracker import mode_of_environment
from facecloak.errors import FacecloakError

WAIT = 5  # seconds for the answer how a run is at the server


def register_sweep(content: dict[str, Any]) -> str:
    """Make a sweep at W&B from the content of a sweep file; returns its path, ENTITY/PROJECT/ID.

    Raises:
        FacecloakError: nobody is logged in, $WANDB_MODE forbids a connection, or the server refuses.
    """
    _logged_in()
    with client.asking("Weights & Biases did not accept the sweep"):
        entity, project = content.get("entity"), content.get("project") or client.project()
        name = wandb.sweep(content, entity=entity, project=project)
        return f"{entity or client.entity()}/{project}/{name}"


def sweep_runs(path: str) -> list[dict[str, Any]]:
    """``name``, ``state``, ``config`` and ``summary`` of each run of a sweep, in the order in which they were made.

    Raises:
        FacecloakError: nobody is logged in, or the server does not answer.
    """
    _logged_in()
    with client.asking(f"Weights & Biases did not return the trials of {path}"):
        runs = client.new_api().sweep(path).runs
        runs.upgrade_to_full()  # otherwise each run would be one more question
        found = [(run.created_at, run.id, run) for run in runs]
        return [
            {"name": run.id, "state": run.state, "config": dict(run.config), "summary": dict(run.summary)}
            for _, _, run in sorted(found, key=lambda each: each[:2])
        ]


def has_ended(path: str) -> bool:
    """Whether a sweep has ended at the server, so that it takes no agents: it was stopped, or its grid is used up.

    Raises:
        FacecloakError: nobody is logged in, or the server does not answer.
    """
    _logged_in()
    with client.asking(f"Weights & Biases did not return the state of {path}"):
        return client.new_api().sweep(path).state.upper() in ("FINISHED", "CANCELED", "CANCELLED", "FAILED")


def _logged_in() -> None:
    client.check_environment()
    mode = mode_of_environment()
    if mode in ("offline", "disabled"):
        raise FacecloakError(f"A sweep of Weights & Biases needs its server, but $WANDB_MODE is {mode!r}; unset it.")
    if not wandb.login(prompt=False, verify=False):
        raise FacecloakError("Nobody is logged in to Weights & Biases: run `wandb login`, or leave out --backend.")


class TrialRun:
    """The run of a trial that W&B's agent started.

    Args:
        run: W&B's.
        asked: set as soon as the client has said that the server wants the trial to end.
    """

    def __init__(self, run: wandb.Run, asked: list[bool]) -> None:
        self._run, self._asked = run, asked
        self._score: dict[str, float] = {}

    def report(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Send a score at once; a line that the server has from an earlier start of the trial is not sent again."""
        self._score = {"cells": step, "of": steps, **values}
        if step > self._run.starting_step:
            self._run.log(self._score)

    def is_unwanted(self) -> bool:
        """Whether the server wants the trial to end; if it does not answer, it does not."""
        return bool(self._asked) or bool((self._there() or {}).get("stopped"))

    def has_arrived(self) -> bool:
        """Whether the server has the trial's end; it may not know it at once."""
        for pause in (0, *LATE):
            time.sleep(pause)
            there = self._there()
            if there is None:
                return False
            if there["state"] not in ("running", "preempting"):
                return True
        return False

    def _there(self) -> dict[str, Any] | None:
        """What the server says about the run; None if it does not answer, or does not have it."""
        query = (
            "query RunStoppedStatus($projectName: String, $entityName: String, $runId: String!) {"
            " project(name: $projectName, entityName: $entityName) { run(name: $runId) { stopped state } } }"
        )
        names = {"projectName": self._run.project, "entityName": self._run.entity, "runId": self._run.id}
        with suppress(Exception):
            return client.api()._service_api.execute_graphql(query, variables=names, timeout=WAIT)["project"]["run"]
        return None

    def end(self, word: str, status: int, again: bool) -> None:
        """Send how the trial ended.

        Args:
            word: for the table of runs.
            status: exit status of the process.
            again: W&B is to hand out the same parameters once more.
        """
        self._run.summary.update({**self._score, "end": word})  # the server may have the lines without the score
        if again:
            self._run.mark_preempting()
        self._run.finish(exit_code=status)


@contextmanager
def trial_run(config: dict[str, Any], say: Callable[[str], None]) -> Iterator[TrialRun]:
    """The run of a trial that W&B's agent started: logged values reach the server at once.

    Args:
        config: in addition to the parameters, which W&B knows.
        say: called with a line if there is no answer; the trial runs without it.
    """
    client.check_environment()
    asked: list[bool] = []

    def stop() -> None:  # the client's own way is Ctrl-C, which is not told from one that a person typed
        asked.append(True)
        os.kill(os.getpid(), signal.SIGTERM)

    about = {"job_type": "trial", "group": config["suite"], "config": without_paths(config)}
    try:
        run = client.init(stop_fn=stop, resume="allow", **about)  # it may have been preempted before
    except Exception as error:
        say(f"Weights & Biases does not answer ({client.one_line(error)}); the trial runs anyway.")
        run = client.init(mode="disabled", **about)
    with run:
        yield TrialRun(run, asked)
