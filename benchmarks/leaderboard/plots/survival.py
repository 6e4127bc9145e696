"""What is left of each method's success after countermeasures: a heat map, and curves for purification."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.leaderboard.plots.style import add_note, is_none, method_looks, shorten
from benchmarks.leaderboard.survival import PUBLISHED, matrix, summaries
from benchmarks.results.store import NO_COUNTERMEASURE

PURIFY = r"purify(\d+)"


def draw_survival(lines: pd.DataFrame, title: str) -> Figure:
    """PSR in per cent by method and countermeasure, with the worst and the mean of a row.

    Args:
        lines: of one board, from `benchmarks.leaderboard.survival`.
    """
    cells = matrix(lines)
    label = 0.07 * max(len(shorten(name)) for name in cells.index)
    figure = Figure((0.5 * len(cells.columns) + label + 1.4, 0.34 * len(cells) + 1.9), layout="constrained")
    axes = figure.subplots()
    values = cells.to_numpy(dtype=float)
    image = axes.imshow(values, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    heads = [PUBLISHED if name == NO_COUNTERMEASURE else name for name in cells]
    axes.set_xticks(range(len(heads)), heads, rotation=55, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(cells)), [shorten(name) for name in cells.index])
    axes.tick_params(length=0, labelsize=8)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for place in (0.5, len(cells.columns) - len(summaries(cells)) - 0.5):
        axes.axvline(place, color="white", linewidth=4)
    for (row, column), value in np.ndenumerate(values):
        if math.isnan(value):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", hatch="////", linewidth=0))
        else:
            color = "black" if value > 55 else "white"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=color)
    figure.colorbar(image, ax=axes, label="PSR, %", aspect=25, pad=0.01)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    add_note(
        figure,
        "First column: pictures as published. Worst and mean are over a set of countermeasures. Hatched: missing.",
    )
    return figure


def timesteps(lines: pd.DataFrame) -> dict[str, int]:
    """Countermeasure → timestep, of the purifications among some lines, in order."""
    found = {name: re.fullmatch(PURIFY, name) for name in lines["countermeasure"].unique()}
    return dict(sorted(((name, int(match[1])) for name, match in found.items() if match), key=lambda pair: pair[1]))


def draw_purification(lines: pd.DataFrame, title: str) -> Figure:
    """PSR against the timestep from which a diffusion model purifies; the unprotected photos' rate is `none`'s line.

    Args:
        lines: of one board, with at least two timesteps.
    """
    steps = timesteps(lines)
    figure = Figure((8.0, 4.2), layout="constrained")
    axes = figure.subplots()
    ticks = [PUBLISHED, *(f"t = {step}" for step in steps.values())]
    for name, look in method_looks(lines["name"].unique()).items():
        own = lines[lines["name"] == name].set_index("countermeasure").reindex([NO_COUNTERMEASURE, *steps])
        rate, low, high = (100 * own[column].astype(float) for column in ("psr", "psr_low", "psr_high"))
        bars = np.clip([rate - low, high - rate], 0, None)
        style = "--" if is_none(name) else "-"
        axes.errorbar(range(len(ticks)), rate, bars, fmt=style, marker=look.marker, color=look.color, capsize=2,
                      elinewidth=0.6, markersize=6, label=shorten(name))  # fmt: skip
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set(ylabel="average black-box PSR, %", ylim=(-3, 103), xlabel="purified from timestep (of 1000)")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.legend(loc="outside right upper")
    add_note(figure, "t = 0: only through the autoencoder and back. Bars: 95 % Wilson intervals over photos.")
    return figure
