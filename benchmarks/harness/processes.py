"""How a run of several processes ends: SIGTERM works as an interrupt, and no process outlives the first one."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

children: list[subprocess.Popen] = []  # started by Lightning's first Trainer; later Trainers do not know them


class Terminated(KeyboardInterrupt):
    """SIGTERM was received."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise Terminated


def handle_sigterm() -> None:
    """Raise `Terminated` at SIGTERM from now on; nothing changes in a thread, where Python allows no handler."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)


@contextmanager
def terminated_by_sigterm() -> Iterator[None]:
    """Raise `Terminated` at SIGTERM, and restore the previous handler at the end."""
    before = signal.getsignal(signal.SIGTERM)
    handle_sigterm()
    try:
        yield
    finally:
        # None: the handler was not set in Python and cannot be restored
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def was_terminated(error: BaseException) -> bool:
    """Whether SIGTERM caused an error; Lightning turns it into a SystemExit."""
    return isinstance(error, Terminated) or isinstance(error.__context__, Terminated)


@contextmanager
def ending_together() -> Iterator[None]:
    """As `terminated_by_sigterm`; an error also ends the `children`, which would wait for this process for days."""
    with terminated_by_sigterm():
        try:
            yield
        except BaseException:
            for child in children:
                child.kill()
            raise
