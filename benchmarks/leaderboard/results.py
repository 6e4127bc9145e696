"""The results of any number of runs: tables, plots and the page. They depend only on the runs' directories."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchmarks.check.between import doubled
from benchmarks.check.findings import Finding, findings
from benchmarks.check.provenance import description_problems, judgement_problems
from benchmarks.check.rows import form_problems, rows_problems
from benchmarks.leaderboard.averages import average_methods, name_methods, wide_table
from benchmarks.leaderboard.curves import (
    Curve,
    curves_markdown,
    equal_quality,
    find_curves,
    with_levels,
    write_curves,
)
from benchmarks.leaderboard.reported import read_reported, reported_rows
from benchmarks.leaderboard.survival import survival_markdown, survive, write_survival
from benchmarks.leaderboard.text import latex, markdown, wide_csv
from benchmarks.results.records import MEASURED, SIDES, Records, read_one
from benchmarks.results.store import Judgement, find_judgements, protection_of, read_judgement, run_id, run_of
from benchmarks.results.submission import Submission, read_submission
from benchmarks.results.table import headline_far, tabulate, without_adversaries
from facecloak.errors import FacecloakError
from facecloak.io import to_csv, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_RATES = ("psr", "psr_low", "psr_high", "psr_clean", "dodging", "dodging_clean")
OF_IMAGE = ["suite", "method", "preset", "objective", "target", "black_box", "white_box", "countermeasure"]
HINT = "`facecloak leaderboard --check` with the same runs lists all problems."


@dataclass(frozen=True, repr=False)
class Results:
    """The contents of runs, read once.

    Attributes:
        table: a row for each judgement and FAR; its columns are `benchmarks.results.schema.COLUMNS`, rates fractions.
        published: numbers that papers report, as `read_reported` gives them.
        judgements: run_id → complete judgement.
        n_incomplete: number of judgements that are left out because they are not complete.
        runs: the folders that were read.
        submissions: what the people who submitted runs say about them, sorted by method.

    Example:
        >>> import tempfile
        >>> from facecloak import benchmark
        >>> results = benchmark("pocket", methods=["blur"], targets=["1"], limit=1, out=tempfile.mkdtemp())
        >>> results
        Results: 5 judgements of 1 protections, blur
        >>> results.check(), len(results.images)
        ([], 5)
    """

    table: pd.DataFrame
    published: pd.DataFrame
    judgements: dict[str, Judgement]
    n_incomplete: int = 0
    runs: tuple[Path, ...] = ()
    submissions: tuple[Submission, ...] = ()

    def __repr__(self) -> str:
        methods = ", ".join(sorted({*self.table["method"]}))
        return (
            f"Results: {len(self.judgements)} judgements of {len({*self.protections.values()})} protections, {methods}"
        )

    @cached_property
    def plain(self) -> pd.DataFrame:
        """The board's rows, see `without_adversaries`."""
        return without_adversaries(self.table)

    @cached_property
    def with_published(self) -> pd.DataFrame:
        """These rows and reported ones."""
        return self._and_reported(self.plain)

    def _and_reported(self, table: pd.DataFrame) -> pd.DataFrame:
        # drop empty columns: they would change the types of the measured rows' columns
        reported = reported_rows(self.published).dropna(axis="columns", how="all")
        return pd.concat([table, reported], ignore_index=True)

    @cached_property
    def records(self) -> dict[str, Records]:
        """The records of every judgement, by run_id."""
        return {name: read_one(judgement.folder) for name, judgement in sorted(self.judgements.items())}

    @cached_property
    def images(self) -> pd.DataFrame:
        """A row for each image under each judge and after each countermeasure.

        Numbers are NaN where not measured, PSNR is in dB.
        """
        about = self.table.drop_duplicates("run_id").set_index("run_id")[OF_IMAGE]
        parts = []
        for name, records in self.records.items():
            cosines = {
                f"{column}_{side}": getattr(records, column)[side]
                for column in ("cosine", "cosine_clean")
                for side in SIDES
            }
            part = pd.DataFrame({"id": records.ids, **about.loc[name].to_dict(), **cosines})
            measured = {column: getattr(records, column) for column in (*MEASURED, "detected", "usable")}
            parts.append(part.assign(**measured, error=records.errors))
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def named(self) -> pd.DataFrame:
        """All rows, including reported ones, with a column ``name``: the name of the line on the board."""
        return name_methods(self.with_published)

    @cached_property
    def averages(self) -> pd.DataFrame:
        """A line for each method and FAR, see `average_methods`."""
        return average_methods(self.named, self.records)

    @cached_property
    def protections(self) -> dict[str, Path]:
        """run_id → folder of the pictures."""
        return {name: protection_of(judgement.folder) for name, judgement in self.judgements.items()}

    def summary(self, far: float | None = None) -> pd.DataFrame:
        """A line for each method, the best average first: rates in per cent, means over targets and black boxes.

        Args:
            far: the false accept rate of the thresholds; by default 0.01, or the smallest that was measured.

        Raises:
            FacecloakError: no row has this FAR.

        Example:
            >>> load_results("runs/pocket").summary(far=0.01)  # doctest: +SKIP
        """
        fars = sorted({*self.table["far"]})
        far = headline_far(fars) if far is None else far
        if far not in fars:
            raise FacecloakError(f"No row has FAR {far:g}; there are {', '.join(f'{each:g}' for each in fars)}.")
        lines = self.averages[(self.averages["source"] == "measured") & (self.averages["far"] == far)]
        percent = {rate: 100 * lines[rate] for rate in SHOWN_RATES}
        columns = ["suite", "objective", "white_box", "name", *SHOWN_RATES, "psnr", "ssim", "seconds_per_image"]
        shown = lines.assign(**percent)[columns].rename(columns={"name": "method"})
        return shown.sort_values(
            ["suite", "objective", "white_box", "psr"], ascending=[True, True, True, False], ignore_index=True
        )

    @cached_property
    def survival(self) -> pd.DataFrame:
        """What is left of each method's PSR after each countermeasure, see `benchmarks.leaderboard.survival`.

        Example:
            >>> load_results("runs/pocket").survival.pivot(index="name", columns="countermeasure", values="psr")
            ... # doctest: +SKIP
        """
        return survive(self.table, self.records)

    @cached_property
    def curves(self) -> dict[tuple[str, str], list[Curve]]:
        """(suite, objective) → each method's curve of success against quality, see `benchmarks.leaderboard.curves`."""
        return find_curves(self.plain, self.judgements, lambda name: self.records[name])

    def equal_quality(self, suite: str | None = None, objective: str | None = None) -> pd.DataFrame:
        """Each method's PSR at equal quality and quality at equal PSR, with 95 % intervals.

        Returns:
            a line per method: ``method``, and a column of `benchmarks.leaderboard.curves.Reading` for each level (PSR
            in per cent): ``mean``, ``low``, ``high``, ``n``, and ``bound``, which is true for a method that is better
            than the level at all its strengths, so that it has at least this (perceptual distances:
            at most).

        Raises:
            FacecloakError: there are no curves of this suite and objective, or of several.
        """
        found = [key for key in self.curves if suite in (None, key[0]) and objective in (None, key[1])]
        if len(found) != 1:
            there = "; ".join(", ".join(key) for key in self.curves) or "none, run `facecloak curves` first"
            raise FacecloakError(f"Give the suite and objective of one of these curves: {there}.")
        return equal_quality(self.curves[found[0]])[0]

    def check(self) -> list[Finding]:
        """The problems that `facecloak leaderboard --check` finds in the runs; an empty list if there are none."""
        return [*findings(self.runs)]

    def plot(self, family: str = "pareto", *, suite: str | None = None, objective: str | None = None) -> Figure:
        """A plot of the results.

        Args:
            family: pareto, heat, far, similarity, curves, survival or purification, see
                `benchmarks.leaderboard.plots.families.FAMILIES`.
            suite, objective: which results to plot; needed if the runs have several.

        Raises:
            FacecloakError: no such family, or no such results.
        """
        from benchmarks.leaderboard.plots.families import draw_plot

        return draw_plot(self, family, suite, objective)

    def write(self, out: str | Path) -> None:
        """Write the leaderboard: ``long.csv``, ``wide.csv``, ``leaderboard.md``, ``leaderboard.tex``, plots, page.

        The same directories give the same bytes, wherever they are and in whatever order they are named.

        Raises:
            FacecloakError: a judgement's records are damaged.
        """
        from benchmarks.leaderboard.page.document import write_page
        from benchmarks.leaderboard.plots.families import write_plots

        out = Path(out)
        wide, survived = wide_table(self.with_published, self.records), self.survival
        write_bytes(out / "long.csv", to_csv(self._and_reported(self.table)))
        write_bytes(out / "wide.csv", wide_csv(with_levels(wide, self.curves)))
        page = markdown(self.plain, wide, self.published, self.submissions)
        write_bytes(
            out / "leaderboard.md", (page + curves_markdown(self.curves) + survival_markdown(survived)).encode()
        )
        write_bytes(out / "leaderboard.tex", latex(self.plain, wide, self.published).encode())
        write_survival(survived, out)
        write_curves(self.curves, out)
        write_plots(self, out)
        write_page(self, out)


def load_results(*runs: str | Path) -> Results:
    """Read runs: the ``--out`` folders of benchmarks, or folders of such folders at any depth.

    Raises:
        FacecloakError: a judgement cannot be read, occurs twice, or cannot be in one table with the others.

    Example:
        >>> load_results("runs/pocket").table  # doctest: +SKIP
    """
    paths = tuple(map(Path, runs))
    folders = find_judgements(paths)
    found = {folder: judgement for folder in folders if (judgement := read_judgement(folder)) is not None}
    if not found:
        raise FacecloakError("No judgement of these runs is complete; run the benchmark to its end.")
    for folder, judgement in found.items():
        for text in _problems(judgement):
            raise FacecloakError(f"{folder}: {text}. {HINT}")
    for folder, far, problem in doubled(found.values()):
        raise FacecloakError(f"{folder}, FAR {far:g}: {problem}. Leave one of them out.")
    judgements = {run_id(folder): judgement for folder, judgement in found.items()}
    said = {each for run in {run_of(folder) for folder in found} if (each := read_submission(run))}
    submissions = tuple(sorted(said, key=astuple))
    return Results(tabulate(found.values()), read_reported(), judgements, len(folders) - len(found), paths, submissions)


def _problems(judgement: Judgement) -> list[str]:
    """The problems of a judgement's rows and of their provenance; the other code relies on correct rows."""
    if problems := [text for _, text in form_problems(judgement.rows)]:
        return problems
    folder = protection_of(judgement.folder)
    found = [text for _, text in (*rows_problems(judgement.rows), *judgement_problems(judgement))]
    return [*found, *description_problems(folder, judgement.protection)]
