"""Scores protected photos that any tool made, as a run like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.console import RunProgress
from benchmarks.harness.calibrate import ensure_thresholds
from benchmarks.harness.devices import pick_device
from benchmarks.harness.external import make_external
from benchmarks.harness.folders import pair_folders
from benchmarks.harness.judging import Judging
from benchmarks.harness.needs import fetch_needed
from benchmarks.results.records import check_records
from benchmarks.results.store import refuse_old_run
from benchmarks.results.table import long_table
from benchmarks.suites.suite import Suite, load_suite
from facecloak.errors import FacecloakError
from facecloak.io import read_json, remove_leftovers, sha256, writable
from facecloak.recognizers import weights_file


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate_folders`.

    Attributes:
        table: the long table of the tool's judgements.
        errors: photo → why it could not be judged.
        n_photos: number of photos to judge.
        target: name of the target.
    """

    table: pd.DataFrame
    errors: dict[str, str]
    n_photos: int
    target: str


def evaluate_folders(
    *,
    originals: Path,
    protected: Path,
    out: Path,
    others: Path | None = None,
    suffix: str | None = None,
    suite: str = "faces",
    name: str = "external",
    target: str | None = None,
    black_boxes: Sequence[str] | None = None,
    objective: str | None = None,
    accelerator: str = "auto",
    progress: RunProgress | None = None,
    on_judged: Iterable[Callable[[Path], None]] = (),
) -> Evaluation:
    """Pair the folders' images by name, and judge the tool's images with each recognizer.

    Args:
        originals, protected, others: folders of unprotected photos, protected photos, and another photo of each person.
        suffix: additional ending of the protected photos' names; by default the ending that all of them share.
        out: folder of the run.
        suite: name or path of the suite whose recognizers, target and thresholds are used.
        name: name of the tool in tables.
        black_boxes: judges, by default all of the suite. A judge that the tool is known to have attacked is marked.
        on_judged: called with the folder of each judgement.

    Raises:
        FacecloakError: folders, suite, target or recognizers are wrong, or no photo can be used.
    """
    writable(out)
    refuse_old_run(out)
    remove_leftovers(out)
    progress, device = progress or RunProgress(shown=False), pick_device(accelerator)
    loaded = load_suite(suite)
    goal = objective or loaded.objective
    pairs = pair_folders(originals, protected, others, suffix=suffix)
    if goal == "obfuscation" and not any(pair.other for pair in pairs):
        raise FacecloakError(
            "Obfuscation is judged by another photo of each person: give these photos as --others, or ask for "
            "--objective impersonation."
        )
    judges = [*(black_boxes or loaded.recognizers)]
    loaded.require_target(target, goal)
    fetch_needed(loaded, judges, sources=False, judging=True)
    face = loaded.load_target(target, goal)
    ensure_thresholds(loaded, judges)
    weights = {judge: sha256(weights_file(judge)) for judge in judges}
    thresholds = {judge: loaded.load_thresholds(judge, weights[judge]) for judge in judges}
    attacked = _attacked(protected, loaded)
    used, sources, folder = make_external(
        loaded, pairs, out, name=name, goal=goal, target=face, attacked=attacked, device=str(device)
    )
    judging = Judging(used, sources, device, progress.reading)
    about, folders = read_json(folder / "protection.json"), []
    for judge in judges:
        folders.append(judging.judge_protection(folder, about, judge, thresholds[judge]))
        for listener in on_judged:
            listener(folders[-1])
    errors = {record["id"]: record["error"] for record in check_records(folders[0])[0] if record["error"]}
    return Evaluation(long_table(folders), errors, len(pairs), face.name)


def _attacked(protected: Path, suite: Suite) -> dict[str, str]:
    """Recognizers of the suite that `facecloak protect` attacked to make these images, where it made them."""
    if not (protected / "protect.json").exists():
        return {}
    photos = read_json(protected / "protect.json")["photos"]
    names = {name for outcome in photos for name in outcome.get("surrogates", [])}
    return {name: sha256(weights_file(name)) for name in suite.recognizers if name in names}
