"""The plots of a leaderboard: one set for each suite and objective, from its black-box judgements."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.leaderboard.averages import tasks
from benchmarks.leaderboard.plots.curves import draw_curves
from benchmarks.leaderboard.plots.far import draw_far
from benchmarks.leaderboard.plots.grid import write_grids
from benchmarks.leaderboard.plots.heat import draw_heat
from benchmarks.leaderboard.plots.pareto import draw_pareto
from benchmarks.leaderboard.plots.similarity import draw_similarity
from benchmarks.leaderboard.plots.style import STYLE, write_figure
from benchmarks.leaderboard.plots.survival import draw_purification, draw_survival, timesteps
from benchmarks.results.table import headline_far
from facecloak.errors import FacecloakError
from facecloak.io import read_json, sha256_json, write_json
from facecloak.registry import unknown_name

if TYPE_CHECKING:
    from benchmarks.leaderboard.results import Results

FOLDER = "plots"
WRITTEN = "written.json"  # names of the files that the last board wrote
# family → a description of the plot, for people who cannot see it
FAMILIES = {
    "pareto": "Average black-box protection success rate against Fréchet distance (or SSIM) and against PSNR",
    "heat": "Protection success rate of each method by recognizer and target",
    "far": "Protection success rate against false accept rate, by recognizer",
    "similarity": "Histograms of the similarities before and after protection, by recognizer and method",
    "curves": "Average black-box protection success rate against picture quality, over each method's strengths",
    "survival": "Average black-box protection success rate of each method after each countermeasure",
    "purification": "Average black-box protection success rate by the timestep of a purification",
}


OURS = rf".+_({'|'.join(FAMILIES)})\.(png|svg)|.+_grid(_\d+)?\.png"  # names of files that this module writes


class Plot(NamedTuple):
    """A plot of a board; its files are ``path`` with .png and .svg."""

    suite: str
    objective: str
    family: str
    path: Path


def list_plots(results: Results, out: Path) -> list[Plot]:
    """The plots that `write_plots` makes, without the grids."""
    table, plots = results.with_published, []
    for suite, objective in tasks(table):
        rows = _black_box(table, suite, objective)
        published = table[
            (table["suite"] == suite) & (table["objective"] == objective) & (table["source"] == "reported")
        ]
        drawable = published["psr"].notna().any() and published[["fid", "psnr"]].notna().any(axis=None)
        survived = _survived(results, suite, objective)
        needs = {
            "curves": (suite, objective) in results.curves,
            "survival": len(survived) > 0,
            "purification": len(timesteps(survived)) > 1,
        }
        for family in FAMILIES:
            if (needs.get(family, True) and len(rows)) or (family == "pareto" and drawable):
                plots.append(Plot(suite, objective, family, out / FOLDER / f"{board_name(suite, objective)}_{family}"))
    return plots


def write_plots(results: Results, out: Path) -> None:
    """Write ``plots/SUITE_OBJECTIVE_FAMILY.png`` and ``.svg`` and ``…_grid.png`` below ``out``.

    Files that an earlier board wrote there and this one does not are removed; other files are kept.

    Raises:
        FacecloakError: a judgement's records cannot be read.
    """
    table, files = results.named, []
    for plot in list_plots(results, out):
        write_figure(plot.path, lambda plot=plot: _draw(results, plot.suite, plot.objective, plot.family))
        files += [plot.path.with_name(f"{plot.path.name}.{kind}") for kind in ("png", "svg")]
    for suite, objective in tasks(table):
        rows = _black_box(table, suite, objective)
        if len(rows):
            stem = out / FOLDER / f"{board_name(suite, objective)}_grid"
            files += write_grids(stem, rows, results.protections, results.records)
    _remove_earlier(out / FOLDER, {path.name for path in files})


def draw_plot(results: Results, family: str, suite: str | None = None, objective: str | None = None) -> Figure:
    """A plot as a figure, see `Results.plot`."""
    if family not in FAMILIES:
        raise unknown_name("plot", family, FAMILIES)
    found = [each for each in tasks(results.table) if suite in (None, each[0]) and objective in (None, each[1])]
    if len(found) != 1:
        there = "; ".join(", ".join(each) for each in tasks(results.table))
        raise FacecloakError(f"Give the suite and objective of one of these results: {there}.")
    if _black_box(results.named, *found[0]).empty:
        raise FacecloakError("None of these results are a board's: plots show black boxes and pictures as published.")
    if family not in {plot.family for plot in list_plots(results, Path()) if (plot.suite, plot.objective) == found[0]}:
        command = "facecloak curves" if family == "curves" else "facecloak judge RUN --countermeasures"
        raise FacecloakError(f"These results have nothing for the plot {family}: run `{command}` first.")
    with matplotlib.style.context(STYLE):
        return _draw(results, *found[0], family)


def _remove_earlier(folder: Path, names: set[str]) -> None:
    """Remove the files that an earlier board wrote here and this one did not, and record those that this one wrote."""
    path = folder / WRITTEN
    earlier = read_json(path) if path.is_file() else []
    for name in earlier if isinstance(earlier, list) else []:
        if isinstance(name, str) and name not in names and re.fullmatch(OURS, name):
            (folder / name).unlink(missing_ok=True)
    write_json(path, sorted(names))


def board_name(suite: str, objective: str) -> str:
    """The first part of a board's file names; it has no characters but letters, digits, dots, _ and -."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", suite).lstrip(".")
    return f"{name if name == suite else f'{name}-{sha256_json(suite)[:6]}'}_{objective}".replace("/", "-")


def _black_box(table: pd.DataFrame, suite: str, objective: str) -> pd.DataFrame:
    board = _rows(table, suite, objective, "measured")
    return board[~board["white_box"].astype(bool)]


def _survived(results: Results, suite: str, objective: str) -> pd.DataFrame:
    lines = results.survival
    return lines[(lines["suite"] == suite) & (lines["objective"] == objective) & ~lines["white_box"].astype(bool)]


def _rows(table: pd.DataFrame, suite: str, objective: str, source: str) -> pd.DataFrame:
    return table[(table["suite"] == suite) & (table["objective"] == objective) & (table["source"] == source)]


def _draw(results: Results, suite: str, objective: str, family: str) -> Figure:
    table, averages = results.named, results.averages
    rows = _black_box(table, suite, objective)
    reported = _rows(table, suite, objective, "reported")
    far = headline_far(rows["far"] if len(rows) else reported["far"])
    title = f"{suite}, {objective}"
    if family == "pareto":
        lines = averages[~averages["white_box"] & (averages["far"] == far)]
        own, published = (_rows(lines, suite, objective, source) for source in ("measured", "reported"))
        return draw_pareto(own, published, f"{title}: average PSR at FAR {far:g}")
    if family == "heat":
        return draw_heat(rows, far, f"{title}: PSR in % at FAR {far:g}")
    if family == "curves":
        return draw_curves(results.curves[suite, objective], f"{title}: PSR at FAR {far:g} against picture quality")
    if family == "survival":
        return draw_survival(_survived(results, suite, objective), f"{title}: average PSR in % at FAR {far:g}")
    if family == "purification":
        return draw_purification(_survived(results, suite, objective), f"{title}: PSR after purification, FAR {far:g}")
    if family == "far":
        return draw_far(rows, results.records, f"{title}: PSR by false accept rate")
    at_far = rows[rows["far"] == far]
    return draw_similarity(at_far, results.records, objective, f"{title}: similarity before and after")
