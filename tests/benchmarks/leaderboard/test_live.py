"""The tables of a run in progress are written often at first, and rarely when that takes long."""

from itertools import pairwise
from pathlib import Path

from benchmarks.leaderboard import live


def test_writing_takes_a_fiftieth_of_the_time_at_most(monkeypatch, tmp_path):
    now, written = [1000.0], []

    def write(tables):
        written.append(now[0])
        now[0] += 3.0

    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live.LiveTables, "_tables", write)
    tables = live.LiveTables(tmp_path)
    for _ in range(400):
        tables.refresh(Path("judgement"))
        now[0] += 1.0
    assert written[0] - 1000 == live.PAUSE + 1
    assert len(written) == 3 and all(later - earlier > 150 for earlier, later in pairwise(written))
    assert 3.0 * len(written) < 2.5 * live.SHARE * (now[0] - 1000)  # the first one comes early
