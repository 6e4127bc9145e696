"""Runs a plan: makes each protection once with Lightning's Trainer, then judges it from its files. Resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from benchmarks.console import RunProgress
from benchmarks.harness.devices import pick_device
from benchmarks.harness.judging import Judging
from benchmarks.harness.methods import Resolved, load_objective, load_surrogate, require_side
from benchmarks.harness.plan import Plan, Task
from benchmarks.harness.predict import predict
from benchmarks.harness.protection import Protection
from benchmarks.harness.training import announce
from benchmarks.results.pictures import ROWS, write_sources
from benchmarks.results.schema import Row
from benchmarks.results.scoring import summary
from benchmarks.results.store import (
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
from facecloak.data import Sources
from facecloak.errors import FacecloakError
from facecloak.io import remove_leftovers
from facecloak.method import ProtectionMethod
from facecloak.objectives import Objective
from facecloak.recognizers import Recognizer

Listener = Callable[[Path], None]


class Runner:
    """One run: its plan, the photos, and the models that are loaded once for many protections.

    Args:
        progress: shows what happens; without it nothing is shown.

    Raises:
        FacecloakError: no photo of the suite is usable, a target's photo shows no face, or the folder holds results
            that cannot be in one table with this run's.
    """

    def __init__(self, plan: Plan, progress: RunProgress | None = None) -> None:
        self.plan, self.suite = plan, plan.suite
        self.main = rank_zero_only.rank == 0
        self.progress = progress or RunProgress(shown=False)
        refuse_old_run(plan.out)
        device = pick_device(plan.request.accelerator)
        find_face = self.suite.find_face(str(device))
        for target in {protection.target.name: protection.target for protection in plan.protections}.values():
            self.suite.read_face(target.image, find_face, target.box)
        show = self.progress.reading if self.main else iter
        self.judging = Judging(self.suite, plan.sources, device, show, find_face)
        if self.main:
            self._refuse_mixed()
        self._method: tuple[tuple[str, str], ProtectionMethod] | None = None
        self._surrogates: dict[str, Recognizer] = {}

    def run(self, on_judged: Iterable[Listener] = ()) -> pd.DataFrame:
        """Protect and judge everything that is missing.

        Args:
            on_judged: called with the folder of each judgement that was not complete before.

        Returns:
            the long table of the plan's judgements; an empty table in processes other than the first.
        """
        listeners = [*on_judged]
        if self.main:
            self._prepare()
            self._say_what_is_done()
        names = [len(self._names(task.protection)) for task in self.plan.tasks]
        with self.progress.running(sum(names), "photo"):
            for number, (task, count) in enumerate(zip(self.plan.tasks, names, strict=True)):
                protection = task.protection
                with self._lock(protection):
                    self.progress.begin(protection.title)
                    made = self._protect(protection)
                    if self.main:
                        for folder in self._judge(task):
                            for listener in listeners:
                                listener(folder)
                self.progress.advance(count - made)
                last = {self._label(other) for other in self.plan.tasks[number + 1 : number + 2]} != {self._label(task)}
                if self.main and last:
                    self._report(self._label(task))
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
            [each for each in trained if self._pending(each)], plan.out, plan.request.accelerator, self._load_method,
            self.progress.line,
        )  # fmt: skip
        shown = {name for protection in plan.protections for name in self._names(protection)[:ROWS]}
        images = {name: self.judging.photos[name].image for name in sorted(shown)}
        write_sources(sources_folder(plan.out, self.suite.name), images)

    def _say_what_is_done(self) -> None:
        states = [
            self.judging.is_judged(
                task.protection.folder(self.plan.out), task.protection.about(), judge, self.plan.thresholds[judge]
            )
            for task in self.plan.tasks
            for judge in task.judges
        ]
        if any(states):
            self.progress.line(f"{sum(states)} of {len(states)} judgements were done before")

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
            judgement_folder(task.protection.folder(self.plan.out), judge)
            for task in self.plan.tasks
            for judge in task.judges
        ]

    def _names(self, protection: Protection) -> list[str]:
        return self.judging.names(protection.objective, protection.target.name)

    def _lock(self, protection: Protection) -> AbstractContextManager:
        """Two commands may use the same folder: the second waits, and then finds the protection done."""
        if not self.main:  # the first process has the lock while the others work with it
            return nullcontext()
        (self.plan.out / "locks").mkdir(exist_ok=True)
        return FileLock(self.plan.out / "locks" / f"{protection.name}.lock")

    def _pending(self, protection: Protection) -> bool:
        photos = self.judging.usable(self._names(protection))
        return not set(self._outcomes(protection)).issuperset(photos)

    def _outcomes(self, protection: Protection) -> dict:
        return read_outcomes(protection.folder(self.plan.out), self.judging.hashes)

    def _protect(self, protection: Protection) -> int:
        """Make what is missing; returns by how many photos the progress was advanced."""
        folder, names = protection.folder(self.plan.out), self._names(protection)
        photos = self.judging.usable(names)
        done = set(self._outcomes(protection))
        unusable = [
            name
            for name in set(names) - set(photos)
            if (folder / "outcomes" / f"{name}.json").exists() or (folder / "images" / f"{name}.png").exists()
        ]
        if self.main:
            if unusable or not done.issuperset(photos):
                forget_judgements(folder)  # a run that is killed from here on must not look done
                forget(folder, unusable)
            write_protection(folder, protection.about())
        if done.issuperset(photos):
            return 0
        data = Sources(photos, self.plan.batch_size, done, self.plan.processes)
        predict(self._load_method(protection), protection, data, self.plan, self.judging.hashes, self.progress)
        return sum(len(batch) for batch in data.batches)

    def _judge(self, task: Task) -> Iterable[Path]:
        """Judge what is not judged yet; yields the folders of the new judgements."""
        folder, about = task.protection.folder(self.plan.out), task.protection.about()
        for judge in task.judges:
            thresholds = self.plan.thresholds[judge]
            if not self.judging.is_judged(folder, about, judge, thresholds):
                judged = self.judging.judge_protection(folder, about, judge, thresholds)
                self.progress.detail(
                    f"{task.protection.title}, judge {judge}: {summary([read_judgement(judged).rows])}"
                )
                yield judged

    def _label(self, task: Task) -> str:
        return f"{task.protection.method}:{task.protection.preset}"

    def _report(self, label: str) -> None:
        """Print a line about a method whose protections are all judged."""
        rows = [
            read_judgement(judgement_folder(task.protection.folder(self.plan.out), judge)).rows
            for task in self.plan.tasks
            if self._label(task) == label
            for judge in task.judges
        ]
        self.progress.line(f"{label.removesuffix(':default')}: {summary(rows)}")

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
        for name in protection.surrogates:
            if name not in self._surrogates:
                self._surrogates[name] = load_surrogate(name)
        return load_objective(
            self.suite, resolved, protection.objective, protection.target, protection.surrogates,
            self.judging.find_face, lambda name: self._surrogates[name].cpu(),
        )  # fmt: skip
