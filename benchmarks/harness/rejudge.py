"""Judges finished runs again: by more recognizers, or to check that their cosines follow from their pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.console import RunProgress
from benchmarks.harness.calibrate import ensure_thresholds
from benchmarks.harness.countermeasures import find_countermeasures
from benchmarks.harness.countermeasures.altering import purifying_settings
from benchmarks.harness.devices import pick_device
from benchmarks.harness.finished import by_suite, finished, judge_of, load_judging, other_weights
from benchmarks.harness.judging import Judging
from benchmarks.harness.needs import fetch_needed
from benchmarks.results.forms import measured_problem
from benchmarks.results.records import SIDES, check_records
from benchmarks.results.store import (
    NO_COUNTERMEASURE,
    Judgement,
    judgement_folder,
    judgements_of,
    read_judgement,
)
from benchmarks.suites.suite import kept_suite
from facecloak.assets import fetch
from facecloak.config import ADAPTED
from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256
from facecloak.recognizers import list_recognizers, recognizer_asset, weights_file

TOLERANCE = 1e-4  # of a cosine: another machine rounds differently
# the same after a diffusion model, where grey levels that are rounded to the other side make other pictures: up to 7e-5
# between two libraries of convolutions on a CPU (8 portraits, purify51, purify301, learned301); a GPU's TF32 is coarser
PURIFIED = 5e-3


@dataclass
class Judged:
    """What `judge_run` did.

    Attributes:
        folders: folders of the new judgements.
        kept: number of judgements that existed already.
        white: number of judgements that were left out because the pictures attacked the recognizer.
        incomplete: names of protections that were left out because pictures are missing.
    """

    folders: list[Path] = field(default_factory=list)
    kept: int = 0
    white: int = 0
    incomplete: list[str] = field(default_factory=list)


def judge_run(
    run: Path,
    recognizers: Sequence[str] = (),
    *,
    adapted: bool = False,
    countermeasures: Sequence[str] = (),
    thresholds: Path | None = None,
    white_box: bool = False,
    accelerator: str = "auto",
    progress: RunProgress | None = None,
    on_judged: Iterable[Callable[[Path], None]] = (),
) -> Judged:
    """Judge the finished pictures of a run by more recognizers or after countermeasures; nothing is protected again.

    Args:
        run: the ``--out`` of a benchmark.
        recognizers: names of recognizers, which need not be in the suite; without any, those that have judged each
            protection already.
        adapted: also by those that have learned from cloaked photos (``NAME+adapted``), of these recognizers.
        countermeasures: names, or names of sets, of what is done to the pictures; they are also judged as they are.
        thresholds: file made by `facecloak calibrate`, used instead of the suite's thresholds.
        white_box: also judge pictures that were made by attacking the recognizer.

    Raises:
        FacecloakError: nothing is asked for, a recognizer, its thresholds or a diffusion model are missing, or the
            suite's photos have changed.
    """
    found = by_suite([run])
    if not recognizers and not countermeasures and not adapted:
        raise FacecloakError(
            "Give --recognizers, --countermeasures or --adapted (in Python, arguments of these names): otherwise there "
            "is nothing to judge again."
        )
    if thresholds and not recognizers:
        raise FacecloakError("--thresholds is for --recognizers: the others judge with those that they had.")
    result, progress, listeners = Judged(), progress or RunProgress(shown=False), [*on_judged]
    altered = [each.name for each in find_countermeasures(countermeasures)]
    device = pick_device(accelerator)
    for (home, suite_name), protections in found.items():
        suite = kept_suite(suite_name, home)
        suite = replace(suite, thresholds=str(thresholds.resolve())) if thresholds else suite
        judges = {folder: [*recognizers] or _have_judged(folder) for folder in protections}
        if adapted:
            judges = _with_adapted(judges)
        used = [*dict.fromkeys(name for names in judges.values() for name in names)]
        fetch(filter(None, map(recognizer_asset, used)))
        weights = {name: sha256(weights_file(name)) for name in used}
        fetch_needed(suite, (), [purifying_settings(suite, altered)], judging=True)
        before = {} if recognizers else _thresholds_before(judges)
        # of other weights, they would say nothing: the suite's are asked for then, and refused if they are old too
        before = {name: each for name, each in before.items() if each.get("weights_sha256") in (None, weights[name])}
        asked = [name for name in used if name not in before]
        ensure_thresholds(suite, asked)
        entries = {name: suite.load_thresholds(name, weights[name]) for name in asked} | before
        judging = load_judging(suite, protections, device, progress)
        with progress.running((1 + len(altered)) * sum(map(len, judges.values())), "judgement"):
            for folder, about in protections.items():
                progress.begin(f"{about['method']}:{about['preset']}, target {about['target']}")
                if finished(judging, folder, about).missing:
                    result.incomplete.append(folder.name)
                    continue
                for countermeasure, name in product([NO_COUNTERMEASURE, *altered], judges[folder]):
                    progress.advance(1)
                    attacked = name.removesuffix(ADAPTED) in about["weights"]
                    white = attacked or weights[name] in about["weights"].values()
                    if white and not white_box and recognizers:
                        result.white += 1
                    elif judging.is_judged(folder, about, name, entries[name], countermeasure):
                        result.kept += 1
                    else:
                        judged = judging.judge_protection(folder, about, name, entries[name], countermeasure)
                        result.folders.append(judged)
                        for listener in listeners:
                            listener(judged)
    return result


def _thresholds_before(judges: dict[Path, list[str]]) -> dict[str, Any]:
    """Recognizer → the thresholds that it judged pictures of these protections with, which need not be the suite's."""
    found = {}
    for folder, names in judges.items():
        for name in names:
            judgement = read_judgement(judgement_folder(folder, name))
            if judgement is not None:
                found[name] = judgement.provenance["thresholds"]
    return found


def _with_adapted(judges: dict[Path, list[str]]) -> dict[Path, list[str]]:
    """Each protection's recognizers, and those of them that have learned from cloaked photos.

    Raises:
        FacecloakError: there are none of the latter.
    """
    known, found = {entry.name for entry in list_recognizers()}, {}
    for folder, names in judges.items():
        learned = [name if name.endswith(ADAPTED) else f"{name}{ADAPTED}" for name in names]
        found[folder] = [*dict.fromkeys([*names, *(name for name in learned if name in known)])]
    if not any(name.endswith(ADAPTED) for names in found.values() for name in names):
        named = ", ".join(sorted({name for names in judges.values() for name in names}))
        raise FacecloakError(
            f"None of {named} has been adapted to cloaked photos: that exists for pocket's recognizers "
            "(`python -m benchmarks.studies.adapted` shows how)."
        )
    return found


def _have_judged(protection: Path) -> list[str]:
    """The recognizers that have judged a protection's pictures as they are."""
    folders = [folder for folder in judgements_of(protection) if folder.parent.name == NO_COUNTERMEASURE]
    return [folder.name for folder in folders if (folder / "judgement.json").is_file()]


def rejudge(
    runs: Sequence[Path], skipped: list[str], *, accelerator: str = "auto", progress: RunProgress | None = None
) -> Iterator[tuple[Path, float | None, str]]:
    """Compute every cosine again from the pictures; yields (judgement's folder, None, problem) for each difference.

    Args:
        skipped: gets a line about each judgement that could not be computed again, and why.
    """
    progress, device = progress or RunProgress(shown=False), pick_device(accelerator)
    for (home, suite_name), protections in by_suite(runs, skipped).items():
        try:
            judging = load_judging(kept_suite(suite_name, home), protections, device, progress)
        except (FacecloakError, OSError) as error:
            skipped.append(f"{home}, suite {suite_name}: {error}")
            continue
        with progress.running(len(protections), "protection"):
            for folder, about in protections.items():
                progress.begin(folder.name)
                try:
                    yield from _rejudge_protection(judging, folder, about, skipped)
                except (FacecloakError, OSError) as error:
                    skipped.append(str(error))
                progress.advance(1)


def _rejudge_protection(
    judging: Judging, folder: Path, about: dict[str, Any], skipped: list[str]
) -> Iterator[tuple[Path, float | None, str]]:
    names = judging.names(about["objective"], about["target"])
    pictures = judging.read_pictures(folder, names)
    judgements = [judgement for each in judgements_of(folder) if (judgement := read_judgement(each))]
    for judgement in judgements:
        recognizer, weights = judge_of(judgement) or ("", "")
        if problem := other_weights(recognizer, weights) if recognizer else "its rows do not name the recognizer":
            skipped.append(f"{judgement.folder}: {problem}")
            continue
        try:
            records, ranks = judging.judge.judge(
                recognizer, names, pictures.protected, pictures.errors, about["target"], judgement.folder.parent.name
            )
        except FacecloakError as error:  # an unknown countermeasure, or its diffusion model is not here
            skipped.append(f"{judgement.folder}: {error}")
            continue
        purified = judging.altering.settings(judgement.folder.parent.name) is not None
        found = {record["id"]: record for record in records}
        for text in _differences(judgement, found, PURIFIED if purified else TOLERANCE):
            yield judgement.folder, None, text
        for column, rank in ranks.items():
            if judgement.rows[0].get(column) != rank:
                yield judgement.folder, None, f"{column} is {judgement.rows[0].get(column)}; the pictures give {rank}"
    measured = read_json(folder / "measured.json")
    if problem := measured_problem(measured, about["surrogates"]):
        skipped.append(f"{folder / 'measured.json'}: {problem}")
        return
    for recognizer, weights in about["weights"].items():
        if problem := other_weights(recognizer, weights):
            skipped.append(f"{folder}, surrogate {recognizer}: {problem}")
            continue
        found = judging.judge.rises(recognizer, names, pictures.protected, about["target"])
        for image in measured["images"]:
            stored, computed = image.get("surrogates", {}).get(recognizer), found.get(image["id"])
            if not _same(stored, computed):
                place = judgements[0].folder if judgements else folder
                yield place, None, (
                    f"measured.json, {image['id']}: cosines by the surrogate {recognizer} are {stored}; the picture "
                    f"gives {computed}"
                )  # fmt: skip


def _differences(judgement: Judgement, computed: dict[str, dict[str, Any]], tolerance: float) -> Iterator[str]:
    records, _ = check_records(judgement.folder)
    for record in records:
        own = computed.get(record["id"])
        if own is None:
            yield f"records.jsonl has {record['id']}, which is not a photo of the suite's target"
            continue
        for column in ("cosine", "cosine_clean"):
            for side in SIDES:
                stored, found = record[column].get(side), own[column].get(side)
                pair = (None if each is None else [each] for each in (stored, found))
                if not _same(*pair, tolerance):
                    yield f"{record['id']}: {column} to {side} is {stored}; the picture gives {found}"


def _same(
    stored: Sequence[float] | None, computed: Sequence[float] | None, tolerance: float = TOLERANCE
) -> bool:  # fmt: skip
    if stored is None or computed is None:
        return stored is None and computed is None
    pairs = zip(stored, computed, strict=False)
    return len(stored) == len(computed) and all(math.isclose(a, b, rel_tol=0, abs_tol=tolerance) for a, b in pairs)
