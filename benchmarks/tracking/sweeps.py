"""Weights & Biases' sweeps: registers them, reads their runs, and reports a trial that an agent started."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import wandb

from benchmarks.tracking import client
from benchmarks.tracking.content import without_paths
from benchmarks.tracking.tracker import mode_of_environment
from facecloak.errors import FacecloakError

WAIT = 5  # seconds for the answer whether the server wants a trial to end


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
        self._known = run.summary.get("cells", 0) if run.resumed else 0

    def report(self, step: int, steps: int, values: dict[str, float]) -> None:
        """Send a score at once; what was sent before the trial was preempted is not sent again."""
        if step > self._known:
            self._run.log({"cells": step, "of": steps, **values})

    def is_unwanted(self) -> bool:
        """Whether the server wants the trial to end; if it does not answer, it does not."""
        if not self._asked:
            with suppress(Exception):
                query = (
                    "query RunStoppedStatus($projectName: String, $entityName: String, $runId: String!) {"
                    " project(name: $projectName, entityName: $entityName) { run(name: $runId) { stopped } } }"
                )
                names = {"projectName": self._run.project, "entityName": self._run.entity, "runId": self._run.id}
                found = client.api()._service_api.execute_graphql(query, variables=names, timeout=WAIT)
                return bool(found["project"]["run"]["stopped"])
        return bool(self._asked)

    def end(self, word: str, status: int, again: bool) -> None:
        """Send how the trial ended.

        Args:
            word: for the table of runs.
            status: exit status of the process.
            again: W&B is to hand out the same parameters once more.
        """
        self._run.summary["end"] = word
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
