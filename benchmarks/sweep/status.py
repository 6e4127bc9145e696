"""How far a sweep is: trials done, running and ended early, the best so far, the time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from benchmarks.console import progress
from benchmarks.sweep.report import VALUES, state_of
from benchmarks.sweep.study import PROCESS, counted, find_study, is_dead
from facecloak.errors import FacecloakError
from facecloak.io import read_json, write_json

ABOUT = "sweep.json"  # says which study a sweep's folder belongs to, and how many trials were asked for
CELLS = "cells"  # attribute of a trial: the number of its cells
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Running:
    """A trial that runs.

    Attributes:
        name: its number, or its name at Weights & Biases.
        values: of its parameters.
        cell: cells judged so far.
        cells: of the trial; None before the first is judged.
        seconds: since it began.
        interrupted: its process has ended; the sweep runs it again when it is started again.
    """

    name: str
    values: dict[str, Any]
    cell: int
    cells: int | None
    seconds: float
    interrupted: bool


@dataclass(frozen=True)
class Status:
    """How far a sweep is.

    Attributes:
        count: trials asked for.
        done: trials that have ended, also early.
        others: words of `ends` for trials that ended in other ways → how many did.
        best: name, score and values of the best complete trial; None before there is one.
        seconds_left: as estimated from the trials that have ended; None before one has.
    """

    name: str
    count: int
    done: int
    ended_early: int
    others: Counter[str]
    running: list[Running]
    best: tuple[str, float, dict[str, Any]] | None
    seconds_left: float | None

    def summary(self) -> str:
        """What stands behind the bar."""
        parts = [f"{sum(not each.interrupted for each in self.running)} running", f"{self.ended_early} ended early"]
        parts += [f"{count} {word}" for word, count in sorted(self.others.items())]
        parts += [f"best {self.best[1]:.1f}"] if self.best else []
        parts += [f"{duration(self.seconds_left)} left"] if self.seconds_left and self.done < self.count else []
        return ", ".join(parts)


def status_of(study: optuna.Study, count: int, out: Path, now: datetime) -> Status:
    """The status of a local sweep.

    Args:
        out: folder of the sweep, to see which of its processes still exist.
        now: without a time zone, as Optuna's times.
    """
    trials = counted(study)
    ended = [trial for trial in trials if trial.state in ENDED]
    running = [
        Running(
            str(trial.number), trial.user_attrs.get(VALUES, trial.params), len(trial.intermediate_values),
            trial.user_attrs.get(CELLS), (now - trial.datetime_start).total_seconds(),
            is_dead(out, trial.user_attrs.get(PROCESS, "")),
        )
        for trial in trials if trial.state == TrialState.RUNNING
    ]  # fmt: skip
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    best = max(complete, key=lambda trial: trial.value, default=None)
    return Status(
        study.study_name, count, len(ended), len(ended) - len(complete), _others(study), running,
        best and (str(best.number), best.value, best.user_attrs.get(VALUES, best.params)),
        _seconds_left(ended, [each.seconds for each in running if not each.interrupted], count - len(ended)),
    )  # fmt: skip


def _others(study: optuna.Study) -> Counter[str]:
    failed = study.get_trials(deepcopy=False, states=[TrialState.FAIL])
    return Counter(word for trial in failed if (word := state_of(trial)))


def _seconds_left(ended: list[FrozenTrial], running: list[float], left: int) -> float | None:
    """The trials that are left take as long as those that have ended, and as many run at the same time as now."""
    if not ended:
        return None
    mean = sum(trial.duration.total_seconds() for trial in ended) / len(ended)
    work = max(0, left) * mean - sum(min(seconds, mean) for seconds in running)
    return max(0.0, work) / max(1, len(running))


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def typed_values(values: dict[str, Any]) -> str:
    """``name 0.5, other 3``."""
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in values.items())  # fmt: skip


def describe(status: Status) -> Iterator[str]:
    """The lines that `facecloak sweep --status` prints."""
    yield f"{status.name}: {status.done} of {status.count} trials done, {status.summary()}"
    if status.best:
        name, score, values = status.best
        yield f"  best: trial {name}, objective {score:.1f}{_behind(values)}"
    for each in status.running:
        cells = f"cell {each.cell} of {each.cells}" if each.cells else "no cell yet"
        state = "interrupted; the sweep's command runs it again" if each.interrupted else "running"
        yield f"  trial {each.name}: {state}, {cells}, {duration(each.seconds)}{_behind(each.values)}"


def _behind(values: dict[str, Any]) -> str:
    return f": {typed_values(values)}" if values else ""


def write_about(out: Path, name: str, count: int, shared: bool) -> None:
    """Say in a sweep's folder what `read_status` needs to know; an address of a database may hold a password."""
    write_json(out / ABOUT, {"name": name, "count": count, "shared": shared})


def read_status(out: Path, storage: str | None) -> Status:
    """The status of the sweep in a folder, which another process may be running.

    Args:
        storage: the ``--storage`` of the sweep, if it has one.

    Raises:
        FacecloakError: no sweep has been started there, or its database does not answer.
    """
    if not (out / ABOUT).is_file():
        raise FacecloakError(f"{out}: no sweep has been started there.")
    about = read_json(out / ABOUT)
    if about["shared"] and not storage:
        raise FacecloakError(f"{out}: the sweep's trials are in a shared database; say which with --storage.")
    study = find_study(about["name"], storage or f"sqlite:///{(out / 'study.db').resolve()}")
    return status_of(study, about["count"], out, datetime.now())


class Watch:
    """The bar of a sweep, and a function that is called now and then.

    Args:
        look: returns the sweep's status.
        now_and_then: called at a change, at most every `EVERY` seconds.
    """

    EVERY = 20.0

    def __init__(self, look: Callable[[], Status], now_and_then: Callable[[], None]) -> None:
        self._look, self._now_and_then = look, now_and_then
        self._bar: tqdm | None = None
        self._lock, self._called = Lock(), monotonic()

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        """The bar, on a terminal."""
        with progress(total=count, bar_format="{n_fmt}/{total_fmt} trials |{bar}| {postfix}") as self._bar:
            self.changed()
            yield

    def changed(self) -> None:
        """Called by any thread when a trial has begun, judged a cell or ended."""
        with self._lock:
            if not self._bar.disable:
                status = self._look()
                self._bar.n = min(status.done, status.count)
                self._bar.set_postfix_str(status.summary())
            if monotonic() - self._called >= self.EVERY:
                self._now_and_then()
                self._called = monotonic()
