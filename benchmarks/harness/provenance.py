"""Which version of the code makes pictures and rows."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import facecloak

ROOT = Path(__file__).resolve().parents[2]


def made_by() -> str:
    """The version and, in a checkout, the commit of the code that makes pictures now."""
    return " ".join(filter(None, (facecloak.__version__, git_sha())))


@cache
def git_sha() -> str | None:
    """The commit of the checkout that this code runs from, +changes if it is not clean; None if it is installed."""
    if not (ROOT / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=True).stdout
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+changes" if changes else "")
