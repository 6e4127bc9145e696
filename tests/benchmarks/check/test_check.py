"""`facecloak leaderboard --check`: what is wrong in results is named, and everything else passes."""

import shutil

import numpy as np
import pytest

from facecloak.cli.main import main
from facecloak.io import read_image, read_json, sha256_json, write_json, write_png
from facecloak.metrics.statistics import wilson_interval
from tests.benchmarks.handmade import WEIGHTS, answer, edit, findings, set_row, set_rows, write_run


def test_a_sound_run_passes(run, capsys):
    status, lines, err = answer(capsys, run)
    assert status == 0 and "findings" not in err
    assert lines == ["12 cells: rows, records and images agree, and may stand in one table."]


def test_a_folder_of_runs_passes_at_any_depth_and_is_counted_once(run, capsys):
    shutil.copytree(write_run(run.parent / "x", ("blur",)), run.parent / "all" / "y" / "blur")
    run.rename(run.parent / "all" / "run")
    status, lines, _ = answer(capsys, run.parent / "all", run.parent / "all" / "run")
    assert status == 0 and lines[0].startswith("18 cells")


def test_a_tampered_psr_is_named(run, cell, capsys):
    set_row(cell, psr=0.75)
    assert f"{cell}, FAR 0.01: psr is 0.75, the records give 0." in findings(capsys, run, cell)


def test_a_tampered_psr_with_its_interval_is_named(run, cell, capsys):
    low, high = wilson_interval(4, 4)
    set_row(cell, psr=1.0, psr_low=low, psr_high=high)
    found = findings(capsys, run, cell)
    assert all(f"FAR 0.01: {name} is" in found for name in ("psr", "psr_low", "psr_high"))
    assert "FAR 0.1:" not in found


@pytest.mark.parametrize("column", ["dodging", "dodging_clean", "joint", "psr_clean", "n_failed", "n_psr", "psnr",
                                    "ssim", "seconds_per_image", "cosine_rise_surrogates", "n_identical"])  # fmt: skip
def test_any_other_number_of_the_records_is_computed_again(run, cell, capsys, column):
    value = read_json(cell / "cell.json")["rows"][0][column]
    set_rows(cell, **{column: 1 if value == 0 else value / 2})
    assert f"{column} is" in findings(capsys, run, cell)


def test_a_removed_and_an_added_image_are_named(run, cell, capsys):
    (cell / "images" / "p13.png").rename(cell / "images" / "p99.png")
    found = findings(capsys, run, cell)
    assert "images/p13.png is missing" in found and "images/p99.png is there, and no record" in found


def test_an_edited_image_is_named(run, cell, capsys):
    write_png(cell / "images" / "p13.png", read_image(cell / "images" / "p12.png"))
    assert "images/p13.png has SHA-256" in findings(capsys, run, cell)


def test_an_edited_image_with_its_hash_has_another_quality(run, cell, capsys):
    shutil.copy(cell / "images" / "p12.png", cell / "images" / "p13.png")
    outcome = read_json(cell / "outcomes" / "p12.json")
    write_json(cell / "outcomes" / "p13.json", outcome)
    found = findings(capsys, run, cell)
    assert "images/p13.png: psnr is" in found and "images/p13.png: ssim is" in found


def test_an_image_of_a_failed_photo_is_named(run, cell, capsys):
    write_png(cell / "images" / "p10.png", np.zeros((16, 16, 3), np.uint8))
    assert "images/p10.png is there, and no record" in findings(capsys, run, cell)


def test_a_doubled_row_is_named(run, cell, capsys):
    edit(cell, lambda rows, _: rows.append(rows[-1]))
    assert f"{cell}, FAR 0.01: 2 rows of this FAR" in findings(capsys, run, cell)


def test_a_cell_in_two_runs_is_named(run, cell, tmp_path, capsys):
    shutil.copytree(cell, tmp_path / "other" / "cells" / cell.name)
    status, lines, _ = answer(capsys, run, tmp_path / "other")
    assert status == 1 and len(lines) == 2 and all("doubled: " in line and cell.name in line for line in lines)
    assert main(["leaderboard", str(run), str(tmp_path / "other"), "--out", str(tmp_path / "board")]) == 2
    assert "doubled" in capsys.readouterr().err and not (tmp_path / "board").exists()


def test_the_same_settings_under_another_key_are_doubled(run, cell, capsys):
    key_of = read_json(cell / "cell.json")["provenance"]["key_of"]
    key_of["target"][1] = "0" * 64  # another photo of the target
    key = sha256_json(key_of)
    other = shutil.copytree(cell, cell.with_name(cell.name[:-12] + key[:12]))
    set_rows(other, run_id=other.name)
    edit(other, lambda _, provenance: provenance.update(key=key, key_of=key_of))
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 2 and all("same method, settings" in line for line in lines)


def test_a_white_box_passed_as_a_black_box_is_named(run, cell, capsys):
    set_rows(cell, surrogates="ada+bob+cyd")
    assert "white_box is false, but the black box ada is among the surrogates" in findings(capsys, run, cell)


def test_a_white_box_whose_judge_has_another_name_among_the_surrogates_is_named(run, cell, capsys):
    edit(cell, lambda _, provenance: provenance["weights"].update(bob=WEIGHTS["ada"]))
    assert "the surrogate bob has the weights of the black box ada" in findings(capsys, run, cell)


def test_a_black_box_marked_as_a_white_box_is_named(run, cell, capsys):
    set_rows(cell, white_box=True)
    assert "white_box is true, but ada is not among" in findings(capsys, run, cell)


def test_a_changed_threshold_is_named_against_provenance_and_others(run, cell, capsys):
    set_row(cell, threshold=0.1)
    found = findings(capsys, run, cell)
    assert "FAR 0.01: threshold is 0.1, provenance's at this FAR 0.4" in found
    assert "FAR 0.01: threshold is 0.1, in most other cells of toys ada 0.01 it is 0.4" in found
    edit(cell, lambda _, provenance: provenance["thresholds"]["fars"]["0.01"].update(threshold=0.1))
    assert "in most other cells" in findings(capsys, run, cell)


def test_another_manifest_and_other_weights_are_named(run, cell, tmp_path, capsys):
    set_rows(cell, manifest_sha256="b" * 64)
    assert f"manifest_sha256 is {'b' * 64}, in most other cells of toys" in findings(capsys, run, cell)
    assert main(["leaderboard", str(run), "--out", str(tmp_path / "board")]) == 2
    assert "differ in manifest_sha256" in capsys.readouterr().err
    set_rows(cell, manifest_sha256="a" * 64, weights_sha256="c" * 64)
    found = findings(capsys, run, cell)
    assert "provenance's of ada" in found and f"weights_sha256 is {'c' * 64}, in most" in found


def test_other_settings_than_the_hash_says_are_named(run, cell, capsys):
    edit(cell, lambda _, provenance: provenance["settings"].update(strength=99))
    assert "settings_hash is" in findings(capsys, run, cell)
