"""The data from which a leaderboard's plots are drawn; and the same cells give the same bytes."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.leaderboard.averages import average_methods
from benchmarks.leaderboard.plots.families import board_name, write_plots
from benchmarks.leaderboard.plots.far import average_curves, box_curves, threshold_curve
from benchmarks.leaderboard.plots.heat import draw_heat, heat_cells
from benchmarks.leaderboard.plots.pareto import draw_pareto
from benchmarks.leaderboard.plots.similarity import similarities
from benchmarks.leaderboard.plots.style import add_note
from benchmarks.leaderboard.results import Results
from facecloak.errors import FacecloakError
from facecloak.io import read_image
from facecloak.metrics.statistics import pareto_front, wilson_interval
from tests.benchmarks.board_toys import THRESHOLDS, board_of, record, write_cell, write_runs


@pytest.fixture
def board(tmp_path):
    return board_of(write_runs(tmp_path / "runs"))


def black_box(table):
    measured = table[table["source"] == "measured"]
    return measured[~measured["white_box"].astype(bool)]


def test_nobody_on_the_front_is_beaten():
    lines = pd.DataFrame({
        "psr": [0.1, 0.5, 0.5, 0.9, 0.9, math.nan, 0.2], "psnr": [math.inf, 30, 31, 20, 20, 50, math.nan],
    })  # fmt: skip
    assert [*pareto_front(lines["psr"], lines["psnr"])] == [True, False, True, True, True, False, False]


def test_a_method_that_lacks_a_cell_has_no_average(board):
    table, records = board.named, board.records
    averages = average_methods(table, records)
    at = averages.query("far == 0.01 and not white_box and source == 'measured'").set_index("name")
    assert at["psr"].drop("bad:default").to_dict() == {"none:default": 0, "strong:default": 0.75, "weak:default": 0.25}
    assert math.isnan(at.loc["bad:default", "psr"]) and tuple(at.loc["bad:default", ["cells", "expected"]]) == (3, 4)
    assert at.loc["none:default", "psnr"] == math.inf and at.loc["weak:default", "psnr"] == 40
    rates = {box: (rate.value, rate.cells, rate.expected) for box, rate in at.loc["bad:default", "boxes"].items()}
    assert rates["ada"] == (0.25, 2, 2) and math.isnan(rates["bob"][0]) and rates["bob"][1:] == (1, 2)


def test_intervals_count_a_photo_once(board):
    """Four photos judged in four cells each are four photos, not sixteen."""
    table, records = board.named, board.records
    averages = average_methods(table, records)
    line = averages.query("far == 0.01 and name == 'strong:default' and not white_box").iloc[0]
    assert line["photos"] == 4
    assert (line["psr_low"], line["psr_high"]) == pytest.approx(wilson_interval(3, 4))


def test_white_box_cells_are_apart(board):
    table, records = board.named, board.records
    averages = average_methods(table, records)
    assert averages[averages["white_box"]]["cells"].tolist() == [1, 1, 1]
    assert averages[~averages["white_box"]]["cells"].max() == 4


def test_ssim_is_drawn_where_nobody_has_a_distance(board):
    averages = average_methods(board.named, board.records).query("far == 0.01 and not white_box")
    own = averages[averages["source"] == "measured"]
    published = averages[averages["source"] == "reported"]
    for lines, label in ((own, "fd_pocket"), (own.assign(distance=math.nan), "SSIM")):
        left, right = draw_pareto(lines, published.iloc[:0], "").axes[:2]
        assert left.get_xlabel().startswith(label) and right.get_xlabel().startswith("PSNR")
        assert len(left.containers) == len(lines[lines["psr"].notna()].dropna(subset=["ssim"]))


@pytest.mark.parametrize("objective", ["impersonation", "obfuscation"])
def test_rates_from_cosines_are_the_rows(tmp_path, objective):
    """At the stored FARs, with an image that failed, one without a face and an unusable one."""
    records = [record(f"p{place}", cosine, 30.0) for place, cosine in enumerate((0.1, 0.4, 0.41, 0.7, 0.2))]
    records += [
        record("lost", None, None, error="no luck"),
        record("late", 0.9, None, error="judged all the same"),
        record("hidden", None, None),
        record("broken", None, None, usable=False, error="not an image"),
        record("alone", 0.9, 30.0, reference=[]),
    ]
    records[6]["cosine"]["self"] = -1.0  # would be a success under either objective
    for place, each in enumerate(records[:5]):
        each["cosine"]["self"] = 0.1 + 0.15 * place
    board = board_of([write_cell(tmp_path, "mine", records=records, objective=objective)])
    rows = black_box(board.named)
    points, rate = box_curves(rows, board.records)["ada"]["mine:default"]
    for row in rows.itertuples():
        assert rate[np.searchsorted(points, row.far)] == row.psr
        outcomes = board.records[row.run_id].outcomes(objective, row.threshold)
        assert np.nanmean(outcomes) == row.psr and (~np.isnan(outcomes)).sum() == row.n_psr == 7
    assert len(set(rows["psr"])) == 3


def test_thresholds_are_exact_where_stored_and_between_elsewhere():
    fars, thresholds = np.array([0.1, 0.01, 0.001]), np.array([*THRESHOLDS.values()])
    points, curve = threshold_curve(fars, thresholds)
    for far, threshold in zip(fars, thresholds, strict=True):
        assert curve[list(points).index(far)] == threshold
    assert points[0] == 0.001 and points[-1] == 0.1
    assert curve[np.argmin(abs(np.log(points) - np.log(10**-1.5)))] == pytest.approx(0.3, abs=0.01)


def test_a_note_is_no_wider_than_its_figure():
    figure = Figure((4.8, 3.3), layout="constrained")
    figure.subplots()
    add_note(
        figure, "How to read this figure, in more words than fit into one line of it, or into two. " * 2 + "\nMore."
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    note = figure._supxlabel.get_window_extent(canvas.get_renderer())
    assert 0.6 * figure.bbox.width < note.width < figure.bbox.width
    assert figure._supxlabel.get_text().splitlines()[-1] == "More."


def test_a_method_that_lacks_a_target_has_no_line(board):
    table, records = board.named, board.records
    curves = box_curves(black_box(table), records)
    assert "bad:default" in curves["ada"] and "bad:default" not in curves["bob"]
    assert set(average_curves(curves, ["ada", "bob"])) == {"none:default", "weak:default", "strong:default"}
    rows = black_box(table)  # a target for which bob has judged no method is missing too
    curves = box_curves(rows[~((rows["black_box"] == "bob") & (rows["target"] == "2"))], records)
    assert len(curves["ada"]) == 4 and "bob" not in curves and not average_curves(curves, ["ada", "bob"])


def test_missing_cells_are_missing_in_the_heat_map(board):
    rows = black_box(board.named)
    cells = heat_cells(rows, "bad:default", 0.01)
    assert math.isnan(cells.loc["bob", "2"]) and cells.notna().to_numpy().sum() == 3
    assert (heat_cells(rows, "strong:default", 0.01) == 75).all(axis=None)
    rest = rows[~((rows["name"] == "weak:default") & (rows["far"] == 0.01))]  # it is still drawn, hatched
    assert heat_cells(rest, "weak:default", 0.01).isna().all(axis=None) and len(heat_cells(rest, "weak:default", 0.1))
    titles = [axes.get_title(loc="left") for axes in draw_heat(rest, 0.01, "a board").axes]
    assert {"weak", "strong"} <= set(titles)


def test_similarities_are_the_cosines_that_decide(board):
    table, records = board.named, board.records
    rows = black_box(table).query("far == 0.01")
    protected, clean = similarities(rows, records, "impersonation")["ada"]["strong:default"]
    assert sorted(protected) == sorted([0.7, 0.65, 0.5, 0.1] * 2) and set(clean) == {0.1}


def test_a_published_average_needs_every_black_box(board):
    table = board.named
    reported = table[table["source"] == "reported"]
    line = average_methods(reported).iloc[0]
    assert line["psr"] == pytest.approx(0.7) and line["distance"] == 12.5 and line["distance_name"] == "FID"
    other = reported.iloc[:1].assign(name="Half", method="Half")
    assert average_methods(pd.concat([reported, other])).set_index("name")["psr"].isna()["Half"]


def test_the_same_cells_give_the_same_bytes(board, tmp_path):
    _table, _records = board.named, board.records
    write_plots(board, tmp_path / "one")
    other = board_of([judgement.folder for judgement in reversed(board.judgements.values())])
    write_plots(other, tmp_path / "two")
    names = {path.name for path in (tmp_path / "one" / "plots").iterdir()} - {"written.json"}
    families = ("pareto", "heat", "far", "similarity")
    kinds = {f"toys_impersonation_{family}.{kind}" for family in families for kind in ("png", "svg")}
    assert names == kinds | {"toys_impersonation_grid.png"}
    for name in names:
        assert (tmp_path / "one/plots" / name).read_bytes() == (tmp_path / "two/plots" / name).read_bytes(), name


def test_plots_of_an_earlier_board_do_not_stay(board, tmp_path):
    _table, _records = board.named, board.records
    (tmp_path / "plots").mkdir()
    for name in ("old_impersonation_heat.png", "mine_impersonation_heat.png", "mine.png"):
        (tmp_path / "plots" / name).write_text("old")
    (tmp_path / "plots" / "written.json").write_text('["old_impersonation_heat.png", "mine.png", "../x_heat.png"]')
    write_plots(board, tmp_path)
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert {"mine.png", "mine_impersonation_heat.png"} < names and "old_impersonation_heat.png" not in names
    assert len(names) == 12 and "toys_impersonation_grid.png" in names


def test_the_grid_takes_each_photo_from_the_run_that_kept_it(board, tmp_path):
    _table, _records = board.named, board.records
    write_plots(board, tmp_path)
    with_both = read_image(tmp_path / "plots" / "toys_impersonation_grid.png")
    for path in (tmp_path / "runs" / "first" / "sources" / "toys").iterdir():
        path.unlink()
    write_plots(board, tmp_path)
    assert np.array_equal(read_image(tmp_path / "plots" / "toys_impersonation_grid.png"), with_both)


def test_reported_lines_alone_make_a_pareto_plot(board, tmp_path):
    write_plots(Results(board.table.iloc[:0], board.published, {}), tmp_path)
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "written.json",
        "toys_impersonation_pareto.png",
        "toys_impersonation_pareto.svg",
    }


@pytest.mark.parametrize("line", ["{", "[]", "{}", json.dumps(record("../p0", 0.1, 1.0))])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    folder = write_cell(tmp_path, "weak")
    board = board_of([folder])
    (folder / "records.jsonl").write_text((folder / "records.jsonl").read_text() + line + "\n")
    with pytest.raises(FacecloakError, match=r"records\.jsonl, line 5: "):
        board.records  # noqa: B018


def test_a_suite_cannot_write_elsewhere():
    assert board_name("pocket", "impersonation") == "pocket_impersonation"
    assert "/" not in board_name("../../x", "impersonation") and board_name("a b", "o") != board_name("a-b", "o")
