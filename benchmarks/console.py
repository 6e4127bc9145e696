"""Progress that is readable on a terminal and in a log file."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from tqdm import tqdm

from facecloak.io import to_csv, write_bytes

if TYPE_CHECKING:
    import pandas as pd

LIGHTNING = ("pytorch_lightning", "lightning_fabric")  # loggers


def progress(items: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A bar on a terminal, and nothing elsewhere: a log file would be full of its carriage returns."""
    return tqdm(items, leave=False, mininterval=0.2, **{"disable": None, **options})


def stage_reporter(bar: tqdm) -> Callable[[str, int, int], None]:
    """A function that a method calls at each step: it shows stage and step behind the bar, not too often."""
    last = 0.0

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= 0.2:
            last = time.monotonic()
            bar.set_postfix_str(f"{stage} {done}/{total}")

    return report


class RunProgress:
    """What a user sees of a run: on a terminal one bar with the time left, and a line per method.

    In a pipe or a file there is no bar and no carriage return; every few minutes a line says how far the run is.

    Args:
        shown: False: nothing is printed or drawn.
        verbose: also print a line for every protection and judgement.
    """

    EVERY = 300.0  # seconds between two lines where there is no bar

    def __init__(self, shown: bool = True, verbose: bool = False) -> None:
        self.shown, self.verbose = shown, verbose
        self._bar: tqdm | None = None
        self._done, self._total, self._unit = 0, 0, ""  # a bar that is not drawn does not know them
        self._title, self._said, self._stage_at = "", time.monotonic(), 0.0

    def reading(self, items: Iterable[Any]) -> Iterable[Any]:
        """The items, while a bar shows how many have been read."""
        return progress(items, desc="reading photos", unit="photo") if self.shown else items

    @contextmanager
    def running(self, total: int, unit: str) -> Iterator[None]:
        """The bar of the whole run, of this many units."""
        if not self.shown:
            yield
            return
        self._done, self._total, self._unit = 0, total, unit
        with progress(total=total, unit=unit) as bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def begin(self, title: str) -> None:
        """Start the next protection."""
        self._title = title
        self.detail(title)
        if self._bar is not None:
            self._bar.set_description_str(title.split(",")[0], refresh=False)

    def advance(self, units: int) -> None:
        """Move the bar on."""
        if self._bar is None or units <= 0:
            return
        units = min(units, self._total - self._done)
        self._done += units
        self._bar.update(units)
        if self._bar.disable and time.monotonic() - self._said > self.EVERY:
            self.line(f"{self._done} of {self._total} {self._unit}s done, now at {self._title}")

    def stage(self, stage: str, done: int, total: int) -> None:
        """Show the stage and step of a method, which calls this at each step; not too often."""
        if self._bar is not None and (done == total or time.monotonic() - self._stage_at > 0.2):
            self._stage_at = time.monotonic()
            self._bar.set_postfix_str(f"{stage} {done}/{total}")

    def line(self, text: str) -> None:
        """A line on standard output, above the bar."""
        if self.shown:
            self._said = time.monotonic()
            tqdm.write(text)
            sys.stdout.flush()  # the reader of a file or a pipe should see it at once

    def detail(self, text: str) -> None:
        """A line that is printed only with ``verbose``."""
        if self.verbose:
            self.line(text)


def quiet() -> None:
    """Switch off Lightning's tips and other libraries' warnings, which would hide the progress."""
    for name in LIGHTNING:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|insightface|onnx2torch|facenet_pytorch")


@contextmanager
def quietly() -> Iterator[None]:
    """`quiet`, until the end of the block or of the function that this decorates."""
    loggers = [logging.getLogger(name) for name in LIGHTNING]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        quiet()
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def markdown_table(heads: list[str], lines: list[list[str]]) -> str:
    """A table in GitHub's Markdown, the first column to the left and the others to the right."""
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def show(out: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table as ``out/NAME.csv`` and print it."""
    write_bytes(out / f"{name}.csv", to_csv(table))
    print(markdown_table([*table], table.map(str).to_numpy().tolist()))


def wide_console() -> Console:
    """The terminal, or a page of 160 columns if the output goes to a file, where rich would cut it at 80."""
    console = Console()
    return console if console.is_terminal else Console(width=160)
