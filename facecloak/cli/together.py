"""`facecloak benchmark --devices 2`: starts the other processes before this one imports, so that all import at once."""

from __future__ import annotations

import argparse
from importlib import import_module

from benchmarks.harness.processes import ending_together, processes_elsewhere, start


def run(options: argparse.Namespace) -> int:
    """Run the benchmark that was typed, in as many processes; returns the exit status."""
    if options.devices > 1 and options.num_nodes == 1 and processes_elsewhere() == 1:
        start(options.devices)
    with ending_together():
        return import_module("facecloak.cli.benchmark").run(options)
