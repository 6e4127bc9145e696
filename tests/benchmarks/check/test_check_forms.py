"""What has not even the form of results, or leaves something out, is a finding of the check and never a traceback."""

import shutil

import numpy as np
import pytest

from benchmarks.check.findings import Finding
from facecloak.cli.main import main
from facecloak.config import settings_hash
from facecloak.io import read_json, sha256, write_json, write_png
from tests.benchmarks.handmade import answer, edit, edit_records, findings, set_row, set_rows


@pytest.mark.parametrize(
    ("garbage", "said"),
    [("{", "not valid JSON"), ("[]", "holds no rows"), ('{"rows": [3], "provenance": {}}', "a row is 3"),
     ('{"rows": []}', "holds no rows"), ('{"rows": [{}]}', "holds no provenance"), ("null", "holds no rows"),
     ("[" * 200_000, "not valid JSON"), ('{"rows": "\\ud800"}', "not valid JSON")],
)  # fmt: skip
def test_garbage_in_cell_json_is_a_finding(run, cell, capsys, tmp_path, garbage, said):
    (cell / "cell.json").write_text(garbage)
    assert said in findings(capsys, run, cell)
    assert main(["leaderboard", str(run), "--out", str(tmp_path / "board")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "board").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"schema_version": 2}, "schema_version is 2, this facecloak reads 3"),
        ({"psr": 1.2}, "psr is 1.2, not in 0 to 1"),
        ({"psr": "0.5"}, "psr is '0.5', not a finite number"),
        ({"psr": float("nan")}, "not valid JSON"),
        ({"psnr": 10**400}, "not valid JSON"),
        ({"psnr": 1e305}, "psnr is 1e+305, not a finite number"),
        ({"psr": True}, "psr is True, not a finite number"),
        ({"psr_low": None}, "either all or none"),
        ({"psr_low": 0.9, "psr": 0.5}, "outside of its interval"),
        ({"psnr": -3.0}, "psnr is -3.0, not in"),
        ({"ssim": 1.5}, "ssim is 1.5, not in -1 to 1"),
        ({"n_images": 4.5}, "n_images is 4.5, not a whole number"),
        ({"n_psr": 9}, "n_psr + n_undetected + n_unusable = 9, of 4 images"),
        ({"white_box": "no"}, "white_box is 'no', not true or false"),
        ({"method": None}, "method is missing"),
        ({"method": "a|b"}, "not a plain name"),
        ({"objective": "both"}, "neither impersonation nor obfuscation"),
        ({"manifest_sha256": "x"}, "not a SHA-256"),
        ({"better_psr": 1}, "unknown column 'better_psr'"),
        ({"source": "reported"}, "of a cell it is measured"),
        ({"target": "3"}, "its columns and provenance's key say"),
        ({"n_images": 5}, "n_images is 5, records.jsonl has 4"),
    ],
)
def test_a_value_that_cannot_be_is_named(run, cell, capsys, values, said):
    set_rows(cell, **values)
    assert said in findings(capsys, run, cell)


def test_rows_of_a_cell_that_differ_are_named(run, cell, capsys):
    set_row(cell, ssim=0.5)
    assert "FAR 0.01: ssim is 0.5, in the cell's first row" in findings(capsys, run, cell)


def test_a_renamed_folder_is_named(run, cell, capsys):
    other = cell.rename(cell.with_name("pgd_better"))
    assert "but the folder is called pgd_better" in findings(capsys, run, other)


def test_provenance_that_lacks_something_is_named(run, cell, capsys):
    edit(cell, lambda _, provenance: provenance.pop("weights"))
    assert "provenance lacks weights" in findings(capsys, run, cell)


def test_a_cell_json_that_is_a_folder_is_named(run, cell, capsys, tmp_path):
    (cell / "cell.json").unlink()
    (cell / "cell.json").mkdir()
    assert "cell.json: a folder" in findings(capsys, run, cell)
    assert main(["leaderboard", str(run), "--out", str(tmp_path / "board")]) == 2
    assert "cell.json: a folder" in capsys.readouterr().err and not (tmp_path / "board").exists()


def test_a_setting_that_is_infinite_is_named(run, cell, capsys, tmp_path):
    def change(rows, provenance):
        provenance["settings"]["strength"] = float("inf")
        for row in rows:
            row["settings_hash"] = settings_hash(provenance["settings"])

    edit(cell, change)
    assert "not valid JSON" in findings(capsys, run, cell)
    assert main(["leaderboard", str(run), "--out", str(tmp_path / "board")]) == 2
    assert "not valid JSON" in capsys.readouterr().err


def test_a_link_to_a_cell_elsewhere_is_no_cell(run, cell, capsys, tmp_path):
    cell.symlink_to(cell.rename(tmp_path / "elsewhere"))
    status, lines, _ = answer(capsys, run)
    assert status == 0 and lines[0].startswith("11 cells")


@pytest.mark.usefixtures("tables_only")
def test_a_cell_that_is_not_complete_is_named_and_left_out_of_the_board(run, cell, tmp_path, capsys):
    (cell / "cell.json").unlink()
    assert "not complete" in findings(capsys, run, cell)
    assert main(["leaderboard", str(run), "--out", str(tmp_path / "board")]) == 0
    assert "1 cells are not complete and left out" in capsys.readouterr().err
    assert cell.name not in (tmp_path / "board" / "long.csv").read_text()


CHANGES = {
    "a record deleted": (lambda records: records.pop(), "n_images is 4, records.jsonl has 3"),
    "a record doubled": (lambda records: records.append(records[1]), "records.jsonl has p11 2 times"),
    "an id that leaves the folder": (lambda records: records[1].update(id="../p11"), "is not the name of a photo"),
    "a cosine of 2": (lambda records: records[1]["cosine"]["target"].update(ada=2.0), "is 2.0, not in -1 to 1"),
    "a cosine left out": (
        lambda records: records[1]["cosine"]["target"].pop("ada"), "p11: cosine to target by ada is missing"),
    "a reference left out": (
        lambda records: records[1].update(reference=["self"]), "some records have a cosine to the target"),
    "a photo made unusable": (lambda records: records[1].update(usable=False), "not usable, and no error says why"),
    "a failure hidden": (lambda records: records[0].update(error=None), "images/p10.png is missing"),
    "no cosines": (lambda records: records[1].update(cosine=None), "cosine lacks target or self"),
    "a text as PSNR": (lambda records: records[1].update(psnr="high"), "psnr is 'high', not a number"),
    "another PSNR": (lambda records: records[1].update(psnr=60.0), "images/p11.png: psnr is 60.0, against"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_record_is_named(run, cell, capsys, name):
    change, said = CHANGES[name]
    edit_records(cell, change)
    assert said in findings(capsys, run, cell)


def test_records_that_are_no_json_or_missing_are_named(run, cell, capsys):
    (cell / "records.jsonl").write_text("{}\nnot json\n")
    found = findings(capsys, run, cell)
    assert "line 1: id None" in found and "line 2: not valid JSON" in found
    (cell / "records.jsonl").unlink()
    assert "records.jsonl cannot be read" in findings(capsys, run, cell)


def test_outcomes_that_are_damaged_or_missing_are_named(run, cell, capsys):
    (cell / "outcomes" / "p11.json").write_text("3")
    (cell / "outcomes" / "p12.json").write_text("{")
    (cell / "outcomes" / "p13.json").unlink()
    found = findings(capsys, run, cell)
    assert "outcomes/p11.json says None" in found and "p12.json: not valid JSON" in found
    assert "outcomes/p13.json is missing" in found


@pytest.mark.parametrize("sources", [True, False])
@pytest.mark.parametrize(
    ("side", "said"), [(None, "not a readable image"), (4, "images/p11.png has 4×4 pixels, image_size is 16")]
)
def test_an_image_that_is_none_or_of_another_size_with_its_hash_is_named(run, cell, capsys, sources, side, said):
    """Whether the run kept its source or not."""
    picture = cell / "images" / "p11.png"
    write_png(picture, np.zeros((side, side, 3), np.uint8)) if side else picture.write_bytes(b"")
    outcome = read_json(cell / "outcomes" / "p11.json") | {"png_sha256": sha256(picture)}
    write_json(cell / "outcomes" / "p11.json", outcome)
    if not sources:
        shutil.rmtree(run / "sources")
    assert said in findings(capsys, run, cell)


def test_a_cell_that_cannot_be_checked_does_not_hide_the_others(run, cell, capsys, monkeypatch):
    text = (cell / "cell.json").read_text()
    (cell / "cell.json").write_text(text.replace('"n_fid": 3', f'"n_fid": {"[" * 1000 + "]" * 1000}'))
    unreadable, tampered = (next(run.glob(f"cells/pgd-default_2_{box}_*")) for box in ("bob", "cyd"))

    def refuse(path):
        if path.is_relative_to(unreadable):
            raise PermissionError(13, "Permission denied", str(path))
        return sha256(path)

    monkeypatch.setattr("benchmarks.check.images.sha256", refuse)
    set_row(tampered, psr=1.2)
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 3
    assert lines[0].startswith(f"{cell}: cannot be checked: maximum recursion")
    assert lines[1].startswith(f"{unreadable}: cannot be checked: [Errno 13]")
    assert lines[2].startswith(f"{tampered}, FAR 0.01: psr is 1.2")


def test_what_cannot_be_printed_is_printed_in_another_way(run, cell, capsys):
    outcome = read_json(cell / "outcomes" / "p11.json") | {"error": "a\x1b[2J\nb é"}
    write_json(cell / "outcomes" / "p11.json", outcome)
    assert "tells of an error (a\\x1b[2J\\nb é)" in findings(capsys, run, cell)
    assert str(Finding(cell, None, "\udc80")).endswith("\\udc80")


@pytest.mark.parametrize("content", [None, "nothing"])
def test_a_run_without_cells_is_a_mistake(tmp_path, capsys, content):
    if content:
        (tmp_path / "run" / content).mkdir(parents=True)
    for arguments in (["--check"], ["--out", str(tmp_path / "board")]):
        assert main(["leaderboard", str(tmp_path / "run"), *arguments]) == 2
        error = capsys.readouterr().err
        assert str(tmp_path / "run") in error and "Give the --out of a benchmark" in error


def test_all_findings_of_all_cells_are_printed(run, capsys):
    cells = sorted(run.glob("cells/*"))[:2]
    for each in cells:
        set_row(each, psr=1.2)
        set_row(each, dodging=-1)
    status, lines, _ = answer(capsys, run)
    assert status == 1 and [line.split(", FAR")[0] for line in lines] == [str(each) for each in cells for _ in "ab"]
