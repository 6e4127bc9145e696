"""`facecloak track`: send results of finished runs that Weights & Biases does not have yet."""

from __future__ import annotations

import argparse

from benchmarks.tracking.sender import say, send_runs
from benchmarks.tracking.tracker import mode_of_environment
from facecloak.errors import FacecloakError


def run(options: argparse.Namespace) -> int:
    """Send, with a line per method; returns 1 if one could not be sent."""
    mode = options.wandb or mode_of_environment()
    if mode == "disabled":
        raise FacecloakError("$WANDB_MODE is 'disabled'; give --wandb online or --wandb offline.")
    return 1 if send_runs(options.runs, mode, options.wandb_images, say) else 0
