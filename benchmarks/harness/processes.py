"""How a run of several processes ends: SIGTERM is an interrupt that says so, and no process outlives the first."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

children: list[subprocess.Popen] = []  # started by Lightning's first Trainer, which the later ones do not know


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise Terminated


def heed_sigterm() -> None:
    """Raise `Terminated` at SIGTERM from now on; in a thread, where Python allows no handler, nothing changes."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)


@contextmanager
def terminated_by_sigterm() -> Iterator[None]:
    """Raise `Terminated` at SIGTERM, and give the signal back at the end to who had it before."""
    before = signal.getsignal(signal.SIGTERM)
    heed_sigterm()
    try:
        yield
    finally:
        # None: a handler that was not set in Python, which cannot be set again
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def was_terminated(error: BaseException) -> bool:
    """Whether an error comes of SIGTERM; Lightning makes a SystemExit of it."""
    return isinstance(error, Terminated) or isinstance(error.__context__, Terminated)


@contextmanager
def ending_together() -> Iterator[None]:
    """As `terminated_by_sigterm`; an error ends the `children`, who would wait for the first process for days."""
    with terminated_by_sigterm():
        try:
            yield
        except BaseException:
            for child in children:
                child.kill()
            raise
