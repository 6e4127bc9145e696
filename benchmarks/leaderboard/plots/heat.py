"""How often each recognizer accepts the photos as each target: one heat map per method."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.leaderboard.plots.style import add_note, method_looks, shorten


def heat_cells(rows: pd.DataFrame, name: str, far: float) -> pd.DataFrame:
    """PSR in % of a method, for all recognizers × targets of the board; NaN for a missing cell.

    Args:
        rows: of one board's black-box cells, all FARs.
    """
    own = rows[(rows["name"] == name) & (rows["far"] == far)].assign(
        percent=lambda part: 100 * pd.to_numeric(part["psr"])
    )
    cells = own.pivot_table(index="black_box", columns="target", values="percent", dropna=False)
    targets = sorted(rows["target"].unique(), key=lambda name: (not name.isdigit(), name.zfill(9)))  # 2 before 10
    return cells.reindex(index=sorted(rows["black_box"].unique()), columns=targets)


def draw_heat(rows: pd.DataFrame, far: float, title: str) -> Figure:
    """A panel for each method, with colours and numbers; missing cells are hatched."""
    names = [*method_looks(rows["name"].unique())]
    boxes, targets = rows["black_box"].unique(), rows["target"].unique()
    columns = min(5, len(names))
    lines = math.ceil(len(names) / columns)
    width, height = max(1.7, 0.42 * len(targets)), max(1.3, 0.3 * len(boxes))
    label = 0.075 * max(len(box) for box in boxes)
    size = (columns * width + label + 1.2, lines * (height + 0.45) + 1.1)
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, name in zip(panels, names, strict=False):
        image = _draw_panel(axes, heat_cells(rows, name, far))
        axes.set_title(shorten(name), loc="left", fontsize=9)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(names) - columns) : len(names)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("target")
    figure.colorbar(image, ax=panels, label="PSR, %", shrink=min(1.0, 3 / size[1]), aspect=25, pad=0.01)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    photos = sorted({int(n) for n in pd.to_numeric(rows.loc[rows["far"] == far, "n_psr"]).dropna()})
    count = f"{photos[0]}" if len(photos) == 1 else f"{photos[0]} to {photos[-1]}" if photos else "no"
    add_note(figure, f"Each cell has {count} photo{'s' * (count != '1')}. Hatched: missing or not measured.")
    return figure


def _draw_panel(axes: Axes, cells: pd.DataFrame):
    values = cells.to_numpy(dtype=float)
    image = axes.imshow(values, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(cells.columns)), cells.columns)
    axes.set_yticks(range(len(cells.index)), cells.index)
    axes.tick_params(length=0, labelsize=8)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        if math.isnan(value):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", hatch="////", linewidth=0))
        else:
            color = "black" if value > 55 else "white"
            text = axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=color)
            text.set_in_layout(False)  # it is within the panel, and measuring thousands takes long
    return image
