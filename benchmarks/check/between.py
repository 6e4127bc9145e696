"""What judgements must agree on to be in one table. Each rule yields (judgement's folder, FAR or None, problem)."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.results.records import SIDES, Record
from benchmarks.results.schema import COLUMNS
from benchmarks.results.store import Judgement
from benchmarks.results.table import KEY, mixed

TOLERANCE = 1e-4  # of a cosine that another machine measured
PARTS = ("usable", *(f"compared with a photo of {side}" for side in SIDES))

Placed = tuple[Path, float | None, str]


def doubled(judgements: Iterable[Judgement]) -> Iterator[Placed]:
    """Rows that another judgement has too: with the same name, or with the same settings under the same judge."""
    seen: dict[tuple, Path] = {}
    for folder, rows in ((judgement.folder, judgement.rows) for judgement in judgements):
        for far, row in {row["far"]: row for row in rows}.items():
            for key in (("run_id", row["run_id"], far), tuple(row.get(column) for column in KEY)):
                first = seen.setdefault(key, folder)
                if first != folder:
                    same = "run_id" if key[0] == "run_id" else "method, settings, target, surrogates and judge"
                    yield folder, far, f"duplicate: {first} has a row with the same {same}"
                    break


def differing(judgements: Iterable[Judgement]) -> Iterator[Placed]:
    """Judgements that differ from most others in photos, weights or thresholds, which must be equal in one table."""
    rows = [row | {"folder": judgement.folder} for judgement in judgements for row in judgement.rows]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "folder"])
    for name, column, rows in mixed(table):
        usual = rows[column].mode(dropna=False).iloc[0]
        same = rows[column].isna() if pd.isna(usual) else rows[column] == usual
        other = rows[same].iloc[0]
        for _, row in rows[~same].drop_duplicates(["folder"]).iterrows():
            far = row["far"] if column == "threshold" else None
            yield row["folder"], far, (
                f"{column} is {row[column]}, but in most other judgements of {name} it is {usual}, such as in "
                f"{other['folder']} (n = {row['n_images']} and {other['n_images']}): they cannot be in one table"
            )  # fmt: skip


def far_problems(judgements: Iterable[Judgement]) -> Iterator[Placed]:
    """Judgements whose FARs differ from those of most others of the same suite and objective."""
    boards: dict[tuple[str, str], dict[Path, tuple[float, ...]]] = {}
    for judgement in judgements:
        board = boards.setdefault((judgement.rows[0]["suite"], judgement.rows[0]["objective"]), {})
        board[judgement.folder] = tuple(sorted({row["far"] for row in judgement.rows}, reverse=True))
    for name, board in sorted(boards.items()):
        counts = Counter(board.values())
        usual = max(counts, key=lambda fars: (counts[fars], len(fars)))
        for folder, fars in board.items():
            if fars != usual:
                found, wanted = (", ".join(f"{far:g}" for far in each) for each in (fars, usual))
                yield folder, None, f"has FAR {found}, but most other judgements of {' '.join(name)} have FAR {wanted}"


class Photos(NamedTuple):
    """What a judgement's records say about N unprotected photos.

    Attributes:
        names: N names, ascending.
        states: (N,) whole numbers, with a bit for each of `PARTS`.
        cosines: (N, 2) cosines to target and self; NaN where there is none.
    """

    names: tuple[str, ...]
    states: np.ndarray
    cosines: np.ndarray


def describe_photos(records: Sequence[Record]) -> Photos:
    """What records of the right form say; if two have the same name, the last one counts."""
    by_name = {sys.intern(record["id"]): record for record in records}
    names = tuple(sorted(by_name))
    states, cosines = np.zeros(len(names), np.int8), np.full((len(names), len(SIDES)), np.nan)
    for place, name in enumerate(names):
        record = by_name[name]
        parts = (record["usable"], *(side in record["reference"] for side in SIDES))
        states[place] = sum(there << bit for bit, there in enumerate(parts))
        clean = (record["cosine_clean"].get(side) for side in SIDES)
        cosines[place] = [np.nan if cosine is None else cosine for cosine in clean]
    return Photos(names, states, cosines)


def photo_problems(judgements: Iterable[Judgement], photos: Mapping[Path, Photos]) -> Iterator[Placed]:
    """Judgements that disagree about unprotected photos with most others of the same suite, objective and target.

    Args:
        photos: folder of a judgement → what its records say; judgements that are not in it are left out.
    """
    judgements = [judgement for judgement in judgements if judgement.folder in photos]
    for name, folders in _groups(judgements, ("suite", "objective", "target")):
        # in a tie, the set with more photos: what is left out is what failed
        counts = Counter(photos[folder].names for folder in folders)
        usual = max(counts, key=lambda names: (counts[names], len(names)))
        same = [folder for folder in folders if photos[folder].names == usual]
        for folder in folders:
            names = {*photos[folder].names}
            for these, verb in ((sorted({*usual} - names), "does not have"), (sorted(names - {*usual}), "has")):
                if these:
                    yield folder, None, (
                        f"records.jsonl {verb} {_few(these)}, unlike most judgements of {name}, such as {same[0]}"
                    )  # fmt: skip
        yield from _state_problems(name, same, photos)
    for name, folders in _groups(judgements, ("suite", "objective", "target", "countermeasure", "black_box")):
        yield from _cosine_problems(name, folders, photos)


def _groups(judgements: Iterable[Judgement], columns: tuple[str, ...]) -> list[tuple[str, list[Path]]]:
    groups = defaultdict(list)
    for judgement in judgements:
        groups[tuple(judgement.rows[0][column] for column in columns)].append(judgement.folder)
    return [(" ".join(key), folders) for key, folders in sorted(groups.items())]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _state_problems(name: str, folders: list[Path], photos: Mapping[Path, Photos]) -> Iterator[Placed]:
    states = np.stack([photos[folder].states for folder in folders])
    counts = np.stack([(states == state).sum(axis=0) for state in range(2 ** len(PARTS))])
    usual = len(counts) - 1 - counts[::-1].argmax(axis=0)  # in a tie, the state that leaves out less
    for folder, own in zip(folders, states, strict=True):
        for bit, part in enumerate(PARTS):
            for there, verb in ((1, "not "), (0, "")):
                wrong = np.flatnonzero((usual >> bit & 1 == there) & (own >> bit & 1 != there))
                if len(wrong):
                    these = _few([photos[folder].names[place] for place in wrong])
                    yield folder, None, f"{these}: {verb}{part}, unlike in most judgements of {name}"


def _cosine_problems(name: str, folders: list[Path], photos: Mapping[Path, Photos]) -> Iterator[Placed]:
    """Cosines that differ between judgements with the same photos; `_state_problems` reports missing ones."""
    for names in {photos[folder].names: None for folder in folders}:
        same = [folder for folder in folders if photos[folder].names == names]
        cosines = np.stack([photos[folder].cosines for folder in same])
        # the lower median, which is a measured value: NaN are sorted to the end
        middle = np.maximum((~np.isnan(cosines)).sum(axis=0) - 1, 0) // 2
        usual = np.take_along_axis(np.sort(cosines, axis=0), middle[None], axis=0)[0]
        wrong = abs(cosines - usual) > TOLERANCE
        for folder, own, marks in zip(same, cosines, wrong, strict=True):
            for place, side in np.argwhere(marks)[:1]:
                yield folder, None, (
                    f"cosine_clean of {names[place]} to {SIDES[side]} is {own[place, side]:g}, but in most other "
                    f"judgements of {name} it is {usual[place, side]:g} ({marks.sum()} of {marks.size} cosines)"
                )  # fmt: skip
