"""From names to methods: settings resolved in their layers, surrogates and targets loaded; the one recipe for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import METHODS
from benchmarks.suites.suite import Suite, Target
from facecloak.config import parse_settings, read_yaml
from facecloak.data import FindFace
from facecloak.errors import FacecloakError
from facecloak.method import ProtectionMethod
from facecloak.objectives import Goal, Objective
from facecloak.recognizers import Recognizer, load_recognizer
from facecloak.registry import unknown_name


class Resolved(NamedTuple):
    """A method with its settings.

    Attributes:
        name: key of `benchmarks.METHODS`.
        preset: name of the preset, with * if other settings were given beside it.
        cls: the method's class.
        settings: an instance of ``cls.Settings``.
    """

    name: str
    preset: str
    cls: type[ProtectionMethod]
    settings: Any


def resolve_methods(
    suite: Suite, names: Sequence[str] | None, overrides: Iterable[str] = (), config: Path | None = None
) -> list[Resolved]:
    """Each method with its settings: the suite's, then the preset's, then the config file's, then the overrides.

    The preset's name ends in * if the last two changed anything.
    """
    layers = read_yaml(config) if config else {}
    specs = [name.partition(":")[::2] for name in names or suite.methods]
    asked = {name for name, _ in specs}
    for method, values in layers.items():
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        if not isinstance(values, dict):
            raise FacecloakError(f"{config}: {method} must be a mapping of settings to values.")
    typed: dict[str, list[str]] = {}
    for override in overrides:
        method, _, assignment = override.partition(".")
        if method not in asked:
            raise FacecloakError(
                f"--{override}: {method!r} is not among the methods of this run ({', '.join(sorted(asked))})."
            )
        typed.setdefault(method, []).append(assignment)
    resolved = []
    for name, preset in specs:
        cls = METHODS[name]
        preset = preset or next(iter(cls.presets))
        if preset not in cls.presets:
            raise unknown_name(f"preset of {name}", preset, cls.presets)
        values = {**suite.methods.get(name, {}), **cls.presets[preset]}
        own = parse_settings(cls.Settings, values, [], name)
        settings = parse_settings(cls.Settings, {**values, **layers.get(name, {})}, typed.get(name, []), name)
        resolved.append(Resolved(name, preset if settings == own else f"{preset}*", cls, settings))
    return resolved


def load_surrogate(name: str) -> Recognizer:
    """A recognizer to attack."""
    return load_recognizer(name, differentiable=True)


def load_objective(
    suite: Suite,
    method: Resolved,
    goal: Goal,
    target: Target,
    surrogates: Sequence[str],
    find_face: FindFace,
    load: Callable[[str], Recognizer] = load_surrogate,
) -> Objective:
    """What a method minimises on a suite: its surrogates, and the target or the set of targets that it chooses from.

    Args:
        surrogates: names.
        load: gives a surrogate by its name.

    Raises:
        FacecloakError: weights are missing, or a target's photo shows no face.
    """
    targets = suite.target_set(target) if method.cls.uses_target_set(method.settings) else [target]
    return suite.build_objective(goal, targets, [load(name) for name in surrogates], find_face)
