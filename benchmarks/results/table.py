"""The long table of any number of judgements: a pure function of their directories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from benchmarks.results.distances import pooled_distances
from benchmarks.results.schema import COLUMNS, columns_of
from benchmarks.results.scoring import headline_far
from benchmarks.results.store import NO_COUNTERMEASURE, Judgement, protection_of, read_judgement, run_id
from facecloak.config import ADAPTED
from facecloak.errors import FacecloakError

ORDER = ["suite", "objective", "white_box", "method", "preset", "settings_hash", "target", "black_box", "surrogates",
         "countermeasure", "far"]  # fmt: skip
TASK = ["suite", "objective"]
BOARD = [*TASK, "white_box"]  # rows that agree in these are compared and ranked together
METHOD = ["method", "preset", "settings_hash"]
# no two rows agree in all of these
KEY = ["suite", "method", "settings_hash", "objective", "target", "black_box", "white_box", "surrogates",
       "countermeasure", "far"]  # fmt: skip
POOLED = [*BOARD, *METHOD, "black_box", "surrogates", "countermeasure"]  # pictures of such rows are pooled over targets
# column → rows that agree in these columns must also agree in it
SAME = {"manifest_sha256": ["suite"], "weights_sha256": ["suite", "black_box"],
        "threshold": ["suite", "black_box", "far"]}  # fmt: skip


__all__ = ["BOARD", "KEY", "METHOD", "TASK", "headline_far", "is_adapted", "long_table", "method_names", "mixed",
           "tabulate", "without_adversaries"]  # fmt: skip


def long_table(folders: Iterable) -> pd.DataFrame:
    """The rows of complete judgements, one per judgement and FAR, sorted; columns as in `COLUMNS`.

    Args:
        folders: folders of judgements; incomplete judgements are left out.

    Raises:
        FacecloakError: rows cannot be in one table, since they have different photos, thresholds or weights.
    """
    return tabulate([judgement for folder in folders if (judgement := read_judgement(folder))])


def tabulate(judgements: Iterable[Judgement]) -> pd.DataFrame:
    """The same table, from judgements that have already been read."""
    judgements = list(judgements)
    table = pd.DataFrame([row for judgement in judgements for row in judgement.rows], columns=list(COLUMNS))
    for name, column, group in mixed(table):
        raise FacecloakError(mixed_message(name, column, group))
    counts = [name for name, column in COLUMNS.items() if column.kind == "whole" and column.group != "provenance"]
    table[counts] = table[counts].astype("Int64")
    folders = {run_id(judgement.folder): protection_of(judgement.folder) for judgement in judgements}
    return _with_distances(table, folders).sort_values(ORDER, ignore_index=True)


def _with_distances(table: pd.DataFrame, protections: dict) -> pd.DataFrame:
    """Fill the columns of distances, which are computed from a method's pictures for all targets together."""
    filled = {column: pd.Series(index=table.index, dtype=object) for column in columns_of("distance")}
    for _, rows in table.groupby(POOLED, dropna=False, sort=False):
        folders = {protections[run] for run in rows["run_id"] if run in protections}
        for column, value in pooled_distances(folders).items():
            filled[column][rows.index] = value
    numbers = {name: values.astype("Float64").astype(float) for name, values in filled.items() if _is_number(name)}
    numbers["n_fid"] = filled["n_fid"].astype("Int64")
    return table.assign(**{**filled, **numbers})


def _is_number(column: str) -> bool:
    return COLUMNS[column].kind == "number"


def mixed(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(name, column, rows) wherever rows of one table differ in photos, weights or threshold."""
    for column, by in SAME.items():
        for name, group in table.groupby(by, sort=True):
            if group[column].nunique(dropna=False) > 1:
                yield " ".join(map(str, name)), column, group


def mixed_message(name: str, column: str, group: pd.DataFrame) -> str:
    """What is wrong with rows that `mixed` found, and what to do."""
    first = group.drop_duplicates(column)
    examples = ", ".join(f"{row['run_id']}: n = {row['n_images']}" for _, row in first.iterrows())
    return (
        f"Judgements of {name} differ in {column} ({examples}) and cannot be in one table. Repeat the older ones with "
        "the same --limit, photos, weights and thresholds, delete their directories, or use another --out."
    )


def is_adapted(table: pd.DataFrame) -> pd.Series:
    """Which rows are by a recognizer that has learned from cloaked photos, bool."""
    return table["black_box"].str.endswith(ADAPTED)


def without_adversaries(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a board: pictures as they were published, and recognizers that have not learned from cloaked ones.

    Papers' rows are among them.
    """
    as_published = table["countermeasure"].fillna(NO_COUNTERMEASURE) == NO_COUNTERMEASURE
    return table[as_published & ~is_adapted(table)]


def method_names(table: pd.DataFrame) -> list[str]:
    """A name for each line: method and preset, and the hash of the settings where these are not unique."""
    names = table["method"] + (":" + table["preset"]).where(table["preset"].notna(), "")
    ambiguous = table["settings_hash"].groupby(names).transform("nunique") > 1
    names += (" " + table["settings_hash"].str[:6]).where(ambiguous, "")
    return [*(names + [" (white box)" if white else "" for white in table["white_box"]])]
