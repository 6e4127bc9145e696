"""The check of rows: rows of a wrong form, or with impossible values, give a finding and never a traceback."""

import pytest

from benchmarks.results.store import protection_of
from facecloak.config import settings_hash
from tests.benchmarks.handmade import edit, edit_json, findings, set_row, set_rows


@pytest.mark.parametrize(
    ("garbage", "said"),
    [("{", "not valid JSON"), ("[]", "contains no rows"), ('{"rows": [3], "provenance": {}}', "a row is 3"),
     ('{"rows": [], "provenance": {}}', "contains no rows"), ('{"rows": [{}]}', "contains no provenance"),
     ("null", "contains no rows"), ("[" * 200_000, "not valid JSON"), ('{"rows": "\\ud800"}', "not valid JSON")],
)  # fmt: skip
def test_garbage_is_a_finding(run, cell, capsys, garbage, said):
    (cell / "judgement.json").write_text(garbage)
    assert said in findings(capsys, run, cell)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"schema_version": 3}, "schema_version is 3, but this facecloak reads 4"),
        ({"psr": 1.2}, "psr is 1.2, not between 0 and 1"),
        ({"psr": "0.5"}, "psr is '0.5', not a finite number"),
        ({"psr": float("nan")}, "not valid JSON"),
        ({"psnr": 10**400}, "not valid JSON"),
        ({"psnr": 1e305}, "psnr is 1e+305, not a finite number"),
        ({"psr": True}, "psr is True, not a finite number"),
        ({"psr_low": None}, "either all or none"),
        ({"psr_low": 0.9, "psr": 0.5}, "outside of its interval"),
        ({"psnr": -3.0}, "psnr is -3.0, not between"),
        ({"ssim": 1.5}, "ssim is 1.5, not between -1 and 1"),
        ({"n_images": 4.5}, "n_images is 4.5, not a whole number"),
        ({"n_psr": 9}, "n_psr + n_undetected + n_unusable = 9, more than n_images = 4"),
        ({"white_box": "no"}, "white_box is 'no', not true or false"),
        ({"method": None}, "method is missing"),
        ({"method": "a|b"}, "not a plain name"),
        ({"objective": "both"}, "not one of impersonation, obfuscation"),
        ({"manifest_sha256": "x"}, "not a SHA-256"),
        ({"better_psr": 1}, "unknown column 'better_psr'"),
        ({"source": "reported"}, "a judgement's source must be 'measured'"),
        ({"fid": 3.5}, "fid is 3.5, but distances are pooled over targets"),
        ({"n_fid": 4}, "n_fid is 4, but distances"),
    ],
)
def test_a_value_that_cannot_be_is_named(run, cell, capsys, values, said):
    set_rows(cell, **values)
    assert said in findings(capsys, run, cell)


def test_rows_that_differ_are_named(run, cell, capsys):
    set_row(cell, ssim=0.5)
    assert "FAR 0.01: ssim is 0.5, but in the first row" in findings(capsys, run, cell)


def test_a_doubled_row_is_named(run, cell, capsys):
    edit(cell, lambda rows, _: rows.append(rows[-1]))
    assert f"{cell}, FAR 0.01: 2 rows have this FAR" in findings(capsys, run, cell)


def test_a_judgement_json_that_is_a_folder_is_named(run, cell, capsys):
    (cell / "judgement.json").unlink()
    (cell / "judgement.json").mkdir()
    assert "judgement.json: a folder" in findings(capsys, run, cell)


def test_a_setting_that_is_infinite_is_named(run, cell, capsys):
    def change(about):
        about["settings"]["strength"] = float("inf")
        about["settings_hash"] = settings_hash(about["settings"])

    edit_json(protection_of(cell) / "protection.json", change)
    status_line = "not valid JSON"
    from facecloak.cli.main import main

    assert main(["leaderboard", "--check", str(run)]) == 1
    assert status_line in capsys.readouterr().out
