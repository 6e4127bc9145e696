"""W&B's kinds of parameters translated to Optuna's: what is drawn, and the value that a trial gets for it."""

from __future__ import annotations

import itertools
import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.special import betainc, betaincinv

from facecloak.errors import FacecloakError
from facecloak.registry import unknown_name

RANGE, BELL, BETA = ("min", "max"), ("mu", "sigma"), ("a", "b")
KINDS = {  # distribution → the keys that go with it
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
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
    "beta": BETA,
    "q_beta": (*BETA, "q"),
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")  # W&B's rule, and the colon of facecloak:fast
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # a number, but YAML 1.1 requires a point and a sign in it
LARGEST = 2**53  # largest whole number; floats are exact up to there
TAIL = 1e-4  # share of a normal distribution that is never drawn at each end
PLACES = 100_000  # most values of one parameter in a grid


class Law(Protocol):
    """A distribution that Optuna does not have: it draws a percentile of it."""

    def inv_cdf(self, share: float) -> Any:
        """The value below which this share of the values lies."""

    def cdf(self, value: Any) -> float:
        """A share whose value this is."""


@dataclass(frozen=True)
class Beta:
    """The beta distribution on [0, 1] with both parameters above 0."""

    a: float
    b: float

    def inv_cdf(self, share: float) -> float:
        """See `Law`."""
        return float(betaincinv(self.a, self.b, share))

    def cdf(self, value: float) -> float:
        """See `Law`."""
        return float(betainc(self.a, self.b, min(max(value, 0.0), 1.0)))


@dataclass(frozen=True)
class Weighted:
    """Values with a probability each."""

    values: list[Any]
    probabilities: list[float]

    def inv_cdf(self, share: float) -> Any:
        """See `Law`; a value that has no probability is never the answer."""
        ends = [*itertools.accumulate(self.probabilities)]
        possible = [place for place, each in enumerate(self.probabilities) if each > 0]
        return self.values[min(bisect_right(ends, share * ends[-1]), possible[-1])]

    def cdf(self, value: Any) -> float:
        """See `Law`: the middle of the value's shares."""
        place = self.values.index(value)
        return (sum(self.probabilities[:place]) + self.probabilities[place] / 2) / sum(self.probabilities)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a sweep.

    Attributes:
        distribution: the distribution from which Optuna draws.
        law: Optuna draws a percentile of this distribution; None if it draws the value itself.
        exponent: what ``law`` gives is the value's natural logarithm.
        q: the value is rounded to a multiple of it; None if it is not rounded.
        as_json: Optuna draws the value's JSON, because it has no lists and mappings.
    """

    distribution: BaseDistribution
    law: Law | None = None
    exponent: bool = False
    q: float | None = None
    as_json: bool = False

    def value(self, drawn: Any) -> Any:
        """The value that a trial gets for what was drawn."""
        value = json.loads(drawn) if self.as_json else self.law.inv_cdf(drawn) if self.law else drawn
        value = math.exp(value) if self.exponent else value
        return value if self.q is None else _multiple(value, self.q)

    def drawn(self, value: Any) -> Any:
        """A draw that gives this value; W&B's engine rounds a little beyond ``min`` and ``max``.

        Raises:
            ValueError, TypeError: no draw gives such a value.
        """
        if isinstance(self.distribution, CategoricalDistribution):
            return json.dumps(value) if self.as_json else value
        drawn = math.log(max(value, math.ulp(0.0))) if self.exponent else value
        drawn = self.law.cdf(drawn) if self.law else drawn
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
            return _categorical(_choices(place, spec, kind))
        if kind == "categorical_w_probabilities":
            return Parameter(FloatDistribution(0.0, 1.0), _weighted(place, spec, kind))
        found = _range(place, kind, spec) if RANGE[0] in KINDS[kind] else _curve(place, kind, spec)
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


def _categorical(values: list[Any]) -> Parameter:
    as_json = any(isinstance(value, (list, dict)) for value in values)
    return Parameter(CategoricalDistribution([json.dumps(value) for value in values] if as_json else values),
                     as_json=as_json)  # fmt: skip


def _weighted(place: str, spec: dict[str, Any], kind: str) -> Weighted:
    values, probabilities = _choices(place, spec, kind), spec["probabilities"]
    if not isinstance(probabilities, list) or len(probabilities) != len(values):
        raise FacecloakError(
            f"{place}: probabilities must be a list with a number for each of the {len(values)} values."
        )
    shares = [number(f"{place}: probabilities", each) for each in probabilities]
    if min(shares) < 0 or not math.isclose(sum(shares), 1.0):
        raise FacecloakError(f"{place}: probabilities must be at least 0 and add up to 1, got {probabilities}.")
    return Weighted(values, shares)


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


def _curve(place: str, kind: str, spec: dict[str, Any]) -> Parameter:
    """Beta distributions; normal distributions, of values or of their logarithms."""
    if "beta" in kind:
        a, b = (number(f"{place}: {key}", spec.get(key, 1)) for key in BETA)
        if min(a, b) <= 0:
            raise ValueError(f"a and b must be above 0, got {a!r} and {b!r}")
        return Parameter(FloatDistribution(0.0, 1.0), Beta(a, b), q=_q(place, spec) if "q" in KINDS[kind] else None)
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
