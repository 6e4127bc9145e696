"""The leaderboard's page: one file that needs no other files and makes no requests."""

from __future__ import annotations

import base64
from dataclasses import asdict
from pathlib import Path

from benchmarks.leaderboard.page.data import (
    describe_boards,
    describe_judgements,
    describe_levels,
    describe_records,
    describe_survival,
)
from benchmarks.leaderboard.page.samples import describe_samples
from benchmarks.leaderboard.page.template import fill_page
from benchmarks.leaderboard.plots.families import FAMILIES, list_plots
from benchmarks.leaderboard.results import Results
from facecloak.errors import FacecloakError
from facecloak.io import write_bytes

SCRIPTS = (
    "values.js", "table.js", "board.js", "levels.js", "survival.js", "cells.js", "compare.js", "samples.js", "theme.js",
    "page.js",
)  # fmt: skip
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def write_page(results: Results, out: Path) -> None:
    """Write ``index.html`` below ``out``, with the plots that `write_plots` has written there.

    Raises:
        FacecloakError: records or plots are missing or cannot be read.
    """
    data = {
        "boards": describe_boards(results.named, results.averages),
        "levels": describe_levels(results.curves),
        "survival": describe_survival(results.survival),
        "submissions": [asdict(submission) for submission in results.submissions],
        "cells": describe_judgements(results.named, results.judgements),
        "samples": describe_samples(results.named, results.protections, results.records),
        "plots": [
            {"suite": plot.suite, "objective": plot.objective, "family": plot.family, "alt": FAMILIES[plot.family],
             "source": _plot_uri(plot.path)}
            for plot in list_plots(results, out)
        ],
    }  # fmt: skip
    records = describe_records(results.named, results.records)
    page = fill_page("page.html", "facecloak leaderboard", ["page.css"], SCRIPTS, {"data": data, "records": records})
    write_bytes(out / "index.html", page)


def _plot_uri(path: Path) -> str:
    files = [path.with_name(f"{path.name}{suffix}") for suffix in TYPES]
    if missing := [file for file in files if not file.is_file()]:
        raise FacecloakError(f"{missing[0]}: no such plot. The plots are written before the page.")
    smallest = min(files, key=lambda file: file.stat().st_size)
    return f"data:{TYPES[smallest.suffix]};base64,{base64.b64encode(smallest.read_bytes()).decode()}"
