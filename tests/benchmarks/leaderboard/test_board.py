"""`facecloak leaderboard`: tables of any number of runs, as a pure function of their directories."""

import shutil

import numpy as np
import pandas as pd
import pytest

from benchmarks.leaderboard.averages import wide_table
from benchmarks.leaderboard.results import load_results
from benchmarks.results.schema import COLUMNS
from benchmarks.results.store import find_judgements
from benchmarks.results.table import long_table, method_names
from facecloak.cli.main import main
from facecloak.metrics.statistics import wilson_interval
from tests.benchmarks.board_toys import records_of
from tests.benchmarks.handmade import BOXES, write_cell, write_run

pytestmark = pytest.mark.usefixtures("tables_only")


def board(tmp_path, *runs, name="board"):
    """The folder of a board of these runs."""
    assert main(["leaderboard", *map(str, runs), "--out", str(tmp_path / name)]) == 0
    return tmp_path / name


def section(text: str, head: str) -> list[list[str]]:
    """The table below the heading that begins with this text, cell by cell."""
    (part,) = (part for part in text.split("\n## ") if part.startswith(head))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]


def wide_of(*folders) -> pd.DataFrame:
    judgements = find_judgements(folders)
    return wide_table(long_table(judgements), records_of(judgements))


def test_long_holds_every_row_in_full_precision_then_the_reported_ones(sound, tmp_path):
    long = pd.read_csv(board(tmp_path, sound) / "long.csv", float_precision="round_trip")
    assert list(long.columns) == list(COLUMNS)
    measured = long_table(find_judgements([sound]))
    assert list(long["source"]) == ["measured"] * len(measured) + ["reported"] * 24
    numbers = ["psr", "psr_low", "psr_high", "psnr", "ssim", "cosine_rise_black_box", "threshold"]
    pd.testing.assert_frame_equal(
        long.loc[: len(measured) - 1, numbers], measured[numbers].astype("float64"), check_exact=True
    )


def test_published_numbers_are_rows_of_their_own(sound, tmp_path):
    out = board(tmp_path, sound)
    reported = pd.read_csv(out / "long.csv").query("source == 'reported'")
    assert reported[["paper", "note", "psr"]].notna().all(axis=None) and (reported["far"] == 0.01).all()
    assert set(reported["suite"]) == {"celeba_hq"} and set(reported["target"]) == {"mean"}
    assert reported[["n_images", "psr_low", "dodging", "seconds_per_image", "device"]].isna().all(axis=None)
    psr = reported.pivot(index="method", columns="black_box", values="psr")
    assert psr.loc["TIP-IM"].to_dict() == {"irse50": 0.544, "ir152": 0.3723, "facenet": 0.4074, "mobile_face": 0.4872}
    assert psr.loc["proposed", "mobile_face"] == 0.9157 and psr.shape == (6, 4)
    assert reported.query("method == 'DiffAM'")[["fid", "psnr", "ssim"]].drop_duplicates().values.tolist() == [
        [26.10, 20.53, 0.886]
    ]
    assert "77.88 %" in reported.query("method == 'DiffAM'")["note"].iloc[0]
    text = (out / "leaderboard.md").read_text()
    assert text.index("## toys") < text.index("## celeba_hq, impersonation: reported, not measured here")
    table = section(text, "celeba_hq, impersonation: reported")
    assert len(table) == 8 and all(line[0].endswith("†") for line in table[2:])
    assert "†" not in "".join(map("".join, section(text, "toys")))
    assert "TIP-IM: Yang et al., ICCV 2021; average over CelebA-HQ and LADN, 8 cells: 50.06 %." in text


def test_published_numbers_never_join_the_averages_of_their_suite(tmp_path):
    run = write_run(tmp_path / "run", suite="celeba_hq")
    alone = wide_of(run)
    wide = pd.read_csv(board(tmp_path, run) / "wide.csv").query("source == 'measured'")
    assert list(wide["average psr"]) == pytest.approx(list(alone["average psr"])) and wide["average psr"].notna().all()


def test_a_missing_target_makes_its_black_box_and_the_average_missing(sound, run, cell, tmp_path):
    shutil.rmtree(cell)
    line, whole = (wide_of(each).set_index("method").loc["pgd"] for each in (run, sound))
    assert np.isnan(line["psr ada"]) and line["psr bob"] == whole["psr bob"]
    assert line[["average psr", "average dodging", "psnr", "ssim", "distance", "seconds_per_image"]].isna().all()
    assert (line["n_cells ada"], line["n_cells bob"], line["n_cells"], line["n_targets"], line["n_boxes"]) == (
        1,
        2,
        5,
        2,
        3,
    )
    assert wide_of(run).set_index("method").loc["none", "average psr"] == pytest.approx(
        wide_of(sound).set_index("method").loc["none", "average psr"]
    )
    text = (board(tmp_path, run) / "leaderboard.md").read_text()
    pgd = next(line for line in section(text, "toys") if line[0].startswith("pgd"))
    assert pgd[1] == "– (1 of 2)" and pgd[4] == "– (5 of 6)" and "– (3 of 4): only 3 of 4 cells" in text
    assert "no mean" not in (board(tmp_path, sound, name="whole") / "leaderboard.md").read_text()


def test_a_rate_that_was_not_measured_is_in_no_mean(sound):
    table = long_table(find_judgements([sound]))
    table.loc[(table["black_box"] == "ada") & (table["target"] == "1"), ["psr", "psr_low", "psr_high"]] = None
    wide = wide_table(table, records_of(find_judgements([sound])))
    assert wide[["psr ada", "average psr", "average psr_low"]].isna().all(axis=None)
    assert wide[["psr bob", "psr_low bob", "average dodging_low"]].notna().all(axis=None)


def test_intervals_count_photos_and_not_results(sound):
    """4 photos of each of 2 targets, judged by 3 recognizers: 8 photos, of which p23 has no face in any judgement."""
    wide = wide_of(sound).set_index("method")
    for method, photos in (("none", 8), ("pgd", 7)):
        for name in ("psr ada", "average psr", "average dodging"):
            rate = wide.loc[method, name]
            low = name.replace("psr", "psr_low") if name == "psr ada" else f"{name}_low"
            ends = [100 * end for end in wilson_interval(rate / 100 * photos, photos)]
            assert [*wide.loc[method, [low, low.replace("low", "high")]]] == pytest.approx(ends)


def test_white_boxes_are_a_table_of_their_own(sound, tmp_path):
    white = tmp_path / "white"
    for box in BOXES:
        write_cell(white, "pgd", "1", box, surrogates=BOXES)
    out = board(tmp_path, sound, white)
    text = (out / "leaderboard.md").read_text()
    both = (
        section(text, "toys, impersonation: PSR in % at FAR 0.01, n = 4 for each target and recognizer\n"),
        section(text, "toys, impersonation: PSR in % at FAR 0.01, n = 4 for each target and recognizer, white box"),
    )
    assert [len(table) - 2 for table in both] == [2, 1] and both[1][2][0] == "pgd:default (white box)"
    wide = pd.read_csv(out / "wide.csv").query("source == 'measured'").set_index(["white_box", "method"])
    alone = pd.read_csv(board(tmp_path, sound, name="alone") / "wide.csv").set_index("method")
    assert wide.loc[(False, "pgd"), "average psr"] == alone.loc["pgd", "average psr"]
    assert (out / "leaderboard.tex").read_text().count(r"\begin{tabular}") == 3


def test_suites_and_objectives_have_tables_of_their_own_with_their_own_far(sound, tmp_path):
    others = write_run(tmp_path / "others", ("pgd",), suite="zoo", objective="obfuscation")
    for path in others.glob("protections/*/judgements/*/*/judgement.json"):  # a suite without FAR 0.01
        path.write_text(path.read_text().replace('"far": 0.01', '"far": 0.05').replace('"0.01"', '"0.05"'))
    text = (board(tmp_path, sound, others) / "leaderboard.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert [head.split(",")[0] for head in heads] == ["## toys", "## zoo", "## celeba_hq"]
    assert "at FAR 0.01" in heads[0] and "zoo, obfuscation: PSR in % at FAR 0.05" in heads[1]


def test_latex_is_escaped_bold_where_best_and_keeps_published_numbers_apart(tmp_path):
    run = write_run(tmp_path / "run", ("none", "mi_fgsm", "blur"), suite="celeba_hq")
    text = (board(tmp_path, run) / "leaderboard.tex").read_text()
    assert text.count(r"\begin{tabular}") == 1 and r"mi\_fgsm:default" in text and "mi_fgsm" not in text
    above, below = text[text.index(r"\toprule") :].split("\\midrule\n")[1:]
    assert below.count(r"\textsuperscript{\dag} &") == 6 and r"\textbf" not in below and r"\dag" not in above
    wide = wide_of(run).set_index("method")
    place = [head.strip() for head in text.split("\\toprule\n")[1].split(r"\\")[0].split("&")]
    lines = {line.split(":")[0]: line.removesuffix(r" \\").split(" & ") for line in above.splitlines()}
    for head, column in (("average PSR", "average psr"), ("SSIM", "ssim"), ("PSNR dB", "psnr")):
        ranked = wide[column] if head == "average PSR" else wide.loc[["mi_fgsm", "blur"], column]
        best = ranked.idxmax().replace("_", r"\_")
        bold = [name for name, line in lines.items() if line[place.index(head)].startswith(r"\textbf{")]
        assert best in bold and len(bold) < 3, (head, bold)
    assert "%" not in text.replace(r"\%", "").replace("% needs", "")
    assert {line[place.index("FID")] for line in lines.values()} == {"--"}  # 8 pictures are too few for a distance


def test_methods_of_one_name_and_other_settings_are_told_apart(sound):
    lines = wide_of(sound).assign(method="pgd")
    assert [name.split()[0] for name in method_names(lines)] == ["pgd:default"] * 2
    assert len(set(method_names(lines))) == 2
    assert method_names(lines.iloc[:1]) == ["pgd:default"]


def test_a_board_holds_the_whole_table_and_every_judgement(sound, tmp_path):
    held, out = load_results(sound), board(tmp_path, sound)
    assert list(held.with_published.columns) == list(COLUMNS) and len(held.with_published) == len(
        pd.read_csv(out / "long.csv")
    )
    measured = held.with_published.query("source == 'measured'")
    assert set(measured["run_id"]) == set(held.judgements) == set(held.records)
    assert {judgement.folder for judgement in held.judgements.values()} == {*find_judgements([sound])}
    assert held.records is held.records and held.averages is held.averages  # read and computed once


@pytest.mark.parametrize("change", ["manifest_sha256", "weights_sha256"])
def test_runs_that_may_not_be_mixed_write_nothing(sound, tmp_path, capsys, change):
    other = write_run(tmp_path / "other", ("blur",), **{change: "b" * 64})
    assert main(["leaderboard", str(sound), str(other), "--out", str(tmp_path / "board")]) == 2
    assert "error: " in capsys.readouterr().err and not (tmp_path / "board").exists()
