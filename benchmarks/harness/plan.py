"""Turns a user's request into protections and their judges, after checking everything that can be checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.harness.calibrate import ensure_thresholds
from benchmarks.harness.countermeasures import find_countermeasures
from benchmarks.harness.countermeasures.altering import purifying_settings
from benchmarks.harness.devices import gpu_count, pick_device
from benchmarks.harness.methods import Resolved, resolve_methods
from benchmarks.harness.needs import fetch_needed
from benchmarks.harness.processes import processes_elsewhere
from benchmarks.harness.protection import Protection
from benchmarks.results.store import NO_COUNTERMEASURE
from benchmarks.suites.suite import Source, Suite
from facecloak.errors import FacecloakError
from facecloak.io import sha256, writable
from facecloak.method import ProtectionMethod
from facecloak.recognizers import weights_file
from facecloak.registry import unknown_name

Mode = Literal["only-missing", "failed", "overwrite"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks of a benchmark; where a value is None, the suite's is used.

    Attributes:
        out: folder of the results.
        methods: names, each optionally with a preset (``facecloak:paper``).
        overrides: settings as typed, ``method.field=value``.
        config: settings by method, or a YAML file of them; they override the suite's, and ``overrides`` override them.
        black_boxes: judges; each judges pictures made by attacking the other recognizers that are not held out.
        white_boxes: judges that are also attacked as surrogates.
        countermeasures: names, or names of sets, of what is done to the pictures before they are judged once more.
        limit: number of photos of each group.
        devices: number of processes or GPUs on each of ``num_nodes`` machines.
        accelerator: auto, cpu or gpu.
        mode: which images are made: ``only-missing``, ``failed`` (also failed ones), or ``overwrite`` (all again).
    """

    out: Path
    methods: Sequence[str] | None = None
    overrides: Iterable[str] = ()
    config: Path | Mapping[str, Mapping[str, Any]] | None = None
    objective: str | None = None
    targets: Sequence[str] | None = None
    black_boxes: Sequence[str] | None = None
    white_boxes: Sequence[str] | None = None
    countermeasures: Sequence[str] = ()
    limit: int | None = None
    batch_size: int | None = None
    devices: int = 1
    num_nodes: int = 1
    accelerator: str = "auto"
    mode: Mode = "only-missing"


@dataclass(frozen=True)
class Task:
    """A protection and the recognizers that judge it."""

    protection: Protection
    judges: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """Everything that a run needs to know.

    Attributes:
        tasks: each distinct protection once, with its judges.
        sources: the photos of all groups.
        albums: source → the photos of its album; empty if no method learns from them.
        thresholds: judge → its entry in the suite's thresholds.
        methods: name → class.
        countermeasures: names, the first of which is none: pictures are always judged as they are, too.
    """

    suite: Suite
    request: Request
    tasks: list[Task]
    sources: list[Source]
    thresholds: dict[str, dict[str, Any]]
    methods: dict[str, type[ProtectionMethod]]
    batch_size: int
    countermeasures: list[str]
    albums: dict[str, list[Path]]

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.request.out

    @property
    def protections(self) -> list[Protection]:
        """The protections of all tasks."""
        return [task.protection for task in self.tasks]


def make_plan(suite: Suite, request: Request) -> Plan:
    """Resolve and check a request.

    Raises:
        FacecloakError: something in the request cannot work; no image has been touched yet.
    """
    _check_devices(request)
    objective = request.objective or suite.objective
    if objective == "obfuscation" and request.targets:
        raise FacecloakError("Obfuscation has only one target, the suite's synthetic one; leave --targets out.")
    for name in [*(request.black_boxes or []), *(request.white_boxes or []), *(suite.surrogates or [])]:
        if name not in suite.recognizers:
            raise unknown_name(f"recognizer in suite {suite.name}", name, suite.recognizers)
    judges = _judges(suite, request.black_boxes, request.white_boxes)
    methods = resolve_methods(suite, request.methods, request.overrides, request.config)
    for method in methods:
        method.cls.require_device(method.settings, pick_device(request.accelerator).type)
    countermeasures = [found.name for found in find_countermeasures(request.countermeasures)]
    purifying = purifying_settings(suite, countermeasures)
    suite.require_sources()
    learning = [method.name for method in methods if method.cls.uses_albums]
    if learning:
        suite.require_albums(learning[0])
    names = request.targets or suite.default_targets or suite.target_names()
    names = ["synthetic"] if objective == "obfuscation" else names
    for name in names:
        suite.require_target(name, objective)
    writable(request.out)
    involved = dict.fromkeys([*(name for name, _ in judges), *suite.surrogates_for([])])
    fetch_needed(suite, involved, [*(method.settings for method in methods), purifying], judging=True)
    targets = [suite.load_target(name, objective) for name in dict.fromkeys(names)]
    albums = suite.load_albums() if learning else {}
    hashes = {name: [sha256(path) for path in paths] for name, paths in albums.items()}
    sources = suite.load_sources()
    weights = {name: sha256(weights_file(name)) for name in involved}
    ensure_thresholds(suite, [name for name, _ in judges])
    thresholds = {name: suite.load_thresholds(name, weights[name]) for name, _ in judges}
    tasks: dict[str, Task] = {}
    for method in methods:
        attacked = [(judge, _attacked(suite, method, judge, white, weights)) for judge, white in judges]
        method_weights = method.cls.weights_sha256(method.settings)  # gigabytes: once, not once per protection
        for target in targets:
            # of all its sources, so that a higher --limit makes the same protection
            own = [source.name for source in sources if source.is_protected(objective, target.name)]
            learnt = {name: hashes[name] for name in own} if method.cls.uses_albums else None
            others = suite.target_set(target)[1:] if method.cls.uses_target_set(method.settings) else []
            for judge, surrogates in attacked:
                protection = Protection(
                    suite, method.name, method.preset, method.settings, objective, target, surrogates,
                    {name: weights[name] for name in surrogates}, method_weights, tuple(others),
                    learnt,
                )  # fmt: skip
                task = tasks.setdefault(protection.key, Task(protection))
                if task.protection.preset.rstrip("*") != method.preset.rstrip("*"):
                    raise FacecloakError(
                        f"{method.name}:{task.protection.preset} and {method.name}:{method.preset} have the same "
                        "settings; give only one of them."
                    )
                if judge not in task.judges:
                    task.judges.append(judge)
    return Plan(
        suite, request, [*tasks.values()], suite.load_sources(request.limit or suite.default_limit), thresholds,
        {method.name: method.cls for method in methods}, request.batch_size or suite.batch_size,
        [NO_COUNTERMEASURE, *countermeasures], albums,
    )  # fmt: skip


def _attacked(suite: Suite, method: Resolved, judge: str, white: bool, weights: dict[str, str]) -> tuple[str, ...]:
    """The surrogates whose pictures a judge judges: other recognizers and, for a white box, the judge."""
    pool = sorted(suite.surrogates_for([] if white else [judge]), key=lambda name: name != judge)
    picked = method.cls.pick_surrogates(method.settings, pool)
    # in the suite's order, so that white boxes of one pool share their pictures
    surrogates = tuple(sorted(picked, key=(suite.surrogates or suite.recognizers).index))
    twins = [name for name in surrogates if weights[name] == weights[judge]]
    if twins and not white:
        raise FacecloakError(
            f"Suite {suite.name}: the black box {judge} is one of the surrogates, under the name {twins[0]} "
            f"({', '.join(surrogates)}), so the method would be judged by a recognizer that it attacked. Remove it "
            f"from the surrogates, or request a white box by name: --white-box {judge}."
        )
    return surrogates


def _check_devices(request: Request) -> None:
    devices, num_nodes = request.devices, request.num_nodes
    processes = processes_elsewhere()
    if num_nodes > 1 and processes == 1:
        raise FacecloakError(f"--num-nodes {num_nodes}: start this command on every machine with torchrun or srun.")
    if processes not in (1, devices * num_nodes):
        raise FacecloakError(
            f"{processes} processes were started, but not for --devices {devices} × --num-nodes {num_nodes}. Give the "
            f"number of processes per machine and the number of machines; their product must be {processes}."
        )
    if pick_device(request.accelerator).type == "cuda" and gpu_count() < devices:
        raise FacecloakError(f"--devices {devices}: this machine has {gpu_count()} GPUs.")


def _judges(suite: Suite, black: Sequence[str] | None, white: Sequence[str] | None) -> list[tuple[str, bool]]:
    """(recognizer, whether it stays among the surrogates) of each judge."""
    for name in white or []:
        if name in suite.held_out:
            raise FacecloakError(f"--white-box {name}: suite {suite.name} holds it out, so that no method may attack "
                                 f"it. Use --black-box {name}.")  # fmt: skip
        if suite.surrogates and name not in suite.surrogates:
            raise FacecloakError(
                f"--white-box {name}: it is not a surrogate of suite {suite.name}; use --black-box {name}."
            )
    if black is None and not white:
        black = [name for name in suite.recognizers if name not in (suite.surrogates or [])]
        if not black:
            raise FacecloakError(f"Suite {suite.name}: all recognizers are surrogates, so no recognizer can judge.")
    return [(name, False) for name in black or []] + [(name, True) for name in white or []]
