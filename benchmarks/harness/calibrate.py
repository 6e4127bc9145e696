"""Measures thresholds of a suite's recognizers on impostor pairs, and writes them to a data file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.console import progress
from benchmarks.harness.judge import embed
from benchmarks.suites.suite import Suite, load_suite
from facecloak.data import Photo, images_in, is_clutter
from facecloak.errors import FacecloakError
from facecloak.io import read_json, write_json
from facecloak.recognizers import calibration, load_recognizer
from facecloak.recognizers.calibration import Side


def calibrate(
    suite: str,
    out: str | Path,
    *,
    recognizers: Sequence[str] | None = None,
    photos: str | Path | None = None,
    crop: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure thresholds under the suite's crop, and merge them into ``out``.

    The pairs are each source of the suite with each other person's second photo. With ``photos``, they are each
    person's first photo with each other person's second photo.

    Args:
        suite: name or path of the suite whose crop, photos and recognizers are used.
        out: JSON file; entries of other recognizers are kept.
        recognizers: names, by default the suite's.
        photos: folder that contains a folder per person, instead of the suite's photos.
        crop: instead of the suite's: mtcnn, or four numbers of pixels in a square of the suite's image size (then no
            face is searched for). The suite refuses thresholds of another crop than its own.

    Returns:
        recognizer → its entry, as `facecloak.recognizers.calibration.calibrate` returns it.

    Raises:
        FacecloakError: no person has two photos, or suite, crop or recognizers are wrong.

    Example:
        >>> calibrate("celeba_hq_pairs", "thresholds.json", recognizers=["mine"])  # doctest: +SKIP
    """
    loaded = load_suite(suite)
    if crop:
        loaded = replace(loaded, crop=_crop(crop), detect=crop == "mtcnn")
    out, photos = Path(out), None if photos is None else Path(photos)
    label = f"{photos.name if photos else loaded.name}, first × second photos"
    sides = _read_pairs(loaded, photos)
    table, measured = read_json(out) if out.exists() else {}, {}
    for recognizer_name in recognizers or loaded.recognizers:
        recognizer = load_recognizer(recognizer_name, differentiable=False)
        embedded = [
            Side(embed(recognizer, [photo for _, _, photo in side]).numpy(), [person for person, _, _ in side],
                 [photo_id for _, photo_id, _ in side])
            for side in sides
        ]  # fmt: skip
        measured[recognizer_name] = calibration.calibrate(
            recognizer, embedded[0], embedded[-1],
            pairs=label, crop=loaded.crop, date=datetime.now(UTC).date().isoformat(), fars=loaded.fars,
        )  # fmt: skip
        write_json(out, table | measured)
    return measured


def _crop(text: str) -> str | list[float]:
    try:
        box = [float(number) for number in text.split(",")]
    except ValueError:
        box = []
    if text != "mtcnn" and len(box) != 4:
        raise FacecloakError(f"--crop must be mtcnn or x0,y0,x1,y1, got {text!r}.")
    return text if text == "mtcnn" else box


def _read_pairs(suite: Suite, photos: Path | None) -> list[list[tuple[str, str, Photo]]]:
    """Two lists of (person, photo id, photo): first photos and second photos, only those with a face."""
    people = _people_of_folder(photos) if photos else _people_of_suite(suite)
    if not people:
        where = photos or f"suite {suite.name}"
        raise FacecloakError(
            f"{where}: no person has two photos. Give a folder that contains a folder per person: --photos DIR."
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
    return {source.name: (source.path, source.second) for source in suite.load_sources() if source.second}


def _people_of_folder(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The first two photos of each sub-folder that has two; folders that programs make for themselves are left out."""
    if not folder.is_dir():
        raise FacecloakError(f"{folder}: no such folder.")
    people = [person for person in sorted(folder.iterdir()) if person.is_dir() and not is_clutter(person.name)]
    photos = {person.name: images_in(person) for person in people}
    return {person: (paths[0], paths[1]) for person, paths in photos.items() if len(paths) > 1}
