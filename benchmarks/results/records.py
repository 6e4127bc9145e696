"""records.jsonl of a judgement: the form that every line must have, and reading it as columns or line by line.

A record is about one image under one judge:

    {"id": "30011", "usable": true, "error": null, "detected": true, "reference": ["self", "target"],
     "cosine": {"target": 0.61, "self": 0.2}, "cosine_clean": {"target": 0.1, "self": 0.9},
     "psnr": 24.1, "identical": false, "ssim": 0.77, "lpips": null, "pocket_perceptual": 0.31,
     "seconds": 3.3}

``reference`` lists the photos that the image can be compared with; a cosine that was not measured is null or missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.results.schema import AGAIN, Problem
from facecloak.errors import FacecloakError
from facecloak.io import is_photo_name
from facecloak.metrics.statistics import NEEDED, outcomes

Record = dict[str, Any]

SIDES = ("target", "self")  # the people that an image is compared with
NUMBER = {int, float, type(None)}
# field → types of its value (None if it may be missing), and their name in messages
FIELDS = {
    "id": ({str}, "the name of a photo"), "error": ({str, type(None)}, "a text"), "usable": ({bool}, "true or false"),
    "detected": ({bool}, "true or false"), "identical": ({bool, type(None)}, "true or false"),
    "reference": ({list}, "a list of target and self"), "psnr": (NUMBER, "a number"), "ssim": (NUMBER, "a number"),
    "lpips": (NUMBER, "a number"), "pocket_perceptual": (NUMBER, "a number"), "seconds": (NUMBER, "a number"),
}  # fmt: skip
LARGEST = 1 + 1e-5  # cosine, in 32 bits
MEASURED = ("psnr", "ssim", "lpips", "pocket_perceptual", "seconds")
PICKED = ("id", "error", "usable", "detected", "identical", *MEASURED)
COSINES = [(column, side) for column in ("cosine", "cosine_clean") for side in SIDES]


@dataclass(frozen=True)
class Records:
    """N images in the order of the file.

    Attributes:
        ids: N names.
        errors: N texts, None where nothing went wrong.
        usable, detected, identical: (N,) bool.
        reference: "target" and "self" → (N,) bool, whether there is a photo to compare with.
        cosine, cosine_clean: "target" and "self" → (N,) of the protected and of the unprotected image, NaN if missing.
        psnr, ssim, lpips, pocket_perceptual, seconds: (N,), NaN where not measured.
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
    lpips: np.ndarray
    pocket_perceptual: np.ndarray
    seconds: np.ndarray

    @property
    def failed(self) -> np.ndarray:
        """(N,) bool, whether the method made no protected image."""
        return np.array([error is not None for error in self.errors], dtype=bool)

    def outcomes(self, kind: str, threshold: Any, clean: bool = False) -> np.ndarray:
        """Which images succeed, as `facecloak.metrics.statistics.outcomes`; NaN also where a photo is missing.

        Args:
            kind: "impersonation", "obfuscation" or "joint".
            threshold: a number, or (M, 1) numbers.
            clean: whether the unprotected images are meant, of which none has failed.
        """
        cosines = self.cosine_clean if clean else self.cosine
        failed = np.zeros(len(self.ids), dtype=bool) if clean else self.failed
        counted = self.usable & np.all([self.reference[side] for side in NEEDED[kind]], axis=0)
        return np.where(counted, outcomes(cosines, failed, threshold, kind), np.nan)

    def rise(self) -> np.ndarray:
        """(N,) how far protection raised the cosine to the target's test photo; NaN where there is none."""
        return self.cosine["target"] - self.cosine_clean["target"]


def read_records(folders: Iterable[Path]) -> dict[str, Records]:
    """The records of judgements by the text of their folder's path.

    Raises:
        FacecloakError: a file is missing or a line of it does not have the form of a record; both are named.
    """
    return {str(folder): read_one(folder) for folder in folders}


def read_one(folder: Path) -> Records:
    """The records of a judgement; raises as `read_records`."""
    path = folder / "records.jsonl"
    if not path.is_file():
        raise FacecloakError(f"{path}: no such file. {AGAIN}")
    try:
        # no list or mapping of a record is kept: many keep the garbage collector busy
        picked = [*zip(*[_pick(orjson.loads(line)) for line in path.read_bytes().splitlines()], strict=True)]
        columns = _named(picked)
        sound = _have_form({field: columns[field] for field in PICKED}, [columns[cosine] for cosine in COSINES])
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        _, problems = check_records(folder)
        problem = problems[0][1] if problems else "records.jsonl contains a line that is not a record"
        raise FacecloakError(f"{folder}: {problem}. {AGAIN}")
    return _columns(columns)


def to_columns(records: Sequence[Record]) -> Records:
    """Records of the right form as columns."""
    return _columns(_named([*zip(*map(_pick, records), strict=True)]))


def _named(picked: list[tuple]) -> dict[Any, Sequence]:
    names = [*PICKED, *COSINES, *SIDES]
    return dict(zip(names, picked or [()] * len(names), strict=True))


def _columns(columns: Mapping[Any, Sequence]) -> Records:
    cosines = {
        column: {side: np.array(columns[column, side], dtype=np.float64) for side in SIDES}
        for column in ("cosine", "cosine_clean")
    }
    return Records(
        [*columns["id"]], [*columns["error"]], **cosines,
        **{field: np.array(columns[field], dtype=bool) for field in ("usable", "detected", "identical")},
        reference={side: np.array(columns[side], dtype=bool) for side in SIDES},
        **{field: np.array(columns[field], dtype=np.float64) for field in MEASURED},
    )  # fmt: skip


def _pick(record: Record) -> tuple:
    """Values of `PICKED` and `COSINES`, and for each of `SIDES` whether it is there."""
    get, now, clean, reference = record.get, record["cosine"], record["cosine_clean"], record["reference"]
    if type(reference) is not list:
        raise TypeError("reference")
    return (
        get("id"), get("error"), get("usable"), get("detected"), get("identical"),
        get("psnr"), get("ssim"), get("lpips"), get("pocket_perceptual"), get("seconds"),
        now.get("target"), now.get("self"), clean.get("target"), clean.get("self"),
        "target" in reference, "self" in reference,
    )  # fmt: skip


def check_records(folder: Path) -> tuple[list[Record], list[Problem]]:
    """The records that have the right form, and what is wrong with the others."""
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


def _have_form(columns: Mapping[str, Sequence], cosines: Sequence[Sequence]) -> bool:
    """Whether columns of many records have the form: the same rule as `_form_problem`, in a fraction of the time."""
    return (
        all({*map(type, values)} <= FIELDS[field][0] for field, values in columns.items())
        and all({*map(type, values)} <= NUMBER for values in cosines)
        and not any((abs(np.array(values, dtype=np.float64)) > LARGEST).any() for values in cosines)
        and all(map(is_photo_name, columns["id"]))
    )


def _form_problem(record: Any) -> str | None:
    if not isinstance(record, dict):
        return "not a record"
    name = record.get("id")
    if not isinstance(name, str) or not is_photo_name(name):
        return f"id {name!r:.80} is not the name of a photo"
    for field, (types, wanted) in FIELDS.items():
        if type(record.get(field)) not in types:
            return f"{name}: {field} is {record.get(field)!r:.80}, not {wanted}"
    if not all(side in SIDES for side in record["reference"]):
        return f"{name}: reference is {record['reference']!r:.80}, not {FIELDS['reference'][1]}"
    for column in ("cosine", "cosine_clean"):
        sides = record.get(column)
        if not isinstance(sides, dict) or not set(sides) <= set(SIDES):
            return f"{name}: {column} is {sides!r:.80}, not cosines to target and self"
        for side, value in sides.items():
            if type(value) not in NUMBER or (value is not None and abs(value) > LARGEST):
                return f"{name}: {column} to {side} is {value!r:.80}, not between -1 and 1"
    return None
