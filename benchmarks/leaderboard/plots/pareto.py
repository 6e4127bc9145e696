"""Protection against picture quality: the methods that no other method beats in both."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.leaderboard.averages import INTERVAL
from benchmarks.leaderboard.plots.style import Look, add_note, is_none, method_looks, shorten
from facecloak.metrics.statistics import pareto_front

LEGEND = 20  # lines that fit beside the plot


def draw_pareto(averages: pd.DataFrame, reported: pd.DataFrame, title: str) -> Figure:
    """Average PSR against the Fréchet distance, or SSIM where nobody has a distance, and against PSNR.

    Args:
        averages: of one board's black-box cells at one FAR, from `average_methods`.
        reported: the same for published rows; drawn hollow, and not part of a front.
    """
    distance = averages["distance_name"].iloc[0] if len(averages) else "FID"
    columns = math.ceil((len(averages) + len(reported) + 1) / LEGEND)
    figure = Figure((8.0 + 1.6 * columns, 4.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    looks = method_looks(averages["name"])
    shown = averages[averages["psr"].notna()]
    identical = _place_identical(pd.concat([shown["psnr"], reported["psnr"]]))
    has_distance = shown["distance"].notna().any() or (distance == "FID" and reported["distance"].notna().any())
    quality, better = ("distance", -1) if has_distance else ("ssim", 1)
    for axes, column, sign in ((left, quality, better), (right, "psnr", 1)):
        _draw_front(axes, shown, column, sign, identical)
        for name, look in looks.items():
            for _, line in shown[shown["name"] == name].iterrows():
                _draw_method(axes, line, column, identical, look)
    if has_distance and distance == "FID":
        _draw_reported(left, reported, "distance")
    _draw_reported(right, reported, "psnr")
    what = f"{distance} (lower is better)" if has_distance else "SSIM (higher is better)"
    left.set(xlabel=what, ylabel="average black-box PSR, %", ylim=(-3, 103))
    right.set(xlabel="PSNR, dB (higher is better)")
    left.set_xlim(right=max(left.get_xlim()[1], left.get_xlim()[0] + 1e-3))
    if np.isinf(shown["psnr"]).any():
        _mark_identical(right, identical)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    handles = dict(pair[::-1] for axes in (left, right) for pair in zip(*axes.get_legend_handles_labels(), strict=True))
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside right upper", ncols=columns)
    measures = {quality: distance if has_distance else "SSIM", "psnr": "PSNR"}
    add_note(figure, _note(averages, shown, reported, measures))
    return figure


def _note(averages: pd.DataFrame, shown: pd.DataFrame, reported: pd.DataFrame, measures: dict[str, str]) -> str:
    notes = [f"Bars: {INTERVAL}."] if len(shown) else []
    missing = averages.loc[averages["psr"].isna(), "name"]
    if len(missing):
        notes.append(f"Not drawn because cells are missing: {', '.join(missing)}.")
    for column, what in measures.items():
        absent = shown.loc[shown[column].isna(), "name"]
        if len(absent):
            notes.append(f"Without {what}: {', '.join(absent)}.")
    if reported[[*measures.keys() - {"ssim"}]].notna().any(axis=None):
        notes.append("Hollow: published, not measured here; other crops and surrogates, not part of the front.")
    return " ".join(notes)


def _place_identical(psnr: pd.Series) -> float:
    """Where an infinite PSNR is drawn: to the right of all others, with a gap."""
    finite = psnr[np.isfinite(psnr)]
    return 40.0 if finite.empty else float(finite.max() + max(4, 0.2 * (finite.max() - finite.min())))


def _draw_front(axes: Axes, shown: pd.DataFrame, column: str, sign: int, identical: float) -> None:
    best = shown[pareto_front(shown["psr"], sign * shown[column])].sort_values([column, "psr"])
    if best.empty:
        return
    x = best[column].replace(math.inf, identical)
    # a step: at each quality the highest PSR that was measured with pictures at least as good
    axes.step(x, 100 * best["psr"], where="pre" if sign > 0 else "post", color="#9a9a9a", linewidth=1.2, zorder=1,
              linestyle=(0, (5, 2)), label="Pareto front")  # fmt: skip


def _draw_method(axes: Axes, line: pd.Series, column: str, identical: float, look: Look) -> None:
    if math.isnan(line[column]):
        return
    x, rate = min(line[column], identical) if column == "psnr" else line[column], 100 * line["psr"]
    bars = [[max(0.0, rate - 100 * line["psr_low"])], [max(0.0, 100 * line["psr_high"] - rate)]]
    size = 11 if is_none(line["name"]) else 6.5
    axes.errorbar(x, rate, bars, fmt=look.marker, color=look.color, markersize=size, capsize=2, elinewidth=0.8,
                  markeredgecolor="white", markeredgewidth=0.6, label=shorten(line["name"]), zorder=3)  # fmt: skip


def _draw_reported(axes: Axes, reported: pd.DataFrame, column: str) -> None:
    for number, line in reported.dropna(subset=["psr", column]).reset_index().iterrows():
        marker = "osD^vP"[number % 6]
        axes.plot(line[column], 100 * line["psr"], marker, markerfacecolor="none", color="#777777", markersize=7,
                  label=f"{shorten(line['name'])} (reported)")  # fmt: skip


def _mark_identical(axes: Axes, place: float) -> None:
    low = axes.get_xlim()[0]
    room = 0.07 * (place - low)  # for the word below it, on each side
    axes.axvspan(place - 0.7 * room, place + 0.7 * room, color="#f2f2f2", zorder=0)
    ticks = [tick for tick in axes.get_xticks() if low <= tick < place - 1.4 * room]
    axes.set_xticks([*ticks, place], [*(f"{tick:g}" for tick in ticks), "identical"])
    axes.set_xlim(low, place + 0.7 * room)
