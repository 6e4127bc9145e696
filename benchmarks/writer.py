"""Writes protected images as soon as their batch is done."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image
from pytorch_lightning.callbacks import BasePredictionWriter
from tqdm import tqdm

from benchmarks.cell import write_outcome
from benchmarks.memory import peak_mb, reset_peak
from benchmarks.records import none_if_nan
from facecloak.data import Batch, to_uint8
from facecloak.method import Protected


class Writer(BasePredictionWriter):
    """An 8-bit PNG and an outcome an image, into a cell's folder; moves the progress bar on.

    Args:
        sources: name → SHA-256 of the photo that is protected.
    """

    def __init__(self, folder: Path, sources: dict[str, str], bar: tqdm) -> None:
        super().__init__(write_interval="batch")
        self.folder, self.sources, self.bar = folder, sources, bar

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
        """Called by the Trainer; an image with an error gets an outcome and no picture."""
        shared = {
            "seconds": prediction.seconds / len(batch.ids),
            "unet_passes": prediction.unet_passes,
            "peak_memory_mb": peak_mb(pl_module.device),
            "batch_size": len(batch.ids),
            "device": device_name(pl_module.device),
        }
        images = to_uint8(prediction.images)
        for index, (name, error) in enumerate(zip(batch.ids, prediction.errors, strict=True)):
            png = io.BytesIO()
            if error is None:
                Image.fromarray(images[index]).save(png, format="PNG")
            history = {curve: [none_if_nan(row[index]) for row in rows] for curve, rows in prediction.history.items()}
            outcome = {"id": name, "source_sha256": self.sources[name], "error": error, "history": history, **shared}
            write_outcome(self.folder, name, png.getvalue() or None, outcome)
            self.bar.update(trainer.world_size)


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"
