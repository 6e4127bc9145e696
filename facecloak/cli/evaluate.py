"""`facecloak evaluate`: score protected photos that any tool made."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.console import RunProgress, quietly, wide_console
from benchmarks.harness.evaluate import Evaluation, evaluate_folders
from benchmarks.leaderboard.live import LiveTables
from benchmarks.tracking.tracker import Tracker
from facecloak.errors import FacecloakError

SHOWN = {
    "black_box": "recognizer", "far": "FAR", "threshold": "threshold", "n_psr": "n", "psr": "PSR %", "psr_low": "low",
    "psr_high": "high", "psr_clean": "(clean)", "dodging": "dodging %", "dodging_clean": "(clean)", "joint": "joint %",
    "psnr": "PSNR", "ssim": "SSIM", "n_undetected": "no face", "n_failed": "failed", "n_unusable": "unusable",
}  # fmt: skip


@quietly()
def run(options: argparse.Namespace) -> int:
    """Evaluate the folders that were typed, and print the scores; returns 1 if a photo could not be judged."""
    if options.out is None and options.wandb != "disabled":
        raise FacecloakError("--wandb sends the files in --out: give --out too.")
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        tables = LiveTables(out)
        with Tracker(out, options.wandb, options.wandb_images) as tracker:
            found = evaluate_folders(
                originals=options.originals, protected=options.protected, others=options.others, suffix=options.suffix,
                suite=options.suite, name=options.name, target=options.target, black_boxes=options.black_box,
                objective=options.objective, accelerator=options.accelerator, out=out, progress=RunProgress(),
                on_judged=[tracker.send],
            )  # fmt: skip
            tables.write()
    wide_console().print(_view(found))
    for name, error in found.errors.items():
        print(f"{name}: {error}", file=sys.stderr)
    if options.out:
        print(f"wrote leaderboard.csv, leaderboard.md, the records and the images below {options.out}")
    return 1 if found.errors else 0


def _view(found: Evaluation) -> Table:
    scores = found.table.reindex(columns=[*SHOWN, "n_identical", "white_box", "objective"])
    rates = [column for column in SHOWN if column.startswith(("psr", "dodging", "joint"))]
    scores[rates] = scores[rates].apply(pd.to_numeric) * 100
    title = f"{found.n_photos} photos, {scores['objective'].iloc[0]}, target {found.target}"
    view = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, header in SHOWN.items():
        view.add_column(header, no_wrap=True, justify="left" if column == "black_box" else "right")
    for _, row in scores.iterrows():
        texts = {column: _text(row[column]) for column in SHOWN}
        if pd.isna(row["psnr"]) and row["n_identical"] > 0:
            texts["psnr"] = "identical"
        if row["white_box"]:
            texts["black_box"] += " (white box)"
        view.add_row(*texts.values())
    return view


def _text(value: object) -> str:
    if value is None or isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3g}"
    return str(value)
