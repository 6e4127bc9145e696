"""Peak memory of this process, or of its GPU, since the last reset."""

from __future__ import annotations

from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Start counting from what is in use now."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif CLEAR.exists():
        try:
            CLEAR.write_text("5")
        except OSError:  # containers may forbid it; the peak is then of the whole process
            return


def peak_mb() -> float | None:
    """The peak in MB: GPU memory where there is a GPU, else resident memory; None where neither can be read."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    if not STATUS.exists():
        return None
    peak = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / 1e6
