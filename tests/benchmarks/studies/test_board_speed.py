"""The made-up judgements that are used to time a large leaderboard are like all other judgements."""

import numpy as np
import pytest

from benchmarks.results.records import read_records
from benchmarks.results.table import long_table
from benchmarks.studies.board_speed import write_judgements


def test_made_up_rows_follow_from_their_records(tmp_path):
    folders = write_judgements(tmp_path, judgements=3, images=20)
    table, records = long_table(folders), read_records(folders)
    assert len(table) == 9 and table["psr"].between(0, 1).all()
    of = {"/".join(folder.parts[-4:-3] + folder.parts[-2:]): records[str(folder)] for folder in folders}
    for row in table.itertuples():
        assert np.nanmean(of[row.run_id].outcomes("impersonation", row.threshold)) == row.psr
        assert of[row.run_id].psnr.mean() == pytest.approx(row.psnr, abs=1e-12)


def test_the_same_seed_makes_the_same_judgements(tmp_path):
    one, two = (write_judgements(tmp_path / name, judgements=1, images=3)[0] for name in ("one", "two"))
    assert (one / "records.jsonl").read_bytes() == (two / "records.jsonl").read_bytes()
