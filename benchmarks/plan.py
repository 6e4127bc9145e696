"""From what the user asked for to cells, with everything that can be checked checked before anything runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import METHODS
from benchmarks.cell import Cell
from benchmarks.suite import Source, Suite
from facecloak.config import parse_settings, read_yaml
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.method import ProtectionMethod
from facecloak.recognizers import weights_file
from facecloak.registry import unknown_name


@dataclass(frozen=True)
class Plan:
    """All that a run needs to know.

    Attributes:
        thresholds: recognizer → its entry in the suite's thresholds.
        methods: name → class.
        overwrite: make everything again, also what is finished.
    """

    suite: Suite
    cells: list[Cell]
    sources: list[Source]
    thresholds: dict[str, dict[str, Any]]
    methods: dict[str, type[ProtectionMethod]]
    out: Path
    batch_size: int
    devices: int
    accelerator: str
    overwrite: bool


def make_plan(
    suite: Suite,
    out: Path,
    methods: list[str] | None = None,
    overrides: Iterable[str] = (),
    config: Path | None = None,
    objective: str | None = None,
    targets: list[str] | None = None,
    black_boxes: list[str] | None = None,
    white_boxes: list[str] | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    devices: int = 1,
    accelerator: str = "auto",
    overwrite: bool = False,
) -> Plan:
    """Resolve and check a request; defaults come from the suite.

    Args:
        methods: names, each optionally with a preset (``facecloak:paper``).
        overrides: settings as typed, ``method.field=value``.
        config: a YAML file of settings by method, between the suite's and the typed ones.
        black_boxes: judges, each attacked through the other recognizers.
        white_boxes: judges that stay among the surrogates.

    Raises:
        FacecloakError: whatever cannot work, before any image is touched.
    """
    writable(out)
    objective = objective or suite.objective
    if objective == "obfuscation":
        targets = ["synthetic"]
    targets = [suite.load_target(name, objective) for name in targets or suite.default_targets or suite.target_names()]
    weights = {name: sha256(weights_file(name)) for name in suite.recognizers}
    for name in [*(black_boxes or []), *(white_boxes or []), *(suite.surrogates or [])]:
        if name not in weights:
            raise unknown_name(f"recognizer in suite {suite.name}", name, weights)
    if black_boxes is None and not white_boxes:
        black_boxes = [name for name in suite.recognizers if name not in (suite.surrogates or [])] or suite.recognizers
    judges = [(name, False) for name in black_boxes or []] + [(name, True) for name in white_boxes or []]
    thresholds = {name: suite.load_thresholds(name, weights[name]) for name, _ in judges}
    classes, cells = {}, []
    for method, preset, cls, settings in resolve_methods(suite, methods, overrides, config):
        classes[method] = cls
        for target in targets:
            for judge, white in judges:
                pool = suite.surrogates or [name for name in suite.recognizers if white or name != judge]
                cells.append(Cell(
                    suite, method, preset, settings, objective, target, judge,
                    tuple(pool) if cls.uses_surrogates else (), weights, cls.weights_sha256(settings), white,
                ))  # fmt: skip
    sources = suite.load_sources(limit)
    batch_size = suite.batch_size if batch_size is None else batch_size
    return Plan(suite, cells, sources, thresholds, classes, out, batch_size, devices, accelerator, overwrite)


def resolve_methods(
    suite: Suite, names: list[str] | None, overrides: Iterable[str] = (), config: Path | None = None
) -> list[tuple[str, str, type[ProtectionMethod], Any]]:
    """(name, preset, class, settings) of each method: preset, then suite, then config file, then overrides."""
    layers = read_yaml(config) if config else {}
    specs = [name.partition(":")[::2] for name in names or suite.methods]
    asked = {name for name, _ in specs}
    for method in layers:
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
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
        values = {**suite.methods.get(name, {}), **cls.presets[preset], **(layers.get(name) or {})}
        resolved.append((name, preset, cls, parse_settings(cls.Settings, values, typed.get(name, []), name)))
    return resolved


def writable(out: Path) -> None:
    """Check now what would otherwise fail after hours.

    Raises:
        FacecloakError: files cannot be written there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        raise FacecloakError(f"{out}: cannot write there ({error.strerror}). Choose another --out.") from None
