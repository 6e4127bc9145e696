"""Runs a sweep here, on Optuna: processes that share one database, resumable after a kill; no server."""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import optuna
import pandas as pd
import torch
from filelock import FileLock
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from benchmarks.progress import quiet
from benchmarks.sweep_files import Sweep, load_sweep
from benchmarks.sweep_report import write_report
from benchmarks.trial import run_trial
from facecloak.errors import FacecloakError
from facecloak.guard import guarded

SURPLUS, PROCESS, ERROR = "surplus", "process", "error"  # user attributes of a trial
LOCK = "ask.lock"


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
        _take_up(study)
    if sweep.method == "grid":
        count = _queue_grid(study, sweep, count)
    if jobs == 1:
        work(sweep, out, url, count)
    else:
        _work_apart(sweep, out, url, count, jobs)
    return write_report(study, out)


def open_study(sweep: Sweep, url: str) -> optuna.Study:
    """The study of a sweep, new or as it is in the database."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    pruner = optuna.pruners.NopPruner()
    if sweep.min_iter:
        pruner = optuna.pruners.HyperbandPruner(min_resource=sweep.min_iter, reduction_factor=sweep.eta)
    return optuna.create_study(
        storage=url, study_name=sweep.name, pruner=pruner, direction="maximize", load_if_exists=True
    )


def _ask(study: optuna.Study, sweep: Sweep, out: Path) -> optuna.Trial:
    """The next trial. What it draws depends on its number: neither on who asks nor on what was killed before."""
    with FileLock(out / LOCK):  # SQLite hands a queued trial to two that ask at once; servers do not
        seed = zlib.crc32(f"{sweep.name} {len(study.get_trials(deepcopy=False))} {out.name}".encode())
        bayes = sweep.method == "bayes"
        study.sampler = TPESampler(seed=seed, constant_liar=True) if bayes else RandomSampler(seed=seed)
        trial = study.ask(sweep.space)
        trial.set_user_attr(PROCESS, f"{socket.gethostname()}:{os.getpid()}")
    return trial


def _queue_grid(study: optuna.Study, sweep: Sweep, count: int) -> int:
    """Queue the first ``count`` places of a grid, those that are not yet; returns how many places there are of them.

    Optuna's own GridSampler ends a study only where Optuna runs it.
    """
    places = [*itertools.islice(itertools.product(*map(_values, sweep.space.values())), count)]
    known = [trial.system_attrs.get("fixed_params", trial.params) for trial in _counted(study)]
    for place in (dict(zip(sweep.space, values, strict=True)) for values in places):
        if place not in known:
            study.enqueue_trial(place)
    return len(places)


def _values(each: optuna.distributions.BaseDistribution) -> list:
    if isinstance(each, optuna.distributions.CategoricalDistribution):
        return list(each.choices)
    count = round((each.high - each.low) / each.step)
    return [each.low + number * each.step for number in range(count + 1)]


def _take_up(study: optuna.Study) -> None:
    """Queue the trials of processes of this machine that are no more, with the same values."""
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        host, _, number = trial.user_attrs.get(PROCESS, f"{socket.gethostname()}:").partition(":")
        if host == socket.gethostname() and not (number and _lives(int(number))):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def work(sweep: Sweep, out: Path, url: str, count: int) -> None:
    """Run trials until ``count`` have begun, those of other processes among them.

    Raises:
        FacecloakError: a trial failed.
    """
    quiet()
    study = open_study(sweep, url)
    while True:
        if sum(trial.state.is_finished() for trial in _counted(study)) >= count:
            return
        trial = _ask(study, sweep, out)
        # the database numbers trials, so that each process comes to the same: who was first stays
        if sum(other.number < trial.number for other in _counted(study)) >= count:
            trial.set_user_attr(SURPLUS, True)
            study.tell(trial, state=TrialState.FAIL)
            return
        _run(study, sweep, trial, out, count)


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but those that failed or were killed."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]


def _run(study: optuna.Study, sweep: Sweep, trial: optuna.Trial, out: Path, count: int) -> None:
    def report(step: int, values: dict[str, float]) -> None:
        trial.report(values["objective"], step)
        if trial.should_prune():
            for name, value in values.items():
                trial.set_user_attr(name, value)
            raise optuna.TrialPruned

    arguments = [*sweep.command(trial.params), f"--out={out / 'trials'}"]
    try:
        values = run_trial(arguments, report)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        values, end = trial.user_attrs, "ended early at"
    except FacecloakError as error:
        trial.set_user_attr(ERROR, str(error))
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        for name, value in values.items():
            trial.set_user_attr(name, value)
        study.tell(trial, values["objective"])
        end = "objective"
    done = sum(other.state.is_finished() for other in _counted(study))
    typed = ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                      for name, value in trial.params.items())  # fmt: skip
    quality = f", {values['psnr']:.1f} dB" if "psnr" in values else ""
    print(f"[{done}/{count}] {typed}: {end} {values['objective']:.1f} (PSR {values['psr']:.1f} %{quality})", flush=True)


def _work_apart(sweep: Sweep, out: Path, url: str, count: int, jobs: int) -> None:
    """The same in processes of their own, with a share of the threads, or a GPU each."""
    gpus, workers = torch.cuda.device_count(), []
    for worker in range(jobs):
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(worker % gpus)
        command = [sys.executable, "-m", "benchmarks.local_sweep", str(sweep.path), str(out), url, str(count)]
        workers.append(subprocess.Popen(command, env=environment))
    try:
        failed = [worker.wait() for worker in workers]
    except KeyboardInterrupt:
        for worker in workers:
            worker.terminate()
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
