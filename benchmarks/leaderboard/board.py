"""The board: tables, plots and the page of any number of runs; a pure function of their directories."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from benchmarks.check.between import doubled
from benchmarks.check.provenance import description_problems, judgement_problems
from benchmarks.check.rows import form_problems, rows_problems
from benchmarks.leaderboard.averages import average_methods, name_methods, wide_table
from benchmarks.leaderboard.reported import read_reported, reported_rows
from benchmarks.leaderboard.text import latex, markdown, wide_csv
from benchmarks.results.records import Records, read_one
from benchmarks.results.store import Judgement, find_judgements, protection_of, read_judgement, run_id
from benchmarks.results.table import tabulate
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes

HINT = "`facecloak leaderboard --check` with the same runs says all that is wrong."


@dataclass(frozen=True)
class Board:
    """What runs hold, read once.

    Attributes:
        measured: long table of the judgements.
        published: `read_reported`'s.
        judgements: run_id → complete judgement.
        n_incomplete: judgements that are not complete, and are left out.
    """

    measured: pd.DataFrame
    published: pd.DataFrame
    judgements: dict[str, Judgement]
    n_incomplete: int = 0

    @classmethod
    def read(cls, runs: Iterable[Path]) -> Board:
        """Read runs: folders of benchmarks, or folders of such folders at any depth.

        Raises:
            FacecloakError: a judgement cannot be read, is there twice, or cannot be in one table with the others.
        """
        folders = find_judgements(runs)
        found = {folder: judgement for folder in folders if (judgement := read_judgement(folder)) is not None}
        if not found:
            raise FacecloakError("No judgement of these runs is complete; run the benchmark to its end.")
        for folder, judgement in found.items():
            for text in _problems(judgement):
                raise FacecloakError(f"{folder}: {text}. {HINT}")
        for folder, far, problem in doubled(found.values()):
            raise FacecloakError(f"{folder}, FAR {far:g}: {problem}. Leave one of them out.")
        judgements = {run_id(folder): judgement for folder, judgement in found.items()}
        return cls(tabulate(found.values()), read_reported(), judgements, len(folders) - len(found))

    @cached_property
    def table(self) -> pd.DataFrame:
        """Measured and reported rows."""
        # without the empty columns, which would take away the type that the measured rows give them
        reported = reported_rows(self.published).dropna(axis="columns", how="all")
        return pd.concat([self.measured, reported], ignore_index=True)

    @cached_property
    def records(self) -> dict[str, Records]:
        """The records of every judgement, by run_id."""
        return {name: read_one(judgement.folder) for name, judgement in sorted(self.judgements.items())}

    @cached_property
    def named(self) -> pd.DataFrame:
        """The table with a column ``name``: what a line of the board is called."""
        return name_methods(self.table)

    @cached_property
    def averages(self) -> pd.DataFrame:
        """A line for each method and FAR, see `average_methods`."""
        return average_methods(self.named, self.records)

    @cached_property
    def protections(self) -> dict[str, Path]:
        """run_id → folder of the pictures."""
        return {name: protection_of(judgement.folder) for name, judgement in self.judgements.items()}


def _problems(judgement: Judgement) -> list[str]:
    """What is wrong with a judgement's rows and what they are made of; the rest relies on their form."""
    if problems := [text for _, text in form_problems(judgement.rows)]:
        return problems
    folder = protection_of(judgement.folder)
    found = [text for _, text in (*rows_problems(judgement.rows), *judgement_problems(judgement))]
    return [*found, *description_problems(folder, judgement.protection)]


def write_board(board: Board, out: Path) -> None:
    """Write ``long.csv``, ``wide.csv``, ``leaderboard.md``, ``leaderboard.tex``, plots and the page of a board.

    The same directories give the same bytes, wherever they are and in whatever order they are named.

    Raises:
        FacecloakError: a judgement's records are damaged.
    """
    wide = wide_table(board.table, board.records)
    write_bytes(out / "long.csv", to_csv(board.table))
    write_bytes(out / "wide.csv", wide_csv(wide))
    write_bytes(out / "leaderboard.md", markdown(board.measured, wide, board.published).encode())
    write_bytes(out / "leaderboard.tex", latex(board.measured, wide, board.published).encode())
    from benchmarks.leaderboard.page.document import write_page
    from benchmarks.leaderboard.plots.families import write_plots

    write_plots(board, out)
    write_page(board, out)
