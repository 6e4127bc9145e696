"""How every plot looks, and how it is written: the same figure gives the same bytes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib.figure import Figure

from facecloak.io import write_bytes

# Paul Tol's "muted" scheme, which people with colour-blindness can distinguish; markers distinguish further methods
COLOURS = ("#332288", "#CC6677", "#117733", "#88CCEE", "#882255", "#DDCC77", "#44AA99", "#AA4499", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
UNPROTECTED = "#555555"
STYLE = ["default", {
    "svg.hashsalt": "facecloak", "font.size": 9, "axes.titlesize": 10, "legend.fontsize": 8, "figure.dpi": 100,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e6e6",
    "axes.axisbelow": True, "legend.frameon": False, "hatch.color": "#b0b0b0", "hatch.linewidth": 0.6,
}]  # fmt: skip


class Look(NamedTuple):
    """How a method is drawn in every plot of a board."""

    color: str
    marker: str


def method_looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each method, in the order of legends: `none` first and grey, the others by name.

    11 markers and 9 colours are enough for 99 methods.
    """
    ordered = sorted(names, key=lambda name: (not is_none(name), name))
    protecting = [name for name in ordered if not is_none(name)]
    looks = {name: Look(UNPROTECTED, "*") for name in ordered if is_none(name)}
    return looks | {
        name: Look(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])
        for number, name in enumerate(protecting)
    }


def is_none(name: str) -> bool:
    """Whether a line of the board is for unprotected photos."""
    return name.partition(":")[0] == "none"


def write_figure(path: Path, draw: Callable[..., Figure], *arguments: Any) -> None:
    """Write what ``draw(*arguments)`` returns as PNG and as SVG beside it."""
    with matplotlib.style.context(STYLE):
        figure = draw(*arguments)
        figure.draw_without_rendering()  # lays it out, once for both files: that takes longer than to draw it
        figure.set_layout_engine(None)  # "none" would draw it twice for each file
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=130, metadata=metadata)
            write_bytes(path.with_name(f"{path.name}.{kind}"), buffer.getvalue())


CHARACTERS = 17  # of a note, in an inch


def add_note(figure: Figure, text: str) -> None:
    """Write below a figure how to read it, in lines that are as wide as the figure."""
    width = int(CHARACTERS * figure.get_figwidth())
    text = "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, width))
    figure.supxlabel(text, fontsize=7.5, color="#444444", x=0.01, ha="left")


def shorten(name: str, length: int = 22) -> str:
    """A name that fits beside a panel."""
    name = name.removesuffix(":default")
    return name if len(name) <= length else f"{name[: length - 1]}…"
