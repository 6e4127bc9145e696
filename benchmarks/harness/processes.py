"""How a run of several processes begins and ends: they are started once, and none outlives the first one.

Nothing heavy is imported here: the others are started before the first process spends seconds on its imports.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

children: list[subprocess.Popen] = []  # started by `start`
FIRST = "FACECLOAK_FIRST_PROCESS"  # its number, in the environment of a process that it has started


def processes_elsewhere() -> int:
    """The number of processes that torchrun, SLURM or `start` has started for this command; 1 if none did."""
    # SLURM_NTASKS would not say whether srun started this
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", 1)))


def start(count: int) -> None:
    """Start this command again until ``count`` processes of this machine run it, as Lightning's launcher does.

    They share the cores, unless $OMP_NUM_THREADS is set: with more threads than cores, all would be slower.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        FIRST: str(os.getpid()), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0",
        "LOCAL_RANK": "0", "WORLD_SIZE": str(count),
    }  # fmt: skip
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    spec = sys.modules["__main__"].__spec__
    command = ["-m", spec.name] if spec else [os.path.abspath(sys.argv[0])]
    for rank in range(1, count):
        environment = os.environ | {"LOCAL_RANK": str(rank)}
        children.append(subprocess.Popen([sys.executable, *command, *sys.argv[1:]], env=environment))


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def are_own() -> bool:
    """Whether the processes of this command were started by `start`."""
    return FIRST in os.environ


def is_follower() -> bool:
    """Whether `start` started this process, in another process."""
    return os.environ.get(FIRST, str(os.getpid())) != str(os.getpid())


def follow() -> None:
    """End this process soon after the first one has ended, however that ended."""
    # on Windows, the parent may be a launcher of Python, and its number stays the same
    parent = int(os.environ[FIRST]) if os.name == "posix" else os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Terminated(KeyboardInterrupt):
    """SIGTERM was received."""


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one would interrupt what is done because of the first
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
        is_over = before is _stop and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        # None: the handler was not set in Python and cannot be restored
        if before is not None and not is_over and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def ignoring_interruptions() -> Iterator[None]:
    """Ignore SIGTERM and Ctrl-C, and restore the previous handlers at the end; for the last seconds of a process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    in_main = threading.current_thread() is threading.main_thread()
    for number in before if in_main else ():
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items() if in_main else ():
            if handler is not None:
                signal.signal(number, handler)


def was_terminated(error: BaseException) -> bool:
    """Whether SIGTERM caused an error; Lightning turns it into a SystemExit."""
    return isinstance(error, Terminated) or isinstance(error.__context__, Terminated)


@contextmanager
def ending_together() -> Iterator[None]:
    """As `terminated_by_sigterm`; at the end the `children` are waited for.

    An error ends them, since nobody would wait for their results.
    """
    with terminated_by_sigterm():
        try:
            yield
            for child in children:
                child.wait()
        except BaseException:
            for child in children:
                child.kill()
            raise
