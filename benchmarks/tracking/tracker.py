"""Hands judged cells to a process of its own, `benchmarks.tracking.sender`, that sends them to Weights & Biases."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from tqdm import tqdm

from facecloak.errors import FacecloakError

Mode = Literal["online", "offline", "disabled"]
MEANT: dict[str, Mode] = {"dryrun": "offline", "shared": "online", "run": "online"}  # more words of W&B's
PATIENCE = 60  # seconds that a finished benchmark waits for the last cells to be sent
LOG = "tracking.log"


def mode_of_environment() -> Mode | None:
    """What ``$WANDB_MODE`` says, in W&B's words; None if it says nothing.

    Raises:
        FacecloakError: it is no mode.
    """
    word = os.environ.get("WANDB_MODE") or None
    mode = MEANT.get(word, word)
    if mode not in (*get_args(Mode), None):
        raise FacecloakError(f"$WANDB_MODE is {word!r}; it must be one of {', '.join([*get_args(Mode), *MEANT])}.")
    return mode


class Tracker:
    """Hands judged cells to the process that sends them, and waits for it at the end of a ``with``.

    Args:
        out: the run's folder; W&B's files lie in its ``wandb``.
        mode: ``disabled`` starts nothing; None is ``$WANDB_MODE``, or what `default_mode` finds.

    Raises:
        FacecloakError: ``$WANDB_MODE`` is no mode.
    """

    def __init__(self, out: Path, mode: Mode | None) -> None:
        self.out, self.process = out, None
        self.mode = mode or mode_of_environment()

    def __enter__(self) -> Tracker:
        return self

    def send(self, folder: Path) -> None:
        """Send a judged cell; returns at once."""
        if self.mode == "disabled":
            return
        if self.process is None:
            try:
                self.process = self._start()
            except OSError as error:  # no matter what, the benchmark goes on
                self.mode = "disabled"
                tqdm.write(f"Nothing is sent to Weights & Biases: {error}. {self._again}")
                return
        with suppress(BrokenPipeError):  # said at the end
            self.process.stdin.write(f"{folder.resolve()}\n")
            self.process.stdin.flush()

    @property
    def _again(self) -> str:
        return f"The results are not affected; `python -m benchmarks.tracking.sender {self.out}` sends them again."

    def _start(self) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "benchmarks.tracking.sender",
            "-",
            *(["--wandb", self.mode] if self.mode else []),
        ]
        with open(self.out / LOG, "ab") as log:
            environment = {**os.environ, **({"WANDB_MODE": self.mode} if self.mode else {})}  # in one word
            # a Ctrl-C is for the benchmark; this process goes on until it has sent what it was given
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
                env=environment,
            )

    def __exit__(self, kind: Any, *error: Any) -> None:
        if self.process is None:
            return
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if kind is not None:  # it goes on alone
            return
        try:
            if self.process.wait(PATIENCE):
                tqdm.write(f"Weights & Biases has not got everything: {self.out / LOG} says why. {self._again}")
        except subprocess.TimeoutExpired:
            tqdm.write(f"Cells are still being sent to Weights & Biases, see {self.out / LOG}. {self._again}")
