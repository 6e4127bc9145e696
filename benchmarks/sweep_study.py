"""The database of a local sweep: which trials there are, what the next one is, and what a killed process left."""

from __future__ import annotations

import itertools
import os
import socket
import warnings
import zlib
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from benchmarks.sweep_files import Sweep
from facecloak.errors import FacecloakError

FILE = "file"  # attribute of a study: hash of the sweep's file
PROCESS = "process"  # attribute of a trial: host:number of who runs it
LOCK = "ask.lock"


def open_study(sweep: Sweep, url: str) -> optuna.Study:
    """The study of a sweep, new or as it is in the database.

    Raises:
        FacecloakError: the database cannot be opened, or holds a study of another file.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    pruner = optuna.pruners.NopPruner()
    if sweep.min_iter:
        # W&B's hyperband is one bracket; Optuna's has several, each with too few trials for TPE
        pruner = optuna.pruners.SuccessiveHalvingPruner(sweep.min_iter, sweep.eta)
    try:
        study = optuna.create_study(
            storage=url, study_name=sweep.name, pruner=pruner, direction="maximize", load_if_exists=True
        )
    except (ImportError, ArgumentError, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        raise FacecloakError(f"--storage: the database cannot be opened ({reason}). An URL is DIALECT://…") from None
    if study.user_attrs.setdefault(FILE, sweep.sha256) != sweep.sha256:
        raise FacecloakError(f"{sweep.path} has changed since its trials in {url} were run; give another --out.")
    study.set_user_attr(FILE, sweep.sha256)
    return study


def ask(study: optuna.Study, sweep: Sweep, out: Path) -> optuna.Trial:
    """The next trial. What it draws depends on its number: neither on who asks nor on what was killed before."""
    with FileLock(out / LOCK):  # SQLite hands a queued trial to two that ask at once; servers do not
        seed = zlib.crc32(f"{sweep.name} {len(study.get_trials(deepcopy=False))} {out.name}".encode())
        bayes = sweep.method == "bayes"
        study.sampler = TPESampler(seed=seed, constant_liar=True) if bayes else RandomSampler(seed=seed)
        trial = study.ask(sweep.space)
        trial.set_user_attr(PROCESS, f"{socket.gethostname()}:{os.getpid()}")
    return trial


def queue_grid(study: optuna.Study, sweep: Sweep, count: int) -> int:
    """Queue the first ``count`` places of a grid, those that are not yet; returns how many places there are of them.

    Optuna's own GridSampler ends a study only where Optuna runs it.
    """
    places = [*itertools.islice(itertools.product(*map(_values, sweep.space.values())), count)]
    known = [trial.system_attrs.get("fixed_params", trial.params) for trial in counted(study)]
    for place in (dict(zip(sweep.space, values, strict=True)) for values in places):
        if place not in known:
            study.enqueue_trial(place)
    return len(places)


def _values(each: optuna.distributions.BaseDistribution) -> list[Any]:
    if isinstance(each, optuna.distributions.CategoricalDistribution):
        return list(each.choices)
    count = round((each.high - each.low) / each.step)
    return [each.low + number * each.step for number in range(count + 1)]


def take_up(study: optuna.Study, shared: bool) -> None:
    """Queue the trials of processes of this machine that are no more, with the same values.

    Args:
        shared: other machines ask too, so that a trial that nobody has signed yet may be theirs.
    """
    here = socket.gethostname()
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        host, _, number = trial.user_attrs.get(PROCESS, ":" if shared else f"{here}:").partition(":")
        if host == here and not (number and _lives(int(number))):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but those that failed or were killed."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
