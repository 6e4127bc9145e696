"""`facecloak calibrate`: arguments and the table of thresholds."""

from __future__ import annotations

import argparse

from rich.table import Table

from benchmarks.console import wide_console
from benchmarks.harness.calibrate import calibrate


def run(options: argparse.Namespace) -> int:
    """Measure the thresholds and print them; returns 0."""
    entries = calibrate(
        options.suite, options.out, recognizers=options.recognizers, photos=options.photos, crop=options.crop
    )
    entry = next(iter(entries.values()))
    view = Table("recognizer", "FAR", "threshold", "95 %", "true accepts", title=entry["pairs"])
    for name, measured in entries.items():
        for far, point in measured["fars"].items():
            interval = f"{point['low']:.3f} – {point['high']:.3f}"
            tar = f"{100 * point['tar']:.1f} %" if "tar" in point else "–"
            view.add_row(name, far, f"{point['threshold']:.4f}", interval, tar)
    console = wide_console()
    console.print(view)
    console.print(f"{entry['n_pairs']} impostor pairs of {entry['n_identities']} people, pair list "
                  f"{entry['pairs_sha256'][:12]}; wrote {options.out}")  # fmt: skip
    return 0
