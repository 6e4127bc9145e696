"""Runs a sweep on this machine with Optuna: one process per trial, one database, resumable after a kill; no server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.harness.devices import gpu_count
from benchmarks.harness.processes import handle_sigterm
from benchmarks.sweep.ends import AGAIN, EARLY, END, SAID, end_of_process
from benchmarks.sweep.files import Sweep, load_sweep, with_out
from benchmarks.sweep.outcome import write_outcome
from benchmarks.sweep.page import write_page
from benchmarks.sweep.report import VALUES
from benchmarks.sweep.status import CELLS, Watch, status_of, typed_values, write_about
from benchmarks.sweep.study import (
    ask,
    counted,
    has_reached,
    is_over,
    is_queued,
    is_surplus,
    locked,
    open_study,
    queue,
    queue_grid,
    sign_on,
    take_up,
)
from facecloak.errors import FacecloakError

TRIAL = [sys.executable, "-m", "benchmarks.sweep.trial"]
SHOWN = 10  # trials of a dry run
LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_RANK", "TORCHELASTIC_", "SLURM_")  # variables that they set


def run_sweep(
    path: Path, out: Path, count: int, jobs: int | None, storage: str | None, say: Callable[[str], None]
) -> bool:
    """Run a sweep until ``count`` trials, or the file's ``run_cap``, have ended, and write its tables and plots.

    Trials that a killed process left unfinished are run again with the same values, and continue where they stopped.

    Args:
        path: YAML file, see `load_sweep`.
        out: folder of the database, the trials' cells, ``trials.csv`` and plots.
        jobs: number of trials at a time, see `environments`.
        storage: URL of a database that several machines share; by default a file in ``out``.
        say: called with a line about each trial, and with every line that a trial prints.

    Returns:
        whether all of them have ended.

    Raises:
        FacecloakError: the file is wrong, or a trial failed.
    """
    sweep = load_sweep(path)
    for note in sweep.notes:
        say(note)
    count = sweep.capped(count)
    out.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{(out / 'study.db').resolve()}"
    study = open_study(sweep, url)
    process, alive = sign_on(out)
    with alive:
        with locked(url):
            take_up(study, out, shared=storage is not None)
            if sweep.method == "grid":
                count = queue_grid(study, sweep, count)
        write_about(out, sweep.name, count, shared=storage is not None)
        watch = Watch(lambda: status_of(study, count, out, datetime.now()), lambda: write_page(study, sweep, out))
        handle_sigterm()
        try:
            with watch.running(count):
                _Workers(sweep, out, url, count, process, environments(jobs), watch, say).run()
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            reason = str(error).splitlines()[0]
            raise FacecloakError(f"The database does not answer ({reason}); run the same command again.") from None
    table = write_outcome(study, sweep, out, say)
    if has_reached(sweep, counted(study)):
        say(f"the target {sweep.target:g} has been reached after {len(table)} of {count} trials")
        return True
    if len(table) < count:
        say(f"{len(table)} of {count} trials have ended; others run in another process, or were killed elsewhere.")
    return len(table) >= count


def first_commands(path: Path, out: Path, count: int) -> Iterator[str]:
    """What `run_sweep` would run: the notes about the file, and the command lines of its first trials.

    Trials of a bayes sweep after those depend on what is found.

    Raises:
        FacecloakError: the file is wrong.
    """
    sweep = load_sweep(path)
    yield from sweep.notes
    count = sweep.capped(count)
    study = open_study(sweep, "sqlite://")
    if sweep.method == "grid":
        count = queue_grid(study, sweep, count)
    for _ in range(min(count, SHOWN)):
        yield sweep.typed(sweep.values(ask(study, sweep, "sqlite://", "").params), out)
    if count > SHOWN:
        yield f"… and {count - SHOWN} more"


def environments(jobs: int | None) -> list[dict[str, str]]:
    """The environments of processes that run at the same time: each has its share of the threads and GPUs.

    If there are more processes than GPUs, the processes take a GPU in turn.

    Args:
        jobs: number of processes; by default one for each GPU, or one.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [*map(str, range(gpu_count()))]
    jobs = jobs or max(1, len(gpus))
    # a trial is not part of the job that started the sweep
    plain = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    if jobs == 1:
        return [plain]
    share, found = max(1, len(gpus) // jobs), []
    for job in range(jobs):
        own = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
        if gpus:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[(job * share + k) % len(gpus)] for k in range(share))
        found.append({**plain, **own})
    return found


class _Workers:
    """Threads that each take the next trial and wait for its process, until ``count`` trials have begun.

    Args:
        process: name of this process.
        places: the environment of each thread's processes.
        watch: told of every change.
    """

    def __init__(
        self, sweep: Sweep, out: Path, url: str, count: int, process: str, places: list[dict],
        watch: Watch, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.sweep, self.out, self.url, self.count, self.process = sweep, out, url, count, process
        self.places, self.watch, self.say = places, watch, say
        self.stop, self.running = Event(), set()

    def run(self) -> None:
        """Return when all trials have ended.

        Raises:
            FacecloakError: a trial failed; the trials that ran at the same time have ended too.
        """
        with ThreadPoolExecutor(len(self.places)) as pool:
            try:
                for worker in as_completed([pool.submit(self._work, each) for each in self.places]):
                    worker.result()
            except KeyboardInterrupt:
                self.stop.set()
                for process in [*self.running]:
                    process.terminate()
                raise
            finally:
                self.stop.set()

    def _work(self, environment: dict[str, str]) -> None:
        study = open_study(self.sweep, self.url)
        while not (self.stop.is_set() or is_over(study, self.sweep, self.count)):
            trial = ask(study, self.sweep, self.url, self.process)
            if not is_surplus(study, self.sweep, trial, self.count):
                self._run(study, trial, environment)
                continue
            study.tell(trial, state=TrialState.FAIL)
            if not is_queued(trial) and not self._take_up(study):
                return  # the queue is empty, and other processes run the remaining trials

    def _take_up(self, study: optuna.Study) -> int:
        """Queue the trials of processes that have been killed since this one began."""
        with locked(self.url):
            return take_up(study, self.out, shared=True)

    def _run(self, study: optuna.Study, trial: optuna.Trial, environment: dict[str, str]) -> None:
        values = self.sweep.values(trial.params)
        trial.set_user_attr(VALUES, values)
        self.sweep.write_json_file(values, self.out)
        command = with_out(self.sweep.command(values, self.out), self.out)
        self.watch.changed()
        with subprocess.Popen(
            [*TRIAL, *command],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            self.running.add(process)
            if self.stop.is_set():
                process.terminate()
            ended_early = self._heed(trial, process)
        self.running.discard(process)
        if self.stop.is_set() and process.returncode:
            return  # interrupted: the next start runs it again
        if ended_early:
            study.tell(trial, state=TrialState.PRUNED)
        elif process.returncode:
            word = end_of_process(process.returncode)
            trial.set_user_attr(END, word)
            study.tell(trial, state=TrialState.FAIL)
            if word in AGAIN:  # the next start goes on with it
                queue(study, trial.params)
            typed = self.sweep.typed(values, self.out)
            fix = "run the sweep again to continue" if word in AGAIN else "fix it and run the sweep again to continue"
            raise FacecloakError(f"A trial {SAID[word]}, see above: {typed}; {fix}.")
        else:
            study.tell(trial, trial.user_attrs["objective"])
        self._say(study, trial, f"{EARLY} at" if ended_early else "objective")
        self.watch.changed()

    def _heed(self, trial: optuna.Trial, process: subprocess.Popen[str]) -> bool:
        """Pass on the lines that a trial prints and store its scores; returns whether it was ended early."""
        ended = False
        for line in process.stdout:
            values = read_report(line)
            if values is None:
                self.say(line.removesuffix("\n"))
                continue
            step, steps = values.pop("cell"), values.pop("cells")
            for name, value in {CELLS: steps, **values}.items():
                trial.set_user_attr(name, value)
            trial.report(values["objective"], step)
            self.watch.changed()
            if step < steps and not ended and trial.should_prune():
                ended = True
                process.terminate()
        return ended

    def _say(self, study: optuna.Study, trial: optuna.Trial, end: str) -> None:
        values, done = trial.user_attrs, sum(other.state.is_finished() for other in counted(study))
        quality = f", {values['psnr']:.1f} dB" if "psnr" in values else ""
        psr = f"PSR {values['psr']:.1f} %{quality}"
        self.say(f"[{done}/{self.count}] {typed_values(values[VALUES])}: {end} {values['objective']:.1f} ({psr})")


def read_report(line: str) -> dict[str, Any] | None:
    """The values printed by `benchmarks.sweep.trial.print_report`: ``cell``, ``cells``, scores; else None."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_report = isinstance(found, dict) and {"cell", "cells", "objective"} <= set(found)
    return found if is_report else None
