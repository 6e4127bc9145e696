"""Runs methods on photos with Lightning's Trainer, one for all protections of a process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.strategies import SingleDeviceStrategy

from benchmarks.console import RunProgress
from benchmarks.harness.devices import device_name, own_device, peak_mb, reset_peak
from benchmarks.harness.processes import handle_sigterm
from benchmarks.harness.protection import Protection
from benchmarks.harness.provenance import made_by
from benchmarks.harness.training import Training
from benchmarks.results.schema import none_if_nan
from benchmarks.results.store import write_outcome
from facecloak.data import Batch, Sources, to_uint8
from facecloak.method import Protected, ProtectionMethod


class Predictor:
    """Protects photos, and writes each as soon as it is made; trains a method first if it must be trained.

    Args:
        out: the run's folder.
        accelerator: auto, cpu or gpu.
        sources: name → SHA-256 of each photo.
    """

    def __init__(self, out: Path, accelerator: str, sources: dict[str, str], progress: RunProgress) -> None:
        self.out, self.accelerator, self.progress = out, accelerator, progress
        self._writer = Writer(sources, progress)
        device = own_device(accelerator)
        self._trainer = pl.Trainer(
            accelerator=device.type, devices=1 if device.index is None else [device.index], strategy=_Stay(device),
            callbacks=[_Stops(), self._writer], inference_mode=False, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        self._callbacks = [*self._trainer.callbacks]

    def __call__(self, method: ProtectionMethod, protection: Protection, data: Sources) -> None:
        """Protect the photos of a protection's batches."""
        training = []
        if method.stages(protection.settings):
            training = [Training(protection, self.out, self.accelerator)]
        method.on_progress = self.progress.stage
        self._writer.folder = protection.folder(self.out)
        self._trainer.callbacks = [*training, *self._callbacks]
        self._trainer.predict(method, datamodule=data, return_predictions=False)

    def fail(self, protection: Protection, errors: Mapping[str, str]) -> None:
        """Record why photos are not protected, of which the method gets nothing."""
        for name, error in errors.items():
            outcome = {"id": name, "source_sha256": self._writer.sources[name], "error": error, "made_by": made_by()}
            write_outcome(protection.folder(self.out), name, None, outcome)
            self.progress.advance(1)


class _Stay(SingleDeviceStrategy):
    """Leaves the method on its device, since the next protection needs most of it again."""

    def teardown(self) -> None:
        self.precision_plugin.teardown()
        self.checkpoint_io.teardown()


class _Stops(pl.Callback):
    """Stop at once on SIGTERM: Lightning's handler waits for the end of the batch."""

    def on_predict_start(self, trainer, pl_module) -> None:
        handle_sigterm()


class Writer(BasePredictionWriter):
    """Writes an 8-bit PNG and an outcome per image into a protection's folder, and advances the progress.

    Args:
        sources: name → SHA-256 of the photo that is protected.

    Attributes:
        folder: folder of the protection that is being made.
    """

    folder: Path

    def __init__(self, sources: dict[str, str], progress: RunProgress) -> None:
        super().__init__(write_interval="batch")
        self.sources, self.progress = sources, progress

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
            if batch.albums is not None:
                outcome["album_photos"] = len(batch.albums[index].images)
            write_outcome(self.folder, name, png.getvalue() or None, outcome)
            self.progress.advance(1)
