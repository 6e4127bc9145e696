"""From what the user asked for to cells, with everything that can be checked checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.cell import Cell
from benchmarks.harness.methods import resolve_methods
from benchmarks.suites.suite import Source, Suite
from facecloak.errors import FacecloakError
from facecloak.io import sha256, writable
from facecloak.method import ProtectionMethod
from facecloak.recognizers import weights_file
from facecloak.registry import unknown_name


@dataclass(frozen=True)
class Plan:
    """All that a run needs to know.

    Attributes:
        thresholds: recognizer → its entry in the suite's thresholds.
        methods: name → class.
        devices: processes or GPUs of each of ``num_nodes`` machines.
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
    num_nodes: int


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
    num_nodes: int = 1,
) -> Plan:
    """Resolve and check a request; defaults come from the suite.

    Args:
        methods: names, each optionally with a preset (``facecloak:paper``).
        overrides: settings as typed, ``method.field=value``.
        config: a YAML file of settings by method, between the suite's and the typed ones.
        black_boxes: judges, each attacked through the other recognizers that are not held out.
        white_boxes: judges that stay among the surrogates.

    Raises:
        FacecloakError: whatever cannot work, before any image is touched.
    """
    writable(out)
    _check_devices(devices, accelerator, num_nodes)
    objective = objective or suite.objective
    if objective == "obfuscation" and targets:
        raise FacecloakError("Obfuscation has one target, the suite's synthetic one; leave --targets out.")
    names = ["synthetic"] if objective == "obfuscation" else targets or suite.default_targets or suite.target_names()
    faces = [suite.load_target(name, objective) for name in dict.fromkeys(names)]
    weights = {name: sha256(weights_file(name)) for name in suite.recognizers}
    for name in [*(black_boxes or []), *(white_boxes or []), *(suite.surrogates or [])]:
        if name not in weights:
            raise unknown_name(f"recognizer in suite {suite.name}", name, weights)
    judges = _judges(suite, black_boxes, white_boxes)
    thresholds = {name: suite.load_thresholds(name, weights[name]) for name, _ in judges}
    classes, cells = {}, {}
    for method, preset, cls, settings in resolve_methods(suite, methods, overrides, config):
        classes[method] = cls
        method_weights = cls.weights_sha256(settings)  # gigabytes: once, not once a cell
        for face in faces:
            for judge, white in judges:
                pool = sorted(suite.surrogates_for([] if white else [judge]), key=lambda name: name != judge)
                attacked = cls.pick_surrogates(settings, pool)
                others = suite.target_set(face)[1:] if cls.uses_target_set(settings) else []
                cell = Cell(
                    suite, method, preset, settings, objective, face, judge, tuple(attacked), weights,
                    method_weights, tuple(others), white and judge in attacked,
                )  # fmt: skip
                twin = cells.setdefault(cell.key, cell)
                if twin.preset.rstrip("*") != preset.rstrip("*"):
                    raise FacecloakError(
                        f"{method}:{twin.preset} and {method}:{preset} come to the same settings; ask for one of them."
                    )
    sources = suite.load_sources(limit or suite.default_limit)
    batch_size = suite.batch_size if batch_size is None else batch_size
    everything = [*cells.values()]
    return Plan(
        suite, everything, sources, thresholds, classes, out, batch_size, devices, accelerator, overwrite, num_nodes
    )


def _check_devices(devices: int, accelerator: str, num_nodes: int) -> None:
    # SLURM_NTASKS would not say whether srun started this
    processes = int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", 1)))
    if num_nodes > 1 and processes == 1:
        raise FacecloakError(f"--num-nodes {num_nodes}: torchrun or srun has to start this command on every machine.")
    if processes not in (1, devices * num_nodes):
        raise FacecloakError(
            f"{processes} processes have been started, for --devices {devices} × --num-nodes {num_nodes}: give the "
            f"processes of a machine and the machines, whose product must be {processes}."
        )
    found = torch.cuda.device_count()
    if accelerator == "gpu" and found == 0:
        raise FacecloakError("There is no GPU here; leave --accelerator out, or give cpu.")
    if accelerator != "cpu" and 0 < found < devices:
        raise FacecloakError(f"--devices {devices}: there are {found} GPUs here.")


def _judges(suite: Suite, black: list[str] | None, white: list[str] | None) -> list[tuple[str, bool]]:
    """(recognizer, whether it stays among the surrogates) of each judge."""
    for name in white or []:
        if name in suite.held_out:
            raise FacecloakError(f"--white-box {name}: suite {suite.name} holds it out, so that no method ever attacks "
                                 f"it. Use --black-box {name}.")  # fmt: skip
        if suite.surrogates and name not in suite.surrogates:
            raise FacecloakError(f"--white-box {name}: it is no surrogate of suite {suite.name}; use --black-box.")
    if black is None and not white:
        black = [name for name in suite.recognizers if name not in (suite.surrogates or [])]
        if not black:
            raise FacecloakError(f"Suite {suite.name}: all recognizers are surrogates, so that none can judge.")
    return [(name, False) for name in black or []] + [(name, True) for name in white or []]
