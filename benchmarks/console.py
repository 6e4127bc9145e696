"""Progress that a person can follow and a log file can hold."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from tqdm import tqdm


def progress(items: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A bar on a terminal, and nothing elsewhere: in a file its carriage returns would be noise."""
    return tqdm(items, leave=False, mininterval=0.2, **{"disable": None, **options})


def stage_reporter(bar: tqdm) -> Callable[[str, int, int], None]:
    """What a method calls as it goes on: shows the stage and its step behind the bar, at the bar's own pace."""
    last = 0.0

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= 0.2:
            last = time.monotonic()
            bar.set_postfix_str(f"{stage} {done}/{total}")

    return report


class RunProgress:
    """What a person sees of a run: one bar with the time left on a terminal, and a line per method.

    In a pipe or a file there is no bar and no carriage return; every few minutes a line says how far the run is.

    Args:
        shown: False says and draws nothing.
        verbose: a line for every protection and judgement too.
    """

    EVERY = 300.0  # seconds between two lines where there is no bar

    def __init__(self, shown: bool = True, verbose: bool = False) -> None:
        self.shown, self.verbose = shown, verbose
        self._bar: tqdm | None = None
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
        with progress(total=total, unit=unit) as bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def begin(self, title: str) -> None:
        """The next protection."""
        self._title = title
        self.detail(title)
        if self._bar is not None:
            self._bar.set_description_str(title.split(",")[0], refresh=False)

    def advance(self, units: int) -> None:
        """Move the bar on."""
        if self._bar is None or units <= 0:
            return
        self._bar.update(min(units, self._bar.total - self._bar.n))
        if self._bar.disable and time.monotonic() - self._said > self.EVERY:
            self.line(f"{self._bar.n} of {self._bar.total} {self._bar.unit}s, at {self._title}")

    def stage(self, stage: str, done: int, total: int) -> None:
        """What a method calls as it goes on: its stage and step, at the bar's own pace."""
        if self._bar is not None and (done == total or time.monotonic() - self._stage_at > 0.2):
            self._stage_at = time.monotonic()
            self._bar.set_postfix_str(f"{stage} {done}/{total}")

    def line(self, text: str) -> None:
        """A line on standard output, above the bar."""
        if self.shown:
            self._said = time.monotonic()
            tqdm.write(text)
            sys.stdout.flush()  # whoever reads a file or a pipe wants it now

    def detail(self, text: str) -> None:
        """A line for those who asked for details."""
        if self.verbose:
            self.line(text)


def quiet() -> None:
    """Lightning's tips and hints would hide the progress."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|insightface|onnx2torch|facenet_pytorch")


@contextmanager
def quietly() -> Iterator[None]:
    """`quiet`, until the end of the block or of the function that this decorates."""
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    with warnings.catch_warnings():
        quiet()
        try:
            yield
        finally:
            lightning.setLevel(level)


def markdown_table(heads: list[str], lines: list[list[str]]) -> str:
    """A table in GitHub's Markdown, the first column to the left and the others to the right."""
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def wide_console() -> Console:
    """The terminal, or a page of 160 columns where the output goes to a file: rich would cut it at 80."""
    console = Console()
    return console if console.is_terminal else Console(width=160)
