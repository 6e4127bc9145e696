"""Whether a judgement's records are about its protection's pictures, and its rows follow from the records.

Each rule yields (FAR or None, what is wrong).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.check.images import Pictures
from benchmarks.results.records import SIDES, Record
from benchmarks.results.schema import Problem
from benchmarks.results.scoring import cost, score, surrogate_rise
from benchmarks.results.store import NO_COUNTERMEASURE, Judgement, protection_of
from facecloak.config import far_key

TOLERANCE = 1e-9  # of a sum; another version of a library may add in another order
QUALITY = ("psnr", "ssim", "lpips", "pocket_perceptual", "identical")  # copied from measured.json into records


def record_problems(judgement: Judgement, records: list[Record], pictures: Pictures) -> Iterator[Problem]:
    """Check number and names of the records, what they leave out, and everything that is computed from them.

    Args:
        judgement: a judgement whose rows and protection have the right form.
        records: records of the right form.
    """
    row = judgement.rows[0]
    if len(records) != row["n_images"]:
        yield None, f"n_images is {row['n_images']}, but records.jsonl has {len(records)} records"
    for name, times in Counter(record["id"] for record in records).items():
        if times > 1:
            yield None, f"records.jsonl contains {name} {times} times"
    # either all photos can be compared with the target's test photo, or none
    if len({"target" in record["reference"] for record in records if record["usable"]}) > 1:
        yield None, "some records have a cosine to the target and some have none"
    for record in records:
        problems = [
            *_gaps(record, row["countermeasure"] != NO_COUNTERMEASURE),
            *_outcome_problems(record, pictures),
            *_measured_problems(judgement, record, pictures),
        ]
        yield from ((None, f"records.jsonl, {record['id']}: {problem}") for problem in problems)
    for name in sorted(set(pictures.outcomes) - {record["id"] for record in records if record["usable"]}):
        yield None, f"outcomes/{name}.json exists, but there is no record for it"
    yield from _score_problems(judgement, records)
    yield from ((None, problem) for problem in _constant_problems(judgement, pictures))


def _was_made(record: Record) -> bool:
    return record["usable"] and record.get("error") is None


def _gaps(record: Record, altered: bool) -> Iterator[str]:
    """Cosines that are left out, which would remove their images from the rates.

    After a countermeasure (``altered``), an unprotected photo may show no face, and then has no cosine at all.
    """
    lost = altered and not any(value is not None for value in record["cosine_clean"].values())
    for side in SIDES:
        for column, measured in (
            ("cosine_clean", record["usable"] and not lost),
            ("cosine", _was_made(record) and record["detected"]),
        ):
            wanted = measured and side in record["reference"]
            if wanted != (record[column].get(side) is not None):
                yield f"{column} to {side} {'is missing' if wanted else 'exists, but should not'}"
    if not record["usable"] and record.get("error") is None:
        yield "not usable, but no error says why"


def _outcome_problems(record: Record, pictures: Pictures) -> Iterator[str]:
    """Whether a record agrees with the outcome of its picture or failure."""
    if not record["usable"]:
        return
    outcome = pictures.outcomes.get(record["id"])
    if outcome is None:
        if record["id"] not in pictures.damaged:
            yield f"the photo is usable, but outcomes/{record['id']}.json is missing"
        return
    for part in ("error", "seconds"):
        if record.get(part) != outcome.get(part):
            yield f"{part} is {record.get(part)!r}, but in its outcome it is {outcome.get(part)!r}"


def _measured_problems(judgement: Judgement, record: Record, pictures: Pictures) -> Iterator[str]:
    """Whether a record copies all measurements of its picture, and none is missing."""
    if pictures.measured is None:
        return
    measured = pictures.measured.get(record["id"], {}) if _was_made(record) else {}
    for name in QUALITY:
        if record.get(name) != measured.get(name):
            yield f"{name} is {record.get(name)}, but in measured.json it is {measured.get(name)}"
    if not measured or judgement.rows[0]["countermeasure"] != NO_COUNTERMEASURE:
        return  # the surrogates' cosines are those of the pictures without the countermeasure
    seen, surrogates = measured.get("surrogates", {}), judgement.protection["surrogates"]
    wanted = {*surrogates} if record["detected"] and "target" in record["reference"] else set()
    for name in sorted(wanted ^ {*seen}):
        said = "has no cosines" if name in wanted else "has cosines, but should not have any,"
        yield f"measured.json {said} by the surrogate {name}"
    own = seen.get(judgement.rows[0]["black_box"])
    stored = [record[column].get("target") for column in ("cosine_clean", "cosine")]
    if own is not None and not all(map(_equal, stored, own)):
        yield f"cosine_clean and cosine to target are {stored}, but by the same recognizer as a surrogate {own}"


def _score_problems(judgement: Judgement, records: list[Record]) -> Iterator[Problem]:
    # at the rows' own thresholds: another rule checks these
    thresholds = {"fars": {far_key(row["far"]): {"threshold": row["threshold"]} for row in judgement.rows}}
    fars = {row["far"] for row in judgement.rows}
    computed = {row["far"]: row for row in score(records, judgement.rows[0]["objective"], thresholds, [*fars])}
    for row in judgement.rows:
        for column, value in computed[row["far"]].items():
            if not _equal(row.get(column), value):
                yield row["far"], f"{column} is {row.get(column)}, but the records give {value}"


def _constant_problems(judgement: Judgement, pictures: Pictures) -> Iterator[str]:
    """Check the values of rows that come from the protection's files and not from records."""
    row = judgement.rows[0]
    made_by = "; ".join(sorted({outcome.get("made_by") or "unknown" for outcome in pictures.outcomes.values()}))
    if row.get("made_by") != made_by:
        yield f"made_by is {row.get('made_by')!r}, but the outcomes give {made_by!r}"
    for column, value in cost(protection_of(judgement.folder), pictures.outcomes.values()).items():
        if not (row.get(column) == value if isinstance(value, str) else _equal(row.get(column), value)):
            yield f"{column} is {row.get(column)}, but the outcomes give {value}"
    if pictures.measured is not None:
        measured = {"images": [*pictures.measured.values()]}
        rise = surrogate_rise(measured, judgement.protection["surrogates"])
        if not _equal(row.get("cosine_rise_surrogates"), rise):
            yield f"cosine_rise_surrogates is {row.get('cosine_rise_surrogates')}, but measured.json gives {rise}"


def _equal(stored: Any, computed: float | None) -> bool:
    if stored is None or computed is None:
        return stored is computed
    return math.isclose(stored, computed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
