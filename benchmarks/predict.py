"""Runs a method over photos, through Lightning's Trainer."""

from __future__ import annotations

from datetime import timedelta

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from benchmarks.cell import Cell, read_outcomes
from benchmarks.plan import Plan
from benchmarks.progress import progress, stage_reporter
from benchmarks.stopping import children, heed_sigterm
from benchmarks.training import Training
from benchmarks.writer import Writer
from facecloak.data import Sources
from facecloak.errors import FacecloakError
from facecloak.method import ProtectionMethod


class _Stops(pl.Callback):
    """SIGTERM is heeded at once: Lightning's handler waits for other processes, which do not listen."""

    def on_predict_start(self, trainer, pl_module) -> None:
        heed_sigterm()


def predict(method: ProtectionMethod, cell: Cell, data: Sources, plan: Plan, sources: dict[str, str]) -> None:
    """Protect the photos and write each as soon as it is made; a method that must be trained is trained first.

    Args:
        sources: name → SHA-256 of each photo.

    Raises:
        FacecloakError: what another machine has made does not lie in this one's folder.
    """
    folder, images = cell.folder(plan.out), sum(len(batch) for batch in data.batches)
    training = [Training(cell, plan.out, plan.accelerator)] if method.stages(cell.settings) else []
    hidden = pl.utilities.rank_zero.rank_zero_only.rank != 0
    with progress(total=images, desc=f"  {cell.method}", unit="image", disable=hidden) as bar:
        method.on_progress = stage_reporter(bar)
        trainer = pl.Trainer(
            accelerator=plan.accelerator, devices=plan.devices, num_nodes=plan.num_nodes,
            # the others wait while the first process trains or judges, however long that takes
            strategy=DDPStrategy(timeout=timedelta(days=2)) if plan.devices * plan.num_nodes > 1 else "auto",
            callbacks=[_Stops(), *training, Writer(folder, sources, bar)], inference_mode=False, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.predict(method, datamodule=data, return_predictions=False)
        trainer.strategy.barrier()
        children.extend(getattr(trainer.strategy.launcher, "procs", []))
    missing = {name for batch in data.batches for name in batch} - set(read_outcomes(folder, sources))
    if missing and not hidden:
        raise FacecloakError(
            f"{folder} lacks {len(missing)} of {images} images that were made: --out must be one folder, shared by all "
            "machines."
        )
