"""The leaderboard's page: one file that needs no other files and makes no requests."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.leaderboard.page.data import describe_boards, describe_judgements, describe_records
from benchmarks.leaderboard.page.samples import describe_samples
from benchmarks.leaderboard.plots.families import FAMILIES, list_plots
from benchmarks.leaderboard.results import Results
from facecloak.errors import FacecloakError
from facecloak.io import write_bytes

PARTS = Path(__file__).parent
SCRIPTS = ("values.js", "table.js", "board.js", "cells.js", "samples.js", "page.js")  # in the order of their use
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def write_page(results: Results, out: Path) -> None:
    """Write ``index.html`` below ``out``, with the plots that `write_plots` has written there.

    Everything from the results is in two JSON blocks, in which no tag can be closed, and is shown as text. The content
    security policy allows only the page's own script to run, and only pictures inside the page to be loaded.

    Raises:
        FacecloakError: records or plots are missing or cannot be read.
    """
    data = {
        "boards": describe_boards(results.named, results.averages),
        "submissions": [asdict(submission) for submission in results.submissions],
        "cells": describe_judgements(results.named, results.judgements),
        "samples": describe_samples(results.named, results.protections, results.records),
        "plots": [
            {"suite": plot.suite, "objective": plot.objective, "family": plot.family, "alt": FAMILIES[plot.family],
             "source": _plot_uri(plot.path)}
            for plot in list_plots(results.with_published, out)
        ],
    }  # fmt: skip
    style = (PARTS / "page.css").read_text()
    script = "".join((PARTS / name).read_text() for name in SCRIPTS)
    page = _fill((PARTS / "page.html").read_text(), {
        "policy": f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
                  "base-uri 'none'; form-action 'none'",
        "style": style, "script": script, "data": to_json(data),
        "records": to_json(describe_records(results.named, results.records)),
    })  # fmt: skip
    write_bytes(out / "index.html", page.encode())


def _fill(template: str, parts: dict[str, str]) -> str:
    """Put each part in its {{place}}, in one pass: a {{place}} inside a part stays text."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def to_json(value: Any) -> str:
    """Compact ASCII JSON that is safe inside a script element, whatever its texts are."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _plot_uri(path: Path) -> str:
    files = [path.with_name(f"{path.name}{suffix}") for suffix in TYPES]
    if missing := [file for file in files if not file.is_file()]:
        raise FacecloakError(f"{missing[0]}: no such plot. The plots are written before the page.")
    smallest = min(files, key=lambda file: file.stat().st_size)
    return f"data:{TYPES[smallest.suffix]};base64,{base64.b64encode(smallest.read_bytes()).decode()}"
