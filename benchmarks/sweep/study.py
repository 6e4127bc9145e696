"""The database of a local sweep: its trials, the next trial, and the trials that a killed process left unfinished."""

from __future__ import annotations

import itertools
import uuid
import warnings
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from benchmarks.sweep.files import Sweep
from facecloak.errors import FacecloakError

FILE = "file"  # attribute of a study: hash of the sweep's file
PROCESS = "process"  # attribute of a trial: name of the lock, below ``processes``, that its process holds
PROCESSES = "processes"
LOCK = 0x66616365  # any number that all processes use
PLACE = "place"  # attribute of a queued trial: its values


def locked(url: str) -> AbstractContextManager[Any]:
    """A lock: otherwise two processes that begin or ask at once would both make the tables, or queue a place twice.

    It is a file beside SQLite's, and a lock of PostgreSQL, which ends with the process that holds it. On other servers
    there is none: begin one process, and then the others.
    """
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        return _server_lock(address)
    on_disk = address.get_backend_name() == "sqlite" and address.database
    if on_disk and not Path(address.database).parent.is_dir():
        raise OSError(f"no folder {Path(address.database).parent}")
    return FileLock(f"{address.database}.lock") if on_disk else nullcontext()


@contextmanager
def _server_lock(address: URL) -> Iterator[None]:
    with create_engine(address, poolclass=NullPool).connect() as connection:
        connection.execute(select(func.pg_advisory_lock(LOCK)))
        yield


def open_study(sweep: Sweep, url: str) -> optuna.Study:
    """The study of a sweep, new or as it is in the database.

    Raises:
        FacecloakError: the database cannot be opened, or has a study of another file.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    pruner = sweep.hyperband or optuna.pruners.NopPruner()
    try:
        with locked(url):
            study = optuna.create_study(
                storage=url, study_name=sweep.name, pruner=pruner, direction="maximize", load_if_exists=True
            )
            of_file = study.user_attrs.get(FILE, sweep.sha256)
            study.set_user_attr(FILE, of_file)
    except (ImportError, OSError, ArgumentError, SQLAlchemyError) as error:
        raise _cannot_open(error) from None
    if of_file != sweep.sha256:
        raise FacecloakError(
            f"{sweep.path} has changed since its trials were run; use another --out, --storage or file name."
        )
    return study


def find_study(name: str, url: str) -> optuna.Study:
    """A study that exists, to look at.

    Raises:
        FacecloakError: the database cannot be opened, or has no such study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with locked(url):
            return optuna.load_study(study_name=name, storage=url)
    except KeyError:
        raise FacecloakError(f"The trial database has no sweep {name!r}.") from None
    except (ImportError, OSError, ArgumentError, SQLAlchemyError) as error:
        raise _cannot_open(error) from None


def _cannot_open(error: Exception) -> FacecloakError:
    reason = str(error).splitlines()[0]
    return FacecloakError(f"The trial database cannot be opened ({reason}). --storage must be a URL.")


def ask(study: optuna.Study, sweep: Sweep, url: str, process: str) -> optuna.Trial:
    """The next trial. Its values depend on its number, not on which process asks or what was killed before."""
    with locked(url):
        trial = study.ask()
        seed = zlib.crc32(f"{sweep.name} {trial.number}".encode())
        bayes = sweep.method == "bayes"
        study.sampler = TPESampler(seed=seed, constant_liar=True) if bayes else RandomSampler(seed=seed)
        for name, distribution in sweep.space.items():
            _suggest(trial, name, distribution)
        trial.set_user_attr(PROCESS, process)
    return trial


def _suggest(trial: optuna.Trial, name: str, each: BaseDistribution) -> None:
    if isinstance(each, CategoricalDistribution):
        trial.suggest_categorical(name, each.choices)
    elif isinstance(each, IntDistribution):
        trial.suggest_int(name, each.low, each.high, step=each.step)
    else:
        trial.suggest_float(name, each.low, each.high, step=each.step, log=each.log)


def is_surplus(study: optuna.Study, sweep: Sweep, trial: optuna.Trial, count: int) -> bool:
    """Whether enough trials came before this one: the database numbers them, so all processes get the same answer."""
    earlier = [other for other in counted(study) if other.number < trial.number]
    if sweep.method != "grid":
        return len(earlier) >= count
    return not is_queued(trial) or trial.params in [_values_of(other) for other in earlier]


def is_queued(trial: optuna.Trial) -> bool:
    """Whether the trial was queued with given values."""
    return PLACE in trial.user_attrs


def is_over(study: optuna.Study, sweep: Sweep, count: int) -> bool:
    """Whether ``count`` trials have ended, or one has reached the target."""
    trials = counted(study)
    return sum(trial.state.is_finished() for trial in trials) >= count or has_reached(sweep, trials)


def has_reached(sweep: Sweep, trials: list[FrozenTrial]) -> bool:
    """Whether a complete trial has reached the target of the file's metric."""
    complete = (trial.value for trial in trials if trial.state == TrialState.COMPLETE)
    return sweep.target is not None and any(value >= sweep.target for value in complete)


def queue_grid(study: optuna.Study, sweep: Sweep, count: int) -> int:
    """Queue those of the first ``count`` places of a grid that are not queued yet; returns the number of these places.

    Optuna's own GridSampler ends a study only if Optuna runs it.
    """
    axes = [parameter.places() for parameter in sweep.parameters.values()]
    places = [*itertools.islice(itertools.product(*axes), count)]
    known = [_values_of(trial) for trial in counted(study)]
    for place in (dict(zip(sweep.space, values, strict=True)) for values in places):
        if place not in known:
            queue(study, place)
    return len(places)


def _values_of(trial: FrozenTrial) -> dict[str, Any]:
    """The values that a trial has, or will have when it begins."""
    return trial.user_attrs.get(PLACE, trial.params)


def queue(study: optuna.Study, values: dict[str, Any]) -> None:
    """Make these values those of the next trial."""
    study.enqueue_trial(values, user_attrs={PLACE: values})


def sign_on(out: Path) -> tuple[str, FileLock]:
    """A name for this process, and a lock; while the lock is held, the process is alive."""
    name = uuid.uuid4().hex
    (out / PROCESSES).mkdir(parents=True, exist_ok=True)
    (out / PROCESSES / name).touch()
    return name, FileLock(out / PROCESSES / f"{name}.lock")


def take_up(study: optuna.Study, out: Path, shared: bool) -> int:
    """Queue again, with the same values, the trials of processes that used this folder and no longer exist.

    Args:
        shared: other machines use the database too, so a trial without a process name may belong to one of them.

    Returns:
        the number of trials that were queued.
    """
    found = 0
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        name = trial.user_attrs.get(PROCESS)
        if not shared if name is None else is_dead(out, name):
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                queue(study, trial.params)
                found += 1
    return found


def is_dead(out: Path, name: str) -> bool:
    """Whether a process that used this folder no longer exists."""
    if not name or not (out / PROCESSES / name).exists():  # it belongs to another machine
        return False
    try:
        with FileLock(out / PROCESSES / f"{name}.lock", timeout=0):
            return True
    except Timeout:
        return False


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """All trials except those that failed, were killed or were surplus."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
