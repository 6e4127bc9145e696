"""What is left of a protection after countermeasures: the matrix of methods and countermeasures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.console import markdown_table
from benchmarks.harness.countermeasures import SETS, find_countermeasures
from benchmarks.leaderboard.averages import average_methods, name_methods
from benchmarks.results.records import Records
from benchmarks.results.store import NO_COUNTERMEASURE
from benchmarks.results.table import BOARD, headline_far, is_adapted
from facecloak.config import ADAPTED
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes

RATES = ("psr", "psr_low", "psr_high", "psr_clean", "dodging", "dodging_clean")
COLUMNS = [*BOARD, "name", "countermeasure", "far", *RATES, "n_undetected", "cells", "expected"]
FILE = "countermeasures.csv"
BY_ADAPTED = "adapted"  # a column of the matrix: nothing was done to pictures, but recognizers know cloaks
CELL = ["target", "black_box"]
PUBLISHED, KNOWN = "as published", "unprotected photos still matched to their own person"
NOTE = (
    "Worst and mean are over a set of countermeasures, see `facecloak list`. In parentheses: the same rate of the "
    "unprotected photos, which the same is done to. Last line: where it is low, recognizers know nobody any more."
)


def survive(table: pd.DataFrame, records: dict[str, Records] | None = None) -> pd.DataFrame:
    """A line for each board, method and countermeasure at the board's headline FAR; empty without countermeasures.

    Rates are fractions, means over the board's targets and black boxes: NaN unless all of them are there.

    Args:
        table: a long table of measured rows.
        records: run_id → records; without it there are no intervals.
    """
    what = table["countermeasure"] + np.where(is_adapted(table), ADAPTED, "")
    table = table.assign(
        countermeasure=what.replace({f"{NO_COUNTERMEASURE}{ADAPTED}": BY_ADAPTED}),
        black_box=table["black_box"].str.removesuffix(ADAPTED),
    )
    lines = [line for _, board in table.groupby(BOARD, sort=True) for line in _lines(board, records)]
    return pd.concat(lines, ignore_index=True) if lines else pd.DataFrame(columns=COLUMNS)


def _lines(board: pd.DataFrame, records: dict[str, Records] | None) -> Iterator[pd.DataFrame]:
    published = board[board["countermeasure"] == NO_COUNTERMEASURE]
    if published.empty or board["countermeasure"].nunique() < 2:
        return
    board = name_methods(board[board["far"] == headline_far(published["far"])])
    cells = {*published[CELL].itertuples(index=False, name=None)}
    board = board[[cell in cells for cell in board[CELL].itertuples(index=False, name=None)]]
    wanted = published["target"].nunique() * published["black_box"].nunique()
    for name in in_order(board["countermeasure"].unique()):
        own = average_methods(board[board["countermeasure"] == name], records, headline=True)
        own.loc[own["cells"] < wanted, [*RATES]] = math.nan  # of fewer judges it would be another mean
        yield own.assign(countermeasure=name)[COLUMNS]


def in_order(names: Iterable[str]) -> list[str]:
    """Names of countermeasures: none, the known ones in the order of their sets, and others by name."""
    known = [NO_COUNTERMEASURE, BY_ADAPTED, *SETS["all"]]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _text(rate: float, clean: float = math.nan) -> str:
    if pd.isna(rate):
        return "–"
    return f"{rate:.1f}" + (f" ({clean:.0f})" if pd.notna(clean) else "")


def matrix(lines: pd.DataFrame, value: str = "psr") -> pd.DataFrame:
    """A rate in per cent, method × countermeasure, of one board, and its worst and mean over sets (see `summaries`).

    The best mean comes first. Worst and mean are NaN if a countermeasure is missing.
    """
    cells = 100 * lines.pivot(index="name", columns="countermeasure", values=value)
    cells = cells[in_order(cells.columns)]
    over = summaries(cells.columns)
    found = {
        head: getattr(cells[names], "min" if head.startswith("worst") else "mean")(axis=1, skipna=False)
        for head, names in over.items()
    }
    means = [head for head in found if head.startswith("mean")]
    return cells.assign(**found).sort_values(means[:1] or NO_COUNTERMEASURE, ascending=False, kind="stable")


def summaries(names: Iterable[str]) -> dict[str, list[str]]:
    """Heads such as ``worst common`` and ``mean common`` → the countermeasures of a set that is there as a whole.

    If none is, ``worst`` and ``mean`` of all that are there. Adapted recognizers are in none of them.

    Example:
        >>> summaries(["none", "jpeg30", "adapted", "half"])
        {'worst': ['jpeg30', 'half'], 'mean': ['jpeg30', 'half']}
    """
    there = [name for name in names if name not in (NO_COUNTERMEASURE, BY_ADAPTED) and not name.endswith(ADAPTED)]
    whole = {f" {name}": SETS[name] for name in ("common", "purify") if {*SETS[name]} <= {*there}}
    groups = whole or ({"": there} if there else {})
    return {f"{kind}{name}": members for name, members in groups.items() for kind in ("worst", "mean")}


def still_known(lines: pd.DataFrame) -> pd.Series:
    """How many unprotected photos are still matched to their own person, in per cent by countermeasure, of one board.

    A recognizer that no longer knows anybody after a countermeasure says little about protections.
    """
    shares = 100 * (1 - lines.groupby("countermeasure")["dodging_clean"].mean())
    return shares.reindex(in_order(shares.index))


def survival_markdown(lines: pd.DataFrame) -> str:
    """A section for each board, for ``leaderboard.md``."""
    sections = []
    for (suite, objective, white), board in lines.groupby(BOARD, sort=True):
        rates, clean = matrix(board), matrix(board, "psr_clean")
        over = summaries(rates)
        clean = clean.drop(columns=[*over])
        texts = [[name, *map(_text, rates.loc[name], clean.loc[name].reindex(rates.columns))] for name in rates.index]
        known = still_known(board).reindex(rates.columns)
        texts += [[f"*{KNOWN}*", *map(_text, known)]] if known.notna().any() else []
        used = [name for name in rates if name not in (NO_COUNTERMEASURE, *over)]
        heads = [PUBLISHED if name == NO_COUNTERMEASURE else name for name in rates]
        meanings = "; ".join(f"{name}: {meaning_of(name)}" for name in used)
        sections += [
            f"\n## {suite}, {objective}{', white box' if white else ''}: PSR in % after countermeasures, at FAR "
            f"{board['far'].iloc[0]:g}\n",
            markdown_table(["method", *heads], texts), f"{NOTE} {meanings[0].upper()}{meanings[1:]}.\n",
        ]  # fmt: skip
    return "\n".join(sections)


def meaning_of(name: str) -> str:
    """A phrase about a countermeasure, which another version may have made."""
    if name == BY_ADAPTED:
        return "judged by recognizers that have learned from cloaked photos of other people"
    try:
        (found,) = find_countermeasures([name.removesuffix(ADAPTED)])
    except FacecloakError:
        return "unknown to this version"
    return found.meaning + (", and judged by such recognizers" if name.endswith(ADAPTED) else "")


def write_survival(lines: pd.DataFrame, out: Path) -> None:
    """Write the lines as ``countermeasures.csv`` below ``out``; without lines, remove an earlier one."""
    if len(lines):
        write_bytes(out / FILE, to_csv(lines))
    else:
        (out / FILE).unlink(missing_ok=True)
