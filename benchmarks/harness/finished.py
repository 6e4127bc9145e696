"""Finished protections of a run, with the photos that they were made from, for all who look at the pictures again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.console import RunProgress
from benchmarks.harness.judging import Judging, Pictures
from benchmarks.results.records import check_records
from benchmarks.results.store import Judgement, find_protections, judgements_of, read_judgement, read_protection
from benchmarks.results.table import METHOD, headline_far, method_names
from benchmarks.suites.suite import Source, Suite, kept_suite, manifest_sha256
from facecloak.config import far_key
from facecloak.errors import FacecloakError
from facecloak.io import sha256
from facecloak.recognizers import Recognizer, load_recognizer, weights_file

Protections = dict[Path, dict[str, Any]]  # folder of a protection → content of its protection.json


class Finished(NamedTuple):
    """A protection's pictures.

    Attributes:
        names: the sources that were to be protected.
        pictures: those that are finished and have not changed since.
        missing: the usable sources without such a picture; one that the method failed on is not missing.
    """

    names: list[str]
    pictures: Pictures
    missing: list[str]


class Adversary(NamedTuple):
    """Who compares photos, and from which cosine on they are taken for one person."""

    recognizer: Recognizer
    threshold: float


def headline_key(suite: Suite) -> str:
    """The suite's headline FAR, as the key of an entry in the thresholds."""
    return far_key(headline_far(suite.fars))


def load_adversary(suite: Suite, name: str) -> Adversary:
    """A recognizer as a black box, with the suite's threshold at its headline FAR."""
    recognizer = load_recognizer(name, differentiable=False)
    entry = suite.load_thresholds(name, recognizer.weights_sha256)
    return Adversary(recognizer, entry["fars"][headline_key(suite)]["threshold"])


def open_run(run: Path, suite_name: str) -> tuple[Judging, Protections]:
    """A run's suite as the run used it, with its photos, and the protections of this suite; nothing is written.

    Raises:
        FacecloakError: there are no such protections, they are of several runs, no judgement of them is finished, or
            the photos are not those of the run.
    """
    found = {home: own for (home, name), own in by_suite([run]).items() if name == suite_name}
    if not found:
        raise FacecloakError(
            f"{run} has no pictures of suite {suite_name}: give the --out of `facecloak benchmark {suite_name}`."
        )
    if len(found) > 1:
        raise FacecloakError(f"{run} contains several runs ({', '.join(map(str, sorted(found)))}): give one of them.")
    ((home, protections),) = found.items()
    if not any(read_judgement(each) for folder in protections for each in judgements_of(folder)):
        raise FacecloakError(f"{run} has no finished judgement: run the benchmark again.")
    return load_judging(kept_suite(suite_name, home), protections, "cpu", RunProgress(shown=False)), protections


def names_of(protections: Protections) -> dict[Path, str]:
    """Each protection's method by the name that tables have for it; two settings have two names."""
    table = pd.DataFrame([[about[column] for column in METHOD] for about in protections.values()], columns=METHOD)
    names = [name.removesuffix(":default") for name in method_names(table.assign(white_box=False))]
    return dict(zip(protections, names, strict=True))


def finished(judging: Judging, folder: Path, about: dict[str, Any]) -> Finished:
    """What there is of a protection's pictures."""
    names = judging.names(about["objective"], about["target"])
    pictures = judging.read_pictures(folder, names)
    return Finished(names, pictures, [name for name in judging.usable(names) if name not in pictures.outcomes])


def complete(judging: Judging, folder: Path, about: dict[str, Any]) -> Finished:
    """`finished`, where a rate over the pictures is one over all that were to be made, against whom they attack.

    Raises:
        FacecloakError: a picture is missing or has changed, or a photo or weights that were attacked have.
    """
    found = finished(judging, folder, about)
    if found.missing:
        raise FacecloakError(
            f"{folder}: {len(found.missing)} of {len(found.names)} pictures are missing or have changed, the first is "
            f"that of {found.missing[0]}; run the benchmark again."
        )
    if about["weights"] and (target := _changed_target(judging.suite, about)):
        raise FacecloakError(
            f"{folder}: the photo of target {target} is not the one that was attacked; run the benchmark again."
        )
    for recognizer, weights in about["weights"].items():
        if problem := other_weights(recognizer, weights):
            raise FacecloakError(f"{folder}: {problem}; run the benchmark again.")
    return found


def _changed_target(suite: Suite, about: dict[str, Any]) -> str | None:
    """The name of a target whose photo is not the one that was attacked."""
    name, attacked, _, *others = about["key_of"]["target"]
    targets = [(suite.load_target(name, about["objective"]), attacked)]
    targets += [(suite.load_target(other, "impersonation"), known) for other, known, _ in others]
    return next((target.name for target, known in targets if sha256(target.image) != known), None)


def by_suite(runs: Iterable[Path], skipped: list[str] | None = None) -> dict[tuple[Path, str], Protections]:
    """Run's folder and suite → its protections.

    Args:
        skipped: gets a line about each damaged protection; if it is None, a damaged protection is an error.
    """
    found: dict[tuple[Path, str], Protections] = defaultdict(dict)
    for folder in find_protections(runs):
        try:
            about = read_protection(folder)
        except FacecloakError as error:
            if skipped is None:
                raise
            skipped.append(str(error))
            continue
        found[folder.parents[1], about["suite"]][folder] = about
    return dict(found)


def load_judging(suite: Suite, protections: Iterable[Path], device: Any, progress: RunProgress) -> Judging:
    """The photos of these protections.

    Raises:
        FacecloakError: they are not the photos of earlier judgements.
    """
    protections = [*protections]
    names = {path.stem for folder in protections for path in (folder / "outcomes").glob("*.json")}
    manifests = set()
    for folder in (judgement for protection in protections for judgement in judgements_of(protection)):
        judgement = read_judgement(folder)
        if judgement and judge_of(judgement):
            manifests.add(judgement.rows[0].get("manifest_sha256"))
            names |= {record["id"] for record in check_records(folder)[0]}
    return Judging(suite, _sources(suite, names, manifests), device, progress.reading)


def _sources(suite: Suite, names: Collection[str], manifests: Collection[str]) -> list[Source]:
    """The photos that protections were made from, with those of the targets that their run left out.

    Args:
        names: of the protected photos.
        manifests: hashes of all photos that the run was about.
    """
    every = suite.load_sources()
    own = [each for each in every if each.name in names]
    limit = max(Counter(each.group for each in own).values(), default=0)
    for found in (own, suite.load_sources(limit), every):
        if {manifest_sha256(found)}.issuperset(manifests):
            return found
    raise FacecloakError(
        f"Suite {suite.name}: its photos are not those that this run was made from (they have changed, or some are "
        "missing), so the run's pictures cannot be judged with them."
    )


def judge_of(judgement: Judgement) -> tuple[str, str] | None:
    """Recognizer and SHA-256 of its weights; None if the rows do not have them, which the check reports."""
    row = judgement.rows[0] if judgement.rows and isinstance(judgement.rows[0], dict) else {}
    found = (row.get("black_box"), row.get("weights_sha256"))
    return found if all(isinstance(each, str) for each in found) else None


def other_weights(recognizer: str, weights: str | None) -> str | None:
    """Why a recognizer cannot compute its cosines again, or None."""
    try:
        found = sha256(weights_file(recognizer))
    except FacecloakError as error:
        return str(error)
    return None if found == weights else f"the weights of {recognizer} here differ from those of the run"
