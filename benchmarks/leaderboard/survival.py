"""What is left of a protection after countermeasures: the matrix of methods and countermeasures."""

from __future__ import annotations

import math
from collections.abc import Iterable
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
OVER = ("worst", "mean")  # of a row of the matrix
PUBLISHED, KNOWN = "as published", "unprotected photos still matched to their own person"
NOTE = (
    "Worst and mean are over the countermeasures, without the first column. In parentheses: the same rate of the "
    "unprotected photos, which the same is done to. Last line: where it is low, recognizers know nobody any more."
)


def survive(table: pd.DataFrame, records: dict[str, Records] | None = None) -> pd.DataFrame:
    """A line for each board, method and countermeasure at the board's headline FAR; empty without countermeasures.

    Rates are fractions, means over targets and black boxes: NaN unless all of them are there, as in `average_methods`.

    Args:
        table: a long table of measured rows.
        records: run_id → records; without it there are no intervals.
    """
    named = table["countermeasure"] + np.where(is_adapted(table), ADAPTED, "")
    table = table.assign(
        countermeasure=named.replace({f"{NO_COUNTERMEASURE}{ADAPTED}": BY_ADAPTED}),
        black_box=table["black_box"].str.removesuffix(ADAPTED),
    )
    boards = [board for _, board in table.groupby(BOARD, sort=True) if board["countermeasure"].nunique() > 1]
    lines = []
    for board in boards:
        named = name_methods(board[board["far"] == headline_far(board["far"])])
        for name in in_order(named["countermeasure"].unique()):
            own = average_methods(named[named["countermeasure"] == name], records, headline=True)
            lines.append(own.assign(countermeasure=name)[COLUMNS])
    return pd.concat(lines, ignore_index=True) if lines else pd.DataFrame(columns=COLUMNS)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of countermeasures: none, the known ones in the order of their sets, and others by name."""
    known = [NO_COUNTERMEASURE, BY_ADAPTED, *SETS["all"]]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _text(rate: float, clean: float = math.nan) -> str:
    return "–" if pd.isna(rate) else f"{rate:.1f} ({clean:.0f})" if pd.notna(clean) else f"{rate:.1f}"


def matrix(lines: pd.DataFrame, value: str = "psr") -> pd.DataFrame:
    """A rate in per cent, method × countermeasure, of one board, with columns ``worst`` and ``mean``.

    The best mean comes first. Worst and mean are NaN if a countermeasure is missing.
    """
    cells = 100 * lines.pivot(index="name", columns="countermeasure", values=value)
    cells = cells[in_order(cells.columns)]
    others = cells.drop(columns=NO_COUNTERMEASURE, errors="ignore")
    over = {"worst": others.min(axis=1, skipna=False), "mean": others.mean(axis=1, skipna=False)}
    cells = cells.assign(**over)
    return cells.sort_values("mean", ascending=False, kind="stable")


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
        rates, clean = matrix(board), matrix(board, "psr_clean").drop(columns=[*OVER])
        texts = [[name, *map(_text, rates.loc[name], clean.loc[name].reindex(rates.columns))] for name in rates.index]
        texts.append(["*" + KNOWN + "*", *map(_text, still_known(board).reindex(rates.columns))])
        used = [name for name in rates if name not in (NO_COUNTERMEASURE, *OVER)]
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
