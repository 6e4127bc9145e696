"""`facecloak benchmark`: protect a suite's photos with methods, judge them, and write tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from benchmarks.console import RunProgress, quietly, wide_console
from benchmarks.harness.group import join
from benchmarks.harness.plan import Request, make_plan
from benchmarks.harness.processes import ending_together, is_follower
from benchmarks.harness.runner import Runner
from benchmarks.leaderboard.live import LiveTables
from benchmarks.leaderboard.survival import survival_markdown, survive
from benchmarks.leaderboard.text import terminal_table
from benchmarks.suites.suite import load_suite
from benchmarks.tracking.tracker import Tracker


@quietly()
def run(options: argparse.Namespace) -> int:
    """Run the benchmark that was typed; returns the exit status: 1 if an image failed or a source was unusable."""
    if is_follower():  # what is wrong with the request is said once, and what is missing is fetched once
        join(options.devices)
    suite = load_suite(options.suite)
    targets = suite.target_names() if options.targets == ["all"] else options.targets
    plan = make_plan(suite, Request(
        out=options.out or Path("runs") / suite.name, methods=options.methods, overrides=options.overrides,
        config=options.config, objective=options.objective, targets=targets, black_boxes=options.black_box,
        white_boxes=options.white_box, countermeasures=options.countermeasures, limit=options.limit,
        batch_size=options.batch_size, devices=options.devices,
        num_nodes=options.num_nodes, accelerator=options.accelerator, mode=options.mode,
    ))  # fmt: skip
    tables = LiveTables(plan.out)
    with ending_together(), Tracker(plan.out, options.wandb, options.wandb_images) as tracker:
        table = Runner(plan, RunProgress(verbose=options.verbose)).run([tracker.send, tables.refresh])
        if table.empty:  # not the first process
            return 0
        tables.write()
        wide_console().print(terminal_table(table))
        if options.countermeasures:
            print(survival_markdown(survive(table)).strip())
    print(f"wrote leaderboard.csv, leaderboard_wide.csv, leaderboard.md, grid.png and the images below {plan.out}")
    return report_failures(table)


def report_failures(table: pd.DataFrame) -> int:
    """Say how many images failed and how many sources were unusable; returns 1 if any did."""
    protections = table.drop_duplicates("protection")
    failed, unusable = (int(protections[f"n_{name}"].sum()) for name in ("failed", "unusable"))
    if failed or unusable:
        print(
            f"{failed} images failed and {unusable} sources were unusable, summed over protections; see `error` in "
            "records.jsonl.",
            file=sys.stderr,
        )
    return 1 if failed or unusable else 0
