"""`facecloak protect`: arguments, the table of outcomes, the page, exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.console import RunProgress, quietly, wide_console
from benchmarks.harness.photos import protect_photos
from benchmarks.harness.protector import TOO_SMALL
from benchmarks.leaderboard.page.photos import write_photo_page
from facecloak.io import printable

MATCHED = "matched: more similar than at most 1 % of pairs of strangers are (FAR 0.01)"
Outcome = dict[str, Any]


@quietly()
def run(options: argparse.Namespace) -> int:
    """Protect the photos; returns 0 if every photo was protected, else 1."""
    outcomes = protect_photos(
        options.photos, options.out, suite=options.suite, method=options.method, overrides=options.overrides,
        objective=options.objective, target=options.target, judges=options.judge or (), faces=options.faces,
        format=options.format, accelerator=options.accelerator, album=options.album, say=RunProgress().line,
    )  # fmt: skip
    page = write_photo_page(options.out)
    console, errors = wide_console(), [outcome["error"] for outcome in outcomes if outcome["error"]]
    some = len(errors) < len(outcomes)
    if some:
        _print_table(outcomes, options.out, console)
    for error in errors:
        print(error, file=sys.stderr)
    if some:
        _explain(outcomes, console)
        console.print(f"Before and after: {escape(printable(page))}")
    return 1 if errors else 0


def _print_table(outcomes: list[Outcome], out: Path, console: Console) -> None:
    """A line per photo. The similarity that the objective is about comes first; each is a mean over a photo's faces."""
    sides = _sides(outcomes[0])
    view = Table()
    for head in ("photo", "outcome", "faces", *sides.values()):
        view.add_column(head, overflow="fold")
    if outcomes[0]["judges"]:
        view.add_column(f"judges, {next(iter(sides.values()))}", overflow="fold")
    for head in ("PSNR", "seconds"):
        view.add_column(head, overflow="fold")
    for outcome in outcomes:
        view.add_row(escape(outcome["photo"]), *_cells(outcome, out, [*sides]))
    console.print(view)


def _sides(outcome: Outcome) -> dict[str, str]:
    """What faces are compared with → the column's title; first what the objective is about."""
    sides = {"original": "similarity to the original", "target": f"similarity to target {escape(outcome['target'])}"}
    return sides if outcome["objective"] == "obfuscation" else dict(reversed(sides.items()))


def _cells(outcome: Outcome, out: Path, sides: list[str]) -> list[str]:
    if outcome["error"]:
        return ["[red]not protected[/]"]
    result = escape(f"{printable(out)}/{outcome['result']}") + (" (done before)" if outcome["done_before"] else "")
    faces = f"{outcome['n_protected']} of {outcome['n_faces']}"
    if outcome["n_too_small"]:
        faces += f", {outcome['n_too_small']} too small"
    seen = [
        {"original": (1.0, face["cosine_to_original_after"][name]),
         "target": (face["cosine_to_target_before"][name], face["cosine_to_target_after"][name])}
        for face in outcome["faces"] for name in face["cosine_to_original_after"]
    ]  # fmt: skip
    judged = [_judgement(name, outcome, sides[0]) for name in outcome["judges"]]
    return [
        result,
        faces,
        *(_change(pair[side] for pair in seen) for side in sides),
        *(["\n".join(judged)] if judged else []),
        "identical" if outcome["psnr"] is None else f"{outcome['psnr']:.1f} dB",
        f"{outcome['seconds']:.0f}",
    ]


def _change(pairs: Iterable[tuple[float, float]]) -> str:
    before, after = np.mean([*pairs], axis=0)
    return f"{before:.2f} → {after:.2f}"


def _judgement(name: str, outcome: Outcome, side: str) -> str:
    """What a judge says about a photo's faces: dlib 1.00 → 0.41, no longer matched."""
    said = [face["judges"][name] for face in outcome["faces"]]
    found = [each for each in said if each["detected"]]
    before = "cosine_to_target_before" if side == "target" else None
    pairs = [(each[before] if before else 1.0, each[f"cosine_to_{side}_after"]) for each in found]
    text = f"{escape(name)} " + (_change(pairs) if pairs else "finds no face")
    if len(said) > len(found) > 0:
        text += f", {len(said) - len(found)} without a face"
    matches = [each[f"matches_{side}"] for each in found if each[f"matches_{side}"] is not None]
    if not matches:
        return text
    if len(matches) > 1:
        return f"{text}, {sum(matches)} of {len(matches)} {'still ' if side == 'original' else ''}matched"
    yes, no = ("still matched", "no longer matched") if side == "original" else ("matched", "not matched")
    return f"{text}, {yes if matches[0] else no}"


def _explain(outcomes: list[Outcome], console: Console) -> None:
    """Which recognizers the numbers are of, and what they do not say."""
    first = outcomes[0]
    if first["surrogates"]:
        console.print(
            f"Made against {escape(', '.join(first['surrogates']))}: the similarities are means over them. Other "
            "recognizers may differ."
        )
    else:
        console.print("This method attacks no recognizer; the similarities are means over the suite's.")
    if first["judges"]:
        console.print(f"Judges were not attacked; {MATCHED}.")
    unknown = [name for name, about in first["judges"].items() if about["threshold"] is None]
    if unknown:
        console.print(
            f"The suite has no threshold at FAR 0.01 for {escape(', '.join(unknown))}. So it is not known whether a "
            "face is matched."
        )
    console.print("The protected photos hold pixels only: no GPS position, thumbnail or other metadata.")
    if any(outcome.get("n_too_small") for outcome in outcomes):
        console.print(f"Faces of less than {TOO_SMALL} pixels are too small to be recognised, and are left unchanged.")
