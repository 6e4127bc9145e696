"""`facecloak sweep`: search settings, here or with Weights & Biases' sweeps and agents."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from facecloak.errors import FacecloakError


def run(options: argparse.Namespace) -> int:
    """Run the sweep, or say what it would run or how far it is; returns 1 while trials are missing."""
    if options.status:
        return _say_status(options)
    if options.path is None:
        raise FacecloakError("Which sweep? Name a file, such as sweeps/lambda_adv.yaml.")
    out = options.out or Path("runs") / "sweeps" / options.path.stem
    if options.backend == "wandb" and options.storage:
        raise FacecloakError("--storage is only for --backend local; Weights & Biases stores its trials itself.")
    if options.dry_run:
        return _say_commands(options, out)
    if options.backend == "wandb":
        from benchmarks.sweep.agents import run_wandb_sweep

        complete = run_wandb_sweep(options.path, out, options.count, options.jobs, _say)
    else:
        from benchmarks.sweep.local import run_sweep

        complete = run_sweep(options.path, out, options.count, options.jobs, options.storage, _say)
    print(f"wrote trials.csv, plots and sweep.html below {out}")
    return 0 if complete else 1


def _say_status(options: argparse.Namespace) -> int:
    from benchmarks.sweep.agents import is_of_wandb, wandb_status
    from benchmarks.sweep.status import describe, read_status

    of_wandb = is_of_wandb(options.status)
    for line in describe(wandb_status(options.status) if of_wandb else read_status(options.status, options.storage)):
        print(line)
    return 0


def _say_commands(options: argparse.Namespace, out: Path) -> int:
    from benchmarks.sweep.local import first_commands

    if options.backend == "wandb":
        print("Weights & Biases draws its own values; these are what the local engine draws:")
    for line in first_commands(options.path, out, options.count):
        print(line)
    return 0


def _say(line: str) -> None:
    """A line above the bar, if there is one."""
    tqdm.write(line)
    sys.stdout.flush()
