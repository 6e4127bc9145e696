"""What is read from curves, in every table: numbers by hand, bounds, and nothing new in runs without curves."""

import io
import json

import pandas as pd
import pytest

from benchmarks.leaderboard.averages import wide_table
from benchmarks.leaderboard.curves import DODGING, curves_markdown, points_table, with_levels, write_curves
from benchmarks.leaderboard.page.data import describe_levels
from benchmarks.leaderboard.text import wide_csv, write_leaderboard
from tests.benchmarks.board_toys import board_of, record, write_cell

AT_30, AT_SSIM, AT_50 = "PSR at 30 dB, %", "PSR at SSIM 0.90, %", "PSNR dB at PSR 50 %"
# method → strength → how many of four photos succeed, PSNR, SSIM, LPIPS
POINTS = {
    "steep": {2: (0, 40, 0.99, 0.01), 4: (2, 32, 0.95, 0.05), 8: (3, 26, 0.85, 0.1)},
    "fine": {2: (1, 45, 0.99, 0.01), 4: (2, 40, 0.97, 0.02)},  # always better than the levels of quality
    "coarse": {2: (3, 28, 0.8, 0.2), 4: (4, 22, 0.7, 0.3)},  # never, but always better than a PSR of 50 %
    "blocks": {8: (1, 45, 0.99, 0.01), 4: (2, 35, 0.95, 0.02)},  # the higher the setting, the weaker the method
    "alone": {8: (1, 45, 0.99, 0.01)},
}  # fmt: skip


def write_points(run, objective="impersonation", points=POINTS):
    """A judgement for each of these points; returns their folders."""
    folders = []
    for method, own in points.items():
        for strength, (won, psnr, ssim, lpips) in own.items():
            wins = [place < won for place in range(4)]
            if objective == "impersonation":
                cosines = [{"target": 0.5 if each else 0.3, "self": 0.9} for each in wins]
            else:
                cosines = [{"target": 0.1, "self": 0.3 if each else 0.5} for each in wins]
            records = [
                record(f"p{place}", 0.0, psnr, ssim=ssim, lpips=lpips) | {"cosine": each}
                for place, each in enumerate(cosines)
            ]
            folders.append(write_cell(run, method, records=records, strength=strength, objective=objective))
    return folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Curves of impersonation; besides them a white box and another objective, of one strength each."""
    run = tmp_path_factory.mktemp("levels")
    other = write_points(run, "obfuscation", {"steep": {8: (3, 26, 0.85, 0.1)}})
    return [*write_points(run), *other, write_cell(run, "steep", white_box=True)]


@pytest.fixture(scope="module")
def lines(folders):
    """wide.csv, read back."""
    results = board_of(folders)
    wide = with_levels(wide_table(results.with_published), results.curves)
    return pd.read_csv(io.BytesIO(wide_csv(wide)))


def test_every_strength_of_a_method_has_what_is_read_from_its_curve(lines):
    board = lines[(lines["objective"] == "impersonation") & ~lines["white_box"] & (lines["source"] == "measured")]
    found = board.groupby("method")[[AT_30, AT_SSIM, AT_50]].agg(lambda own: {*own.round(4)})
    assert found.loc["steep"].tolist() == [{58.3333}, {62.5}, {32.0}]
    assert found.loc["fine", AT_30] == {50.0} and found.loc["coarse", AT_50] == {28.0}
    assert (board["method"] == "steep").sum() == 3
    assert board[AT_30].dtype == float
    low, high = (board.set_index("method").loc["steep", f"{AT_SSIM} {end}"].dropna() for end in ("low", "high"))
    assert (low < 62.5).all() and (high > 62.5).all()


def test_a_bound_is_marked_and_what_no_strength_reaches_is_empty(lines):
    board = lines[(lines["objective"] == "impersonation") & ~lines["white_box"] & (lines["source"] == "measured")]
    first = board.drop_duplicates("method").set_index("method")
    assert first[f"{AT_30} bound"].dropna().to_dict() == {"steep": False, "fine": True, "blocks": True}
    assert first["LPIPS at PSR 50 % bound"]["coarse"] and first["LPIPS at PSR 50 %"]["coarse"] == 0.2
    ends = ("", " low", " high", " bound")
    assert first.loc["coarse", [f"{AT_30}{end}" for end in ends]].isna().all()
    heads = [column for column in lines if " at PSR " in column or column.startswith("PSR at ")]
    assert len(heads) == 4 * 8 and first.loc["alone", heads].isna().all()
    others = lines.drop(board.index)
    assert {*others["source"]} == {"measured", "reported"} and others["white_box"].any() and len(others) == 3
    assert others[heads].isna().all(axis=None)


def test_a_curve_begins_at_its_weakest_strength(folders):
    (curves,) = board_of(folders).curves.values()
    values = {curve.name: curve.values for curve in curves}
    assert values["blocks"] == [8, 4] and values["steep"] == [2, 4, 8]
    points = points_table(curves).set_index(["method", "value"])
    assert points["psnr"]["blocks"].tolist() == [45, 35] and points["psr"]["blocks"].tolist() == [0.25, 0.5]
    assert [len(curve.lines) for curve in curves] == [len(curve.values) for curve in curves]


def test_texts_page_and_file_say_at_least(folders, tmp_path):
    results = board_of(folders)
    table = results.equal_quality().set_index("method")
    assert table[AT_30]["fine"].bound and table[AT_30]["blocks"].mean == 50 and not table[AT_30]["steep"].bound
    lines = [line.split(" | ") for line in curves_markdown(results.curves).splitlines()]
    texts = {line[0].removeprefix("| "): [cell.rstrip(" |") for cell in line[1:]] for line in lines if len(line) == 9}
    place = texts["method"].index
    assert texts["fine"][place(AT_30)].startswith("≥ 50.0 (") and texts["coarse"][place(AT_30)] == "–"
    assert texts["coarse"][place("LPIPS at PSR 50 %")].startswith("≤ 0.200 (")
    assert texts["steep"][place(AT_30)].startswith("58.3")
    (board,) = json.loads(json.dumps(describe_levels(results.curves), allow_nan=False))
    levels = {method["name"]: method["levels"][AT_30] for method in board["methods"]}
    assert levels["fine"][0] == 50 and levels["fine"][3] is True and levels["coarse"] == [None, None, None, False]
    write_curves(results.curves, tmp_path)
    file = pd.read_csv(tmp_path / "equal_quality.csv").set_index(["method", "level"])
    assert file["mean"].dtype == float and file["bound"].dtype == bool
    assert file["bound"]["fine", AT_30] and not file["bound"]["steep", AT_30] and not file["bound"]["coarse", AT_30]


def test_a_run_writes_them_too(folders, tmp_path):
    write_leaderboard(tmp_path, folders)
    found = pd.read_csv(tmp_path / "leaderboard_wide.csv")
    own = found[(found["method"] == "fine") & (found["objective"] == "impersonation")]
    assert own[AT_30].tolist() == [50, 50] and own[f"{AT_30} bound"].tolist() == [True, True]
    text = (tmp_path / "leaderboard.md").read_text()
    assert "## toys, impersonation: compared at equal quality" in text and "| fine | ≥ 50.0" in text


def test_a_run_without_curves_has_the_same_tables_as_before_and_reads_no_records(tmp_path):
    folders = write_points(tmp_path / "run", points={"steep": {8: (3, 26, 0.85, 0.1)}, "alone": POINTS["alone"]})
    results = board_of(folders)
    wide = wide_table(results.plain)
    assert with_levels(wide, results.curves) is wide
    for folder in folders:
        (folder / "records.jsonl").unlink()
    write_leaderboard(tmp_path, folders)
    assert (tmp_path / "leaderboard_wide.csv").read_bytes() == wide_csv(wide)
    assert "equal quality" not in (tmp_path / "leaderboard.md").read_text()


def test_the_psr_of_obfuscation_is_dodging_and_the_table_says_so(tmp_path):
    dodging, impersonation = (
        board_of(write_points(tmp_path / name, name)) for name in ("obfuscation", "impersonation")
    )
    ((key, curves),) = dodging.curves.items()
    assert key == ("toys", "obfuscation")
    rows = dodging.plain[dodging.plain["far"] == 0.01].groupby("method")["dodging"].agg(sorted)
    for name, own in points_table(curves).groupby("method"):
        assert sorted(own["psr"]) == rows[name]
    assert dodging.equal_quality(objective="obfuscation").set_index("method")[AT_30]["steep"].mean == pytest.approx(
        175 / 3
    )
    assert DODGING in curves_markdown(dodging.curves) and "## toys, obfuscation: compared" in curves_markdown(
        dodging.curves
    )
    assert DODGING not in curves_markdown(impersonation.curves)
