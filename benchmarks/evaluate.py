"""`facecloak evaluate`: score protected photos that any tool made."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.table import Table

from benchmarks.judge import Judge
from benchmarks.leaderboard import wide_console
from benchmarks.plan import writable
from benchmarks.progress import progress
from benchmarks.records import success_rows
from benchmarks.suite import load_suite
from facecloak.data import list_images
from facecloak.errors import FacecloakError
from facecloak.io import read_image, write_bytes


def evaluate_folders(
    originals: Path,
    protected: Path,
    others: Path | None,
    suite_name: str,
    target: str | None,
    black_boxes: list[str] | None,
    objective: str | None,
    out: Path | None,
) -> int:
    """Pair the folders' images by name, judge them with each recognizer, print and write the scores.

    Returns:
        0 if every original has a readable protected image, else 1: such an original counts as not protected.
    """
    if out:
        writable(out)
    suite = load_suite(suite_name)
    suite = replace(suite, sources={"folder": str(originals), **({"second": str(others)} if others else {})})
    goal = objective or suite.objective
    face = suite.load_target(target or (suite.default_targets or suite.target_names())[0], goal)
    if goal == "obfuscation" and not others:
        raise FacecloakError("Obfuscation is judged by another photo of each person: give their folder as --others.")
    sources, find_face = suite.load_sources(), suite.find_face()
    bar = progress(sources, desc="reading photos", unit="photo")
    photos = {source.name: suite.read(source.path, find_face) for source in bar}
    made = {path.stem: path for path in list_images(protected)}
    unmatched = sorted(set(made) - set(photos))
    if unmatched:
        raise FacecloakError(f"{made[unmatched[0]]} has no original of its name in {originals}.")
    errors = {
        source.name: photos[source.name].error or _unusable(source.path, made.get(source.name), protected)
        for source in sources
    }
    judges = black_boxes or suite.recognizers
    judge = Judge(suite, sources, photos, find_face, judges)
    table = []
    for black_box in progress(judges, desc="judging", unit="recognizer"):
        records, quality = judge.judge(made, errors, face, black_box)
        thresholds = suite.load_thresholds(black_box, judge.recognizers[black_box].weights_sha256)
        rows = success_rows(records, goal, black_box, [], thresholds)
        table += [{"black_box": black_box, "n_images": len(sources), **row, **quality} for row in rows]
    scores = pd.DataFrame(table).dropna(axis=1, how="all")
    _print(scores, f"{len(sources)} images, target {face.name}")
    for name, error in errors.items():
        if error:
            print(f"{name}: {error}", file=sys.stderr)
    if out:
        write_bytes(out / "scores.csv", scores.to_csv(index=False).encode())
        write_bytes(out / "records.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())
        print(f"wrote {out / 'scores.csv'} and {out / 'records.jsonl'}")
    return 1 if any(errors.values()) else 0


def _unusable(original: Path, made: Path | None, folder: Path) -> str | None:
    """Why there is no protected image to judge, or None. Both must have the same size in pixels."""
    if made is None:
        return f"{folder}: no protected image named {original.stem}"
    try:
        sizes = [read_image(path).shape[1::-1] for path in (original, made)]
    except FacecloakError as error:
        return str(error)
    if sizes[0] != sizes[1]:
        (width, height), (new_width, new_height) = sizes
        return f"{made} is {new_width}×{new_height}, its original {width}×{height}; protection must keep the size"
    return None


def _print(scores: pd.DataFrame, title: str) -> None:
    columns = ["black_box", "far", "threshold", "psr", "psr_low", "psr_high", "psr_clean", "dodging", "dodging_clean",
               "joint", "psnr", "ssim", "n_undetected", "n_failed"]  # fmt: skip
    columns = [column for column in columns if column in scores]
    view = Table(*columns, title=title)
    for _, row in scores.iterrows():
        view.add_row(*(_text(row[column]) for column in columns))
    wide_console().print(view)


def _text(value: object) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.4g}"
    return str(value)
