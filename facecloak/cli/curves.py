"""`facecloak curves`: protect with each method at several strengths, and compare the methods at equal quality."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.console import RunProgress, quietly
from benchmarks.harness.curves import run_curves
from benchmarks.harness.plan import Request
from benchmarks.harness.processes import ending_together
from benchmarks.leaderboard.curves import curves_markdown
from benchmarks.leaderboard.live import LiveTables
from benchmarks.leaderboard.results import load_results
from benchmarks.suites.suite import load_suite
from benchmarks.tracking.tracker import Tracker


@quietly()
def run(options: argparse.Namespace) -> int:
    """Make and judge the grid, write the board of the run, and print the comparison."""
    suite = load_suite(options.suite)
    out = options.out or Path("runs") / f"{suite.name}-curves"
    targets = suite.target_names() if options.targets == ["all"] else options.targets
    request = Request(
        out=out, methods=options.methods, overrides=options.overrides, objective=options.objective, targets=targets,
        black_boxes=options.black_box, limit=options.limit, batch_size=options.batch_size,
        accelerator=options.accelerator,
    )  # fmt: skip
    tables = LiveTables(out)
    with ending_together(), Tracker(out, options.wandb, options.wandb_images) as tracker:
        run_curves(suite, request, RunProgress(verbose=options.verbose), [tracker.send, tables.refresh])
        tables.write()
    results = load_results(out)
    results.write(out / "board")
    print(curves_markdown(results.curves).strip())
    print(f"\nwrote index.html, wide.csv, curves.csv, equal_quality.csv and plots below {out / 'board'}")
    failed = int(results.table.drop_duplicates("protection")[["n_failed", "n_unusable"]].sum().sum())
    if failed:
        print(f"{failed} images failed or were unusable, summed over protections.")
    return 1 if failed else 0
