"""Protection at every false accept rate between the smallest and largest stored one, from the stored cosines."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.leaderboard.plots.style import UNPROTECTED, Look, add_note, method_looks, shorten
from benchmarks.results.records import Records

STEPS = 60  # points between two stored FARs
NOTE = (
    "Marks: stored thresholds, exact. Lines: thresholds interpolated in log FAR, PSR from the cosines.\n"
    "A method without all targets of a recognizer has no line there. FARs beyond the stored ones are not drawn."
)


def threshold_curve(fars: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """FARs from the smallest stored one to the largest, and their thresholds.

    At a stored FAR the threshold is exactly the stored one; between two of them it is interpolated in log FAR.

    Args:
        fars, thresholds: (K,) stored pairs.

    Returns:
        two arrays (M,), FAR ascending; they include the stored pairs.
    """
    order = np.argsort(fars)
    stored, values = fars[order], thresholds[order]
    between = [np.geomspace(low, high, STEPS + 1)[1:-1] for low, high in pairwise(stored)]
    points = np.sort(np.concatenate([stored, *between]))
    return points, np.interp(np.log(points), np.log(stored), values)


def rate_curve(records: Records, objective: str, thresholds: np.ndarray) -> np.ndarray:
    """(M,) PSR of a judgement at each of the thresholds, as fractions; NaN where no image is in the rate."""
    results = records.outcomes(objective, thresholds[:, None])
    counted = ~np.isnan(results[0]) if len(results) else np.zeros(0, dtype=bool)
    return results[:, counted].mean(axis=1) if counted.any() else np.full(len(thresholds), np.nan)


def box_curves(rows: pd.DataFrame, records: dict[str, Records]) -> dict[str, dict[str, tuple]]:
    """Black box → method → (FARs, PSR over its targets), without methods that do not have all of the board's targets.

    Args:
        rows: of one board's black-box cells, all FARs.
    """
    curves: dict[str, dict[str, tuple]] = {}
    targets = rows["target"].nunique()
    for box, judged in rows.groupby("black_box", sort=True):
        stored = judged.drop_duplicates("far")
        points, thresholds = threshold_curve(stored["far"].to_numpy(float), stored["threshold"].to_numpy(float))
        for name, cells in judged.groupby("name", sort=True):
            objective, rates = cells["objective"].iloc[0], []
            for _, own in cells.groupby("target", sort=True):  # the mean over sets of surrogates, if there are several
                sets = [rate_curve(records[run], objective, thresholds) for run in own["run_id"].unique()]
                rates.append(np.mean(sets, axis=0))
            if len(rates) == targets and not np.isnan(rates).any():
                curves.setdefault(box, {})[name] = (points, np.mean(rates, axis=0))
    return curves


def average_curves(curves: dict[str, dict[str, tuple]], boxes: list[str]) -> dict[str, tuple]:
    """Method → (FARs, mean PSR of the black boxes), without methods that do not have a line for each of them.

    There is no average unless all recognizers of a board have the same FARs.
    """
    whole = set.intersection(*(set(curves.get(box, {})) for box in boxes))
    points = [curves[box][name][0] for box in boxes for name in whole]
    if any(not np.array_equal(points[0], each) for each in points):
        return {}
    return {name: (points[0], np.mean([curves[box][name][1] for box in boxes], axis=0)) for name in sorted(whole)}


def draw_far(rows: pd.DataFrame, records: dict[str, Records], title: str) -> Figure:
    """A panel for each black box, a line for each method."""
    curves, boxes = box_curves(rows, records), sorted(rows["black_box"].unique())
    panel_lines = {box: curves.get(box, {}) for box in boxes}
    if len(boxes) > 1:
        panel_lines["average"] = average_curves(curves, boxes)
    looks, stored = method_looks(rows["name"].unique()), np.sort(rows["far"].unique().astype(float))
    columns = min(3, len(panel_lines))
    lines = math.ceil(len(panel_lines) / columns)
    figure = Figure((2.9 * columns + 1.9, max(2.6 * lines + 0.7, 0.19 * len(looks) + 0.8)), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    handles = {}
    for axes, (title_of_panel, drawn) in zip(panels, panel_lines.items(), strict=False):
        for name, look in looks.items():
            if name in drawn:
                handles[shorten(name)] = _draw_line(axes, *drawn[name], stored, look)
        axes.set_title(title_of_panel, loc="left", fontsize=9)
        axes.set(xscale="log", ylim=(-3, 103))
    for axes in panels[len(panel_lines) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(panel_lines) - columns) : len(panel_lines)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("false accept rate")
    figure.supylabel("PSR, %", fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside right upper")
    add_note(figure, NOTE)
    return figure


def _draw_line(axes: Axes, points: np.ndarray, rate: np.ndarray, stored: np.ndarray, look: Look) -> Line2D:
    marked = [int(place) for place in np.searchsorted(points, stored) if place < len(points)]
    style = {"linestyle": ":", "linewidth": 1.6} if look.color == UNPROTECTED else {"linewidth": 1.2}
    style |= {"color": look.color, "marker": look.marker, "markevery": marked, "markersize": 5}
    return axes.plot(points, 100 * rate, **style)[0]
