"""Runs a method on photos with Lightning's Trainer."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from benchmarks.console import RunProgress
from benchmarks.harness.devices import device_name, lightning_accelerator, peak_mb, reset_peak
from benchmarks.harness.plan import Plan
from benchmarks.harness.processes import children, handle_sigterm
from benchmarks.harness.protection import Protection
from benchmarks.harness.provenance import made_by
from benchmarks.harness.training import Training
from benchmarks.results.schema import none_if_nan
from benchmarks.results.store import read_outcomes, write_outcome
from facecloak.data import Batch, Sources, to_uint8
from facecloak.errors import FacecloakError
from facecloak.method import Protected, ProtectionMethod


class _Stops(pl.Callback):
    """Stop at once on SIGTERM: Lightning's handler waits for other processes, which do not respond."""

    def on_predict_start(self, trainer, pl_module) -> None:
        handle_sigterm()


def predict(
    method: ProtectionMethod, protection: Protection, data: Sources, plan: Plan, sources: dict[str, str],
    progress: RunProgress,
) -> None:  # fmt: skip
    """Protect the photos and write each as soon as it is made; train the method first if it must be trained.

    Args:
        sources: name → SHA-256 of each photo.

    Raises:
        FacecloakError: images that another machine has made are not in this machine's folder.
    """
    folder, request = protection.folder(plan.out), plan.request
    training = []
    if method.stages(protection.settings):
        training = [Training(protection, plan.out, request.accelerator)]
    method.on_progress = progress.stage
    trainer = pl.Trainer(
        accelerator=lightning_accelerator(request.accelerator), devices=request.devices, num_nodes=request.num_nodes,
        # the others wait while the first process trains or judges, however long that takes
        strategy=DDPStrategy(timeout=timedelta(days=2)) if plan.processes > 1 else "auto",
        callbacks=[_Stops(), *training, Writer(folder, sources, progress)], inference_mode=False, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.predict(method, datamodule=data, return_predictions=False)
    trainer.strategy.barrier()
    children.extend(getattr(trainer.strategy.launcher, "procs", []))
    if rank_zero_only.rank == 0:
        wanted = {name for batch in data.batches for name in batch}
        missing = wanted - set(read_outcomes(folder, sources))
        if missing:
            raise FacecloakError(
                f"{len(missing)} of {len(wanted)} images that were made are missing in {folder}: --out must be one "
                "folder that all machines share."
            )


class Writer(BasePredictionWriter):
    """Writes an 8-bit PNG and an outcome per image into a protection's folder, and advances the progress.

    Args:
        sources: name → SHA-256 of the photo that is protected.
    """

    def __init__(self, folder: Path, sources: dict[str, str], progress: RunProgress) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.sources, self.progress = folder, sources, progress

    def on_predict_start(self, trainer, pl_module) -> None:
        """Called by the Trainer when the method is on its device."""
        reset_peak(pl_module.device)

    def write_on_batch_end(
        self,
        trainer,
        pl_module,
        prediction: Protected,
        batch_indices,
        batch: Batch,
        batch_idx,
        dataloader_idx,
    ) -> None:
        """Called by the Trainer; an image with an error gets an outcome but no picture."""
        shared = {
            "seconds": prediction.seconds / len(batch.ids),
            "unet_passes": prediction.unet_passes,
            "peak_memory_mb": peak_mb(pl_module.device),
            "batch_size": len(batch.ids),
            "device": device_name(pl_module.device),
            "made_by": made_by(),
        }
        images = to_uint8(prediction.images)
        for index, (name, error) in enumerate(zip(batch.ids, prediction.errors, strict=True)):
            png = io.BytesIO()
            if error is None:
                Image.fromarray(images[index]).save(png, format="PNG")
            history = {curve: [none_if_nan(row[index]) for row in rows] for curve, rows in prediction.history.items()}
            outcome = {"id": name, "source_sha256": self.sources[name], "error": error, "history": history, **shared}
            write_outcome(self.folder, name, png.getvalue() or None, outcome)
            self.progress.advance(trainer.world_size)
