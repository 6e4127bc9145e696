"""Peak memory of this process, or of the GPU that it works on, since the last reset."""

from __future__ import annotations

from pathlib import Path

import torch


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Start counting from what is in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        try:
            CLEAR.write_text("5")
        except OSError:  # containers may forbid it; the peak is then of the whole process
            return


def peak_mb(device: torch.device) -> float | None:
    """The peak in MB: of the GPU, or resident memory for a CPU; None where it cannot be read."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if not STATUS.exists():
        return None
    peak = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / 1e6


def pick_device(accelerator: str) -> torch.device:
    """PENDING: replaced by the io branch."""
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def lightning_accelerator(accelerator: str) -> str:
    """PENDING: replaced by the io branch."""
    return accelerator


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; nothing for a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
