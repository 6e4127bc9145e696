"""W&B's client, set up so that it reports nothing about this machine; and which server and account it uses."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import wandb

from benchmarks.tracking.tracker import Mode, mode_of_environment
from facecloak.errors import FacecloakError

PROJECT = "facecloak"  # unless $WANDB_PROJECT is set
LONGEST = 20  # seconds that one question to the server may take
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # W&B's own telemetry contains paths


class NoAnswer(FacecloakError):
    """The server is silent: it would be no use to send it anything else now."""


def default_mode() -> Mode:
    """Online if somebody has logged in, otherwise offline."""
    return "online" if wandb.login(prompt=False, verify=False) else "offline"


def longest_wait() -> float:
    """Seconds that sending a run may take, in addition to the time for its size: ``$WANDB_FINISH_TIMEOUT``, or 60.

    Raises:
        FacecloakError: it is not a number of seconds.
    """
    text = os.environ.get("WANDB_FINISH_TIMEOUT") or "60"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise FacecloakError(f"$WANDB_FINISH_TIMEOUT is {text!r}; it must be a number of seconds, such as 60.")
    return seconds


def check_environment() -> None:
    """Check the variables with which W&B's client would end in a traceback."""
    longest_wait()
    mode_of_environment()


def project() -> str:
    """The project that runs are sent to."""
    return os.environ.get("WANDB_PROJECT", PROJECT)


def new_api() -> wandb.Api:
    """The client's questions to the server; making it asks who has logged in, and it gives no answer a second time."""
    return wandb.Api(timeout=max(1, min(LONGEST, round(longest_wait()))))


@cache
def _api() -> wandb.Api:
    return new_api()


def api() -> wandb.Api:
    """As `new_api`, but one is kept, for questions about runs."""
    found = _api()
    found.flush()  # it would give an earlier answer again
    return found


def teardown() -> None:
    """End W&B's background process, which writes what it still holds to the disk."""
    _api.cache_clear()  # it uses that process
    wandb.teardown()


def entity() -> str:
    """The user or team that runs are sent to."""
    return api().settings["entity"] or api().default_entity


def init(**about: Any) -> wandb.Run:
    """A run of W&B that reports nothing about this machine or its packages."""
    quiet = wandb.Settings(
        silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True,
        x_disable_machine_info=True, x_save_requirements=False, host="", finish_timeout=longest_wait(),
        stop_fn=about.pop("stop_fn", None),
    )  # fmt: skip
    return wandb.init(project=project(), settings=quiet, reinit="finish_previous", **about)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn an error of the client into a `NoAnswer` that begins with ``what``.

    The client's errors have no class in common, and an answer that it does not expect is a TypeError in it.
    """
    try:
        yield
    except FacecloakError:
        raise
    except Exception as error:
        raise NoAnswer(f"{what}: {one_line(error)}") from None


def one_line(error: object) -> str:
    """The text of an error on one line, without its own full stop."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
