"""Commands in a separate, forked process: as real as one that is started, without the seconds that imports take.

It can be killed, has its own environment, standard output and standard error, and inherits the patches of a test. The
processes that a command starts are forked as well, see `typed`; that they are started with the same command line is
tested once, with real ones, in `tests/benchmarks/harness/test_resume.py`.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import BinaryIO

import torch

from benchmarks.harness import processes
from facecloak.assets import list_assets
from facecloak.cli.main import main

LONGEST = 240  # seconds, after which a process that hangs is killed
for each in ("benchmark", "judge", "leaderboard", "sweep", "track"):  # once, instead of in each process
    import_module(f"facecloak.cli.{each}")
list_assets()  # the table is kept, too


class Forked:
    """A process that runs a function; its standard output and standard error go to files, or to open descriptors."""

    def __init__(
        self, target: Callable[[], int], stdout: int | None = None, stderr: int | None = None, **environment: str
    ) -> None:
        self.files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        self.ended: subprocess.CompletedProcess | None = None
        given = (stdout, stderr)
        outputs = [
            file.fileno() if each is None else each for each, file in zip(given, self.files, strict=True)
        ]  # fmt: skip
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be_a_process_of_its_own(target, outputs, environment)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        if self.ended is None:
            os.kill(self.pid, number)

    def wait(self) -> subprocess.CompletedProcess:
        """Wait for its end; returns its exit status, or minus the signal that killed it, and its output."""
        if self.ended is None:
            _, status = os.waitpid(self.pid, 0)
            said = [_read(file) for file in self.files]
            self.ended = subprocess.CompletedProcess([], os.waitstatus_to_exitcode(status), *said)
        return self.ended


def run(*arguments: object, patch: Callable[[], None] | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Run a command of `facecloak` to its end.

    Args:
        patch: called in the process before the command.
    """
    return start(*arguments, patch=patch, **environment).wait()


def start(*arguments: object, patch: Callable[[], None] | None = None, **environment: str) -> Forked:
    """Start a command of `facecloak` without waiting for its end."""

    def command() -> int:
        if patch:
            patch()
        return main([*map(str, arguments)])

    return Forked(command, **environment)


def typed(
    *arguments: object,
    patch: Callable[[], None] | None = None,
    program: Callable[[], int] = main,
    stdout: int | None = None,
    **environment: str,
) -> Forked:
    """As `start`, for a command that starts others (``--devices 2``) since it was typed in a shell; they inherit all.

    Args:
        program: what reads the arguments.
        stdout: where its standard output goes, and theirs.
    """

    def command() -> int:
        sys.argv = ["facecloak", *map(str, arguments)]
        processes.subprocess = SimpleNamespace(
            Popen=lambda command, env: Forked(program, sys.stdout.fileno(), sys.stderr.fileno(), **env)
        )
        if patch:
            patch()
        return program()

    return Forked(command, stdout, **environment)


def _be_a_process_of_its_own(target: Callable[[], int], outputs: list[int], environment: dict[str, str]) -> None:
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(LONGEST)
        for number, output in enumerate(outputs, start=1):
            os.dup2(output, number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2))
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
        logging.getLogger().handlers.clear()  # pytest's: warnings go to standard error
        os.environ.update(environment)
        torch.set_num_threads(1)
        status = target()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def _read(file: BinaryIO) -> str:
    with file:
        file.seek(0)
        return file.read().decode()
