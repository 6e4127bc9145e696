"""Runs a plan: makes each protection once with Lightning's Trainer, then judges it from its files. Resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from benchmarks.console import RunProgress
from benchmarks.harness.albums import Albums
from benchmarks.harness.devices import pick_device
from benchmarks.harness.group import join
from benchmarks.harness.judging import Judging
from benchmarks.harness.methods import Resolved, load_objective, load_surrogate, require_side
from benchmarks.harness.plan import Plan, Task
from benchmarks.harness.predict import Predictor
from benchmarks.harness.protection import Protection
from benchmarks.harness.sharing import share
from benchmarks.harness.training import announce
from benchmarks.results.pictures import ROWS, write_sources
from benchmarks.results.schema import Row
from benchmarks.results.scoring import summary
from benchmarks.results.store import (
    NO_COUNTERMEASURE,
    find_judgements,
    forget,
    forget_failed,
    forget_judgements,
    judgement_folder,
    protections_folder,
    read_judgement,
    read_outcomes,
    refuse_old_run,
    sources_folder,
    start_over,
    write_protection,
)
from benchmarks.results.table import long_table
from benchmarks.suites.suite import keep_suite
from facecloak.config import far_key, settings_hash
from facecloak.data import Sources, batches_of
from facecloak.errors import FacecloakError
from facecloak.io import remove_leftovers
from facecloak.method import ProtectionMethod
from facecloak.objectives import Objective
from facecloak.recognizers import Recognizer

Listener = Callable[[Path], None]


class Runner:
    """One run: its plan, the photos, and the models that are loaded once for many protections.

    Several processes share a run (see `share`): each protects its batches, and judges what it has protected or, where
    several have protected parts, its share of that. The first one prepares the folder, and reports.

    Args:
        progress: shows what happens; without it nothing is shown.

    Raises:
        FacecloakError: no photo of the suite is usable, a target's photo shows no face, or the folder holds results
            that cannot be in one table with this run's.
    """

    def __init__(self, plan: Plan, progress: RunProgress | None = None) -> None:
        self.plan, self.suite = plan, plan.suite
        self.group = join(plan.request.devices, plan.request.num_nodes)
        self.main = self.group.rank == 0
        self.progress = progress if progress and self.main else RunProgress(shown=False)
        refuse_old_run(plan.out)
        device = pick_device(plan.request.accelerator)
        find_face = self.suite.find_face(str(device))
        for target in {protection.target.name: protection.target for protection in plan.protections}.values():
            self.suite.read_face(target.image, find_face, target.box)
        self.judging = Judging(self.suite, plan.sources, device, self.progress.reading, find_face)
        if self.main:
            self._refuse_mixed()
        names = [[*self.judging.usable(self._names(protection))] for protection in plan.protections]
        self._batches = [batches_of(each, plan.batch_size) for each in names]
        self._owners = share(self._batches, self.group.size)
        self._albums = Albums(
            plan.albums, lambda path: self.suite.read(path, self.judging.find_face), self.progress.line
        )
        self._predict = Predictor(plan.out, plan.request.accelerator, self.judging.hashes, self.progress)
        self._waiting: list[int] = []  # numbers of the tasks that this process will judge when they are made
        self._silent = [*range(len(plan.tasks))] if self.main else []  # those that are not reported yet
        self._told: set[Path] = set()  # judgements that listeners know, or that were there before
        self._method: tuple[tuple[str, str], ProtectionMethod] | None = None
        self._surrogates: dict[str, Recognizer] = {}
        self._objectives: dict[tuple, Objective] = {}

    def run(self, on_judged: Iterable[Listener] = ()) -> pd.DataFrame:
        """Protect and judge everything that is missing.

        Args:
            on_judged: called with the folder of each judgement that was not complete before.

        Returns:
            the long table of the plan's judgements; an empty table in processes other than the first.
        """
        self._listeners = [*on_judged]
        if self.main:
            self._prepare()
            self._say_what_is_done()
        self.group.wait()  # until the folder is prepared
        counts = [len(self._names(task.protection)) for task in self.plan.tasks]
        with self.progress.running(sum(counts), "photo"):
            for number, count in enumerate(counts):
                self.progress.begin(self.plan.tasks[number].protection.title)
                self.progress.advance(count - self._protect(number))
                if self._judge_of(number) == self.group.rank:
                    self._waiting.append(number)
                self._judge_what_is_made()
                self._report(number)
            self.group.wait()  # until everything is protected
            self._require_made(self._waiting)
            self._judge_what_is_made()
            self.group.wait()  # until everything is judged
            self._report(len(counts))
            self._require_made(self._silent)
            self._waiting = [*self._silent]  # judged on a machine that can measure more, or less, than this one
            self._judge_what_is_made()
        return long_table(self.folders()) if self.main else pd.DataFrame()

    def _prepare(self) -> None:
        """Write what is needed before the first photo is protected."""
        plan = self.plan
        remove_leftovers(plan.out)
        keep_suite(self.suite, plan.out)
        again = {"overwrite": start_over, "failed": forget_failed}.get(plan.request.mode)
        for protection in plan.protections if again else []:
            again(protection.folder(plan.out))  # all now, so that a killed run can be resumed without --mode
        trained = [each for each in plan.protections if plan.methods[each.method].stages(each.settings)]
        announce(
            [each for each in trained if self._missing(each)], plan.out, plan.request.accelerator, self._load_method,
            self.progress.line,
        )  # fmt: skip
        shown = {name for protection in plan.protections for name in self._names(protection)[:ROWS]}
        images = {name: self.judging.photos[name].image for name in sorted(shown)}
        write_sources(sources_folder(plan.out, self.suite.name), images)

    def _say_what_is_done(self) -> None:
        self._told = {
            folder for task in self.plan.tasks if not self._missing(task.protection) for folder in self._judged(task)
        }
        if self._told:
            self.progress.line(f"{len(self._told)} of {len(self.folders())} judgements were done before")

    def _refuse_mixed(self) -> None:
        """Find out now, rather than after the first long protection, whether results cannot be in one table."""
        own, plan = {*self.folders()}, self.plan
        if not protections_folder(plan.out).is_dir() or not any(protections_folder(plan.out).iterdir()):
            return
        for folder in find_judgements([plan.out]):
            judgement = None if folder in own else read_judgement(folder)
            row: Row = judgement.rows[0] if judgement and judgement.rows else {}
            if row.get("suite") != self.suite.name:
                continue
            for column, found, wanted in self._compared(judgement.rows):
                if found != wanted:
                    raise FacecloakError(
                        f"{folder} differs from this run in {column} ({found}, here {wanted}; n = {row['n_images']}) "
                        "and cannot be in one table with it. Repeat it with the same --limit, photos, weights and "
                        "thresholds, delete it, or use another --out."
                    )

    def _compared(self, rows: list[Row]) -> Iterator[tuple[str, Any, Any]]:
        """(column, value in an earlier judgement's row, value in this run's rows) of each column that must be equal."""
        yield "manifest_sha256", rows[0].get("manifest_sha256"), self.judging.manifest
        entry = self.plan.thresholds.get(rows[0]["black_box"])
        if entry is None:
            return
        if entry["weights_sha256"]:
            yield "weights_sha256", rows[0].get("weights_sha256"), entry["weights_sha256"]
        for row in rows:
            point = entry["fars"].get(far_key(row["far"]))
            if point:
                yield "threshold", row["threshold"], point["threshold"]

    def folders(self) -> list[Path]:
        """The folders of the plan's judgements."""
        return [
            judgement_folder(task.protection.folder(self.plan.out), judge, countermeasure)
            for task in self.plan.tasks
            for countermeasure, judge in self._judgements(task)
        ]

    def _judgements(self, task: Task) -> list[tuple[str, str]]:
        """(countermeasure, judge) of each judgement of a task; altered pictures are used by all judges in turn."""
        return [*product(self.plan.countermeasures, task.judges)]

    def _names(self, protection: Protection) -> list[str]:
        return self.judging.names(protection.objective, protection.target.name)

    def _lock(self, protection: Protection, part: str = "") -> FileLock:
        """Two commands may use the same folder: the second waits, and then finds the protection done."""
        (self.plan.out / "locks").mkdir(exist_ok=True)
        return FileLock(self.plan.out / "locks" / f"{protection.name}{part}.lock")

    def _missing(self, protection: Protection) -> set[str]:
        """The usable photos without a finished image."""
        done = read_outcomes(protection.folder(self.plan.out), self.judging.hashes)
        return {*self.judging.usable(self._names(protection))} - {*done}

    def _protect(self, number: int) -> int:
        """Make what is missing of this process's batches; returns by how many photos the progress was advanced."""
        protection, rank = self.plan.tasks[number].protection, self.group.rank
        batches, owners = self._batches[number], self._owners[number]
        own = [batch for batch, owner in zip(batches, owners, strict=True) if owner == rank]
        if not own and self._judge_of(number) != rank:
            return 0
        part = "" if len(own) == len(batches) else f"-{rank + 1}of{self.group.size}"
        with self._lock(protection, part):
            missing = self._missing(protection)
            self._make_ready(protection, bool(missing))
            pending = [batch for batch in own if not missing.isdisjoint(batch)]
            if pending:
                self._make(protection, pending)
        return sum(map(len, pending))

    def _make(self, protection: Protection, batches: list[list[str]]) -> None:
        """Protect the photos of these batches, except for those whose album is needed and cannot be used."""
        photos, albums = self.judging.usable(self._names(protection)), None
        if protection.albums is not None:
            names = [name for batch in batches for name in batch]
            albums = self._albums.usable(names)
            self._predict.fail(protection, {name: self._albums.errors[name] for name in names if name not in albums})
            batches = [found for batch in batches if (found := [name for name in batch if name in albums])]
        if batches:
            self._predict(self._load_method(protection), protection, Sources(photos, batches, albums))

    def _make_ready(self, protection: Protection, unfinished: bool) -> None:
        """Write and remove what must be written and removed before an image is made."""
        folder, names = protection.folder(self.plan.out), {*self._names(protection)}
        unusable = [
            name
            for name in names - {*self.judging.usable(names)}
            if (folder / "outcomes" / f"{name}.json").exists() or (folder / "images" / f"{name}.png").exists()
        ]
        if unusable or unfinished:
            forget_judgements(folder)  # a run that is killed from here on must not look done
            forget(folder, unusable)
        write_protection(folder, protection.about())

    def _judge_of(self, number: int) -> int:
        """The process that judges a protection: one of those that make it, in turn."""
        owners = [*dict.fromkeys(self._owners[number])] or [0]
        return owners[number % len(owners)]

    def _judge_what_is_made(self) -> None:
        """Judge those protections of this process whose images are all there."""
        for number in [*self._waiting]:
            task = self.plan.tasks[number]
            if self._missing(task.protection):
                continue
            folder, about = task.protection.folder(self.plan.out), task.protection.about()
            with self._lock(task.protection):
                for countermeasure, judge in self._judgements(task):
                    asked = (folder, about, judge, self.plan.thresholds[judge], countermeasure)
                    if not self.judging.is_judged(*asked):
                        self.judging.judge_protection(*asked)
                        self._report(number)
            self._waiting.remove(number)

    def _require_made(self, numbers: Iterable[int]) -> None:
        """Raise `FacecloakError` if images are missing although every process has made its own."""
        for protection in (self.plan.tasks[number].protection for number in numbers):
            names = self.judging.usable(self._names(protection))
            if missing := self._missing(protection):
                raise FacecloakError(
                    f"{len(missing)} of {len(names)} images that were made are missing in "
                    f"{protection.folder(self.plan.out)}: --out must be one folder that all machines share."
                )

    def _judged(self, task: Task) -> list[Path]:
        """The folders of the task's valid judgements."""
        folder, about = task.protection.folder(self.plan.out), task.protection.about()
        return [
            judgement_folder(folder, judge, countermeasure)
            for countermeasure, judge in self._judgements(task)
            if self.judging.is_judged(folder, about, judge, self.plan.thresholds[judge], countermeasure)
        ]

    def _report(self, reached: int) -> None:
        """Tell listeners about new judgements up to a task, whoever made them; a line about each finished method."""
        for number in [each for each in self._silent if each <= reached]:
            task = self.plan.tasks[number]
            judged = self._judged(task)
            for folder in judged:
                if folder not in self._told:
                    self._told.add(folder)
                    found = summary([read_judgement(folder).rows])
                    how = "" if folder.parent.name == NO_COUNTERMEASURE else f" after {folder.parent.name}"
                    self.progress.detail(f"{task.protection.title}, judge {folder.name}{how}: {found}")
                    for listener in self._listeners:
                        listener(folder)
            if len(judged) == len(self._judgements(task)):
                self._silent.remove(number)
                own = [other for other in self.plan.tasks if self._label(other) == self._label(task)]
                if not any(self.plan.tasks[other] in own for other in self._silent):
                    rows = [
                        read_judgement(folder).rows
                        for other in own
                        for folder in self._judged(other)
                        if folder.parent.name == NO_COUNTERMEASURE
                    ]
                    self.progress.line(f"{self._label(task).removesuffix(':default')}: {summary(rows)}")

    def _label(self, task: Task) -> str:
        return f"{task.protection.method}:{task.protection.preset}"

    def _load_method(self, protection: Protection) -> ProtectionMethod:
        """The protection's method; the last method is kept, since the next one often differs only in its objective."""
        cls = self.plan.methods[protection.method]
        resolved = Resolved(protection.method, protection.preset, cls, protection.settings)
        key = (protection.method, settings_hash(protection.settings))
        objective = self._objective(resolved, protection) if protection.surrogates else None
        if self._method is None or self._method[0] != key:
            self._method = (key, cls(protection.settings, objective))
            require_side(self._method[1], protection.method, self.suite)
        self._method[1].objective = objective
        return self._method[1]

    def _objective(self, resolved: Resolved, protection: Protection) -> Objective:
        """What a protection minimises; many share it, and its targets are embedded once."""
        targets = [protection.target, *protection.other_targets]
        key = (protection.objective, protection.surrogates, *(target.name for target in targets))
        if key not in self._objectives:
            for name in protection.surrogates:
                if name not in self._surrogates:
                    self._surrogates[name] = load_surrogate(name)
            self._objectives[key] = load_objective(
                self.suite, resolved, protection.objective, protection.target, protection.surrogates,
                self.judging.find_face, lambda name: self._surrogates[name].cpu(),
            )  # fmt: skip
        return self._objectives[key]
