"""Whether cells tell the same of the photos that they share: which there are, and what no method changes in them."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results.records import REFERENCES, Record


def doubled(results: Mapping[Path, dict[str, Any]]) -> Iterator[tuple[Path, float, str]]:
    """(folder, FAR, what is wrong) of each row that another cell has too: same cell, or same settings against it."""
    seen: dict[tuple, Path] = {}
    for folder, result in results.items():
        for far, row in {row["far"]: row for row in result["rows"]}.items():
            for key in (("run_id", row["run_id"], far), tuple(row[column] for column in KEY)):
                first = seen.setdefault(key, folder)
                if first != folder:
                    same = "run_id" if key[0] == "run_id" else "method, settings, objective, target and black box"
                    yield folder, far, f"doubled: {first} has a row of the same {same}"
                    break


def far_problems(results: Mapping[Path, dict[str, Any]]) -> Iterator[tuple[Path, None, str]]:
    """(folder, None, what is wrong) of each cell whose FARs are not those of most others on its board."""
    boards: dict[tuple[str, str], dict[Path, tuple[float, ...]]] = {}
    for folder, result in results.items():
        board = boards.setdefault((result["rows"][0]["suite"], result["rows"][0]["objective"]), {})
        board[folder] = tuple(sorted({row["far"] for row in result["rows"]}, reverse=True))
    for name, board in sorted(boards.items()):
        counts = Counter(board.values())
        usual = max(counts, key=lambda fars: (counts[fars], len(fars)))
        for folder, fars in board.items():
            if fars != usual:
                found, wanted = (", ".join(f"{far:g}" for far in each) for each in (fars, usual))
                yield folder, None, f"has rows of FAR {found}, most other cells of {' '.join(name)} of {wanted}"


TOLERANCE = 1e-4  # of a cosine that another machine measured
ABSENT = 9.0  # in place of a cosine
PARTS = ("usable", *(f"compared with a photo of {side}" for side in REFERENCES))


class Sources(NamedTuple):
    """What a cell's records tell of N unprotected photos.

    Attributes:
        names: N, ascending.
        states: (N,) whole numbers, with a bit for each of `PARTS`.
        cosines: (N, 2) by the cell's black box, to target and self; `ABSENT` where there is none.
    """

    names: tuple[str, ...]
    states: np.ndarray
    cosines: np.ndarray


def describe_sources(records: list[Record], black_box: str) -> Sources:
    """Records of the right form; of two of one name the last."""
    by_name = {sys.intern(record["id"]): record for record in records}
    names = tuple(sorted(by_name))
    states, cosines = np.zeros(len(names), np.int8), np.full((len(names), len(REFERENCES)), ABSENT)
    for place, name in enumerate(names):
        record = by_name[name]
        parts = (record["usable"], *(side in record["reference"] for side in REFERENCES))
        states[place] = sum(there << bit for bit, there in enumerate(parts))
        cosines[place] = [record["cosine_clean"][side].get(black_box, ABSENT) for side in REFERENCES]
    return Sources(names, states, cosines)


def source_problems(rows: Mapping[Path, dict[str, Any]], told: Mapping[Path, Sources]) -> Iterator[tuple[Path, str]]:
    """(folder, what is wrong) of each cell that tells something else than most of its suite, objective and target.

    Args:
        rows: the first row of each cell.
        told: of the same cells.
    """
    for name, folders in _groups(rows, ("suite", "objective", "target")):
        # of as many cells each, those with more photos: what is left out is what failed
        counts = Counter(told[folder].names for folder in folders)
        usual = max(counts, key=lambda names: (counts[names], len(names)))
        same = [folder for folder in folders if told[folder].names == usual]
        for folder in folders:
            names = {*told[folder].names}
            for these, verb in ((sorted({*usual} - names), "lacks"), (sorted(names - {*usual}), "has")):
                if these:
                    yield folder, f"records.jsonl {verb} {_few(these)}, other than most cells of {name}: {same[0]}"
        yield from _state_problems(name, same, told)
    for name, folders in _groups(rows, ("suite", "objective", "target", "black_box")):
        yield from _cosine_problems(name, folders, told)


def _groups(rows: Mapping[Path, dict[str, Any]], columns: tuple[str, ...]) -> list[tuple[str, list[Path]]]:
    groups = defaultdict(list)
    for folder, row in rows.items():
        groups[tuple(row[column] for column in columns)].append(folder)
    return [(" ".join(key), folders) for key, folders in sorted(groups.items())]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _state_problems(name: str, folders: list[Path], told: Mapping[Path, Sources]) -> Iterator[tuple[Path, str]]:
    states = np.stack([told[folder].states for folder in folders])
    counts = np.stack([(states == state).sum(axis=0) for state in range(2 ** len(PARTS))])
    usual = len(counts) - 1 - counts[::-1].argmax(axis=0)  # of as many cells each, what leaves out less
    for folder, own in zip(folders, states, strict=True):
        for bit, part in enumerate(PARTS):
            for there, verb in ((1, "not "), (0, "")):
                wrong = np.flatnonzero((usual >> bit & 1 == there) & (own >> bit & 1 != there))
                if len(wrong):
                    these = _few([told[folder].names[place] for place in wrong])
                    yield folder, f"{these}: {verb}{part}, other than in most cells of {name}"


def _cosine_problems(name: str, folders: list[Path], told: Mapping[Path, Sources]) -> Iterator[tuple[Path, str]]:
    """Of cells with the same photos; a cosine that one has and another has not is told of by its photo's state."""
    for names in {told[folder].names: None for folder in folders}:
        same = [folder for folder in folders if told[folder].names == names]
        cosines = np.stack([told[folder].cosines for folder in same])
        there = cosines != ABSENT
        usual = np.quantile(cosines, 0.5, axis=0, method="lower")
        wrong = there & (usual != ABSENT) & (abs(cosines - usual) > TOLERANCE)
        for folder, own, marks in zip(same, cosines, wrong, strict=True):
            for place, side in np.argwhere(marks)[:1]:
                yield (
                    folder,
                    f"cosine_clean of {names[place]} to {REFERENCES[side]} is {own[place, side]:g}, in most other "
                    f"cells of {name} it is {usual[place, side]:g} ({marks.sum()} of {marks.size} cosines)",
                )


KEY = ("suite", "method", "settings_hash", "objective", "target", "black_box", "white_box", "far")
