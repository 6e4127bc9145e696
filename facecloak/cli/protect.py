"""`facecloak protect`: arguments, the table of outcomes, exit status."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from benchmarks.console import quietly, wide_console
from benchmarks.harness.photos import TOO_SMALL, protect_photos
from facecloak.io import printable


@quietly()
def run(options: argparse.Namespace) -> int:
    """Protect the photos; returns 0 if every photo was protected, else 1."""
    outcomes = protect_photos(
        options.photos, options.out, suite=options.suite, method=options.method, overrides=options.overrides,
        objective=options.objective, target=options.target, black_boxes=options.black_box or (), faces=options.faces,
        format=options.format, accelerator=options.accelerator,
    )  # fmt: skip
    _print(outcomes, options.out)
    return 0 if all(outcome["error"] is None for outcome in outcomes) else 1


def _print(outcomes: list[dict[str, Any]], out: Path) -> None:
    """A line per photo; similarities are means over its faces and the recognizers that a method may attack."""
    target = next((outcome["target"] for outcome in outcomes), "")
    view = Table()
    for head in ("photo", "outcome", "faces", "PSNR", f"similarity to target {target}", "to the original", "seconds"):
        view.add_column(head, overflow="fold")
    for outcome in outcomes:
        view.add_row(escape(outcome["photo"]), *_cells(outcome, out))
    console = wide_console()
    console.print(view)
    for outcome in outcomes:
        if outcome["error"]:
            print(outcome["error"], file=sys.stderr)
    if any(outcome["surrogates"] for outcome in outcomes):
        console.print("Similarities are means over the recognizers that the method attacked; others may differ.")
    if any(outcome["error"] is None for outcome in outcomes):
        console.print("The protected photos hold pixels only: no GPS position, thumbnail or other metadata.")
    if any(outcome.get("n_too_small") for outcome in outcomes):
        console.print(f"Faces of less than {TOO_SMALL} pixels are too small to be recognised, and are left unchanged.")


def _cells(outcome: dict[str, Any], out: Path) -> list[str]:
    if outcome["error"]:
        return ["[red]not protected[/]"]
    result = escape(f"{printable(out)}/{outcome['result']}") + (" (done before)" if outcome["done_before"] else "")
    faces = f"{outcome['n_protected']} of {outcome['n_faces']}"
    if outcome["n_too_small"]:
        faces += f", {outcome['n_too_small']} too small"
    mean = {
        key: float(np.mean([cosine for face in outcome["faces"] for cosine in face[key].values()]))
        for key in ("cosine_to_target_before", "cosine_to_target_after", "cosine_to_original_after")
    }
    return [
        result,
        faces,
        "identical" if outcome["psnr"] is None else f"{outcome['psnr']:.1f} dB",
        f"{mean['cosine_to_target_before']:.2f} → {mean['cosine_to_target_after']:.2f}",
        f"1.00 → {mean['cosine_to_original_after']:.2f}",
        f"{outcome['seconds']:.0f}",
    ]
