"""`facecloak calibrate`: thresholds of a suite's recognizers from impostor pairs, as a data file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from benchmarks.judge import embed
from benchmarks.leaderboard import wide_console
from benchmarks.progress import progress
from benchmarks.suite import Suite, load_suite
from facecloak.data import Photo, list_images
from facecloak.errors import FacecloakError
from facecloak.io import read_json, write_json
from facecloak.recognizers import load_recognizer
from facecloak.recognizers.calibration import Side, calibrate


def calibrate_suite(name: str, recognizers: list[str] | None, photos: Path | None, out: Path) -> int:
    """Measure thresholds under the suite's crop, and merge them into ``out``.

    Pairs are every source with every second photo of another person of the suite, or, with ``photos``, all
    photos of different people in a folder of one folder per person.
    """
    suite = load_suite(name)
    label = f"{photos.name}, all pairs" if photos else f"{suite.name}, sources × second photos"
    sides = _read_folder(suite, photos) if photos else _read_suite(suite)
    table = read_json(out) if out.exists() else {}
    view = Table("recognizer", "FAR", "threshold", "95 %", "true accepts", title=label)
    for recognizer_name in recognizers or suite.recognizers:
        recognizer = load_recognizer(recognizer_name, differentiable=False)
        embedded = [
            Side(embed(recognizer, [photo for _, _, photo in side]).numpy(), [person for person, _, _ in side],
                 [photo_id for _, photo_id, _ in side])
            for side in sides
        ]  # fmt: skip
        entry = calibrate(
            recognizer, embedded[0], embedded[-1],
            pairs=label, crop=suite.crop, date=datetime.now(UTC).date().isoformat(), fars=suite.fars,
        )  # fmt: skip
        table[recognizer_name] = entry
        write_json(out, table)
        for far, point in entry["fars"].items():
            interval = f"{point['low']:.3f} – {point['high']:.3f}"
            tar = f"{100 * point['tar']:.1f} %" if "tar" in point else "–"
            view.add_row(recognizer_name, far, f"{point['threshold']:.4f}", interval, tar)
    console = wide_console()
    console.print(view)
    console.print(f"{entry['n_pairs']} impostor pairs of {entry['n_identities']} people, pair list "
                  f"{entry['pairs_sha256'][:12]}; wrote {out}")  # fmt: skip
    return 0


def _read_suite(suite: Suite) -> list[list[tuple[str, str, Photo]]]:
    sources = suite.load_sources()
    if not all(source.second for source in sources):
        raise FacecloakError(
            f"Suite {suite.name} lacks second photos; give a folder with a folder of photos per person: --photos DIR."
        )
    find_face = suite.find_face()
    sides: list[list[tuple[str, str, Photo]]] = [[], []]
    for source in progress(sources, desc="finding faces", unit="person"):
        for side, (kind, path) in zip(sides, (("source", source.path), ("second", source.second)), strict=True):
            side.append((source.name, f"{kind}/{source.name}", suite.read(path, find_face)))
    return [[entry for entry in side if not entry[2].error] for side in sides]


def _read_folder(suite: Suite, folder: Path) -> list[list[tuple[str, str, Photo]]]:
    people = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not people:
        raise FacecloakError(f"{folder}: expected a folder with a folder of photos per person.")
    find_face, side = suite.find_face(), []
    for person in progress(people, desc="finding faces", unit="person"):
        for path in list_images(person):
            side.append((person.name, f"{person.name}/{path.name}", suite.read(path, find_face)))
    return [[entry for entry in side if not entry[2].error]]
