"""What a sweep leaves in its folder: a table, plots, a page, and the best settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd

from benchmarks.sweep.best import write_best
from benchmarks.sweep.files import Sweep
from benchmarks.sweep.page import write_page
from benchmarks.sweep.report import write_report


def write_outcome(study: optuna.Study, sweep: Sweep, out: Path, say: Callable[[str], None]) -> pd.DataFrame:
    """Write everything, and say how to run the best settings on the whole suite; returns `write_report`'s table."""
    table = write_report(study, out)
    if len(table):
        write_page(study, sweep, out)
    if command := write_best(study, sweep, out):
        say(f"wrote the best settings; to run them on the whole suite: {command}")
    return table
