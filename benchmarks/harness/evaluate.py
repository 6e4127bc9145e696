"""`facecloak evaluate`: score protected photos that any tool made."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.console import progress, quiet, wide_console
from benchmarks.harness.judge import Judge
from benchmarks.harness.quality import Quality
from benchmarks.results.scoring import success_rows
from benchmarks.suites.spec import SourcesSpec
from benchmarks.suites.suite import Suite, load_suite
from benchmarks.tracking.content import tracked_scores
from benchmarks.tracking.tracker import Mode
from facecloak.data import Photo, list_images
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector
from facecloak.framing import frame
from facecloak.io import read_image, read_json, writable, write_bytes
from facecloak.recognizers import load_recognizer


def evaluate_folders(
    originals: Path,
    protected: Path,
    others: Path | None,
    suite_name: str,
    target: str | None,
    black_boxes: list[str] | None,
    objective: str | None,
    out: Path | None,
    wandb: Mode = "disabled",
) -> int:
    """Pair the folders' images by name, judge them with each recognizer, print and write the scores.

    Args:
        wandb: whether what is written to ``out`` goes to Weights & Biases too. These are anybody's photos, so that
            nothing is sent unless it is asked for.

    Returns:
        0 if every original has a protected image to judge, else 1.
    """
    quiet()
    if out:
        writable(out)
    elif wandb != "disabled":
        raise FacecloakError("--wandb sends what --out holds: give that too.")
    suite = load_suite(suite_name)
    suite = replace(suite, sources=SourcesSpec(folder=str(originals), second=str(others) if others else None))
    goal = objective or suite.objective
    face = suite.load_target(target, goal)
    if goal == "obfuscation" and not others:
        raise FacecloakError("Obfuscation is judged by another photo of each person: give their folder as --others.")
    judges = {name: load_recognizer(name, differentiable=False) for name in black_boxes or suite.recognizers}
    thresholds = {name: suite.load_thresholds(name, judge.weights_sha256) for name, judge in judges.items()}
    photos, second, made, errors = _read(suite, protected)
    judge = Judge(judges, photos, second, suite.read_tests(suite.find_face()))
    records, embeddings = judge.judge(made, errors, face.name)
    quality = Quality(suite.features).measure(made, photos, records)
    attacked = _attacked(protected)
    table = []
    for name in judges:
        shared = (
            {
                "suite": suite.name,
                "objective": goal,
                "target": face.name,
                "black_box": name,
                "white_box": name in attacked,
                "n_images": len(photos),
            }
            | quality
            | judge.ranks(embeddings, face.name, name)
        )
        rows = success_rows(records, goal, name, [], thresholds[name], suite.fars)
        table += [shared | row for row in rows]
    scores = pd.DataFrame(table).drop(columns="cosine_rise_surrogates")
    _print(scores, f"{len(photos)} photos, {goal}, target {face.name}")
    problems = {record["id"]: record["error"] for record in records if record["error"]}
    for name, error in problems.items():
        print(f"{name}: {error}", file=sys.stderr)
    if out:
        write_bytes(out / "scores.csv", scores.to_csv(index=False).encode())
        write_bytes(out / "records.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())
        print(f"wrote {out / 'scores.csv'} and {out / 'records.jsonl'}")
        _track(out, scores, {name: (photos[name].image, made[name].image) for name in made}, wandb)
    return 1 if problems else 0


def _track(out: Path, scores: pd.DataFrame, pairs: dict[str, tuple[np.ndarray, np.ndarray]], mode: Mode) -> None:
    """Send to Weights & Biases; scores that could not be sent are scores all the same."""
    if mode == "disabled":
        return
    from benchmarks.tracking.sender import send

    try:
        send(tracked_scores(out, scores, pairs), mode)
    except Exception as error:
        print(f"Weights & Biases has not got the scores: {error}", file=sys.stderr)


def _attacked(protected: Path) -> set[str]:
    """The recognizers that `facecloak protect` attacked to make these images, where it made them."""
    if not (protected / "protect.json").exists():
        return set()
    photos = read_json(protected / "protect.json")["photos"]
    return {name for outcome in photos for name in outcome.get("surrogates", [])}


def _read(suite: Suite, protected: Path) -> tuple[dict[str, Photo], dict[str, Photo], dict[str, Photo], dict[str, str]]:
    """Originals, other photos, protected photos, and why one of the latter is missing, by name.

    Photos are framed as the suite's own (`frame`); a protected photo is framed as its original.
    """
    sources, find_face = suite.load_sources(), suite.find_face()
    detector = FaceDetector() if suite.detect else None
    files = {path.stem: path for path in list_images(protected)}
    strangers = sorted(set(files) - {source.name for source in sources})
    if strangers:
        raise FacecloakError(f"{files[strangers[0]]} has no original of its name in {suite.dataset}.")
    photos, second, made, errors = {}, {}, {}, {}
    for source in progress(sources, desc="reading photos", unit="photo"):
        name = source.name
        photos[name], framing = frame(source.path, suite.image_size, find_face, detector)
        if source.second:
            second[name], _ = frame(source.second, suite.image_size, find_face, detector)
        if photos[name].error:
            continue
        errors[name] = _unusable(source.path, files.get(name), protected)
        if not errors[name]:
            made[name], _ = frame(files[name], suite.image_size, find_face, detector, framing)
    second = {name: photo for name, photo in second.items() if not photo.error}
    return photos, second, made, {name: error for name, error in errors.items() if error}


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


COLUMNS = {
    "black_box": "recognizer", "far": "FAR", "threshold": "threshold", "n_psr": "n", "psr": "PSR %", "psr_low": "low",
    "psr_high": "high", "psr_clean": "(clean)", "dodging": "dodging %", "dodging_clean": "(clean)", "joint": "joint %",
    "psnr": "PSNR", "ssim": "SSIM", "n_undetected": "no face", "n_failed": "failed", "n_unusable": "unusable",
}  # fmt: skip


def _print(scores: pd.DataFrame, title: str) -> None:
    scores = scores.reindex(columns=[*COLUMNS, "n_identical", "white_box"])
    rates = [column for column in COLUMNS if column.startswith(("psr", "dodging", "joint"))]
    scores[rates] = scores[rates].apply(pd.to_numeric) * 100
    view = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, header in COLUMNS.items():
        view.add_column(header, no_wrap=True, justify="left" if column == "black_box" else "right")
    for _, row in scores.iterrows():
        cells = {column: _text(row[column]) for column in COLUMNS}
        if pd.isna(row["psnr"]) and row["n_identical"] > 0:
            cells["psnr"] = "identical"
        if row["white_box"]:
            cells["black_box"] += " (white box)"
        view.add_row(*cells.values())
    wide_console().print(view)


def _text(value: object) -> str:
    if value is None or isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3g}"
    return str(value)
