"""`facecloak judge`: the finished pictures of a run are judged by more recognizers, or after countermeasures."""

from __future__ import annotations

import argparse

from benchmarks.console import RunProgress, quietly, wide_console
from benchmarks.harness.processes import ending_together
from benchmarks.harness.rejudge import judge_run
from benchmarks.leaderboard.live import LiveTables
from benchmarks.leaderboard.survival import survival_markdown, survive
from benchmarks.leaderboard.text import terminal_table
from benchmarks.results.store import find_judgements
from benchmarks.results.table import long_table
from benchmarks.tracking.tracker import Tracker


@quietly()
def run(options: argparse.Namespace) -> int:
    """Judge, write the run's tables again, and print them; returns 1 if pictures are missing."""
    tables = LiveTables(options.run)
    with ending_together(), Tracker(options.run, options.wandb, options.wandb_images) as tracker:
        done = judge_run(
            options.run, options.recognizers, adapted=options.adapted, countermeasures=options.countermeasures,
            thresholds=options.thresholds, white_box=options.white_box,
            accelerator=options.accelerator, progress=RunProgress(verbose=options.verbose),
            on_judged=[tracker.send, tables.refresh],
        )  # fmt: skip
        tables.write()
    print(f"{len(done.folders)} judgements made, {done.kept} existed already", end="")
    print(f"; {done.white} left out, because their pictures attacked the recognizer" if done.white else "")
    table = long_table(find_judgements([options.run]))
    wide_console().print(terminal_table(table))
    if options.countermeasures or options.adapted:
        print(survival_markdown(survive(table)).strip())
    if done.incomplete:
        print(f"{len(done.incomplete)} protections are not complete and were left out: finish the benchmark first.")
    return 1 if done.incomplete else 0
