"""The pictures that each method of a board makes from the same photos, from any number of runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.leaderboard.plots.style import is_none
from benchmarks.results.pictures import GAIN, ROWS, Row, difference, read_pictures, write_picture
from benchmarks.results.records import Records

PER_GRID = 10  # methods side by side, so that a grid can be looked at


def write_grids(
    stem: Path, rows: pd.DataFrame, protections: dict[str, Path], records: dict[str, Records]
) -> list[Path]:
    """Write ``STEM.png``: a photo and the pictures that each method made from it, below them the changes, ×10.

    It shows the first images of each target that the first black box judges. For more than ten methods there are
    several files, ``STEM_1.png`` and so on.

    Args:
        rows: of one board's black-box judgements, with `name_methods`' column.

    Returns:
        the files.
    """
    box, suite = rows["black_box"].min(), rows["suite"].iloc[0]
    shown = rows[rows["black_box"] == box].drop_duplicates("run_id")
    folders = {(row["name"], row["target"]): protections[row["run_id"]] for _, row in shown.iterrows()}
    names = sorted(shown["name"].unique(), key=lambda name: (not is_none(name), name))
    photos, files = _first_photos(shown, records), []
    for number, start in enumerate(range(0, len(names), PER_GRID), start=1):
        part, lines = names[start : start + PER_GRID], []
        for target, photo in photos:
            lines += _lines(photo, target, [folders.get((name, target)) for name in part], suite)
        suffix = f"_{number}" if len(names) > PER_GRID else ""
        files.append(stem.with_name(f"{stem.name}{suffix}.png"))
        write_picture(files[-1], [f"original ({box} judges)", *part], lines)
    return files


def _first_photos(shown: pd.DataFrame, records: dict[str, Records]) -> list[tuple[str, str]]:
    """(target, image id): the first of every target, then the second ones, up to `ROWS`."""
    first = shown.sort_values("run_id").drop_duplicates("target").sort_values("target")
    lists = [(target, records[run_id].ids) for target, run_id in first[["target", "run_id"]].itertuples(index=False)]
    return [(target, ids[place]) for place in range(ROWS) for target, ids in lists if place < len(ids)][:ROWS]


def _lines(photo: str, target: str, folders: list[Path | None], suite: str) -> list[Row]:
    original, made = read_pictures([folder for folder in folders if folder], photo, suite)
    pictures = iter(made)
    line: Row = ["not kept" if original is None else original]
    changes: Row = [f"target {target}, {photo}: x{GAIN}"]
    for folder in folders:
        image = next(pictures) if folder else None
        change = difference(image, original)
        line.append(image if image is not None else "no picture" if folder else "not judged")
        changes.append("–" if change is None else change)
    return [line, changes]
