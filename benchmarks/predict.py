"""Runs a method over photos, through Lightning's Trainer."""

from __future__ import annotations

from datetime import timedelta

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from benchmarks.cell import Cell
from benchmarks.plan import Plan
from benchmarks.progress import progress, stage_reporter
from benchmarks.training import Training
from benchmarks.writer import Writer
from facecloak.data import Sources
from facecloak.method import ProtectionMethod


def predict(method: ProtectionMethod, cell: Cell, data: Sources, plan: Plan, sources: dict[str, str]) -> None:
    """Protect the photos and write each as soon as it is made; a method that must be trained is trained first.

    Args:
        sources: name → SHA-256 of each photo.
    """
    folder, images = cell.folder(plan.out), sum(len(batch) for batch in data.batches)
    training = [Training(cell, plan.out, plan.accelerator)] if method.stages(cell.settings) else []
    hidden = pl.utilities.rank_zero.rank_zero_only.rank != 0
    with progress(total=images, desc=f"  {cell.method}", unit="image", disable=hidden) as bar:
        method.on_progress = stage_reporter(bar)
        trainer = pl.Trainer(
            accelerator=plan.accelerator, devices=plan.devices,
            # the others wait while the first process trains or judges, however long that takes
            strategy=DDPStrategy(timeout=timedelta(days=2)) if plan.devices > 1 else "auto",
            callbacks=[*training, Writer(folder, sources, bar)], inference_mode=False, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.predict(method, datamodule=data, return_predictions=False)
        trainer.strategy.barrier()
