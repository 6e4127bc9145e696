"""The tables of a run in progress: made from all complete judgements in its folder."""

from __future__ import annotations

import time
from pathlib import Path

from filelock import FileLock

from benchmarks.leaderboard.text import write_leaderboard
from benchmarks.results.pictures import write_grid
from benchmarks.results.store import find_judgements, protections_folder

PAUSE = 20.0  # seconds between two writings, at least
SHARE = 0.02  # of the run's time that writings may take: each reads all judgements


class LiveTables:
    """Writes ``leaderboard.csv``, ``leaderboard_wide.csv``, ``leaderboard.md`` and ``grid.png`` of a run.

    Two commands may work in one folder: the tables always contain the judgements of both.

    Args:
        out: the run's folder.
    """

    def __init__(self, out: Path) -> None:
        self.out, self._next = out, time.monotonic() + PAUSE

    def refresh(self, judgement: Path) -> None:
        """A judgement was made: write the tables again, unless that was done a short time ago, or costs much time."""
        began = time.monotonic()
        if began > self._next:
            self._tables()
            ended = time.monotonic()
            self._next = ended + max(PAUSE, (ended - began) / SHARE)

    def write(self) -> None:
        """Write tables and pictures now."""
        write_grid(self.out, self._tables())

    def _tables(self) -> list[Path]:
        (self.out / "locks").mkdir(exist_ok=True)
        with FileLock(self.out / "locks" / "tables.lock"):
            found = find_judgements([self.out]) if protections_folder(self.out).is_dir() else []
            folders = [folder for folder in found if (folder / "judgement.json").is_file()]
            write_leaderboard(self.out, folders)
            return folders
