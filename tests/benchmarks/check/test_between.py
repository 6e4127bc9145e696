"""The check across judgements names a photo that one judgement leaves out of its rate and the others do not."""

import shutil

import numpy as np
import pytest

from benchmarks.results.distances import read_features, write_features
from benchmarks.results.store import protection_of
from facecloak.io import read_json
from tests.benchmarks.handmade import (
    answer,
    edit,
    edit_json,
    edit_records,
    findings,
    recompute,
    rename,
    set_rows,
    write_cell,
    write_run,
)


def test_a_judgement_in_two_runs_is_named(run, cell, tmp_path, capsys):
    protection = protection_of(cell)
    shutil.copytree(protection, tmp_path / "other" / "protections" / protection.name)
    status, lines, _ = answer(capsys, run, tmp_path / "other")
    assert status == 1 and len(lines) == 2 and all("duplicate: " in line and "same run_id" in line for line in lines)


def test_the_same_settings_under_another_key_are_doubled(run, cell, capsys):
    other = shutil.copytree(protection_of(cell), protection_of(cell).with_name(f"pgd_1_{'0' * 12}"))
    rename(other / "judgements" / "none" / "ada", lambda about: about["key_of"]["target"].__setitem__(1, "0" * 64))
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 2 and all("same method, settings" in line for line in lines)


def test_other_surrogates_are_not_doubled(run, capsys):
    for surrogates in (("bob",), ("cyd",)):
        write_cell(run, "pgd", "1", "ada", surrogates=surrogates)
    status, lines, _ = answer(capsys, run)
    assert status == 0 and lines[0].startswith("14 judgements of 10 protections")


def test_another_manifest_and_other_weights_are_named(run, cell, capsys):
    set_rows(cell, manifest_sha256="b" * 64)
    assert f"manifest_sha256 is {'b' * 64}, but in most other judgements of toys" in findings(capsys, run, cell)
    set_rows(cell, manifest_sha256="a" * 64, weights_sha256="c" * 64)
    assert f"weights_sha256 is {'c' * 64}, but in most" in findings(capsys, run, cell)


def drop_photo(cell, name: str) -> None:
    """Remove everything that a protection has of a photo, and its record, and adapt everything else to that."""
    protection, place = protection_of(cell), int(name[-1])
    made = read_json(protection / "outcomes" / f"{name}.json")["error"] is None
    for kind, suffix in (("images", "png"), ("outcomes", "json")):
        (protection / kind / f"{name}.{suffix}").unlink(missing_ok=True)
    edit_json(
        protection / "measured.json",
        lambda content: content.update(images=[image for image in content["images"] if image["id"] != name]),
    )
    if made:
        features = read_features(protection)
        sides = (np.delete(side, place - 1, axis=0) for side in features[:2])
        write_features(protection, type(features)(*sides, features.about))
    edit_records(cell, lambda records: records.pop(next(n for n, each in enumerate(records) if each["id"] == name)))
    recompute(cell)


def test_a_photo_dropped_whole_is_named(run, cell, capsys):
    before = read_json(cell / "judgement.json")["rows"][0]["dodging"]
    drop_photo(cell, "p10")
    assert read_json(cell / "judgement.json")["rows"][0]["dodging"] > before
    (line,) = findings(capsys, run, cell).splitlines()
    assert "records.jsonl does not have p10, unlike most judgements of toys impersonation 1" in line


def test_a_photo_put_in_whole_is_named(run, cell, capsys):
    edit_records(cell, lambda records: records.append(records[0] | {"id": "p19"}))
    outcomes = protection_of(cell) / "outcomes"
    shutil.copy(outcomes / "p10.json", outcomes / "p19.json")
    edit_json(outcomes / "p19.json", lambda outcome: outcome.update(id="p19"))
    recompute(cell)
    (line,) = findings(capsys, run, cell).splitlines()
    assert "records.jsonl has p19, unlike most" in line


def test_of_two_judgements_the_one_with_fewer_photos_is_named(tmp_path, capsys):
    run = write_run(tmp_path, targets=("1",), boxes=("ada",))
    (cell,) = run.glob("protections/pgd*/judgements/none/ada")
    drop_photo(cell, "p13")
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 1 and lines[0].startswith(f"{cell}: records.jsonl does not have p13")


def test_a_photo_declared_unusable_is_named(run, cell, capsys):
    edit_records(cell, lambda records: records[0].update(usable=False, error="no face", cosine_clean={}))
    (protection_of(cell) / "outcomes" / "p10.json").unlink()
    recompute(cell)
    (line,) = findings(capsys, run, cell).splitlines()
    assert "p10: not usable, unlike in most judgements of toys impersonation 1" in line


@pytest.mark.parametrize("side", ["self", "target"])
def test_a_photo_with_nothing_to_compare_with_is_named(tmp_path, capsys, side):
    run = write_run(tmp_path, objective="obfuscation")
    (cell,) = run.glob("protections/pgd_1_*/judgements/none/ada")

    def change(records):
        for record in records[:1] if side == "self" else records:
            record["reference"].remove(side)
            for cosines in (record["cosine"], record["cosine_clean"]):
                cosines.pop(side, None)

    edit_records(cell, change)
    recompute(cell)
    found = findings(capsys, run, cell)
    assert f"p10{'' if side == 'self' else ', p11, p12 and 1 more'}: not compared with a photo of {side}" in found


def test_a_cosine_of_an_unprotected_photo_that_others_measured_otherwise_is_named(run, cell, capsys):
    def raise_by(rise):
        edit_records(cell, lambda records: records[1]["cosine_clean"].update(target=value + rise))
        recompute(cell)

    values = []
    edit_records(cell, lambda records: values.append(records[1]["cosine_clean"]["target"]))
    value = values[0]
    raise_by(5e-5)  # another machine
    assert answer(capsys, run)[0] == 0
    raise_by(0.1)
    found = findings(capsys, run, cell)
    assert f"cosine_clean of p11 to target is {value + 0.1:g}, but in most other judgements" in found
    assert f"{value:g} (1 of 8" in found


def test_a_far_left_out_is_named(run, cell, capsys):
    edit(cell, lambda rows, _: rows.pop())
    said = "has FAR 0.1, but most other judgements of toys impersonation have FAR 0.1, 0.01"
    assert said in findings(capsys, run, cell)


def test_suites_and_objectives_may_have_other_fars_and_photos(run, tmp_path, capsys):
    other = write_run(tmp_path / "other", ("pgd",), photos=3, objective="obfuscation")
    for cell in other.glob("protections/*/judgements/none/*"):
        edit(cell, lambda rows, _: rows.pop())
    status, lines, _ = answer(capsys, run, other)
    assert status == 0, lines
