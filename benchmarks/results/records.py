"""A cell's records.jsonl, as columns of what its black box saw."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from benchmarks.results.schema import Problem
from facecloak.errors import FacecloakError

Record = dict[str, Any]

REFERENCES = ("target", "self")
NUMBER = {int, float, type(None)}
# field → types of its value, None for one that is not there; and what to call them
FIELDS = {
    "id": ({str}, "the name of a photo"), "error": ({str, type(None)}, "a text"), "usable": ({bool}, "true or false"),
    "detected": ({bool}, "true or false"), "identical": ({bool, type(None)}, "true or false"),
    "reference": ({list}, "a list of target and self"), "psnr": (NUMBER, "a number"), "ssim": (NUMBER, "a number"),
    "lpips": (NUMBER, "a number"), "seconds": (NUMBER, "a number"),
}  # fmt: skip
LARGEST = 1 + 1e-5  # cosine, in 32 bits
LONGEST = 240  # bytes of a photo's name: with its suffix it is the name of a file

SIDES = {"impersonation": "target", "obfuscation": "self"}  # the cosine that decides
PICKED = ("id", "error", "usable", "detected", "identical", "psnr", "ssim", "seconds")
COSINES = [(column, side) for column in ("cosine", "cosine_clean") for side in REFERENCES]


@dataclass(frozen=True)
class CellRecords:
    """N images in the order of the file.

    Attributes:
        ids: N names.
        errors: N texts, None where nothing went wrong.
        usable, detected, identical: (N,) bool.
        reference: "target" and "self" → (N,) bool, whether there is a photo to compare with.
        cosine, cosine_clean: "target" and "self" → (N,) of the protected and of the unprotected image, NaN for none.
        psnr, ssim, seconds: (N,), NaN where not measured.
    """

    ids: list[str]
    errors: list[str | None]
    usable: np.ndarray
    detected: np.ndarray
    identical: np.ndarray
    reference: dict[str, np.ndarray]
    cosine: dict[str, np.ndarray]
    cosine_clean: dict[str, np.ndarray]
    psnr: np.ndarray
    ssim: np.ndarray
    seconds: np.ndarray

    def outcomes(self, objective: str, threshold: float) -> np.ndarray:
        """(N,) 1.0 for a success, 0.0 for none, NaN for an image that is in no rate; as `success_rows` decides.

        A failed image is never a success; one without a face, or whose source is unusable, is in no rate.
        """
        side = SIDES[objective]
        cosine, failed = self.cosine[side], np.array([error is not None for error in self.errors], dtype=bool)
        won = (cosine > threshold if objective == "impersonation" else cosine < threshold) & ~failed
        counted = self.usable & self.reference[side] & (failed | ~np.isnan(cosine))
        return np.where(counted, won.astype(np.float64), np.nan)


def read_records(table: pd.DataFrame, cells: dict[str, Path]) -> dict[str, CellRecords]:
    """The records of every measured cell, by run_id. Plots and page ask for the same: files are read once.

    Args:
        table: a long table; of its rows the black box of each run_id is used.
        cells: run_id → folder.

    Raises:
        FacecloakError: a file is missing or a line of it has not the form of a record; both are named.
    """
    boxes = table[table["source"] == "measured"].drop_duplicates("run_id").set_index("run_id")["black_box"]
    files = []
    for run_id, folder in sorted(cells.items()):
        path = folder / "records.jsonl"
        if not path.is_file():
            raise FacecloakError(f"{path}: no such file. Judge the cell again, or leave its folder out.")
        status = path.stat()  # a file that was changed in between is another one
        files.append((str(path), boxes[run_id], status.st_mtime_ns, status.st_size))
    return dict(zip(sorted(cells), _read_all(tuple(files)), strict=True))


@lru_cache(maxsize=1)
def _read_all(files: tuple[tuple[str, str, int, int], ...]) -> list[CellRecords]:
    return [_read(path, box) for path, box, *_ in files]


def _read(path: str, black_box: str) -> CellRecords:
    try:
        lines = Path(path).read_bytes().splitlines()
        # no list or mapping of a record is kept: many keep the garbage collector busy
        picked = [*zip(*[_pick(orjson.loads(line), black_box) for line in lines], strict=True)]
        names = [*PICKED, *COSINES, *REFERENCES]
        columns = dict(zip(names, picked or [()] * len(names), strict=True))
        sound = have_form({field: columns[field] for field in PICKED}, [columns[cosine] for cosine in COSINES])
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        _, problems = check_records(Path(path).parent)
        problem = problems[0][1] if problems else "records.jsonl holds what is no record"
        raise FacecloakError(f"{Path(path).parent}: {problem}. Judge the cell again, or leave its folder out.")
    cosines = {
        column: {side: np.array(columns[column, side], dtype=np.float64) for side in REFERENCES}
        for column in ("cosine", "cosine_clean")
    }
    return CellRecords(
        [*columns["id"]], [*columns["error"]], **cosines,
        **{field: np.array(columns[field], dtype=bool) for field in ("usable", "detected", "identical")},
        reference={side: np.array(columns[side], dtype=bool) for side in REFERENCES},
        **{field: np.array(columns[field], dtype=np.float64) for field in ("psnr", "ssim", "seconds")},
    )  # fmt: skip


def _pick(record: dict[str, Any], box: str) -> tuple:
    """Values of `PICKED` and `COSINES`, and whether there is each of `REFERENCES`."""
    get, now, clean, reference = record.get, record["cosine"], record["cosine_clean"], record["reference"]
    if type(reference) is not list:
        raise TypeError("reference")
    return (
        get("id"), get("error"), get("usable"), get("detected"), get("identical"),
        get("psnr"), get("ssim"), get("seconds"),
        now["target"].get(box), now["self"].get(box), clean["target"].get(box), clean["self"].get(box),
        "target" in reference, "self" in reference,
    )  # fmt: skip


def check_records(folder: Path) -> tuple[list[Record], list[Problem]]:
    """The records of the right form, and what is wrong with the others."""
    records, problems = [], []
    try:
        lines = (folder / "records.jsonl").read_bytes().splitlines()
    except OSError as error:
        return [], [(None, f"records.jsonl cannot be read ({error})")]
    for number, line in enumerate(lines, start=1):
        try:
            record = orjson.loads(line)
            problem = _form_problem(record)
        except ValueError as error:
            problem = f"not valid JSON ({error})"
        if problem:
            problems.append((None, f"records.jsonl, line {number}: {problem}"))
        else:
            records.append(record)
    return records, problems


def have_form(columns: Mapping[str, Sequence], cosines: Sequence[Sequence]) -> bool:
    """Whether columns of many records have the form: the same rule, at a small part of the time.

    Args:
        columns: values for each of some `FIELDS`, ``id`` among them.
        cosines: columns of cosines, None for one that is not there.
    """
    return (
        all({*map(type, values)} <= FIELDS[field][0] for field, values in columns.items())
        and all({*map(type, values)} <= NUMBER for values in cosines)
        and not any((abs(np.array(values, dtype=np.float64)) > LARGEST).any() for values in cosines)
        and all(map(is_photo_name, columns["id"]))
    )


@lru_cache(maxsize=100_000)  # the cells of a board name the same photos
def is_photo_name(name: str) -> bool:
    """Whether a text can be a photo's file name: pictures are found by it, below the cell's folder only."""
    return bool(name) and len(name.encode()) <= LONGEST and not re.search(r"^\.|[/\\\x00-\x1f\x7f]", name)


def _form_problem(record: Any) -> str | None:
    if not isinstance(record, dict):
        return "not a record"
    name = record.get("id")
    if not isinstance(name, str) or not is_photo_name(name):
        return f"id {name!r:.80} is not the name of a photo"
    for field, (types, wanted) in FIELDS.items():
        if type(record.get(field)) not in types:
            return f"{name}: {field} is {record.get(field)!r:.80}, not {wanted}"
    if not all(side in REFERENCES for side in record["reference"]):
        return f"{name}: reference is {record['reference']!r:.80}, not {FIELDS['reference'][1]}"
    for column in ("cosine", "cosine_clean"):
        sides = record.get(column)
        if not isinstance(sides, dict) or not all(isinstance(sides.get(side), dict) for side in REFERENCES):
            return f"{name}: {column} lacks target or self"
        for side in REFERENCES:
            for recognizer, value in sides[side].items():
                if type(value) not in (int, float) or abs(value) > LARGEST:
                    return f"{name}: {column} to {side} by {recognizer} is {value!r:.80}, not in -1 to 1"
    return None
