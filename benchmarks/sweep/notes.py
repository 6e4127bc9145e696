"""Notes about trials of W&B's agents: left when a trial begins, removed when W&B was seen to know how it ended.

A note that is left over belongs to a trial that was killed, or whose reports W&B refused or did not get. The next
`facecloak sweep` in the folder runs it again under its id: what is finished is not made again, and what W&B has is not
sent again. W&B itself hands out each place of a grid only once.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmarks.sweep.command import MODULE
from facecloak.io import read_json, write_json

FOLDER = "trials"  # in the folder of W&B's files
# what W&B's agent tells a trial
NAMES = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_SWEEP_PARAM_PATH")


@contextmanager
def noted(arguments: list[str]) -> Iterator[Path]:
    """Leave a note about this trial, and hold its lock: a trial whose lock is held is running."""
    note = Path(os.environ.get("WANDB_DIR", ".")) / "wandb" / FOLDER / f"{os.environ['WANDB_RUN_ID']}.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(note.with_suffix(".lock")):
        environment = {name: os.environ[name] for name in NAMES if name in os.environ}
        write_json(note, {"arguments": arguments, "environment": environment})
        yield note


def left_over(out: Path, sweep: str) -> dict[Path, dict[str, Any]]:
    """The notes about trials of a sweep that no process runs, with the ``arguments`` and ``environment`` of each.

    Args:
        out: folder of the agents that started them.
        sweep: id of the sweep.
    """
    found = {}
    for note in sorted((out / "wandb" / FOLDER).glob("*.json")):
        about = read_json(note)
        if about["environment"]["WANDB_SWEEP_ID"] == sweep and _is_free(note):
            found[note] = about
    return found


def _is_free(note: Path) -> bool:
    try:
        with FileLock(note.with_suffix(".lock"), timeout=0):
            return True
    except Timeout:
        return False


def typed(note: Path) -> str:
    """The line that runs the trial of a note again."""
    about = read_json(note)
    environment = [f"{name}={value}" for name, value in about["environment"].items()]
    return shlex.join(["env", *environment, "python", "-m", MODULE, *about["arguments"]])
