"""The check of records: rows must follow from them, and they must be about the existing pictures."""

import pytest

from benchmarks.results.store import protection_of
from facecloak.io import read_json
from facecloak.metrics.statistics import wilson_interval
from tests.benchmarks.handmade import (
    BOXES,
    answer,
    edit_json,
    edit_measured,
    edit_records,
    findings,
    recompute,
    set_row,
    set_rows,
    write_cell,
)


def test_a_tampered_psr_is_named(run, cell, capsys):
    set_row(cell, psr=0.75)
    assert f"{cell}, FAR 0.01: psr is 0.75, but the records give 0." in findings(capsys, run, cell)


def test_a_tampered_psr_with_its_interval_is_named(run, cell, capsys):
    low, high = wilson_interval(4, 4)
    set_row(cell, psr=1.0, psr_low=low, psr_high=high)
    found = findings(capsys, run, cell)
    assert all(f"FAR 0.01: {name} is" in found for name in ("psr", "psr_low", "psr_high"))
    assert "FAR 0.1:" not in found


@pytest.mark.parametrize("column", ["dodging", "dodging_clean", "joint", "psr_clean", "n_failed", "n_psr", "psnr",
                                    "ssim", "seconds_per_image", "amortised_seconds_per_image", "unet_passes",
                                    "cosine_rise_black_box", "cosine_rise_surrogates", "n_identical"])  # fmt: skip
def test_any_other_number_is_computed_again(run, cell, capsys, column):
    value = read_json(cell / "judgement.json")["rows"][0][column]
    set_rows(cell, **{column: 1 if value == 0 else value / 2})
    assert f"{column} is" in findings(capsys, run, cell)


def test_other_makers_than_the_outcomes_name_are_named(run, cell, capsys):
    set_rows(cell, made_by="0.3 def")
    assert "made_by is '0.3 def', but the outcomes give '0.2 abc'" in findings(capsys, run, cell)
    edit_json(protection_of(cell) / "outcomes" / "p11.json", lambda outcome: outcome.update(made_by="0.1"))
    set_rows(cell, made_by="0.1; 0.2 abc")
    assert answer(capsys, run)[0] == 0


CHANGES = {
    "a record deleted": (lambda records: records.pop(), "n_images is 4, but records.jsonl has 3"),
    "a record doubled": (lambda records: records.append(records[1]), "records.jsonl contains p11 2 times"),
    "an id that leaves the folder": (lambda records: records[1].update(id="../p11"), "is not the name of a photo"),
    "a cosine of 2": (lambda records: records[1]["cosine"].update(target=2.0), "is 2.0, not between -1 and 1"),
    "a cosine left out": (
        lambda records: records[1]["cosine"].pop("target"), "p11: cosine to target is missing"),
    "a cosine of nothing": (
        lambda records: records[0]["cosine"].update(target=0.9), "p10: cosine to target exists, but should not"),
    "a reference left out": (
        lambda records: records[1].update(reference=["self"]), "some records have a cosine to the target"),
    "a photo made unusable": (lambda records: records[1].update(usable=False), "not usable, but no error says why"),
    "a failure hidden": (
        lambda records: records[0].update(error=None), "p10: error is None, but in its outcome it is 'no gradient'"),
    "a failure invented": (
        lambda records: records[1].update(error="none"), "p11: error is 'none', but in its outcome it is None"),
    "a face no longer found": (
        lambda records: records[1].update(detected=False, cosine={}), "p11: measured.json has cosines, but should not"),
    "no cosines": (lambda records: records[1].update(cosine=None), "cosine is None, not cosines to target and self"),
    "a text as PSNR": (lambda records: records[1].update(psnr="high"), "psnr is 'high', not a number"),
    "another PSNR": (lambda records: records[1].update(psnr=60.0), "p11: psnr is 60.0, but in measured.json it is"),
    "a distance invented": (
        lambda records: records[1].update(pocket_perceptual=0.1), "pocket_perceptual is 0.1, but in measured.json it"),
    "a text as distance": (
        lambda records: records[1].update(pocket_perceptual="low"), "pocket_perceptual is 'low', not a number"),
    "identical": (lambda records: records[1].update(identical=True), "p11: identical is True, but in measured.json"),
    "a quicker method": (lambda records: records[1].update(seconds=0.1), "p11: seconds is 0.1, but in its outcome"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_record_is_named(run, cell, capsys, name):
    change, said = CHANGES[name]
    edit_records(cell, change)
    assert said in findings(capsys, run, cell)


@pytest.mark.parametrize("name", ["a face no longer found", "another PSNR", "a failure hidden"])
def test_a_changed_record_with_its_rows_is_named(run, cell, capsys, name):
    change, said = CHANGES[name]
    edit_records(cell, change)
    recompute(cell)
    assert said in findings(capsys, run, cell)


def test_more_photos_than_the_records_are_of_are_named(run, cell, capsys):
    edit_records(cell, lambda records: records.pop())
    recompute(cell)
    assert "outcomes/p13.json exists, but there is no record for it" in findings(capsys, run, cell)


def test_a_surrogate_cosine_left_out_is_named(run, cell, capsys):
    edit_measured(cell, "p11", lambda image: image["surrogates"].pop("bob"))
    recompute(cell)
    assert "p11: measured.json has no cosines by the surrogate bob" in findings(capsys, run, cell)


def test_what_a_judge_sees_is_what_it_saw_as_a_surrogate(run, capsys):
    cell = write_cell(run, "pgd", "1", "ada", surrogates=BOXES)
    assert answer(capsys, run)[0] == 0
    edit_records(cell, lambda records: records[1]["cosine"].update(target=0.9))
    recompute(cell)
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 1 and "but by the same recognizer as a surrogate [" in lines[0]


def test_records_that_are_not_json_or_missing_are_named(run, cell, capsys):
    (cell / "records.jsonl").write_text("{}\nnot json\n")
    found = findings(capsys, run, cell)
    assert "line 1: id None" in found and "line 2: not valid JSON" in found
    (cell / "records.jsonl").unlink()
    assert "records.jsonl cannot be read" in findings(capsys, run, cell)
