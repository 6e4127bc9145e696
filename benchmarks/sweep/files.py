"""Reads W&B sweep files: what is searched, how, and the command line of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from facecloak.config import read_yaml
from facecloak.errors import FacecloakError
from facecloak.io import sha256_json
from facecloak.registry import unknown_name

PROGRAM = ["${env}", "${interpreter}", "-m", "benchmarks.sweep.trial"]  # how every trial's command begins
ARGS = "${args}"  # W&B's: --name=value of each parameter
METHODS = ("grid", "random", "bayes")
KEYS = ("program", "method", "metric", "parameters", "command", "early_terminate", "name", "description")
SPEC = ("value", "values", "min", "max", "distribution")  # keys of a parameter


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        path: of its file.
        name: of the file, without ending.
        method: grid, random or bayes.
        space: parameter → what it may be.
        arguments: of a trial, `ARGS` among them.
        min_iter: cells that a trial is given before it may be ended early; None if it never is.
        eta: of hyperband.
        sha256: of what the file says.
    """

    path: Path
    name: str
    method: str
    space: dict[str, BaseDistribution]
    arguments: list[str]
    min_iter: int | None
    eta: int
    sha256: str

    def command(self, values: dict[str, Any]) -> list[str]:
        """The arguments of a trial with these values of the parameters."""
        place = self.arguments.index(ARGS)
        typed = [f"--{name}={values[name]}" for name in self.space]
        return [*self.arguments[:place], *typed, *self.arguments[place + 1 :]]


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file, as `wandb sweep` takes it.

    Raises:
        FacecloakError: it is no sweep of this project's trials, or asks for what is not supported here.
    """
    content = read_yaml(path)
    for key in content:
        if key not in KEYS:
            raise unknown_name(f"key in {path}", str(key), KEYS)
    method = content.get("method")
    if method not in METHODS:
        raise unknown_name(f"method in {path}", str(method), METHODS)
    if content.get("metric") != {"name": "objective", "goal": "maximize"}:
        raise FacecloakError(f"{path}: metric must be {{name: objective, goal: maximize}}, a trial's score.")
    command = [str(part) for part in content.get("command") or []]
    if command[: len(PROGRAM)] != PROGRAM or command.count(ARGS) != 1:
        raise FacecloakError(f"{path}: command must begin with {PROGRAM} and have one {ARGS}.")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise FacecloakError(f"{path}: there are no parameters to search.")
    least, eta = _early_end(path, content.get("early_terminate"))
    space = {name: _distribution(path, name, spec) for name, spec in parameters.items()}
    open_ended = [name for name, each in space.items() if isinstance(each, FloatDistribution)]
    if method == "grid" and open_ended:
        raise FacecloakError(f"{path}: a grid needs values, of {open_ended[0]} too.")
    return Sweep(
        path, path.stem, method, space, command[len(PROGRAM) :],
        least, eta, sha256_json(content),
    )  # fmt: skip


def _early_end(path: Path, spec: Any) -> tuple[int | None, int]:
    """``min_iter`` and ``eta`` of hyperband; None and any if no trial is to be ended early."""
    if spec is None:
        return None, 3
    if isinstance(spec, dict) and spec.get("type") == "hyperband" and set(spec) <= {"type", "min_iter", "eta"}:
        least, eta = spec.get("min_iter"), spec.get("eta", 3)
        if isinstance(least, int) and isinstance(eta, int) and least >= 1 and eta >= 2:
            return least, eta
    raise FacecloakError(
        f"{path}: early_terminate must have type hyperband, min_iter (1 at least) and, if you like, eta (2 at least)."
    )


def _distribution(path: Path, name: str, spec: Any) -> BaseDistribution:
    """W&B's kinds of parameters in Optuna's words."""
    if not isinstance(spec, dict):
        raise FacecloakError(f"{path}: {name} needs value, values, or min and max.")
    for key in spec:
        if key not in SPEC:
            raise unknown_name(f"key of {name} in {path}", str(key), SPEC)
    try:
        if "value" in spec or "values" in spec:
            return CategoricalDistribution([spec["value"]] if "value" in spec else [*spec["values"]])
        low, high = spec["min"], spec["max"]
        whole = isinstance(low, int) and isinstance(high, int)
        if not whole and not (isinstance(low, float) and isinstance(high, float)) and "distribution" not in spec:
            raise FacecloakError(f"{path}: {name}: min and max must be both whole numbers, or both with a point.")
        kind = spec.get("distribution", "int_uniform" if whole else "uniform")
        if kind == "int_uniform":
            return IntDistribution(low, high)
        if kind == "uniform":
            return FloatDistribution(low, high)
        if kind == "log_uniform_values":
            return FloatDistribution(low, high, log=True)
    except KeyError:
        raise FacecloakError(f"{path}: {name} needs value, values, or min and max.") from None
    except (ValueError, TypeError) as error:
        raise FacecloakError(f"{path}: {name}: {error}") from None
    known = ("int_uniform", "uniform", "log_uniform_values")
    raise unknown_name(f"distribution of {name} in {path}", kind, known)
