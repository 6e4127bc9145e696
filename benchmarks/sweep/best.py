"""The best trial of a sweep: its settings as a file for `facecloak benchmark --config`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from benchmarks.sweep.command import read_arguments
from benchmarks.sweep.files import Sweep
from benchmarks.sweep.report import VALUES
from facecloak.config import to_yaml
from facecloak.io import write_bytes

BEST = "best.yaml"


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial with the highest score, the earliest of several; None if no trial is complete."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return max(complete, key=lambda trial: trial.value, default=None)


def write_best(study: optuna.Study, sweep: Sweep, out: Path) -> str | None:
    """Write ``best.yaml`` below ``out``; returns the command that runs it on the whole suite, None if there is none."""
    trial = best_trial(study)
    if trial is None:
        return None
    measured = ", ".join(f"{name} {trial.user_attrs[name]:.4g}" for name in ("objective", "psr", "psnr")
                         if name in trial.user_attrs)  # fmt: skip
    command = best_command(sweep, trial, out)
    settings = _settings(sweep, trial)
    lines = [f"# The best of {sweep.path.name}: trial {trial.number}, {measured}.", f"# {command}"]
    write_bytes(out / BEST, "\n".join([*lines, to_yaml(settings) if settings else "{}\n"]).encode())
    return command


def best_command(sweep: Sweep, trial: FrozenTrial, out: Path) -> str:
    """The line that runs a trial's settings on the whole suite: all photos, targets and judges."""
    options, _ = read_arguments(sweep.plain_command(trial.user_attrs[VALUES]))
    methods = ["--methods", ",".join(options.methods)] if options.methods else []
    methods += ["--objective", options.objective] if options.objective else []
    files = ["--config", str(out / BEST), "--out", str(out / "best")]
    return shlex.join(["facecloak", "benchmark", options.suite, *methods, *files])


def _settings(sweep: Sweep, trial: FrozenTrial) -> dict[str, Any]:
    """Method → its settings, also those that are fixed in the file's command."""
    values = trial.user_attrs[VALUES]
    _, typed = read_arguments(sweep.plain_command(values))
    found: dict[str, Any] = {}
    for name, text in typed.items():
        *path, field = name.split(".")
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        inner[field] = values[name] if name in values else yaml.safe_load(text)
    return found
