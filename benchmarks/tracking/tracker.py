"""Hands judgements to a separate process, `benchmarks.tracking.sender`, that sends them to Weights & Biases."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from facecloak.errors import FacecloakError

Mode = Literal["online", "offline", "disabled"]
MEANT: dict[str, Mode] = {"dryrun": "offline", "shared": "online", "run": "online"}  # W&B's other names for them
PATIENCE = 60  # seconds that a finished benchmark waits for the last methods to be sent
LOG = "tracking.log"
LOGGER = logging.getLogger(__name__)


def mode_of_environment() -> Mode | None:
    """The mode in ``$WANDB_MODE``, which may have any of W&B's names for it; None if it is not set.

    Raises:
        FacecloakError: it is not a mode.
    """
    word = os.environ.get("WANDB_MODE") or None
    mode = MEANT.get(word, word)
    if mode not in (*get_args(Mode), None):
        raise FacecloakError(f"$WANDB_MODE is {word!r}; it must be one of {', '.join([*get_args(Mode), *MEANT])}.")
    return mode


class Tracker:
    """Hands judgements to the process that sends them, and waits for it at the end of a ``with``.

    A method is sent when the next one begins, and at the end. Pictures are sent only if they are asked for.

    Args:
        out: the run's folder; W&B's files are in its ``wandb``.
        mode: ``disabled`` starts nothing; None means ``$WANDB_MODE``, or else online if somebody has logged in.
        images: also send pictures and files, which show faces.

    Raises:
        FacecloakError: ``$WANDB_MODE`` is not a mode.
    """

    def __init__(self, out: Path, mode: Mode | None, images: bool = False) -> None:
        self.out, self.images, self.process = out, images, None
        self.mode = mode or mode_of_environment()

    def __enter__(self) -> Tracker:
        return self

    def send(self, folder: Path) -> None:
        """Send a judgement with the others of its method; returns at once."""
        if self.mode == "disabled":
            return
        if self.process is None:
            try:
                self.process = self._start()
            except OSError as error:  # in any case the benchmark continues
                self.mode = "disabled"
                LOGGER.warning(f"Nothing is sent to Weights & Biases: {error}. {self._again}")
                return
        with suppress(BrokenPipeError):  # reported at the end
            self.process.stdin.write(f"{folder.resolve()}\n")
            self.process.stdin.flush()

    @property
    def _again(self) -> str:
        images = " --wandb-images" if self.images else ""
        return f"The results are not affected; `facecloak track {self.out}{images}` sends what is missing."

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.tracking.sender"]
        command += ["--wandb", self.mode] if self.mode else []
        command += ["--wandb-images"] if self.images else []
        environment = {**os.environ, **({"WANDB_MODE": self.mode} if self.mode else {})}  # the normalized name
        with open(self.out / LOG, "ab") as log:
            # Ctrl-C stops only the benchmark; this process continues until it has sent what it was given
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True,
                env=environment,
            )  # fmt: skip

    def __exit__(self, kind: Any, *error: Any) -> None:
        if self.process is None:
            return
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if kind is not None:  # the process continues without the benchmark
            return
        try:
            if self.process.wait(PATIENCE):
                LOGGER.warning(f"Not everything was sent to Weights & Biases: {self.out / LOG} says why. {self._again}")
        except subprocess.TimeoutExpired:
            LOGGER.warning(f"Results are still being sent to Weights & Biases, see {self.out / LOG}. {self._again}")
