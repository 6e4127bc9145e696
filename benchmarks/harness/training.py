"""Trains the models of methods before they protect: each stage once, found by its hash, resumed if it was killed."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from filelock import FileLock
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning.callbacks import ModelCheckpoint
from safetensors.torch import load_file, save
from tqdm import tqdm

from benchmarks import METHODS
from benchmarks.console import progress
from benchmarks.harness.devices import device_name, lightning_accelerator, pick_device, synchronize
from benchmarks.harness.protection import Protection
from facecloak.errors import FacecloakError
from facecloak.io import pocket_dir, read_json, sha256, sha256_json, write_bytes, write_json
from facecloak.method import ProtectionMethod, Stage

LAYOUT = 1  # increase it when a checkpoint depends on something else than before
SHIPPED = "trained"  # folder of the embedded suite's assets


def checkpoint_name(protection: Protection, stage: Stage) -> str:
    """``METHOD-STAGE-HASH``; the hash is of everything that the trained weights depend on."""
    key: dict[str, Any] = {
        "layout": LAYOUT, "weights": protection.method_weights, "settings": stage.settings, "passes": stage.passes,
    }  # fmt: skip
    surrogates = [protection.weights[name] for name in protection.surrogates]
    if stage.depends == "surrogate":
        key["surrogate"] = surrogates[0]
    elif stage.depends == "objective":
        targets = [protection.target, *protection.other_targets]
        key["objective"] = [protection.objective, *([sha256(target.image), target.box] for target in targets)]
        key["suite"] = [protection.suite.image_size, protection.suite.crop]  # where the targets' faces are
        key["surrogates"] = surrogates
    return f"{protection.method}-{stage.name}-{sha256_json(key)[:16]}"


def find_checkpoint(out: Path | None, name: str) -> Path | None:
    """A trained stage in this run's folder, or one that ships with the embedded suite; None if there is none.

    Raises:
        FacecloakError: the file has changed since it was written.
    """
    for folder in ([out / "checkpoints"] if out else []) + [pocket_dir() / SHIPPED]:
        file = folder / f"{name}.safetensors"
        if file.is_file():
            if sha256(file) != _about(file)["sha256"]:
                raise FacecloakError(f"{file} has changed since it was trained. Delete it to train it again.")
            return file
    return None


class Training(pl.Callback):
    """Gives a method its trained weights before it protects, and trains the stages that are missing.

    If several processes need a stage, one of them trains it and the others wait. The cost is written to the
    protection's ``training.json``.
    """

    def __init__(self, protection: Protection, out: Path, accelerator: str) -> None:
        self.protection, self.out, self.accelerator = protection, out, accelerator

    def setup(self, trainer: pl.Trainer, pl_module: ProtectionMethod, stage: str) -> None:
        """Called by the Trainer before the method is on its device.

        Raises:
            FacecloakError: training failed.
        """
        last = train_missing(pl_module, self.protection, self.out, self.accelerator)
        write_json(self.protection.folder(self.out) / "training.json", _about(last))
        pl_module.use(pl_module.stages(self.protection.settings)[-1].name, load_file(last))


def train_missing(method: ProtectionMethod, protection: Protection, out: Path, accelerator: str) -> Path:
    """Train stages without a checkpoint, in order; none if the last has one, since only the last one protects.

    Returns:
        the checkpoint of the last stage.
    """
    stages = method.stages(protection.settings)
    names = [checkpoint_name(protection, stage) for stage in stages]
    last, spent = find_checkpoint(out, names[-1]), 0.0
    if last is None:
        method.cpu()  # where it may be on a GPU, from the protection before: stages are built in main memory
    for stage, name in zip(stages, names, strict=True) if last is None else ():
        (out / "locks").mkdir(parents=True, exist_ok=True)
        with FileLock(out / "locks" / f"{name}.lock"):  # protections, and other commands, share stages
            last = find_checkpoint(out, name) or _fit(
                lambda name=stage.name: method.build(name), stage, name, spent, out, accelerator
            )
        method.use(stage.name, load_file(last))
        spent += _about(last)["seconds"]
    return last


def give_trained(
    method: ProtectionMethod, protection: Protection, out: Path | None, accelerator: str, say: Callable[[str], None]
) -> None:
    """Give a method its trained weights outside of a Trainer; what is missing is announced and trained.

    Args:
        method: in main memory.
        out: the weights are looked for in ``out/checkpoints``, and written there; None: nothing is trained.
        say: is called with each line of the announcement.

    Raises:
        FacecloakError: something must be trained and ``out`` is None, or a checkpoint has changed.
    """
    last = method.stages(protection.settings)[-1]
    file = find_checkpoint(out, checkpoint_name(protection, last))
    if file is None and out is None:
        raise FacecloakError(
            f"{protection.method} must be trained first with these settings, target and recognizers: name a folder "
            "where trained models are kept, protect(…, trained_in=FOLDER)."
        )
    if file is None:
        announce([protection], out, accelerator, lambda _: method, say)
        file = train_missing(method, protection, out, accelerator)
    method.use(last.name, load_file(file))


def announce(
    protections: Iterable[Protection], out: Path, accelerator: str, load: Callable[[Protection], ProtectionMethod],
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Say what must be trained and how long that will take, estimated from a timed step of each kind of stage.

    Args:
        protections: protections whose methods have stages.
        load: makes a protection's method.
        say: is called with each line.
    """
    missing: dict[str, tuple[Protection, Stage]] = {}
    for protection in protections:
        stages = METHODS[protection.method].stages(protection.settings)
        names = [checkpoint_name(protection, stage) for stage in stages]
        if not find_checkpoint(out, names[-1]):
            for stage, name in zip(stages, names, strict=True):
                if not find_checkpoint(out, name):
                    missing.setdefault(name, (protection, stage))
    timed: dict[str, float] = {}
    total: dict[tuple[str, str], list[float]] = defaultdict(list)
    for protection, stage in missing.values():
        kind = sha256_json([protection.method, stage.name, stage.settings, stage.passes])
        if kind not in timed:
            timed[kind] = fit_seconds(load(protection).build(stage.name), stage.passes, accelerator)
        total[protection.method, stage.name].append(timed[kind])
    for (method, stage), seconds in total.items():
        minutes = sum(seconds) / 60
        say(f"{method}: {len(seconds)} × {stage} to train, about {minutes:.0f} min; if stopped, run again to resume")


def fit_seconds(module: pl.LightningModule, passes: int, accelerator: str) -> float:
    """Seconds that a fit will take, estimated from its first batch.

    The batch is used twice. The first time costs more (data is prepared once, kernels are loaded); each batch of the
    first pass is assumed to cost as much.
    """
    device = pick_device(accelerator)
    module.to(device)
    loader, taken = module.train_dataloader(), []
    for _ in range(2):
        began = time.perf_counter()
        batch = move_data_to_device(next(iter(loader)), module.device)
        module.training_step(batch, 0).backward()
        synchronize(device)
        taken.append(time.perf_counter() - began)
    module.cpu()
    return len(loader) * (taken[0] + (passes - 1) * taken[1])


def _fit(
    build: Callable[[], pl.LightningModule], stage: Stage, name: str, spent: float, out: Path, accelerator: str
) -> Path:
    """Fit a stage from where an earlier fit stopped; ``spent`` is the number of seconds of the stages before."""
    work, file = out / "checkpoints" / name, out / "checkpoints" / f"{name}.safetensors"
    last = work / "last.ckpt"
    with progress(desc=f"  train {stage.name}", unit="step") as bar:
        clock = _Clock(bar)
        module = build()
        trainer = pl.Trainer(
            max_epochs=stage.passes, accelerator=lightning_accelerator(accelerator), devices=1, logger=False,
            num_sanity_val_steps=0,
            callbacks=[clock, ModelCheckpoint(work, save_last=True, save_on_train_epoch_end=True)],
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, ckpt_path=last if last.is_file() else None, weights_only=True)
    weights = save({key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()})
    write_json(file.with_suffix(".json"), {
        "seconds": clock.seconds, "total_seconds": spent + clock.seconds,
        "device": device_name(trainer.strategy.root_device), "sha256": hashlib.sha256(weights).hexdigest(),
    })  # fmt: skip
    write_bytes(file, weights)  # last, since this file marks the stage as trained
    shutil.rmtree(work)
    return file


def _about(file: Path) -> dict[str, Any]:
    return read_json(file.with_suffix(".json"))


class _Clock(pl.Callback):
    """Adds up the seconds of the passes, across interruptions, and advances a bar."""

    def __init__(self, bar: tqdm) -> None:
        self.bar, self.seconds, self.since = bar, 0.0, time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Called when data and weights are ready."""
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
        """The values that a checkpoint stores."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Restore the values that a checkpoint stored."""
        self.seconds = state_dict["seconds"]
