"""Reads W&B sweep files: the parameters, the search method, and the command line of a trial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from benchmarks.sweep.parameters import PLACES, Parameter, number, read_parameters
from facecloak.config import read_yaml
from facecloak.errors import FacecloakError
from facecloak.io import sha256_json
from facecloak.registry import unknown_name

PROGRAM = ["${env}", "${interpreter}", "-m", "benchmarks.sweep.trial"]  # how every trial's command begins
ARGS = "${args}"  # W&B's placeholder for --name=value of each parameter
METHODS = ("grid", "random", "bayes")
KEYS = ("program", "method", "metric", "parameters", "command", "early_terminate", "run_cap")
TEXTS = ("name", "description", "project", "entity", "apiVersion", "kind")  # these must be text, and are ignored
IGNORED = (*TEXTS, "controller", "job", "scheduler")  # they have a meaning only at Weights & Biases
METRIC, METRIC_IGNORED = {"name": "objective", "goal": "maximize"}, ("target", "impute", "impute_while_running")
HYPERBAND = ("type", "min_iter", "max_iter", "s", "eta", "strict")
DEEPEST = 20  # most levels of nested mappings and lists


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        path: path of its file.
        name: name of the file, without ending.
        method: grid, random or bayes.
        parameters: by their (dotted) names.
        arguments: of a trial, including `ARGS`.
        min_iter: number of cells before a trial may be ended early; None if it is never ended early.
        eta: of hyperband.
        run_cap: largest number of trials; None if the file does not say.
        sha256: hash of the file's content.
        notes: lines about what the local engine ignores or does differently from Weights & Biases.
    """

    path: Path
    name: str
    method: str
    parameters: dict[str, Parameter]
    arguments: list[str]
    min_iter: int | None
    eta: int
    run_cap: int | None
    sha256: str
    notes: tuple[str, ...]

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """Parameter → the distribution from which Optuna draws it."""
        return {name: parameter.distribution for name, parameter in self.parameters.items()}

    def values(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """The values of a trial's parameters, for what was drawn from `space`."""
        return {name: self.parameters[name].value(each) for name, each in drawn.items()}

    def command(self, values: dict[str, Any]) -> list[str]:
        """The arguments of a trial with these values of the parameters."""
        place = self.arguments.index(ARGS)
        typed = [f"--{name}={values[name]}" for name in self.parameters]
        return [*self.arguments[:place], *typed, *self.arguments[place + 1 :]]

    def capped(self, count: int) -> int:
        """The number of trials to run if ``count`` are requested."""
        return count if self.run_cap is None else min(count, self.run_cap)


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file in the format of `wandb sweep`.

    Raises:
        FacecloakError: it is not a sweep of this project's trials, or needs something that is not supported here.
    """
    content = read_yaml(path)
    _check_plain(path, content, [])
    for key in content:
        if key not in (*KEYS, *IGNORED):
            raise unknown_name(f"key in {path}", key, (*KEYS, *IGNORED))
    for key in ("program", *TEXTS):
        if not isinstance(content.get(key, ""), str):
            raise FacecloakError(f"{path}: {key} must be text, got {content[key]!r}.")
    method = content.get("method")
    if method not in METHODS:
        raise unknown_name(f"method in {path}", method, METHODS)
    least, eta, notes = _early_end(path, content.get("early_terminate"))
    ignored = [key for key in content if key in IGNORED] + _ignored_of_metric(path, content.get("metric"))
    ignored += [f"early_terminate.{key}" for key in notes]
    parameters = read_parameters(path, content.get("parameters"))
    if method == "grid":
        _check_grid(path, parameters)
    return Sweep(
        path, path.stem, method, parameters, _arguments(path, content.get("command")), least, eta,
        _run_cap(path, content), sha256_json(content),
        (f"{path}: ignored by the local engine: {', '.join(ignored)}",) if ignored else (),
    )  # fmt: skip


def _check_plain(path: Path, value: Any, place: list[str]) -> None:
    """Check that JSON and a command line can hold it: YAML also has dates, bytes, sets, and lists inside themselves."""
    where = f"{path}: {''.join(place).lstrip('.')}" if place else str(path)
    if len(place) > DEEPEST:
        raise FacecloakError(f"{path}: {place[0].lstrip('.')} has too many levels.")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise FacecloakError(f"{where}: {key!r} is not a name; put it in quotes if it is one.")
            _check_plain(path, inner, [*place, f".{key}"])
    elif isinstance(value, list):
        for number_of, inner in enumerate(value):
            _check_plain(path, inner, [*place, f"[{number_of}]"])
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise FacecloakError(f"{where}: expected text or a number, got {value!r}; put it in quotes if it is text.")
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise FacecloakError(f"{where}: {value!r} has a character that is not possible on a command line.")


def _ignored_of_metric(path: Path, metric: Any) -> list[str]:
    """Names of the keys of a metric that the local engine ignores."""
    if not isinstance(metric, dict) or {key: metric.get(key) for key in METRIC} != METRIC:
        raise FacecloakError(f"{path}: metric must be {{name: objective, goal: maximize}}, which is a trial's score.")
    for key in metric:
        if key not in (*METRIC, *METRIC_IGNORED):
            raise unknown_name(f"key of metric in {path}", key, (*METRIC, *METRIC_IGNORED))
    return [f"metric.{key}" for key in metric if key in METRIC_IGNORED]


def _arguments(path: Path, command: Any) -> list[str]:
    """The arguments of a trial, with `ARGS` in the place of the parameters."""
    rule = f"{path}: command must begin with {PROGRAM} and have one {ARGS}."
    if not isinstance(command, list):
        raise FacecloakError(rule)
    for place, part in enumerate(command):
        if isinstance(part, bool) or not isinstance(part, (str, int, float)):
            raise FacecloakError(f"{path}: command[{place}] must be text, got {part!r}.")
    typed = [str(part) for part in command]
    if typed[: len(PROGRAM)] != PROGRAM or typed.count(ARGS) != 1:
        raise FacecloakError(rule)
    for part in typed[len(PROGRAM) :]:
        if "${" in part and part != ARGS:
            raise FacecloakError(f"{path}: command: {part} is not supported; the only one after {PROGRAM} is {ARGS}.")
    return typed[len(PROGRAM) :]


def _run_cap(path: Path, content: dict[str, Any]) -> int | None:
    if "run_cap" not in content:
        return None
    cap = number(f"{path}: run_cap", content["run_cap"], whole=True)
    if cap < 1:
        raise FacecloakError(f"{path}: run_cap must be at least 1, got {cap}.")
    return int(cap)


def _check_grid(path: Path, parameters: dict[str, Parameter]) -> None:
    for name, parameter in parameters.items():
        places = parameter.places()
        if places is None:
            raise FacecloakError(f"{path}: a grid needs values for every parameter, also for {name}.")
        if len(places) > PLACES:
            raise FacecloakError(f"{path}: {name} has more than {PLACES} values, too many for a grid.")


def _early_end(path: Path, spec: Any) -> tuple[int | None, int, list[str]]:
    """``min_iter`` (None if no trial is to be ended early) and ``eta`` of hyperband, and the keys that are ignored.

    Optuna's successive halving has no last band, compares at each band, and needs a whole ``eta`` of at least 2.
    """
    if spec is None:
        return None, 3, []
    place = f"{path}: early_terminate"
    if not isinstance(spec, dict) or spec.get("type") != "hyperband":
        raise FacecloakError(f"{place} must have type hyperband.")
    for key in spec:
        if key not in HYPERBAND:
            raise unknown_name(f"key of early_terminate in {path}", key, HYPERBAND)
    values = {key: number(f"{place}.{key}", spec[key], whole=key != "eta") for key in HYPERBAND[1:-1] if key in spec}
    for key, value in values.items():
        if value < 1 or (key == "eta" and value == 1):
            raise FacecloakError(f"{place}.{key} must be {'above 1' if key == 'eta' else 'at least 1'}, got {value}.")
    eta, ignored = values.get("eta", 3), ["strict"] if "strict" in spec else []
    whole = max(2, round(eta))
    if whole != eta:
        ignored.append(f"eta ({whole} instead of {eta})")
    if {"max_iter", "s"} <= set(values):
        return _first_band(values["max_iter"], values["s"], eta), whole, ignored + ["min_iter"] * ("min_iter" in values)
    if "min_iter" not in values:
        raise FacecloakError(f"{place} must have min_iter, or max_iter and s.")
    return values["min_iter"], whole, ignored + [key for key in ("max_iter", "s") if key in values]


def _first_band(last: int, count: int, eta: float) -> int | None:
    """The first of ``count`` bands before the ``last`` cell, computed as at Weights & Biases; None if there is none."""
    steps = min(count, math.floor(math.log(last, eta) + 1e-9))
    return int(last / eta**steps + 1e-9) if steps else None
