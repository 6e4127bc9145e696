"""Whether a cell's rows follow from its per-image records. Each rule yields (FAR or None, what is wrong)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.results.records import REFERENCES, Record
from benchmarks.results.schema import Problem, Row
from benchmarks.results.scoring import success_rows
from facecloak.config import far_key

TOLERANCE = 1e-9  # of a sum, which another version of a library may add up in another order
MEANS = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips", "seconds_per_image": "seconds"}  # column → of the records


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
    for side in REFERENCES[:1]:  # the target's test photo is there for all or for none
        if len({side in record["reference"] for record in records if record["usable"]}) > 1:
            yield None, f"some records have a cosine to the {side} and some have none"
    yield from _rate_problems(result, records)
    yield from _mean_problems(row, records)


def _gaps(record: Record, judge: str) -> Iterator[str]:
    """A cosine that is left out would take its image out of the rates."""
    for side in REFERENCES:
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
