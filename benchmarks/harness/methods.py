"""From what the user asked for to cells, with everything that can be checked checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import METHODS
from benchmarks.suites.suite import Suite
from facecloak.config import parse_settings, read_yaml
from facecloak.errors import FacecloakError
from facecloak.method import ProtectionMethod
from facecloak.registry import unknown_name


def resolve_methods(
    suite: Suite, names: list[str] | None, overrides: Iterable[str] = (), config: Path | None = None
) -> list[tuple[str, str, type[ProtectionMethod], Any]]:
    """(name, preset, class, settings) of each method: suite, then preset, then config file, then overrides.

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
        resolved.append((name, preset if settings == own else f"{preset}*", cls, settings))
    return resolved
