"""`facecloak sweep`: search settings, here or with Weights & Biases' sweeps and agents."""

from __future__ import annotations

import argparse
from pathlib import Path

from facecloak.errors import FacecloakError


def run(options: argparse.Namespace) -> int:
    """Run the sweep; returns 1 while trials are missing."""
    out = options.out or Path("runs") / "sweeps" / options.path.stem
    if options.backend == "wandb":
        from benchmarks.sweep.agents import run_wandb_sweep

        if options.storage:
            raise FacecloakError("--storage is only for --backend local; Weights & Biases stores its trials itself.")
        complete = run_wandb_sweep(options.path, out, options.count, options.jobs, _say)
    else:
        from benchmarks.sweep.local import run_sweep

        complete = run_sweep(options.path, out, options.count, options.jobs, options.storage, _say)
    print(f"wrote trials.csv and plots below {out}")
    return 0 if complete else 1


def _say(line: str) -> None:
    print(line, flush=True)
