"""What the parts of the study share: what to measure, the clock, precisions, the form of a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import torch

from benchmarks.harness.devices import synchronize

SIDE = {"sd2": 256, "mini": 256, "tiny": 256, "test": 64}  # pixels of a photo, by the size of the random models


class Variant(NamedTuple):
    """A way to run the method: precision of UNet and decoder, whether float32 may be TF32, which decoder."""

    name: str
    precision: str = "float32"
    tf32: bool = False
    tiny_decoder: bool = False


VARIANTS = (
    Variant("float32"),
    Variant("float32 as TF32", tf32=True),
    Variant("bf16", "bf16", tf32=True),
    Variant("fp16", "fp16", tf32=True),
    Variant("bf16, tiny decoder", "bf16", tf32=True, tiny_decoder=True),
)


class Table(NamedTuple):
    """What a part has measured, as it is shown."""

    heads: list[str]
    lines: list[list[str]]


@dataclass(frozen=True)
class Study:
    """What is measured, and how much of it.

    Attributes:
        device: where.
        size: of the random diffusion models, a key of `SIDE`.
        batches: photos at once.
        repetitions: of each measurement, after one that is not counted.
        iterations: of the pocket method; None for the suite's.
    """

    device: torch.device
    size: str = "sd2"
    batches: tuple[int, ...] = (1, 4, 8, 16, 32)
    repetitions: int = 3
    iterations: int | None = None

    @property
    def accelerator(self) -> str:
        """What the commands call the device."""
        return "cpu" if self.device.type == "cpu" else "gpu"

    def clock(self, run: Callable[[], Any]) -> float:
        """Seconds of a call, all work on the device included."""
        synchronize(self.device)
        began = time.perf_counter()
        run()
        synchronize(self.device)
        return time.perf_counter() - began

    def seconds(self, run: Callable[[], Any]) -> float:
        """Median seconds of a call; the first one is not counted."""
        run()
        return median(self.clock(run) for _ in range(self.repetitions))

    def variants(self) -> list[Variant]:
        """Those that the device can run."""
        return [each for each in VARIANTS if self.device.type == "cuda" or each.precision != "fp16"]


@contextmanager
def allow_tf32(allowed: bool) -> Iterator[None]:
    """Let float32 matrix products and convolutions run as TF32 on the GPU, or not, until the end of the block."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def pocket_iterations(study: Study) -> dict[str, int]:
    """Settings of facecloak on pocket."""
    return {} if study.iterations is None else {"iterations": study.iterations, "embedding_iterations": 1}
