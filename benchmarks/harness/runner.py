"""Runs the cells of a plan: protect through Lightning's Trainer, then judge from the files. Resumable."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tqdm import tqdm

from benchmarks.console import progress, quiet
from benchmarks.harness.cell import Cell
from benchmarks.harness.judge import Judge
from benchmarks.harness.plan import Plan
from benchmarks.harness.predict import predict
from benchmarks.harness.processes import ending_together
from benchmarks.harness.provenance import cost, describe
from benchmarks.harness.quality import Quality
from benchmarks.harness.training import announce
from benchmarks.leaderboard.text import summary, write_leaderboard
from benchmarks.results.pictures import ROWS, write_grid, write_sources
from benchmarks.results.schema import SCHEMA_VERSION
from benchmarks.results.scoring import success_rows
from benchmarks.results.store import forget, read_outcomes, read_result, start_over, write_result
from benchmarks.results.table import long_table
from benchmarks.suites.suite import Source, file_sha256, manifest_sha256
from facecloak.config import settings_hash
from facecloak.data import Photo, Sources
from facecloak.errors import FacecloakError
from facecloak.io import sha256_json
from facecloak.method import ProtectionMethod
from facecloak.objectives import Objective
from facecloak.recognizers import Recognizer, load_recognizer


class Runner:
    """One run: its plan, the photos, and what is loaded once for many cells.

    Raises:
        FacecloakError: no photo of the suite is usable, or a target's photo shows no face.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.suite = plan, plan.suite
        self.main = rank_zero_only.rank == 0
        self.find_face = self.suite.find_face()
        for target in {cell.target.name: cell.target for cell in plan.cells}.values():
            self.suite.read_face(target.image, self.find_face, target.box)
        self.tests = self.suite.read_tests(self.find_face)
        self.manifest = manifest_sha256(plan.sources)
        self.hashes = {source.name: file_sha256(source.path) for source in plan.sources}
        bar = progress(plan.sources, desc="reading photos", unit="photo", disable=not self.main)
        self.photos = {source.name: self.suite.read(source.path, self.find_face) for source in bar}
        if all(photo.error for photo in self.photos.values()):
            first = next(iter(self.photos.values())).error
            raise FacecloakError(f"Suite {self.suite.name}: none of {len(self.photos)} photos is usable; {first}")
        self.quality = Quality(self.suite.features)
        self._method: tuple[tuple[str, str], ProtectionMethod] | None = None
        self._surrogates: dict[str, Recognizer] = {}
        self._black_boxes: dict[str, Recognizer] = {}
        self._judges: dict[tuple[str, ...], Judge] = {}

    @ending_together()
    def run(self, on_judged: Callable[[Path], None] = lambda folder: None) -> pd.DataFrame:
        """Protect and judge every cell of the plan; the leaderboard of all cells in ``out`` is kept up to date.

        ``on_judged`` is called with the folder of each cell that was not complete before. Returns the long table of
        the plan's cells; an empty one in processes other than the first.
        """
        quiet()
        cells = self.plan.cells
        current, others = [self._folder(cell) for cell in cells if self._is_judged(cell)], self._other_cells()
        if self.plan.overwrite and self.main:  # all at once: a run that is killed is resumed without --mode overwrite
            for cell in cells:
                start_over(self._folder(cell))
        if self.main:
            trained = [cell for cell in cells if self.plan.methods[cell.method].stages(cell.settings)]
            announce([c for c in trained if self._pending(c)], self.plan.out, self.plan.accelerator, self._load_method)
            shown = {source.name for cell in cells for source in self._sources(cell)[:ROWS]}
            write_sources(self.plan.out, {name: self.photos[name].image for name in sorted(shown)})
        written = time.monotonic()
        for number, cell in enumerate(cells, start=1):
            done = self._folder(cell) in current
            if self.main:
                tqdm.write(f"[{number}/{len(cells)}] {cell.title}{': done before' if done else ''}")
            if not done:
                self._protect(cell)
            if self.main:
                if not done:
                    self._judge(cell)
                    current.append(self._folder(cell))
                    on_judged(self._folder(cell))
                tqdm.write(f"    {summary(read_result(self._folder(cell))['rows'])}")
                if number == len(cells) or time.monotonic() - written > 20:  # it reads all cells
                    write_leaderboard(self.plan.out, others + current)
                    written = time.monotonic()
        if not self.main:
            return pd.DataFrame()
        write_grid(self.plan.out, [self._folder(cell) for cell in cells])
        return long_table(current)

    def _other_cells(self) -> list[Path]:
        """The complete cells of earlier runs that this one does not repeat.

        Raises:
            FacecloakError: they cannot stand in one table with this run's.
        """
        own = {self._folder(cell) for cell in self.plan.cells}
        others = [path.parent for path in sorted(self.plan.out.glob("cells/*/cell.json")) if path.parent not in own]
        for folder in others:
            row = read_result(folder)["rows"][0]
            if row["suite"] == self.suite.name and row["manifest_sha256"] != self.manifest:
                raise FacecloakError(
                    f"{folder} holds results of other photos (n = {row['n_images']}), which cannot stand in one table "
                    f"with these (n = {len(self.plan.sources)}). Repeat it under the same --limit, delete it, or use "
                    "another --out."
                )
        return others

    def _folder(self, cell: Cell) -> Path:
        return cell.folder(self.plan.out)

    def _sources(self, cell: Cell) -> list[Source]:
        """Impersonation: those of the target's group. Obfuscation concerns everybody."""
        own = (None, cell.target.name)
        return [s for s in self.plan.sources if s.group in own or cell.objective == "obfuscation"]

    @cached_property
    def _gallery_sha256(self) -> str:
        return manifest_sha256(self.suite.load_sources())

    def _fingerprint(self, cell: Cell) -> str:
        """Hash of all that a cell's judgement depends on, its images aside."""
        tests = [self.suite.load_target(name, "impersonation") for name in self.suite.target_names()]
        return sha256_json([
            SCHEMA_VERSION, self.manifest, self._gallery_sha256, self.plan.thresholds[cell.black_box], cell.weights,
            [[test.name, file_sha256(test.test), test.test_box] for test in tests], self.suite.fars,
            self.suite.detect, self.suite.features, self.quality.available, self._surrogates_of(cell),
        ])  # fmt: skip

    def _surrogates_of(self, cell: Cell) -> list[str]:
        """Those that a method attacked; for one that attacks none, those that another would have."""
        return list(cell.surrogates) or self.suite.surrogates_for([cell.black_box])

    def _is_judged(self, cell: Cell) -> bool:
        result = read_result(self._folder(cell))
        current = result is not None and result["provenance"]["fingerprint"] == self._fingerprint(cell)
        return current and not self.plan.overwrite

    def _usable(self, cell: Cell) -> dict[str, Photo]:
        photos = {source.name: self.photos[source.name] for source in self._sources(cell)}
        return {name: photo for name, photo in photos.items() if not photo.error}

    def _pending(self, cell: Cell) -> bool:
        return not set(read_outcomes(self._folder(cell), self.hashes)).issuperset(self._usable(cell))

    def _protect(self, cell: Cell) -> None:
        folder, photos = self._folder(cell), self._usable(cell)
        if self.main:
            (folder / "cell.json").unlink(missing_ok=True)  # a run killed from here on must not look done
            forget(folder, [source.name for source in self._sources(cell) if source.name not in photos])
        done = set() if self.plan.overwrite else set(read_outcomes(folder, self.hashes))
        if done.issuperset(photos):
            return
        data = Sources(photos, self.plan.batch_size, done, self.plan.devices * self.plan.num_nodes)
        predict(self._load_method(cell), cell, data, self.plan, self.hashes)

    def _load_method(self, cell: Cell) -> ProtectionMethod:
        """The cell's method; the last one is kept, since the next cell often differs in its objective only."""
        key = (cell.method, settings_hash(cell.settings))
        objective = self._objective(cell) if cell.surrogates else None
        if self._method is None or self._method[0] != key:
            self._method = (key, self.plan.methods[cell.method](cell.settings, objective))
            if self._method[1].side not in (None, self.suite.image_size):
                raise FacecloakError(f"{cell.method} makes pictures of {self._method[1].side} pixels a side, suite "
                                     f"{self.suite.name} has {self.suite.image_size}: use another model.")  # fmt: skip
        self._method[1].objective = objective
        return self._method[1]

    def _objective(self, cell: Cell) -> Objective:
        for name in cell.surrogates:
            if name not in self._surrogates:
                self._surrogates[name] = load_recognizer(name, differentiable=True)
        surrogates = [self._surrogates[name].cpu() for name in cell.surrogates]
        targets = [cell.target, *cell.other_targets]
        return self.suite.build_objective(cell.objective, targets, surrogates, self.find_face)

    def _load_judge(self, photos: dict[str, Photo]) -> Judge:
        device = "cpu" if self.plan.accelerator == "cpu" or not torch.cuda.is_available() else "cuda"
        if not self._black_boxes:
            self._black_boxes = {name: load_recognizer(name, False, device) for name in self.suite.recognizers}
            self._second = self.suite.read_second(self.find_face)
        if tuple(photos) not in self._judges:
            self._judges[tuple(photos)] = Judge(self._black_boxes, photos, self._second, self.tests, device)
        return self._judges[tuple(photos)]

    def _judge(self, cell: Cell) -> None:
        folder = self._folder(cell)
        photos = {source.name: self.photos[source.name] for source in self._sources(cell)}
        outcomes = {name: o for name, o in read_outcomes(folder, self.hashes).items() if name in photos}
        errors = {name: outcome["error"] for name, outcome in outcomes.items() if outcome["error"]}
        made = {name: outcome for name, outcome in outcomes.items() if not outcome["error"]}
        protected = {name: self.suite.read(folder / "images" / f"{name}.png", self.find_face) for name in made}
        judge = self._load_judge(photos)
        records, embeddings = judge.judge(protected, errors, cell.target.name)
        for record in records:
            record["seconds"] = outcomes.get(record["id"], {}).get("seconds")
        constant = describe(cell, self.manifest, photos, self.plan) | cost(folder, [*made.values()])
        constant |= self.quality.measure(protected, photos, records)
        constant |= judge.ranks(embeddings, cell.target.name, cell.black_box)
        thresholds = self.plan.thresholds[cell.black_box]
        rows = success_rows(
            records, cell.objective, cell.black_box, self._surrogates_of(cell), thresholds, self.suite.fars
        )
        write_result(folder, [constant | row for row in rows], records, {
            "fingerprint": self._fingerprint(cell), "key": cell.key, "key_of": cell.key_of, "weights": cell.weights,
            "settings": vars(cell.settings), "thresholds": thresholds, "torch": torch.__version__,
        })  # fmt: skip
