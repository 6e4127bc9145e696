"""The form of records.jsonl: what every line must hold. The check names all that do not, the board the first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.rules import Problem

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


def read_records(folder: Path) -> tuple[list[Record], list[Problem]]:
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
