"""Checks the rows of a judgement, using only judgement.json. Each rule yields (FAR or None, what is wrong)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.results.forms import is_number
from benchmarks.results.schema import COLUMNS, SCHEMA_VERSION, Column, Problem, Row, columns_of

OBJECTIVES = ("impersonation", "obfuscation")
SAME = [column.name for column in COLUMNS.values() if not column.by_far]  # in all rows of a judgement
DISTANCES = set(columns_of("distance"))


def form_problems(rows: Sequence[Any]) -> Iterator[Problem]:
    """Whether rows have the form and the ranges of `COLUMNS`; all other rules rely on that."""
    if not rows:
        yield None, "judgement.json contains no rows"
    for row in rows:
        yield from _row_problems(row)


def _row_problems(row: Any) -> Iterator[Problem]:
    if not isinstance(row, dict):
        yield None, f"a row is {row!r:.80}, not a mapping of columns"
        return
    far = row.get("far") if is_number(row.get("far")) else None
    if row.get("schema_version") != SCHEMA_VERSION:
        version = row.get("schema_version")
        yield far, f"schema_version is {version!r:.80}, but this facecloak reads {SCHEMA_VERSION}: judge the run again"
        return
    for column in sorted(set(row) - set(COLUMNS)):
        yield far, f"unknown column {column!r:.80}"
    for name, column in COLUMNS.items():
        value = row.get(name)
        if value is None and column.required:
            yield far, f"{name} is missing"
        elif value is not None and name in DISTANCES:
            yield far, f"{name} is {value!r:.80}, but distances are pooled over targets: a judgement must have none"
        elif value is not None and (problem := _value_problem(column, value)):
            yield far, f"{name} is {value!r:.80}, {problem}"
    if row.get("source") != "measured":
        yield far, f"source is {row.get('source')!r:.80}, but a judgement's source must be 'measured'"


def _value_problem(column: Column, value: Any) -> str | None:
    """What is wrong with a value that is there, or None."""
    if column.kind == "flag":
        return None if isinstance(value, bool) else "not true or false"
    if column.kind in ("text", "name", "hash"):
        if not isinstance(value, str):
            return "not a text"
        if column.kind == "hash" and not re.fullmatch("[0-9a-f]{64}", value):
            return "not a SHA-256"
        if column.kind == "name" and re.search(r"[|<>\\\x00-\x1f]", value):
            return "not a plain name"
        return "not one of " + ", ".join(OBJECTIVES) if column.name == "objective" and value not in OBJECTIVES else None
    if not is_number(value):
        return "not a finite number"
    if column.kind == "whole" and value != int(value):
        return "not a whole number"
    return None if column.low <= value <= column.high else f"not between {column.low:g} and {column.high:g}"


def rows_problems(rows: Sequence[Row]) -> Iterator[Problem]:
    """Whether rows of the right form agree with each other, and each with itself."""
    fars = [row["far"] for row in rows]
    for far in sorted({far for far in fars if fars.count(far) > 1}):
        yield far, f"{fars.count(far)} rows have this FAR"
    for row in rows:
        for column in SAME:
            if row.get(column) != rows[0].get(column):
                yield row["far"], f"{column} is {row.get(column)!r}, but in the first row {rows[0].get(column)!r}"
        yield from ((row["far"], problem) for problem in [*_orders(row), *_counts(row)])


def _orders(row: Row) -> Iterator[str]:
    for rate in ("psr", "dodging", "joint"):
        low, value, high = (row.get(column) for column in (f"{rate}_low", rate, f"{rate}_high"))
        if len({low is None, value is None, high is None}) > 1:
            yield f"{rate} is {value}, its interval is {low} to {high}: either all or none must have a value"
        elif value is not None and not low - 1e-9 <= value <= high + 1e-9:
            yield f"{rate} is {value}, outside of its interval {low} to {high}"


def _counts(row: Row) -> Iterator[str]:
    for parts in (("n_psr", "n_undetected"), ("n_failed", "n_undetected"), ("n_failed", "n_identical")):
        parts = (*parts, "n_unusable")
        total = sum(row.get(column) or 0 for column in parts)
        if total > row["n_images"]:
            yield f"{' + '.join(parts)} = {total:g}, more than n_images = {row['n_images']}"
