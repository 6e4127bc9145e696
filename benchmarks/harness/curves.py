"""Protects with every method at each strength of its grid, so that methods can be compared at equal quality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import METHODS
from benchmarks.console import RunProgress
from benchmarks.harness.methods import resolve_methods
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.runner import Runner
from benchmarks.suites.suite import Suite
from facecloak.errors import FacecloakError
from facecloak.method import Strength


def plan_points(suite: Suite, methods: Sequence[str] | None, overrides: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The settings of each step of the grids: method → {setting: value}; a method leaves out steps that it lacks.

    Args:
        methods: as in a benchmark; those without a strength have one point, with the settings that they have.

    Raises:
        FacecloakError: a method or a setting does not exist, or the strength is typed as a setting.
    """
    resolved = resolve_methods(suite, methods, overrides)
    grids: dict[str, list[dict[str, Any]]] = {}
    for method in resolved:
        if method.name in grids:
            raise FacecloakError(f"{method.name} is there with two presets: give only one of them to a curve.")
        strength = METHODS[method.name].strength
        if strength and any(text.startswith(f"{method.name}.{strength.setting}=") for text in overrides):
            raise FacecloakError(
                f"{method.name}.{strength.setting} is the strength that the curve goes along: leave it out."
            )
        grids[method.name] = _grid(asdict(method.settings), strength)
    most = max(map(len, grids.values()))
    return [{name: grid[step] for name, grid in grids.items() if step < len(grid)} for step in range(most)]


def _grid(settings: dict[str, Any], strength: Strength | None) -> list[dict[str, Any]]:
    if strength is None:
        return [{}]
    value = settings[strength.setting]
    scaled = [value * factor for factor in strength.factors]
    values = [max(1, round(each)) for each in scaled] if isinstance(value, int) else scaled
    return [{strength.setting: each} for each in dict.fromkeys(values)]


def run_curves(
    suite: Suite,
    request: Request,
    progress: RunProgress | None = None,
    on_judged: Iterable[Callable[[Path], None]] = (),
) -> None:
    """Protect and judge at each point of the grids, all in the request's ``out``; what is there already is kept.

    Args:
        request: its ``overrides`` hold for all points, and it has no ``config``.
    """
    specs = {resolved.name: spec for resolved, spec in zip(
        resolve_methods(suite, request.methods, request.overrides), suite.method_names(request.methods), strict=True
    )}  # fmt: skip
    listeners, progress = [*on_judged], progress or RunProgress(shown=False)
    points, plans = plan_points(suite, request.methods, request.overrides), []
    for point in points:  # all of them first, so that nothing is protected if one of them cannot be
        typed = [text for text in request.overrides if text.partition(".")[0] in point]
        asked = replace(request, methods=[specs[name] for name in point], overrides=typed, config=point)
        plans.append(make_plan(suite, asked))
    for number, (point, plan) in enumerate(zip(points, plans, strict=True), start=1):
        progress.line(f"strength {number} of {len(points)}: {_text(point)}")
        Runner(plan, progress).run(listeners)


def _text(point: dict[str, Any]) -> str:
    return ", ".join(
        " ".join([name, *(f"{setting} {value:g}" for setting, value in own.items())]) for name, own in point.items()
    )
