"""The check of provenance: rows, folders and keys that do not match how the pictures were made."""

import pytest

from benchmarks.results.store import protection_of, read_judgement
from facecloak.cli.main import main
from facecloak.config import settings_hash
from facecloak.io import sha256_json
from tests.benchmarks.handmade import (
    BOXES,
    WEIGHTS,
    answer,
    edit,
    edit_json,
    findings,
    recompute,
    rename,
    set_row,
    set_rows,
    write_cell,
)


@pytest.fixture
def white(run):
    """A white-box judgement next to the other judgements of the run; the run passes the check."""
    return write_cell(run, "pgd", "1", "ada", surrogates=BOXES)


def test_a_white_box_passed_as_a_black_box_is_named(run, white, capsys):
    assert answer(capsys, run)[0] == 0
    set_rows(white, white_box=False)
    (line,) = answer(capsys, run)[1]
    assert line == f"{white}: white_box is false, but the judge ada is one of the surrogates ada+bob+cyd"


def test_a_white_box_passed_as_a_black_box_with_edited_surrogates_is_named(run, white, capsys):
    set_rows(white, white_box=False, surrogates="bob+cyd")
    found = "\n".join(answer(capsys, run)[1])
    assert "surrogates is 'bob+cyd', but protection.json says 'ada+bob+cyd'" in found and "white_box is false" in found


def test_what_a_key_is_made_of_cannot_be_edited_without_the_key(run, white, capsys):
    def change(about):
        about["surrogates"].pop(0)
        about["weights"].pop("ada")
        about["key_of"]["surrogates"].pop(0)

    edit_json(protection_of(white) / "protection.json", change)
    set_rows(white, white_box=False, surrogates="bob+cyd")
    found = "\n".join(answer(capsys, run)[1])
    assert "protection.json: key is " in found and "its key_of gives" in found


def test_a_protection_renamed_with_its_key_repeats_another(run, white, capsys):
    def change(about):
        about["surrogates"].pop(0)
        about["weights"].pop("ada")
        about["key_of"]["surrogates"].pop(0)
        about["key_of"]["target"][1] = "0" * 64  # another photo, or the key would be that of the other

    white = rename(white, change)
    set_rows(white, white_box=False, surrogates="bob+cyd")
    found = "\n".join(answer(capsys, run)[1])
    assert "not cosines by 'bob+cyd'" in found and "duplicate: " in found


def test_a_white_box_whose_judge_has_another_name_among_the_surrogates_is_named(run, cell, capsys):
    def change(about):
        about["weights"]["bob"] = about["key_of"]["surrogates"][0][1] = WEIGHTS["ada"]

    cell = rename(cell, change)
    assert "white_box is false, but the surrogate bob has the weights of the judge ada" in findings(capsys, run, cell)


def test_a_black_box_marked_as_a_white_box_is_named(run, cell, capsys):
    set_rows(cell, white_box=True)
    assert "white_box is true, but the judge ada is not one of the surrogates 'bob+cyd'" in findings(capsys, run, cell)


def strengthen(about):
    about["settings"]["strength"] = 99


def strengthen_with_hash(about):
    strengthen(about)
    about["settings_hash"] = settings_hash(about["settings"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (strengthen, "settings_hash is"),
        (
            strengthen_with_hash,
            "method is ['pgd', {'objective': 'impersonation', 'strength': 99}], but its key_of says",
        ),
        (lambda about: about.update(objective="obfuscation"), "objective is 'obfuscation', but its key_of says"),
        (lambda about: about.update(image_size=32), "suite is ['toys', 32], but"),
        (lambda about: about.update(target="2"), "target is ['2'], but its key_of says ['1']"),
        (lambda about: about.update(method="best"), "method is ['best', "),
        (lambda about: about["weights"].update(bob="0" * 64), "surrogates is [['bob', '000"),
        (lambda about: about["weights"].pop("bob"), "weights are of cyd, but surrogates are bob, cyd"),
        (lambda about: about["key_of"].update(target=None), "its key_of says None"),
        (lambda about: about.update(key="0" * 64), "key is 000"),
    ],
)
def test_a_description_other_than_the_key_says_is_named(run, cell, capsys, change, said):
    edit_json(protection_of(cell) / "protection.json", change)
    assert said in findings(capsys, run, cell)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about: about.update(key_of=[3]), "key_of is [3], not a mapping"),
        (lambda about: about.pop("weights"), "weights is None, not a mapping"),
        (lambda about: about.update(surrogates=[3]), "surrogates is [3], not a list of names"),
        (lambda about: about.update(image_size=True), "image_size is True, not a whole number"),
    ],
)
def test_a_description_of_another_form_is_named(run, cell, capsys, change, said):
    edit_json(protection_of(cell) / "protection.json", change)
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 1 and lines[0].startswith(f"{protection_of(cell)}: ") and said in lines[0]


def test_a_damaged_description_is_named(run, cell, capsys):
    (protection_of(cell) / "protection.json").write_text("[]")
    (line,) = answer(capsys, run)[1]
    assert line.endswith("protection.json: it is not a protection's description")


def test_a_renamed_folder_is_named(run, cell, capsys):
    protection_of(cell).rename(protection_of(cell).with_name("pgd_better"))
    cell = run / "protections" / "pgd_better" / cell.relative_to(protection_of(cell))
    found = findings(capsys, run, cell)
    assert "the folder is called pgd_better, but its protection.json says pgd_1_" in found
    assert "protection is 'pgd_1_" in found and "run_id is 'pgd_1_" in found


def test_a_judgement_moved_to_another_name_is_named(run, cell, capsys):
    cell = cell.rename(cell.with_name("eve"))
    assert "black_box is 'ada', but its folder says 'eve'" in findings(capsys, run, cell)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target": "2"}, "target is '2', but protection.json says '1'"),
        ({"method": "cloak"}, "method is 'cloak', but protection.json says 'pgd'"),
        ({"preset": "strong"}, "preset is 'strong', but protection.json says 'default'"),
        ({"settings_hash": "0" * 64}, "settings_hash is '000"),
        ({"image_size": 32}, "image_size is 32, but protection.json says 16"),
        ({"countermeasure": "jpeg75"}, "countermeasure is 'jpeg75', but its folder says 'none'"),
        ({"threshold_source": "better pairs"}, "threshold_source is 'better pairs', but the provenance says 'made up'"),
    ],
)
def test_rows_of_another_protection_are_named(run, cell, capsys, values, said):
    set_rows(cell, **values)
    assert said in "\n".join(answer(capsys, run)[1])


def test_a_changed_threshold_is_named_against_provenance_and_others(run, cell, capsys):
    set_row(cell, threshold=0.1)
    found = findings(capsys, run, cell)
    assert "FAR 0.01: threshold is 0.1, but in the provenance it is 0.4" in found
    assert "FAR 0.01: threshold is 0.1, but in most other judgements of toys ada 0.01 it is 0.4" in found
    edit(cell, lambda _, provenance: provenance["thresholds"]["fars"]["0.01"].update(threshold=0.1))
    recompute(cell)
    assert "in most other judgements" in findings(capsys, run, cell)


def test_thresholds_that_are_missing_or_of_other_weights_are_named(run, cell, capsys):
    edit(cell, lambda _, provenance: provenance["thresholds"].update(weights_sha256="c" * 64))
    assert "the thresholds are for weights 'ccc" in findings(capsys, run, cell)
    edit(cell, lambda _, provenance: provenance.pop("thresholds"))
    assert "its provenance has no thresholds" in findings(capsys, run, cell)


def test_a_benchmark_stores_what_its_keys_are_made_of(toys, tmp_path, capsys):
    main(["benchmark", str(toys), "--methods", "none,pgd:ensemble", "--targets", "1", "--out", str(tmp_path / "run")])
    for folder in (tmp_path / "run").glob("protections/*/judgements/*/*"):
        about = read_judgement(folder).protection
        assert sha256_json(about["key_of"]) == about["key"]
        assert protection_of(folder).name.endswith(about["key"][:12])
    capsys.readouterr()
    status, lines, _ = answer(capsys, tmp_path / "run")
    assert status == 0, lines
