"""The made-up cells that a large leaderboard is timed with are cells as all others."""

import numpy as np

from benchmarks.results.records import read_records
from benchmarks.results.scoring import success_rows
from benchmarks.results.table import long_table
from benchmarks.studies.board_speed import THRESHOLDS, write_cells
from facecloak.io import read_json


def test_made_up_rows_follow_from_their_records(tmp_path):
    folders = write_cells(tmp_path, cells=3, images=20)
    table, cells = long_table(folders), {folder.name: folder for folder in folders}
    assert len(table) == 9 and table["psr"].between(0, 1).all()
    records = read_records(table, cells)
    for row in table.itertuples():
        assert np.nanmean(records[row.run_id].outcomes("impersonation", row.threshold)) == row.psr
        assert records[row.run_id].psnr.mean() == row.psnr


def test_the_same_seed_makes_the_same_cells(tmp_path):
    one, two = (write_cells(tmp_path / name, cells=1, images=3)[0] for name in ("one", "two"))
    assert (one / "records.jsonl").read_bytes() == (two / "records.jsonl").read_bytes()
    thresholds = read_json(one / "cell.json")["provenance"]["thresholds"]
    assert success_rows([], "impersonation", "dense", [], thresholds, [*THRESHOLDS])[0]["psr"] is None
