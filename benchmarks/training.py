"""Trains what methods need before they can protect: each stage once, found again by its hash, resumed after a kill."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from safetensors.torch import load_file, save
from tqdm import tqdm

from benchmarks import METHODS
from benchmarks.cell import Cell
from benchmarks.progress import progress
from benchmarks.writer import device_name
from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, read_json, sha256, sha256_json, write_bytes, write_json
from facecloak.method import ProtectionMethod, Stage

LAYOUT = 1  # raise it when what a checkpoint depends on changes
SHIPPED = "trained"  # folder of the embedded suite's assets


def checkpoint_name(cell: Cell, stage: Stage) -> str:
    """``METHOD-STAGE-HASH``, the hash being that of all that the trained weights depend on."""
    key: dict[str, Any] = {
        "layout": LAYOUT, "suite": [cell.suite.image_size, cell.suite.crop], "weights": cell.method_weights,
        "settings": stage.settings, "passes": stage.passes,
    }  # fmt: skip
    surrogates = [cell.weights[name] for name in cell.surrogates]
    if stage.depends == "surrogate":
        key["surrogate"] = surrogates[0]
    elif stage.depends == "objective":
        key["objective"] = [cell.objective, sha256(cell.target.image), cell.target.box]
        key["surrogates"] = surrogates
    return f"{cell.method}-{stage.name}-{sha256_json(key)[:16]}"


def find_checkpoint(out: Path, name: str) -> Path | None:
    """A trained stage of this run's folder, or one that ships with the embedded suite; None if there is none.

    Raises:
        FacecloakError: the file is not the one that was written.
    """
    for folder in (out / "checkpoints", pocket_dir() / SHIPPED):
        file = folder / f"{name}.safetensors"
        if file.is_file():
            if sha256(file) != read_json(file.with_suffix(".json"))["sha256"]:
                raise FacecloakError(f"{file} has changed since it was trained; delete it, and it is trained anew.")
            return file
    return None


class Training(pl.Callback):
    """Hands a cell's method its trained weights before it protects, and fits what is missing.

    In the first process; the others wait. What a cell needed is written to its ``training.json``.
    """

    def __init__(self, cell: Cell, out: Path, accelerator: str) -> None:
        self.cell, self.out, self.accelerator = cell, out, accelerator

    def setup(self, trainer: pl.Trainer, pl_module: ProtectionMethod, stage: str) -> None:
        """Called by the Trainer in every process, with the method still in main memory."""
        stages = pl_module.stages(self.cell.settings)
        names = [checkpoint_name(self.cell, stage) for stage in stages]
        if trainer.is_global_zero:
            for stage, name in zip(stages, names, strict=True):
                file = find_checkpoint(self.out, name)
                if file is None:
                    file = _fit(pl_module.build(stage.name), stage, name, self.out, self.accelerator)
                if not find_checkpoint(self.out, names[-1]):
                    pl_module.use(stage.name, load_file(file))
            self._record(stages, names)
        trainer.strategy.barrier()
        pl_module.use(stages[-1].name, load_file(find_checkpoint(self.out, names[-1])))

    def _record(self, stages: list[Stage], names: list[str]) -> None:
        files = [find_checkpoint(self.out, name) for name in names]
        entries = {stage.name: read_json(file.with_suffix(".json")) for stage, file in zip(stages, files, strict=True)}
        seconds = sum(entry["seconds"] for entry in entries.values())
        write_json(self.cell.folder(self.out) / "training.json", {"seconds": seconds, "stages": entries})


def announce(cells: Iterable[Cell], out: Path, load: Callable[[Cell], ProtectionMethod]) -> None:
    """Say what must be trained for these cells and how long it will take, from a timed step of each kind of stage.

    Args:
        cells: of methods that have stages.
        load: makes a cell's method.
    """
    missing: dict[str, tuple[Cell, Stage]] = {}
    for cell in cells:
        for stage in METHODS[cell.method].stages(cell.settings):
            name = checkpoint_name(cell, stage)
            if not find_checkpoint(out, name):
                missing.setdefault(name, (cell, stage))
    seconds: dict[tuple[str, str], float] = {}
    counts = Counter((cell.method, stage.name) for cell, stage in missing.values())
    for cell, stage in missing.values():
        if (cell.method, stage.name) not in seconds:
            seconds[cell.method, stage.name] = _fit_seconds(load(cell).build(stage.name), stage.passes)
    for (method, stage), count in counts.items():
        minutes = count * seconds[method, stage] / 60
        tqdm.write(f"{method}: {count} × {stage} to train, about {minutes:.0f} min; run again to resume")


def _fit_seconds(module: pl.LightningModule, passes: int) -> float:
    """Seconds that a fit will take: a step costs more in the first pass, which may prepare what the others use."""
    loader, taken = module.train_dataloader(), []
    batch = next(iter(loader))
    for _ in range(2):
        began = time.perf_counter()
        module.training_step(batch, 0).backward()
        taken.append(time.perf_counter() - began)
    return len(loader) * (taken[0] + (passes - 1) * taken[1])


def _fit(module: pl.LightningModule, stage: Stage, name: str, out: Path, accelerator: str) -> Path:
    work, file = out / "checkpoints" / name, out / "checkpoints" / f"{name}.safetensors"
    last = work / "last.ckpt"
    with progress(desc=f"  train {stage.name}", unit="step") as bar:
        clock = _Clock(bar)
        trainer = pl.Trainer(
            max_epochs=stage.passes, accelerator=accelerator, devices=1, logger=False, num_sanity_val_steps=0,
            callbacks=[clock, ModelCheckpoint(work, save_last=True, save_on_train_epoch_end=True)],
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, ckpt_path=last if last.is_file() else None, weights_only=True)
    weights = save({key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()})
    entry = {"seconds": clock.seconds, "device": clock.device, "sha256": hashlib.sha256(weights).hexdigest()}
    write_json(file.with_suffix(".json"), entry)
    write_bytes(file, weights)  # last, since it says that the stage is trained
    shutil.rmtree(work)
    return file


class _Clock(pl.Callback):
    """Adds up the seconds of the passes, over all interruptions, and moves a bar."""

    def __init__(self, bar: tqdm) -> None:
        self.bar, self.seconds, self.since, self.device = bar, 0.0, time.perf_counter(), ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Called when data and weights are ready."""
        self.device = device_name(pl_module.device)
        self.bar.total = trainer.max_epochs * trainer.num_training_batches
        self.bar.update(trainer.current_epoch * trainer.num_training_batches)

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Called after a step."""
        self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Called after a pass, before the checkpoint is written."""
        now = time.perf_counter()
        self.seconds, self.since = self.seconds + now - self.since, now

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Take up what a checkpoint kept."""
        self.seconds = state_dict["seconds"]
