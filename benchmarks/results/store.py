"""The store: where protections and judgements are on disk, how they are written (atomically), found and read.

RUN/protections/PROTECTION/protection.json       what the pictures depend on, the method's settings
                           images/NAME.png       the protected pictures
                           outcomes/NAME.json    per image: error, seconds, loss curves, hashes, version that made it
                           training.json         what the method's training cost, if it has one
                           measured.json         per image: quality, and the surrogates' cosines
                           features.safetensors  features for distances between sets of pictures
                           judgements/COUNTERMEASURE/RECOGNIZER/records.jsonl, judgement.json
RUN/sources/SUITE/NAME.png                       some unprotected photos, for grids and the check
RUN/suites/SUITE.yaml                            the suites as the run used them
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results.forms import outcome_problem, protection_problems
from benchmarks.results.schema import AGAIN, Row
from facecloak.errors import FacecloakError
from facecloak.io import file_name, read_json, sha256, write_bytes, write_json

NO_COUNTERMEASURE = "none"


@dataclass(frozen=True)
class Judgement:
    """A complete judgement, read from disk.

    Attributes:
        folder: folder of its files.
        rows: one for each FAR; the first row has the highest FAR.
        provenance: the other content of judgement.json: fingerprint, thresholds, torch.
        protection: content of protection.json: key, key_of, settings, weights of the surrogates …
    """

    folder: Path
    rows: list[Row]
    provenance: dict[str, Any]
    protection: dict[str, Any]


def protections_folder(run: Path) -> Path:
    """The folder in which a run keeps its protections."""
    return run / "protections"


def judgement_folder(protection: Path, recognizer: str, countermeasure: str = NO_COUNTERMEASURE) -> Path:
    """The folder of a protection's judgement by a recognizer."""
    return protection / "judgements" / countermeasure / recognizer


def protection_of(judgement: Path) -> Path:
    """The folder of the protection that a judgement's folder is in."""
    return judgement.parents[2]


def run_of(judgement: Path) -> Path:
    """The folder of the run that a judgement's folder is in."""
    return judgement.parents[4]


def run_id(judgement: Path) -> str:
    """PROTECTION/COUNTERMEASURE/RECOGNIZER, the judgement's name in rows."""
    return f"{protection_of(judgement).name}/{judgement.parent.name}/{judgement.name}"


def sources_folder(run: Path, suite: str) -> Path:
    """The folder in which a run keeps unprotected photos of a suite."""
    return run / "sources" / file_name(suite)


def write_outcome(protection: Path, name: str, png: bytes | None, outcome: dict[str, Any]) -> None:
    """Store one image's result: first the picture, then the file that marks it as finished."""
    picture = protection / "images" / f"{name}.png"
    if png is None:
        picture.unlink(missing_ok=True)
    else:
        write_bytes(picture, png)
        outcome["png_sha256"] = hashlib.sha256(png).hexdigest()
    write_json(protection / "outcomes" / f"{name}.json", outcome)


def read_outcomes(protection: Path, sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The finished images of a protection by name; an image counts as unfinished if its picture or source has changed.

    Args:
        sources: name → SHA-256 of the photo as it is now.

    Raises:
        FacecloakError: an outcome is damaged.
    """
    outcomes = {}
    for path in sorted((protection / "outcomes").glob("*.json")):
        outcome, png = read_json(path), protection / "images" / f"{path.stem}.png"
        if problem := outcome_problem(outcome, path.stem):
            raise FacecloakError(f"{path}: {problem}. Delete it and run the benchmark again.")
        made = outcome["error"] or (png.is_file() and sha256(png) == outcome.get("png_sha256"))
        if made and outcome.get("source_sha256") == sources.get(path.stem):
            outcomes[path.stem] = outcome
    return outcomes


def start_over(protection: Path) -> None:
    """Make a protection count as not started, without finished images and judgements."""
    forget_judgements(protection)
    for path in (protection / "outcomes").glob("*.json"):
        path.unlink(missing_ok=True)


def forget_failed(protection: Path) -> None:
    """Make failed images count as not started; if there are any, the protection's judgements count as not made."""
    for path in (protection / "outcomes").glob("*.json"):
        outcome = read_json(path)
        if not isinstance(outcome, dict) or outcome.get("error") is not None:
            forget_judgements(protection)
            path.unlink(missing_ok=True)


def forget_judgements(protection: Path) -> None:
    """Make every judgement and measurement of a protection count as not made, since its pictures will change."""
    for path in [protection / "measured.json", *protection.glob("judgements/*/*/judgement.json")]:
        path.unlink(missing_ok=True)


def forget(protection: Path, names: Iterable[str]) -> None:
    """Remove the results of sources that can no longer be used."""
    for name in names:
        (protection / "images" / f"{name}.png").unlink(missing_ok=True)
        (protection / "outcomes" / f"{name}.json").unlink(missing_ok=True)


def write_protection(protection: Path, about: dict[str, Any]) -> None:
    """Write protection.json, unless it has the same content already."""
    if not (protection / "protection.json").is_file() or read_json(protection / "protection.json") != about:
        write_json(protection / "protection.json", about)


def read_protection(protection: Path) -> dict[str, Any]:
    """The content of protection.json; raises `FacecloakError` if it is missing or damaged."""
    path = protection / "protection.json"
    about = read_json(path)
    for problem in protection_problems(about):
        raise FacecloakError(f"{path}: {problem}. Protect the photos again, or leave out this run.")
    return about


def write_judgement(folder: Path, rows: list[Row], records: list[dict], provenance: dict[str, Any]) -> None:
    """Store a judgement: first records.jsonl, then judgement.json, which marks it as complete."""
    lines = "".join(json.dumps(record, sort_keys=True, allow_nan=False) + "\n" for record in records)
    write_bytes(folder / "records.jsonl", lines.encode())
    write_json(folder / "judgement.json", {"rows": rows, "provenance": provenance})


def read_judgement(folder: Path) -> Judgement | None:
    """A judgement, or None if it is not complete.

    Raises:
        FacecloakError: judgement.json contains no rows or no provenance, or protection.json is missing or damaged.
    """
    path = folder / "judgement.json"
    if not path.exists():
        return None
    result = read_json(path)
    if not isinstance(result, dict) or not isinstance(result.get("rows"), list):
        raise FacecloakError(f"{path} contains no rows. {AGAIN}")
    provenance = result.get("provenance")
    if not isinstance(provenance, dict):
        raise FacecloakError(f"{path} contains no provenance. {AGAIN}")
    return Judgement(folder, result["rows"], provenance, read_protection(protection_of(folder)))


def find_protections(runs: Iterable[Path]) -> list[Path]:
    """The folders of all protections, complete or not, sorted by name; each once, even if its run is given twice.

    Args:
        runs: folders that contain ``protections``, or folders of such folders at any depth; links are not followed.

    Raises:
        FacecloakError: a folder does not exist, or contains no protection.
    """
    found = {}
    for run in runs:
        if not run.is_dir():
            raise FacecloakError(f"{run}: no such folder. Give the --out of a benchmark, or a folder of such folders.")
        below = _protections_below(run)
        if not below:
            raise FacecloakError(
                f"{run}: it contains no protections. Give the --out of a benchmark, or a folder of such folders."
            )
        found |= {folder.resolve(): folder for folder in below}
    return sorted(found.values(), key=lambda folder: (folder.name, str(folder)))


def _protections_below(folder: Path) -> list[Path]:
    refuse_old_run(folder)
    children = _folders(folder)
    if protections_folder(folder) in children:
        return _folders(protections_folder(folder))
    return [found for child in children for found in _protections_below(child)]


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.is_symlink())


def refuse_old_run(run: Path) -> None:
    """Raise `FacecloakError` if a folder contains a run of facecloak 0.1."""
    if any((run / "cells").glob("*/cell.json")):
        raise FacecloakError(
            f"{run} is a run of facecloak 0.1, which made the pictures for each judge separately; this version cannot "
            "read it. Run the benchmark again with another --out."
        )


def find_judgements(runs: Iterable[Path]) -> list[Path]:
    """The folders of all judgements, complete or not, sorted by run_id; raises like `find_protections`."""
    return [folder for protection in find_protections(runs) for folder in judgements_of(protection)]


def judgements_of(protection: Path) -> list[Path]:
    """The folders of a protection's judgements, complete or not, sorted."""
    return [folder for kind in _folders_if_any(protection / "judgements") for folder in _folders(kind)]


def _folders_if_any(folder: Path) -> list[Path]:
    return _folders(folder) if folder.is_dir() else []
