"""The page of a sweep: its history, what is worth choosing, what matters, every trial with its command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from benchmarks.leaderboard.page.data import number
from benchmarks.leaderboard.page.template import fill_page
from benchmarks.sweep.best import best_command, best_trial
from benchmarks.sweep.files import Sweep
from benchmarks.sweep.report import MEASURES, VALUES, importances, state_of
from facecloak.io import write_bytes

PAGE = "sweep.html"
SCRIPTS = ("values.js", "table.js", "theme.js", "charts.js", "sweep.js")
RUNNING = "running"


def write_page(study: optuna.Study, sweep: Sweep, out: Path) -> None:
    """Write ``sweep.html`` below ``out``: one file that needs no other files and makes no requests."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if _state(trial)]
    best = best_trial(study)
    data = {
        "title": sweep.title, "description": sweep.description, "method": sweep.method, "file": sweep.path.name,
        "parameters": [_describe_parameter(sweep, name) for name in sweep.parameters],
        "trials": [_describe_trial(sweep, trial, out) for trial in trials],
        "importance": [[name, number(share)] for name, share in importances(study).items()],
        "best": best and best.number,
        "again": best and best_command(sweep, best, out),
    }  # fmt: skip
    page = fill_page("sweep.html", "A sweep of facecloak", ["page.css", "sweep.css"], SCRIPTS, {"data": data})
    write_bytes(out / PAGE, page)


def _state(trial: FrozenTrial) -> str:
    """As `state_of`, and "running"; empty for a trial that is not shown."""
    return RUNNING if trial.state == TrialState.RUNNING else state_of(trial)


def _describe_parameter(sweep: Sweep, name: str) -> dict[str, Any]:
    """``name``, ``log``: whether its axis is logarithmic, and ``choices`` (None for numbers)."""
    parameter = sweep.parameters[name]
    choices = parameter.places() if isinstance(parameter.distribution, CategoricalDistribution) else None
    if choices and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in choices):
        choices = None
    log = parameter.exponent or getattr(parameter.distribution, "log", False)
    return {"name": name, "log": log, "choices": choices and [str(parameter.value(each)) for each in choices]}


def _describe_trial(sweep: Sweep, trial: FrozenTrial, out: Path) -> dict[str, Any]:
    """``number``, ``state``, the measures, ``took`` (seconds), the parameters' ``values``, and ``command``.

    A trial that failed has no measures: those of its first cells say little, and it is run again.
    """
    values = trial.user_attrs.get(VALUES) or sweep.values(trial.params)
    shown = [values[name] for name in sweep.parameters]
    return {
        "number": trial.number, "name": trial.user_attrs.get("run"), "state": _state(trial),
        **{name: None if trial.state == TrialState.FAIL else number(trial.user_attrs.get(name)) for name in MEASURES},
        "took": number(trial.duration.total_seconds()) if trial.duration and not trial.user_attrs.get("run") else None,
        "values": [each if isinstance(each, (int, float)) and not isinstance(each, bool) else str(each)
                   for each in shown],
        "command": sweep.typed(values, out),
    }  # fmt: skip
