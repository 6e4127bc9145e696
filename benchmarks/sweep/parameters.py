"""W&B's kinds of parameters translated to Optuna's: what is drawn, and the value that a trial gets for it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from facecloak.errors import FacecloakError
from facecloak.registry import unknown_name

RANGE, BELL = ("min", "max"), ("mu", "sigma")
KINDS = {  # distribution → the keys that go with it
    "constant": ("value",),
    "categorical": ("values",),
    "int_uniform": RANGE,
    "uniform": RANGE,
    "q_uniform": (*RANGE, "q"),
    "log_uniform": RANGE,
    "log_uniform_values": RANGE,
    "q_log_uniform": (*RANGE, "q"),
    "q_log_uniform_values": (*RANGE, "q"),
    "inv_log_uniform": RANGE,
    "inv_log_uniform_values": RANGE,
    "normal": BELL,
    "q_normal": (*BELL, "q"),
    "log_normal": BELL,
    "q_log_normal": (*BELL, "q"),
}
REFUSED = ("beta", "q_beta", "categorical_w_probabilities")  # distributions of W&B that the local engine cannot draw
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # W&B's rule
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # a number, but YAML 1.1 requires a point and a sign in it
LARGEST = 2**53  # largest whole number; floats are exact up to there
TAIL = 1e-4  # share of a normal distribution that is never drawn at each end
PLACES = 100_000  # most values of one parameter in a grid


@dataclass(frozen=True)
class Parameter:
    """A parameter of a sweep.

    Attributes:
        distribution: the distribution from which Optuna draws.
        bell: Optuna draws a percentile of this distribution; None if it draws the value itself.
        exponent: Optuna draws the value's natural logarithm.
        q: the value is rounded to a multiple of it; None if it is not rounded.
    """

    distribution: BaseDistribution
    bell: NormalDist | None = None
    exponent: bool = False
    q: float | None = None

    def value(self, drawn: Any) -> Any:
        """The value that a trial gets for what was drawn."""
        value = self.bell.inv_cdf(drawn) if self.bell else drawn
        value = math.exp(value) if self.exponent else value
        return value if self.q is None else _multiple(value, self.q)

    def drawn(self, value: Any) -> Any:
        """A draw that gives this value; W&B's engine rounds a little beyond ``min`` and ``max``."""
        if isinstance(self.distribution, CategoricalDistribution):
            return value
        drawn = math.log(max(value, math.ulp(0.0))) if self.exponent else value
        drawn = self.bell.cdf(drawn) if self.bell else drawn
        return min(max(drawn, self.distribution.low), self.distribution.high)

    def places(self) -> list[Any] | None:
        """All values that can be drawn, in order; None if there are infinitely many."""
        each = self.distribution
        if isinstance(each, CategoricalDistribution):
            return [*each.choices]
        if each.step is None:
            return None
        count = min(round((each.high - each.low) / each.step), PLACES) + 1
        return [_tidy(each.low + place * each.step) for place in range(count)]


def read_parameters(path: Path, parameters: Any, prefix: str = "") -> dict[str, Parameter]:
    """The parameters of a sweep file by name; nested parameters get dotted names.

    Args:
        path: of the file, for messages.
        prefix: name of the parameter whose ``parameters`` these are, with a dot.

    Raises:
        FacecloakError: one of them is invalid.
    """
    if not isinstance(parameters, dict) or not parameters:
        raise FacecloakError(f"{path}: there are no parameters to search{prefix and f' in {prefix[:-1]}'}.")
    found: dict[str, Parameter] = {}
    for name, parameter in _each(path, parameters, prefix):
        if name in found:
            raise FacecloakError(f"{path}: {name} is given twice, nested and with a dot.")
        found[name] = parameter
    return found


def _each(path: Path, parameters: dict[Any, Any], prefix: str) -> Iterator[tuple[str, Parameter]]:
    for key, spec in parameters.items():
        if not isinstance(key, str) or not NAME.fullmatch(key):
            raise FacecloakError(f"{path}: {key!r} cannot be the name of a parameter.")
        name = prefix + key
        if isinstance(spec, dict) and "parameters" in spec:
            if len(spec) > 1:
                raise FacecloakError(f"{path}: {name} has nested parameters, so it can have no other keys.")
            yield from read_parameters(path, spec["parameters"], f"{name}.").items()
        else:
            yield name, _parameter(path, name, spec)


def _parameter(path: Path, name: str, spec: Any) -> Parameter:
    kind = _kind(path, name, spec)
    for key in spec:
        if key not in ("distribution", *KINDS[kind]):
            raise unknown_name(f"key of {name} in {path}", key, ("distribution", *KINDS[kind]))
    place = f"{path}: {name}"
    try:
        if kind in ("constant", "categorical"):
            return Parameter(CategoricalDistribution(_choices(place, spec, kind)))
        found = _bell(place, kind, spec) if BELL[0] in KINDS[kind] else _range(place, kind, spec)
        for end in (found.distribution.low, found.distribution.high):
            found.value(end)
        return found
    except KeyError as error:
        raise FacecloakError(f"{place}: a distribution {kind} needs {error.args[0]}.") from None
    except (ValueError, OverflowError) as error:
        raise FacecloakError(f"{place}: {error}") from None


def _kind(path: Path, name: str, spec: Any) -> str:
    """The distribution that the file names, or else the one that W&B infers from the keys."""
    given = spec if isinstance(spec, dict) else {}
    if "distribution" in given:
        kind = given["distribution"]
    elif "value" in given:
        kind = "constant"
    elif "values" in given:
        kind = "categorical_w_probabilities" if "probabilities" in given else "categorical"
    elif {"min", "max"} <= set(given):
        whole = all(isinstance(given[key], int) for key in ("min", "max"))
        kind = "int_uniform" if whole else "uniform"
    else:
        raise FacecloakError(f"{path}: {name} needs value, values, or min and max.")
    if kind in REFUSED:
        raise FacecloakError(f"{path}: {name}: the local engine cannot draw {kind}; only Weights & Biases can.")
    if not isinstance(kind, str) or kind not in KINDS:
        raise unknown_name(f"distribution of {name} in {path}", kind, KINDS)
    return kind


def _choices(place: str, spec: dict[str, Any], kind: str) -> list[Any]:
    values = [spec["value"]] if kind == "constant" else spec["values"]
    if not isinstance(values, list) or not values:
        raise FacecloakError(f"{place}: values must be a list with at least one entry, got {values!r}.")
    values = [_as_number(value) for value in values]
    for place_of, value in enumerate(values):
        if value in values[:place_of]:
            raise FacecloakError(f"{place}: {value!r} is in values twice.")
    return values


def _range(place: str, kind: str, spec: dict[str, Any]) -> Parameter:
    """Uniform distributions, of values or of their logarithms."""
    low, high = (number(f"{place}: {key}", spec[key], whole=kind == "int_uniform") for key in RANGE)
    if low > high:
        raise ValueError(f"min must not be above max, got {low!r} and {high!r}")
    if kind == "int_uniform":
        return Parameter(IntDistribution(low, high))
    if kind == "uniform":
        return Parameter(FloatDistribution(low, high))
    q = _q(place, spec) if "q" in KINDS[kind] else None
    if kind == "q_uniform":
        distribution = IntDistribution if isinstance(q, int) else FloatDistribution
        return Parameter(distribution(_multiple(low, q), _multiple(high, q), step=q), q=q)
    if not kind.endswith("_values"):  # min and max are exponents; the inverse changes their sign
        low, high = (math.exp(each) for each in ((-high, -low) if kind.startswith("inv") else (low, high)))
    # the inverse of a log-uniform value is log-uniform too
    return Parameter(FloatDistribution(low, high, log=True), q=q)


def _bell(place: str, kind: str, spec: dict[str, Any]) -> Parameter:
    """Normal distributions, of values or of their logarithms."""
    mu = number(f"{place}: mu", spec.get("mu", 0.0))
    sigma = number(f"{place}: sigma", spec.get("sigma", 1.0))
    if sigma <= 0:
        raise ValueError(f"sigma must be above 0, got {sigma!r}")
    q = _q(place, spec) if "q" in KINDS[kind] else None
    return Parameter(FloatDistribution(TAIL, 1 - TAIL), NormalDist(mu, sigma), "log" in kind, q)


def _q(place: str, spec: dict[str, Any]) -> float:
    q = number(f"{place}: q", spec.get("q", 1.0))
    if q <= 0:
        raise ValueError(f"q must be above 0, got {q!r}")
    return q


def _multiple(value: float, q: float) -> float:
    return _tidy(round(value / q) * q)


def _tidy(value: float) -> float:
    """0.3 for 0.30000000000000004."""
    return value if isinstance(value, int) else float(f"{value:.12g}")


def number(place: str, value: Any, whole: bool = False) -> float:
    """A finite number of a sweep file, even if YAML 1.1 reads it as text, as with ``1e-4``.

    Raises:
        FacecloakError: it is not a number, or not whole although it must be.
    """
    found = _as_number(value)
    if whole and isinstance(found, float) and found.is_integer():
        found = int(found)
    kinds = int if whole else (int, float)
    if isinstance(found, bool) or not isinstance(found, kinds):
        raise FacecloakError(f"{place}: expected a {'whole ' if whole else ''}number, got {value!r}.")
    if not (abs(found) <= LARGEST if isinstance(found, int) else math.isfinite(found)):
        raise FacecloakError(f"{place}: {value!r} is too large, or not finite.")
    return found


def _as_number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value
