"""How a run of several processes ends: SIGTERM is an interrupt that says so, and no process outlives the first."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

children: list[subprocess.Popen] = []  # started by Lightning's first Trainer, which the later ones do not know


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def heed_sigterm() -> None:
    """Raise `Terminated` at SIGTERM."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def was_terminated(error: BaseException) -> bool:
    """Whether an error comes of SIGTERM; Lightning makes a SystemExit of it."""
    return isinstance(error, Terminated) or isinstance(error.__context__, Terminated)


@contextmanager
def ending_together() -> Iterator[None]:
    """Heed SIGTERM; if an error comes, end the `children`, who would wait for the first process for days."""
    heed_sigterm()
    try:
        yield
    except BaseException:
        for child in children:
            child.kill()
        raise
