"""Tables and page agree on every board, however irregular, and their values are right."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.leaderboard.averages import average_methods, name_methods, wide_table
from benchmarks.leaderboard.page.data import describe_boards
from benchmarks.leaderboard.reported import read_reported
from benchmarks.leaderboard.text import latex, markdown, wide_csv
from benchmarks.results.scoring import summary
from benchmarks.results.store import find_judgements
from benchmarks.results.table import long_table
from facecloak.metrics.statistics import wilson_interval
from tests.benchmarks.board_toys import record, records_of, write_cell
from tests.benchmarks.handmade import edit

BOXES = ("ada", "bob")
CELLS = [(target, box) for target in ("1", "2") for box in BOXES]


def read_board(run, path):
    """The lines of wide.csv and of the page, each by (objective, white box, method), and the text of leaderboard.md."""
    folders = find_judgements([run])
    table, records = long_table(folders), records_of(folders)
    wide = wide_table(table, records)
    path.write_bytes(wide_csv(wide))
    lines = pd.read_csv(path).set_index(["objective", "white_box", "method"]).to_dict("index")
    page = {}
    for each in json.loads(
        json.dumps(describe_boards(name_methods(table), average_methods(name_methods(table), records)), allow_nan=False)
    ):
        for line in each["lines"]:
            if line["far"] == each["headline"]:
                page[each["objective"], line["white"], line["name"].split(":")[0]] = line
    return lines, page, markdown(table, wide, read_reported().iloc[:0])


def without_rows(folder, far):
    """Delete the row of a FAR from a cell."""
    edit(folder, lambda rows, _: rows.remove(next(row for row in rows if row["far"] == far)))


@pytest.fixture
def irregular(tmp_path):
    """A run with a cell missing, networks that differ, an unchanged cell, photos without a face, a lost row.

    The same photos are in both targets, and the folder's name has a + in it.
    """
    run, shared = tmp_path / "run", {"dataset": "my+photos", "amortised_seconds_per_image": 0.5, "lpips": 0.125}
    shared["pocket_perceptual"] = 0.25
    for target, box in CELLS:
        unchanged = [record(f"p{place}", 0.3, None) for place in range(4)]
        changes = {"records": unchanged, "psnr": None, "n_identical": 4} if (target, box) == ("2", "ada") else {}
        write_cell(run, "weak", target, box, **shared, **changes)
        seen = [record(f"p{place}", cosine, 25.0) for place, cosine in enumerate((0.7, 0.65, 0.5, 0.1))]
        for each in seen[:2] if box == "bob" else seen[:1]:  # p0 is in no cell's rate, p1 only in ada's
            each.update(detected=False, cosine={})
        seen[3]["reference"] = ["target"]
        for cosines in (seen[3]["cosine"], seen[3]["cosine_clean"]):
            del cosines["self"]
        write_cell(run, "strong", target, box, seen, fd_network="other", **shared)
        write_cell(run, "none", target, box, **shared)
        if (target, box) != ("2", "bob"):
            write_cell(run, "bad", target, box, **shared)
        without_rows(write_cell(run, "lost", target, box, **shared), 0.01)
    write_cell(run, "strong", "1", "ada", white_box=True, fd_network="other", **shared)
    write_cell(run, "strong", "1", "ada", objective="obfuscation", **shared)
    return run


def test_tables_and_page_agree_in_every_column(irregular, tmp_path):
    tables, page, _ = read_board(irregular, tmp_path / "wide.csv")
    assert set(tables) == set(page) and len(page) == 7
    for key, line in page.items():
        wide, ends = tables[key], ("", "_low", "_high")
        pairs = [(f"average psr{end}", 1e2, line["psr"][place]) for place, end in enumerate(ends)]
        for box, (*rate, cells, _) in line["boxes"].items():
            pairs += [(f"psr{end} {box}", 1e2, rate[place]) for place, end in enumerate(ends)]
            pairs.append((f"n_cells {box}", 1, cells))
        pairs += [(f"average {rate}", 1e2, line[rate]) for rate in ("psr_clean", "dodging", "dodging_clean")]
        same = ("ssim", "lpips", "pocket_perceptual", "distance", "seconds_per_image", "n_images", "n_identical",
                "n_undetected", "n_failed", "n_unusable")  # fmt: skip
        pairs += [(column, 1, line[column]) for column in same] + [("n_cells", 1, line["cells"])]
        for column, scale, value in pairs:
            expected = math.nan if value is None else scale * value
            assert wide[column] == pytest.approx(expected, nan_ok=True, rel=1e-5, abs=1e-9), (key, column)
        assert line["expected"] == wide["n_targets"] * wide["n_boxes"]
        assert line["distance_name"] == wide["distance_name"]
        assert str(wide["psnr"]) == str("nan" if line["psnr"] is None else line["psnr"])


def test_what_they_say_of_an_irregular_board(irregular, tmp_path):
    tables, page, text = read_board(irregular, tmp_path / "wide.csv")
    at = {method: page["impersonation", False, method] for method in ("none", "weak", "strong", "bad", "lost")}
    # p0 has no face in any cell, p1 has none in the cells that bob judges
    assert at["strong"]["photos"] == 3 and at["weak"]["photos"] == 4
    assert at["strong"]["psr"] == pytest.approx([7 / 12, *wilson_interval(7 / 4, 3)], rel=1e-5)
    assert at["strong"]["boxes"]["bob"] == pytest.approx([1 / 2, *wilson_interval(1, 2), 2, 2], rel=1e-5)
    wide = tables["impersonation", False, "strong"]
    ends = [100 * end for end in wilson_interval(wide["average dodging"] / 100 * 2, 2)]  # p3 has no other photo
    assert [wide["average dodging_low"], wide["average dodging_high"]] == pytest.approx(ends, abs=1e-9)
    assert (at["weak"]["psnr"], at["none"]["psnr"], at["bad"]["psnr"]) == (40, "identical", None)
    assert {line["distance"] for line in at.values()} == {None} and at["weak"]["distance_name"] == "fd"
    assert page["impersonation", True, "strong"]["distance_name"] == "fd_other"
    assert at["bad"]["psr"] == at["lost"]["psr"] == [None] * 3 and (at["bad"]["cells"], at["lost"]["cells"]) == (3, 0)
    assert at["lost"]["n_failed"] is None and at["lost"]["boxes"]["ada"] == [None] * 3 + [0, 2]
    lost = next(line for line in text.splitlines() if line.startswith("| lost"))
    assert [cell.strip() for cell in lost.split("|")[3:6]] == ["– (0 of 2)", "– (0 of 4)", "– (0 of 4)"]


def test_a_target_that_a_recognizer_has_of_nobody_is_missing(tmp_path):
    for method in ("none", "strong"):
        for target, box in CELLS[:3]:
            write_cell(tmp_path / "run", method, target, box)
    tables, page, text = read_board(tmp_path / "run", tmp_path / "wide.csv")
    for key, line in page.items():
        assert line["psr"] == [None] * 3 and (line["cells"], line["expected"]) == (3, 4)
        assert line["boxes"]["bob"] == [None] * 3 + [1, 2] and line["boxes"]["ada"][0] is not None
        assert np.isnan(tables[key]["average psr"]) and np.isnan(tables[key]["psr bob"])
    assert text.count("– (1 of 2)") == 2


@pytest.mark.parametrize(("networks", "name", "distances"), [
    (("pocket", "pocket", "pocket"), "fd_pocket", (0.0, 1.5, 1.25)),
    (("pocket", "pocket", "other"), "fd", (None, None, None)),
    (("pocket", None, None), "FID", (None, 20.0, 20.0)),
])  # fmt: skip
def test_distances_of_several_networks_are_not_compared(tmp_path, networks, name, distances):
    methods = ("none", "weak", "strong")
    for method, network in zip(methods, networks, strict=True):
        fid = {} if network else {"fid": 20.0}
        write_cell(tmp_path / "run", method, fd_network=network, **fid)
    tables, page, text = read_board(tmp_path / "run", tmp_path / "wide.csv")
    for method, distance in zip(methods, distances, strict=True):
        key = ("impersonation", False, method)
        assert page[key]["distance_name"] == name
        assert page[key]["distance"] == (None if distance is None else pytest.approx(distance, abs=1e-5))
        assert tables[key]["distance"] == pytest.approx(
            math.nan if distance is None else distance, nan_ok=True, abs=1e-5
        )
    head, _, *lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line[:2] == "| "][:5]
    found = {line[1].split(":")[0]: line[head.index(name)] for line in lines}
    assert found == {
        method: "–" if each is None else f"{each:.2f}" for method, each in zip(methods, distances, strict=True)
    }


def test_perceptual_distances_of_two_networks_are_two_columns_and_in_no_common_mean(tmp_path):
    """A run before LPIPS was fetched, one after it, and a method of which each cell is from another of the two."""
    measured = {"weak": [{"pocket_perceptual": 0.5}] * 2, "strong": [{"pocket_perceptual": 0.25, "lpips": 0.125}] * 2,
                "bad": [{"pocket_perceptual": 0.75}, {"lpips": 0.375}]}  # fmt: skip
    for method, cells in measured.items():
        for box, values in zip(BOXES, cells, strict=True):
            write_cell(tmp_path / "run", method, box=box, **values)
    tables, page, text = read_board(tmp_path / "run", tmp_path / "wide.csv")
    expected = {"weak": (None, 0.5), "strong": (0.125, 0.25), "bad": (None, None)}
    for method, pair in expected.items():
        key = ("impersonation", False, method)
        assert (page[key]["lpips"], page[key]["pocket_perceptual"]) == pair
        found = [tables[key][column] for column in ("lpips", "pocket_perceptual")]
        assert found == pytest.approx([math.nan if each is None else each for each in pair], nan_ok=True)
    head, _, *lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line[:2] == "| "][:5]
    places = [head.index(each) for each in ("LPIPS", "pocket perceptual")]
    assert {line[1].split(":")[0]: tuple(line[place] for place in places) for line in lines} == {
        method: tuple("–" if each is None else f"{each:.3f}" for each in pair) for method, pair in expected.items()
    }


def test_tables_have_no_column_of_a_distance_that_nobody_has(tmp_path):
    write_cell(tmp_path / "run", "weak")
    text = read_board(tmp_path / "run", tmp_path / "wide.csv")[2]
    assert "SSIM" in text and "LPIPS" not in text and "perceptual" not in text


def test_no_distance_is_bold_where_networks_differ(tmp_path):
    for method, network in (("weak", "pocket"), ("strong", "other")):
        write_cell(tmp_path / "run", method, fd_network=network)
    folders = find_judgements([tmp_path / "run"])
    table, records = long_table(folders), records_of(folders)
    text = latex(table, wide_table(table, records), read_reported().iloc[:0])
    assert "1.25" not in text and "1.50" not in text and "fd &" in text


def test_an_objective_without_the_headline_far_has_lines_at_its_own(tmp_path):
    write_cell(tmp_path / "run", "strong")
    without_rows(write_cell(tmp_path / "run", "weak", objective="obfuscation"), 0.01)
    tables, page, text = read_board(tmp_path / "run", tmp_path / "wide.csv")
    assert tables["impersonation", False, "strong"]["far"] == 0.01
    assert tables["obfuscation", False, "weak"]["far"] == page["obfuscation", False, "weak"]["far"] == 0.001
    assert "toys, obfuscation: PSR in % at FAR 0.001" in text and "| weak:default | 100.0" in text


def test_white_boxes_without_the_headline_row_are_missing_and_not_gone(tmp_path):
    write_cell(tmp_path / "run", "strong")
    without_rows(write_cell(tmp_path / "run", "weak", white_box=True), 0.01)
    tables, page, text = read_board(tmp_path / "run", tmp_path / "wide.csv")
    assert page["impersonation", True, "weak"]["psr"] == [None] * 3
    assert tables["impersonation", True, "weak"]["n_cells"] == 0 and text.count("at FAR 0.01,") == 2


def test_a_summary_says_identical_only_of_equal_images():
    row = dict.fromkeys(("psr", "psr_clean", "dodging", "psnr")) | {"far": 0.01, "n_identical": 0}
    assert "identical" not in summary([[row]]) and summary([[row]]).endswith("PSNR –")
    assert summary([[row | {"n_identical": 4}]]).endswith("identical")
    assert summary([[row | {"psnr": 31.25}]]).endswith("31.2 dB")


def test_a_judge_that_saw_several_sets_of_surrogates_has_their_mean(tmp_path):
    """A recognizer outside the suite's pool has one place in the table, however many sets were attacked."""
    for surrogates, cosine in (("ada+bob", 0.9), ("ada+cyd", 0.1)):
        write_cell(tmp_path / "run", "strong", box="mine", surrogates=surrogates, records=[record("p0", cosine, 30.0)])
    write_cell(tmp_path / "run", "none", box="mine", surrogates="", records=[record("p0", 0.1, None)])
    tables, page, _ = read_board(tmp_path / "run", tmp_path / "wide.csv")
    line, wide = page["impersonation", False, "strong"], tables["impersonation", False, "strong"]
    assert line["psr"][0] == 0.5 and (line["cells"], line["expected"], line["photos"]) == (1, 1, 1)
    assert wide["psr mine"] == 50 and wide["n_cells mine"] == 1
