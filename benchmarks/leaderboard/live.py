"""PENDING: replaced by the board branch."""

from __future__ import annotations

from pathlib import Path

from benchmarks.leaderboard.text import write_leaderboard
from benchmarks.results.store import find_judgements


class LiveTables:
    """PENDING."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def refresh(self, folder: Path) -> None:
        """PENDING."""

    def write(self) -> None:
        """PENDING."""
        write_leaderboard(self.out, find_judgements([self.out]))
