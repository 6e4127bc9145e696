"""Runs a sweep here, on Optuna: processes that share one database, resumable after a kill; no server."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import optuna
import pandas as pd
import torch
from filelock import FileLock
from optuna.trial import TrialState

from benchmarks.progress import quiet
from benchmarks.sweep_files import Sweep, load_sweep
from benchmarks.sweep_report import write_report
from benchmarks.sweep_study import LOCK, ask, counted, open_study, queue_grid, take_up
from benchmarks.trial import run_trial
from facecloak.errors import FacecloakError
from facecloak.guard import guarded

SURPLUS, ERROR = "surplus", "error"  # attributes of a trial


def run_sweep(path: Path, out: Path, count: int, jobs: int, storage: str | None) -> pd.DataFrame:
    """Run a sweep until ``count`` trials have ended, and write its tables and plots.

    Trials that a killed process left are run again with the same values, and go on where they were.

    Args:
        path: YAML file, see `load_sweep`.
        out: folder of the database, the trials' cells, ``trials.csv`` and plots; machines that share a database name it
            differently, and draw differently.
        jobs: processes; each has its share of the threads, or a GPU.
        storage: URL of a database that several machines share; by default a file in ``out``.

    Returns:
        ``trials.csv``.

    Raises:
        FacecloakError: the file is wrong, or a trial failed.
    """
    sweep = load_sweep(path)
    out.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{(out / 'study.db').resolve()}"
    study = open_study(sweep, url)
    with FileLock(out / LOCK):
        take_up(study, shared=storage is not None)
        if sweep.method == "grid":
            count = queue_grid(study, sweep, count)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if jobs == 1:
        work(sweep, out, url, count)
    else:
        _work_apart(sweep, out, url, count, jobs)
    table = write_report(study, out)
    if len(table) < count:
        print(f"{len(table)} of {count} trials have ended; others run in another process, or were killed elsewhere.")
    return table


def work(sweep: Sweep, out: Path, url: str, count: int) -> None:
    """Run trials until ``count`` have begun, those of other processes among them.

    Raises:
        FacecloakError: a trial failed.
    """
    quiet()
    study = open_study(sweep, url)
    while True:
        if sum(trial.state.is_finished() for trial in counted(study)) >= count:
            return
        trial = ask(study, sweep, out)
        # the database numbers trials, so that each process comes to the same: who was first stays
        if sum(other.number < trial.number for other in counted(study)) >= count:
            trial.set_user_attr(SURPLUS, True)
            study.tell(trial, state=TrialState.FAIL)
            return
        _run(study, sweep, trial, out, count)


def _run(study: optuna.Study, sweep: Sweep, trial: optuna.Trial, out: Path, count: int) -> None:
    def report(step: int, steps: int, values: dict[str, float]) -> None:
        trial.report(values["objective"], step)
        if step < steps and trial.should_prune():
            for name, value in values.items():
                trial.set_user_attr(name, value)
            raise optuna.TrialPruned

    arguments = [*sweep.command(trial.params), f"--out={out / 'trials'}"]
    same = zlib.crc32(" ".join(arguments).encode())
    try:
        with FileLock(out / f"{same:08x}.lock"):  # two that drew the same share a folder
            values = run_trial(arguments, report)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        values, end = trial.user_attrs, "ended early at"
    except Exception as error:
        trial.set_user_attr(ERROR, str(error))
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        for name, value in values.items():
            trial.set_user_attr(name, value)
        study.tell(trial, values["objective"])
        end = "objective"
    done = sum(other.state.is_finished() for other in counted(study))
    typed = ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                      for name, value in trial.params.items())  # fmt: skip
    quality = f", {values['psnr']:.1f} dB" if "psnr" in values else ""
    print(f"[{done}/{count}] {typed}: {end} {values['objective']:.1f} (PSR {values['psr']:.1f} %{quality})", flush=True)


def _work_apart(sweep: Sweep, out: Path, url: str, count: int, jobs: int) -> None:
    """The same in processes of their own, with a share of the threads, or a GPU each."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [*map(str, range(torch.cuda.device_count()))]
    workers = []
    for worker in range(jobs):
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]
        command = [sys.executable, "-m", "benchmarks.local_sweep", str(sweep.path), str(out), url, str(count)]
        workers.append(subprocess.Popen(command, env=environment))
    try:
        failed = [worker.wait() for worker in workers]
    except KeyboardInterrupt:
        for worker in workers:
            worker.terminate()
            worker.wait()
        raise
    if any(failed):
        raise FacecloakError("A process of the sweep failed, see above; run the same command again to go on.")


def main() -> int:
    """One of the processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_sweep", description=main.__doc__)
    for name, kind in (("path", Path), ("out", Path), ("url", str), ("count", int)):
        parser.add_argument(name, type=kind)
    options = parser.parse_args()

    def run() -> int:
        work(load_sweep(options.path), options.out, options.url, options.count)
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
