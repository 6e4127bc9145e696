"""Measures thresholds of a suite's recognizers on impostor pairs, and writes them to a data file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.console import progress
from benchmarks.harness.judge import embed
from benchmarks.harness.needs import fetch_needed
from benchmarks.suites.people import people_in
from benchmarks.suites.rules import CALIBRATE, FOUND
from benchmarks.suites.suite import Suite, load_suite
from facecloak.assets.store import disk_error
from facecloak.data import Photo
from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256, write_json
from facecloak.recognizers import calibration, load_recognizer, weights_file
from facecloak.recognizers.calibration import Side, load_thresholds


def calibrate(
    suite: str | Suite,
    out: str | Path,
    *,
    recognizers: Sequence[str] | None = None,
    photos: str | Path | None = None,
    crop: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure thresholds under the suite's crop, and merge them into ``out``.

    The pairs are each source of the suite with each other person's second photo. With ``photos``, or where the suite
    names people for it (``calibration``), they are each person's first photo with each other person's second photo.

    Args:
        suite: the suite whose crop, photos and recognizers are used: name, path, or the result of `load_suite`.
        out: JSON file; entries of other recognizers are kept.
        recognizers: names, by default the suite's.
        photos: folder that contains a folder per person, instead of the suite's photos.
        crop: instead of the suite's: mtcnn, arcface, or four numbers of pixels in a square of the suite's image size
            (then no face is searched for). The suite refuses thresholds of another crop than its own.

    Returns:
        recognizer → its entry, as `facecloak.recognizers.calibration.calibrate` returns it.

    Raises:
        FacecloakError: no person has two photos, or suite, crop or recognizers are wrong.

    Example:
        >>> calibrate("celeba_hq_pairs", "thresholds.json", recognizers=["mine"])  # doctest: +SKIP
    """
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    if crop:
        loaded = replace(loaded, crop=_crop(crop), detect=crop in FOUND)
    names = [*(recognizers or loaded.recognizers)]
    fetch_needed(loaded, names, sources=photos is None, calibration=photos is None)
    return _measure(loaded, names, Path(out), None if photos is None else Path(photos))


def ensure_thresholds(suite: Suite, recognizers: Sequence[str]) -> None:
    """Measure the thresholds of a suite that says ``thresholds: calibrate``, once for each recognizer and its weights.

    They are kept in the cache, with four decimals: a machine that computes a little differently gets the same ones.

    Raises:
        FacecloakError: photos or weights are missing.
    """
    if suite.thresholds != CALIBRATE:
        return
    fetch_needed(suite, (), sources=False, calibration=True)  # the file's name depends on these photos
    file = suite.thresholds_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error) from None
    with FileLock(file.with_suffix(".lock")):
        known = load_thresholds(file) if file.is_file() else {}
        names = [
            name
            for name in recognizers
            if name not in known or known[name]["weights_sha256"] != sha256(weights_file(name))
        ]
        if names:
            logging.getLogger(__name__).warning(
                "Measuring thresholds of %s on %d people of %s, once; they are kept in %s.",
                ", ".join(names), suite.calibration.number, suite.calibration.people, file,
            )  # fmt: skip
            _measure(suite, names, file, None, decimals=4)


def _measure(
    suite: Suite, recognizers: Sequence[str], out: Path, photos: Path | None, decimals: int | None = None
) -> dict[str, dict[str, Any]]:
    sides = _read_pairs(suite, photos)
    people = f"the last {suite.calibration.number} people" if suite.calibration else suite.name
    label = f"{photos.name if photos else people}, first × second photos"
    table, measured = read_json(out) if out.exists() else {}, {}
    for recognizer_name in recognizers:
        recognizer = load_recognizer(recognizer_name, differentiable=False)
        embedded = [
            Side(embed(recognizer, [photo for _, _, photo in side]).numpy(), [person for person, _, _ in side],
                 [photo_id for _, photo_id, _ in side])
            for side in sides
        ]  # fmt: skip
        measured[recognizer_name] = calibration.calibrate(
            recognizer, embedded[0], embedded[-1],
            pairs=label, crop=suite.crop, date=datetime.now(UTC).date().isoformat(), fars=suite.fars, decimals=decimals,
        )  # fmt: skip
        write_json(out, table | measured)
    return measured


def _crop(text: str) -> str | list[float]:
    try:
        box = [float(number) for number in text.split(",")]
    except ValueError:
        box = []
    if text not in FOUND and len(box) != 4:
        raise FacecloakError(f"--crop must be mtcnn, arcface or x0,y0,x1,y1, got {text!r}.")
    return text if text in FOUND else box


def _read_pairs(suite: Suite, photos: Path | None) -> list[list[tuple[str, str, Photo]]]:
    """Two lists of (person, photo id, photo): first photos and second photos, only those with a face."""
    people = people_in(photos) if photos else _people_of_suite(suite)
    if not people:
        raise FacecloakError(
            f"suite {suite.name}: no person has two photos. Give a folder that contains a folder per person: --photos "
            "DIR."
        )
    find_face = suite.find_face()
    sides: list[list[tuple[str, str, Photo]]] = [[], []]
    for person, paths in progress(people.items(), desc="finding faces", unit="person", total=len(people)):
        for side, path in zip(sides, paths, strict=True):
            photo = suite.read(path, find_face)
            if not photo.error:
                side.append((person, f"{path.parent.name}/{path.name}", photo))
    return sides


def _people_of_suite(suite: Suite) -> dict[str, tuple[Path, Path]]:
    """Those who set its thresholds, or else its sources."""
    if suite.calibration:
        return suite.calibration_people()
    return {source.name: (source.path, source.second) for source in suite.load_sources() if source.second}
