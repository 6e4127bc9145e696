"""Runs the cells of a plan: protect through Lightning's Trainer, then judge from the files. Resumable."""

from __future__ import annotations

import logging
import subprocess
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tqdm import tqdm

import facecloak
from benchmarks.cell import Cell, read_outcomes, read_result, write_result
from benchmarks.judge import Judge
from benchmarks.leaderboard import summary, write_leaderboard
from benchmarks.memory import reset_peak
from benchmarks.plan import Plan
from benchmarks.progress import progress, stage_reporter
from benchmarks.records import SCHEMA_VERSION, success_rows
from benchmarks.suite import Source, Suite, Target, manifest_sha256
from benchmarks.writer import Writer
from facecloak.config import settings_hash
from facecloak.data import FindFace, Sources, to_tensor
from facecloak.errors import FacecloakError
from facecloak.io import sha256, sha256_json
from facecloak.method import ProtectionMethod
from facecloak.objectives import Goal, Objective
from facecloak.recognizers import Recognizer, load_recognizer


class Runner:
    """One run: its plan, the photos, and what is loaded once for many cells.

    Raises:
        FacecloakError: no photo of the suite is usable.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.suite = plan, plan.suite
        self.main = rank_zero_only.rank == 0
        self.find_face = self.suite.find_face()
        self.manifest = manifest_sha256(plan.sources)
        self.hashes = {source.name: sha256(source.path) for source in plan.sources}
        bar = progress(plan.sources, desc="reading photos", unit="photo", disable=not self.main)
        self.photos = {source.name: self.suite.read(source.path, self.find_face) for source in bar}
        if all(photo.error for photo in self.photos.values()):
            first = next(iter(self.photos.values())).error
            raise FacecloakError(f"Suite {self.suite.name}: none of {len(self.photos)} photos is usable; {first}")
        self._methods: dict[tuple[str, str], ProtectionMethod] = {}
        self._surrogates: dict[str, Any] = {}
        self._judges: dict[tuple[str, ...], Judge] = {}

    def run(self) -> pd.DataFrame:
        """Protect and judge every cell of the plan; the leaderboard is written after each.

        Returns:
            the long table of the plan's cells; empty in processes other than the first.
        """
        quiet()
        cells, table = self.plan.cells, pd.DataFrame()
        for number, cell in enumerate(cells, start=1):
            done = self._is_judged(cell)
            if self.main:
                tqdm.write(f"[{number}/{len(cells)}] {cell.title}{': done before' if done else ''}")
            if not done:
                self._protect(cell)
            if self.main:
                if not done:
                    self._judge(cell)
                tqdm.write(f"    {summary(read_result(self._folder(cell))['rows'])}")
                table = write_leaderboard(self.plan.out, [self._folder(cell) for cell in cells[:number]])
        return table

    def _folder(self, cell: Cell) -> Path:
        return cell.folder(self.plan.out)

    def _sources(self, cell: Cell) -> list[Source]:
        return [source for source in self.plan.sources if source.group in (None, cell.target.name)]

    def _fingerprint(self, cell: Cell) -> str:
        """Hash of all that a cell's judgement depends on, its images aside."""
        thresholds = self.plan.thresholds[cell.black_box]
        return sha256_json([self.manifest, thresholds, self.suite.features, sorted(cell.weights), SCHEMA_VERSION])

    def _is_judged(self, cell: Cell) -> bool:
        result = read_result(self._folder(cell))
        current = result is not None and result["provenance"]["fingerprint"] == self._fingerprint(cell)
        return current and not self.plan.overwrite

    def _protect(self, cell: Cell) -> None:
        folder = self._folder(cell)
        photos = {source.name: self.photos[source.name] for source in self._sources(cell)}
        photos = {name: photo for name, photo in photos.items() if not photo.error}
        if self.main:
            (folder / "cell.json").unlink(missing_ok=True)  # a run killed from here on must not look done
        done = set() if self.plan.overwrite else set(read_outcomes(folder, self.hashes))
        data = Sources(photos, self.plan.batch_size, done, self.plan.devices)
        if not data.batches:
            return
        method = self._method(cell)
        images = sum(len(batch) for batch in data.batches)
        with progress(total=images, desc=f"  {cell.method}", unit="image", disable=not self.main) as bar:
            method.on_progress = stage_reporter(bar)
            trainer = pl.Trainer(
                accelerator=self.plan.accelerator, devices=self.plan.devices,
                strategy="ddp" if self.plan.devices > 1 else "auto", callbacks=[Writer(folder, self.hashes, bar)],
                inference_mode=False, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False,
            )  # fmt: skip
            reset_peak()
            trainer.predict(method, datamodule=data, return_predictions=False)
            trainer.strategy.barrier()

    def _method(self, cell: Cell) -> ProtectionMethod:
        key = (cell.method, settings_hash(cell.settings))
        objective = self._objective(cell) if cell.surrogates else None
        if key not in self._methods:
            self._methods[key] = self.plan.methods[cell.method](cell.settings, objective)
        self._methods[key].objective = objective
        return self._methods[key]

    def _objective(self, cell: Cell) -> Objective:
        for name in cell.surrogates:
            if name not in self._surrogates:
                self._surrogates[name] = load_recognizer(name, differentiable=True)
        surrogates = [self._surrogates[name].cpu() for name in cell.surrogates]
        return build_objective(self.suite, self.find_face, cell.objective, cell.target, surrogates)

    def _judge(self, cell: Cell) -> None:
        folder, sources = self._folder(cell), self._sources(cell)
        outcomes = read_outcomes(folder, self.hashes)
        errors = {source.name: self.photos[source.name].error or outcomes[source.name]["error"] for source in sources}
        key = tuple(source.name for source in sources)
        if key not in self._judges:
            self._judges[key] = Judge(self.suite, sources, self.photos, self.find_face, self.suite.recognizers)
        images = {source.name: folder / "images" / f"{source.name}.png" for source in sources}
        records, quality = self._judges[key].judge(images, errors, cell.target, cell.black_box)
        for record in records:
            record["seconds"] = outcomes.get(record["id"], {}).get("seconds")
        thresholds = self.plan.thresholds[cell.black_box]
        surrogates = list(cell.surrogates) or [name for name in self.suite.recognizers if name != cell.black_box]
        rows = success_rows(records, cell.objective, cell.black_box, surrogates, thresholds)
        made = [outcomes[name] for name, error in errors.items() if error is None]
        constant = self._describe(cell) | _cost(made) | quality
        write_result(folder, [constant | row for row in rows], records, {
            "fingerprint": self._fingerprint(cell), "key": cell.key, "weights": cell.weights,
            "settings": vars(cell.settings), "thresholds": thresholds, "torch": torch.__version__,
        })  # fmt: skip

    def _describe(self, cell: Cell) -> dict[str, Any]:
        """What the cell is, as columns of its rows."""
        return {
            "schema_version": SCHEMA_VERSION, "suite": self.suite.name,
            "dataset": str(self.suite.sources.get("folder") or next(iter(self.suite.sources["groups"].values()))),
            "manifest_sha256": self.manifest, "n_images": len(self._sources(cell)),
            "image_size": self.suite.image_size, "method": cell.method, "preset": cell.preset,
            "settings_hash": settings_hash(cell.settings), "facecloak": facecloak.__version__, "git_sha": _git_sha(),
            "seed": getattr(cell.settings, "seed", None), "date": datetime.now(UTC).date().isoformat(),
            "run_id": self._folder(cell).name, "objective": cell.objective, "target": cell.target.name,
            "black_box": cell.black_box, "white_box": cell.white_box,
            "weights_sha256": cell.weights[cell.black_box], "surrogates": "+".join(cell.surrogates),
            "threshold_source": self.plan.thresholds[cell.black_box]["pairs"], "source": "measured",
        }  # fmt: skip


def build_objective(
    suite: Suite, find_face: FindFace, goal: Goal, target: Target, surrogates: list[Recognizer]
) -> Objective:
    """The objective of a suite's target; `FacecloakError` if no face is found in the target's photo."""
    photo = suite.read(target.image, find_face, target.box)
    if photo.error:
        raise FacecloakError(f"Suite {suite.name}, target {target.name}: {photo.error}.")
    return Objective(goal, surrogates, to_tensor([photo.image]), torch.tensor([photo.box]))


def _cost(made: list[dict[str, Any]]) -> dict[str, Any]:
    """Cost columns from the outcomes of the images that a method made."""
    if not made:
        return {}
    return {
        "seconds_per_image": sum(outcome["seconds"] for outcome in made) / len(made),
        "peak_memory_mb": max((outcome["peak_memory_mb"] or 0 for outcome in made), default=0) or None,
        "unet_passes": max(outcome["unet_passes"] for outcome in made),
        "device": made[0]["device"],
    }


def _git_sha() -> str | None:
    """The commit of the checkout that this code runs from; None for an installed package."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def quiet() -> None:
    """Lightning's tips and hints would hide the progress."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|insightface|onnx2torch|facenet_pytorch")
