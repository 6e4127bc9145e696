"""Reads W&B sweep files: the parameters, the search method, and the command line of a trial."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from benchmarks.sweep.command import ARGS, JSON_FILE, MACROS, MODULE, read_command, words
from benchmarks.sweep.hyperband import Hyperband, read_hyperband
from benchmarks.sweep.parameters import PLACES, Parameter, number, read_parameters
from facecloak.config import read_yaml
from facecloak.errors import FacecloakError
from facecloak.io import sha256_json, write_json
from facecloak.registry import unknown_name

METHODS = ("grid", "random", "bayes")
KEYS = ("program", "method", "metric", "parameters", "command", "early_terminate", "run_cap")
SHOWN = ("name", "description")  # on the sweep's page
TEXTS = ("project", "entity", "apiVersion", "kind", "job", "image_uri")
IGNORED = (*TEXTS, "controller", "scheduler")  # they have a meaning only at Weights & Biases
METRIC, METRIC_IGNORED = {"name": "objective", "goal": "maximize"}, ("impute", "impute_while_running")
DEEPEST = 20  # most levels of nested mappings and lists


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        path: path of its file.
        name: name of the file, without ending.
        title: the name in the file, or that of the file.
        description: as in the file; empty if it has none.
        method: grid, random or bayes.
        parameters: by their (dotted) names.
        nested: names of the parameters that are nested in the file.
        arguments: of a trial, with one of `MACROS`.
        hyperband: when trials are ended early; None if never.
        target: no trial begins after one has reached this score; None if the file does not say.
        run_cap: largest number of trials; None if the file does not say.
        sha256: hash of the file's content.
        notes: lines about what the local engine ignores or does differently from Weights & Biases.
    """

    path: Path
    name: str
    title: str
    description: str
    method: str
    parameters: dict[str, Parameter]
    nested: frozenset[str]
    arguments: list[str]
    hyperband: Hyperband | None
    target: float | None
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

    def command(self, values: dict[str, Any], out: Path = Path()) -> list[str]:
        """The arguments of a trial with these values of the parameters, as W&B's agents type them.

        Args:
            out: folder of the JSON file that ``${args_json_file}`` stands for; see `write_json_file`.
        """
        return self._filled(self.arguments[self._macro()], values, out)

    def plain_command(self, values: dict[str, Any]) -> list[str]:
        """The same with every parameter typed as ``--name=value``."""
        return self._filled(ARGS, values, Path())

    def write_json_file(self, values: dict[str, Any], out: Path) -> None:
        """Write the JSON file that a trial's command names, if it names one."""
        if self.arguments[self._macro()] == JSON_FILE:
            in_order = {name: values[name] for name in self.parameters}
            _json_file(out, in_order).parent.mkdir(parents=True, exist_ok=True)
            write_json(_json_file(out, in_order), in_order)

    def typed(self, values: dict[str, Any], out: Path) -> str:
        """The line to type for a trial with these values in the sweep's folder."""
        return shlex.join(["python", "-m", MODULE, *with_out(self.command(values, out), out)])

    def _filled(self, macro: str, values: dict[str, Any], out: Path) -> list[str]:
        place = self._macro()
        in_order = {name: values[name] for name in self.parameters}
        typed = words(macro, in_order, self.nested, _json_file(out, in_order))
        return [*self.arguments[:place], *typed, *self.arguments[place + 1 :]]

    def _macro(self) -> int:
        return next(place for place, part in enumerate(self.arguments) if part in MACROS)

    def capped(self, count: int) -> int:
        """The number of trials to run if ``count`` are requested."""
        return count if self.run_cap is None else min(count, self.run_cap)


def _json_file(out: Path, values: dict[str, Any]) -> Path:
    return out / "arguments" / f"{sha256_json(values)[:12]}.json"


def with_out(command: list[str], out: Path) -> list[str]:
    """A trial's arguments with the folder of its results below the sweep's folder, unless they name one."""
    named = any(part.split("=")[0] == "--out" for part in command)
    return command if named else [*command, f"--out={out / 'trials'}"]


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file in the format of `wandb sweep`.

    Raises:
        FacecloakError: it is not a sweep of this project's trials, or needs something that is not supported here.
    """
    content = read_yaml(path)
    _check_plain(path, content, [])
    for key in content:
        if key not in (*KEYS, *SHOWN, *IGNORED):
            raise unknown_name(f"key in {path}", key, (*KEYS, *SHOWN, *IGNORED))
    for key in ("program", *SHOWN, *TEXTS):
        if not isinstance(content.get(key, ""), str):
            raise FacecloakError(f"{path}: {key} must be text, got {content[key]!r}.")
    method = content.get("method")
    if method == "custom":
        raise FacecloakError(f"{path}: method custom runs only with a scheduler of Weights & Biases; use {METHODS}.")
    if method not in METHODS:
        raise unknown_name(f"method in {path}", method, METHODS)
    hyperband, unused = read_hyperband(path, content.get("early_terminate"))
    ignored = [key for key in content if key in IGNORED] + _ignored_of_metric(path, content.get("metric"))
    ignored += [f"early_terminate.{key}" for key in unused]
    parameters = read_parameters(path, content.get("parameters"))
    if method == "grid":
        _check_grid(path, parameters)
    target = content["metric"].get("target")
    return Sweep(
        path, path.stem, content.get("name") or path.stem, content.get("description", ""), method, parameters,
        frozenset(parameters) - frozenset(content["parameters"]),
        read_command(path, content.get("command"), content.get("program", "")), hyperband,
        None if target is None else number(f"{path}: metric.target", target), _run_cap(path, content),
        sha256_json(content),
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
        if key not in (*METRIC, "target", *METRIC_IGNORED):
            raise unknown_name(f"key of metric in {path}", key, (*METRIC, "target", *METRIC_IGNORED))
    return [f"metric.{key}" for key in metric if key in METRIC_IGNORED]


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
