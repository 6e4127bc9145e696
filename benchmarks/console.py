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
    """A bar that redraws often on a terminal and every 20 seconds elsewhere."""
    return tqdm(items, leave=False, mininterval=_interval(), **options)


def stage_reporter(bar: tqdm) -> Callable[[str, int, int], None]:
    """What a method calls as it goes on: shows the stage and its step behind the bar, at the bar's own pace."""
    last = 0.0

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _interval():
            last = time.monotonic()
            bar.set_postfix_str(f"{stage} {done}/{total}")

    return report


def _interval() -> float:
    return 0.2 if sys.stderr.isatty() else 20.0


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
