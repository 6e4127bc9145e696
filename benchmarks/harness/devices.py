"""The device that a run works on, its name, and the peak memory on it since the last reset."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import torch

from facecloak.errors import FacecloakError

APPLE = "Apple GPUs are not supported (no float64, and missing operations)"


def pick_device(accelerator: str) -> torch.device:
    """The one place where a device is chosen.

    Args:
        accelerator: ``cpu``, ``gpu`` (CUDA), or ``auto``: CUDA where it is available, else the CPU.

    Raises:
        FacecloakError: ``gpu``, and CUDA is not available.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    has_apple_gpu = accelerator != "cpu" and torch.backends.mps.is_available()
    if accelerator == "gpu":
        reason = APPLE if has_apple_gpu else "There is no GPU here"
        raise FacecloakError(f"{reason}; leave --accelerator out, or give cpu.")
    if has_apple_gpu:
        _say_once(f"{APPLE}: using the CPU.")
    return torch.device("cpu")


def lightning_accelerator(accelerator: str) -> str:
    """The same choice for Lightning's Trainer, whose own ``auto`` would choose an Apple GPU."""
    return pick_device(accelerator).type


def use_gpu(number: int) -> None:
    """Make a GPU this process's ``cuda`` device; does nothing where there is none of this number."""
    if number < torch.cuda.device_count():
        torch.cuda.set_device(number)


def own_device(accelerator: str) -> torch.device:
    """`pick_device` with the number of the GPU that `use_gpu` chose."""
    device = pick_device(accelerator)
    return torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" else device


@cache
def _say_once(text: str) -> None:
    logging.getLogger(__name__).warning(text)


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Reset the peak to the memory in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        try:
            CLEAR.write_text("5")
        except OSError:  # containers may forbid it; then the peak is that of the whole process
            return


def peak_mb(device: torch.device) -> float | None:
    """The peak in MB: of GPU memory, or of resident memory for a CPU; None if it cannot be read."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if not STATUS.exists():
        return None
    peak = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 / 1e6


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work; does nothing for a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_count() -> int:
    """Number of CUDA GPUs that this process sees."""
    return torch.cuda.device_count()
