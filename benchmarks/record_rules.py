"""Whether a cell's rows follow from its per-image records. Each rule yields (FAR or None, what is wrong)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.records import success_rows
from benchmarks.rules import Problem, Row, is_number
from facecloak.recognizers.calibration import far_key

Record = dict[str, Any]

TOLERANCE = 1e-9  # of a sum, which another version of a library may add up in another order
SIDES = ("target", "self")
MEANS = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips", "seconds_per_image": "seconds"}  # column → of the records


def read_records(folder: Path) -> tuple[list[Record], list[Problem]]:
    """The records of the right form, and what is wrong with the others."""
    records, problems = [], []
    try:
        lines = (folder / "records.jsonl").read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [], [(None, f"records.jsonl cannot be read ({error})")]
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            problem = _form_problem(record)
        except ValueError as error:
            problem = f"not valid JSON ({error})"
        if problem:
            problems.append((None, f"records.jsonl, line {number}: {problem}"))
        else:
            records.append(record)
    return records, problems


def _form_problem(record: Any) -> str | None:
    if not isinstance(record, dict):
        return "not a record"
    name, error = record.get("id"), record.get("error")
    if not isinstance(name, str) or not name or name.startswith(".") or "/" in name or "\\" in name:
        return f"id {name!r} is not the name of a photo"
    if not (isinstance(record.get("usable"), bool) and isinstance(record.get("detected"), bool)):
        return f"{name}: usable or detected is not true or false"
    if error is not None and not isinstance(error, str):
        return f"{name}: error is {error!r}, not a text"
    if not isinstance(record.get("reference"), list) or not set(map(str, record["reference"])) <= set(SIDES):
        return f"{name}: reference is {record.get('reference')!r}"
    for column in ("cosine", "cosine_clean"):
        sides = record.get(column)
        if not isinstance(sides, dict) or not all(isinstance(sides.get(side), dict) for side in SIDES):
            return f"{name}: {column} lacks target or self"
        for side in SIDES:
            for recognizer, value in sides[side].items():
                if not is_number(value) or abs(value) > 1 + 1e-5:
                    return f"{name}: {column} to {side} by {recognizer} is {value!r}, not in -1 to 1"
    for column in ("psnr", "ssim", "lpips", "seconds"):
        if record.get(column) is not None and not is_number(record[column]):
            return f"{name}: {column} is {record[column]!r}, not a number"
    return None


def was_made(record: Record) -> bool:
    """Whether there is a protected image of it."""
    return record["usable"] and record["error"] is None


def record_problems(result: dict[str, Any], records: list[Record]) -> Iterator[Problem]:
    """Number and names of the records, what they leave out, and all that is computed from them."""
    row = result["rows"][0]
    if len(records) != row["n_images"]:
        yield None, f"n_images is {row['n_images']}, records.jsonl has {len(records)}"
    for name, times in Counter(record["id"] for record in records).items():
        if times > 1:
            yield None, f"records.jsonl has {name} {times} times"
    for record in records:
        yield from ((None, f"records.jsonl, {record['id']}: {problem}") for problem in _gaps(record, row["black_box"]))
    for side in SIDES[:1]:  # the target's test photo is there for all or for none
        if len({side in record["reference"] for record in records if record["usable"]}) > 1:
            yield None, f"some records have a cosine to the {side} and some have none"
    yield from _rate_problems(result, records)
    yield from _mean_problems(row, records)


def _gaps(record: Record, judge: str) -> Iterator[str]:
    """A cosine that is left out would take its image out of the rates."""
    for side in SIDES:
        for column, wanted in (("cosine_clean", record["usable"]), ("cosine", was_made(record) and record["detected"])):
            wanted = wanted and side in record["reference"]
            if wanted != (judge in record[column][side]):
                yield f"{column} to {side} by {judge} {'is missing' if wanted else 'is there, and should not be'}"
    if not record["usable"] and record["error"] is None:
        yield "not usable, and no error says why"


def _rate_problems(result: dict[str, Any], records: list[Record]) -> Iterator[Problem]:
    first, fars = result["rows"][0], {row["far"] for row in result["rows"]}
    surrogates = first["surrogates"].split("+") if first["surrogates"] else []
    # at the rows' own thresholds: that those are right is another rule
    thresholds = {"fars": {far_key(row["far"]): {"threshold": row["threshold"]} for row in result["rows"]}}
    computed = {
        row["far"]: row
        for row in success_rows(records, first["objective"], first["black_box"], surrogates, thresholds, [*fars])
    }
    for row in result["rows"]:
        for column, value in computed[row["far"]].items():
            # of a method that attacks nothing the row does not say which recognizers are meant
            if column == "cosine_rise_surrogates" and not surrogates:
                continue
            if not _equal(row.get(column), value):
                yield row["far"], f"{column} is {row.get(column)}, the records give {value}"


def _mean_problems(row: Row, records: list[Record]) -> Iterator[Problem]:
    made = [record for record in records if was_made(record)]
    for column, of in MEANS.items():
        values = [record[of] for record in made if record.get(of) is not None]
        mean = sum(values) / len(values) if values else None
        if not _equal(row.get(column), mean):
            yield None, f"{column} is {row.get(column)}, the records give {mean}"
    identical = sum(record.get("identical") is True for record in made)
    if made and row.get("n_identical") != identical:
        yield None, f"n_identical is {row.get('n_identical')}, the records give {identical}"
    if row.get("n_fid") not in (None, len(made)):
        yield None, f"n_fid is {row.get('n_fid')}, the records have {len(made)} protected images"
    for record in made:
        if record.get("ssim") is None or (record.get("psnr") is None) != (record.get("identical") is True):
            yield None, f"records.jsonl, {record['id']}: ssim is missing, or psnr of an image that is not identical"


def _equal(stored: Any, computed: float | None) -> bool:
    if stored is None or computed is None:
        return stored is computed
    return math.isclose(stored, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
