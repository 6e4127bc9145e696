"""How similar photos are to the person they are compared with, before and after protection."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.leaderboard.plots.style import UNPROTECTED, add_note, is_none, method_looks, shorten
from benchmarks.results.records import Records
from facecloak.metrics.statistics import NEEDED

BINS = 12, 60  # at least and at most


def similarities(rows: pd.DataFrame, records: dict[str, Records], objective: str) -> dict[str, dict[str, tuple]]:
    """Black box → method → (protected, clean): the decisive cosines of all its targets, without images in no rate.

    Args:
        rows: of one board's black-box cells, one row per cell.
    """
    (side,), found = NEEDED[objective], {}
    for (box, name), cells in rows.groupby(["black_box", "name"], sort=True):
        read = [records[run_id] for run_id in cells["run_id"]]
        pair = []
        for column in ("cosine", "cosine_clean"):
            values = np.concatenate([getattr(record, column)[side][record.usable] for record in read])
            pair.append(values[~np.isnan(values)])
        found.setdefault(box, {})[name] = tuple(pair)
    return found


def draw_similarity(rows: pd.DataFrame, records: dict[str, Records], objective: str, title: str) -> Figure:
    """A panel for each black box, in it histograms of each method: protected in colour over clean in grey."""
    cosines, looks = similarities(rows, records, objective), method_looks(rows["name"].unique())
    thresholds = rows.drop_duplicates("black_box").set_index("black_box")["threshold"]
    every = np.concatenate([values for box in cosines.values() for pair in box.values() for values in pair])
    low, high = (every.min(), every.max()) if len(every) else (-1.0, 1.0)
    low, high = min(low, thresholds.min()) - 0.03, max(high, thresholds.max()) + 0.03
    most = max(len(values) for box in cosines.values() for pair in box.values() for values in pair)
    edges = np.linspace(low, high, int(np.clip(2 * np.sqrt(most), *BINS)) + 1)
    label = 0.07 * max(len(shorten(name)) for name in looks)
    figure = Figure((max(2.2 * len(cosines), 4) + label, 0.36 * len(looks) + 1.5), layout="constrained")
    panels = figure.subplots(1, len(cosines), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (box, methods) in zip(panels, cosines.items(), strict=True):
        for place, (name, look) in enumerate(looks.items()):
            if name in methods:
                protected, clean = methods[name]
                _draw_histogram(axes, clean, edges, -place, UNPROTECTED, 0.25)
                if not is_none(name):
                    _draw_histogram(axes, protected, edges, -place, look.color, 0.6)
        axes.axvline(thresholds[box], color="#b22222", linewidth=1, linestyle="--")
        axes.set_title(box, loc="left", fontsize=9)
        axes.set_xlim(low, high)
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks([-place for place in range(len(looks))], [shorten(name) for name in looks])
    panels[0].set_ylim(0.4 - len(looks), 1.0)
    for axes in panels:
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    whom = "the target's test photo" if objective == "impersonation" else "another photo of the same person"
    far = rows["far"].iloc[0]
    note = f"Cosine to {whom}. Grey: unprotected, colour: protected, each scaled to its highest bin; all targets of a "
    add_note(figure, f"{note}recognizer together.\nDashed: the threshold at FAR {far:g}.")
    return figure


def _draw_histogram(axes: Axes, values: np.ndarray, edges: np.ndarray, base: float, color: str, alpha: float) -> None:
    if len(values):
        counts, _ = np.histogram(values, edges)
        axes.stairs(base + 0.85 * counts / counts.max(), edges, baseline=base, fill=True, color=color, alpha=alpha)
        axes.stairs(base + 0.85 * counts / counts.max(), edges, baseline=base, color=color, linewidth=0.7)
