"""`facecloak leaderboard --check`: rows that name something else than their cell's key was made of are named."""

import shutil

import pytest

from benchmarks.results.store import read_result
from facecloak.cli.main import main
from facecloak.config import settings_hash
from facecloak.io import sha256_json
from tests.benchmarks.handmade import BOXES, answer, edit, findings, recompute, set_rows, write_cell


@pytest.fixture
def white(run):
    """A white-box cell beside those of the run, which passes."""
    return write_cell(run, "pgd", "1", "ada", white_box=True, surrogates="+".join(BOXES))


def test_a_white_box_passed_as_a_black_box_with_edited_surrogates_is_named(run, cell, white, capsys):
    assert answer(capsys, run)[0] == 0
    shutil.rmtree(cell)
    set_rows(white, white_box=False, surrogates="bob+cyd")
    recompute(white)
    box, surrogates = findings(capsys, run, white).splitlines()
    assert "black_box is ['ada', False], the cell was made with ['ada', True]" in box
    assert "surrogates is [['bob'" in surrogates and "the cell was made with [['ada'" in surrogates


def test_what_a_key_was_made_of_cannot_be_edited_alone(run, white, capsys):
    set_rows(white, white_box=False, surrogates="bob+cyd")
    edit(white, lambda _, provenance: provenance["key_of"].update(black_box=["ada", False]))
    edit(white, lambda _, provenance: provenance["key_of"]["surrogates"].pop(0))
    status, lines, _ = answer(capsys, run)
    assert status == 1 and any(
        line.startswith(f"{white}: provenance's key is ") and "of its key_of it is" in line for line in lines
    )


def strengthen(rows, provenance):
    """Other settings, with their hash."""
    provenance["settings"]["strength"] = 99
    for row in rows:
        row["settings_hash"] = settings_hash(provenance["settings"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (strengthen, "method is ['pgd', {'objective': 'impersonation', 'strength': 99}]"),
        (lambda rows, _: [row.update(objective="obfuscation") for row in rows], "objective is obfuscation"),
        (lambda rows, _: [row.update(image_size=32) for row in rows], "suite is ['toys', 32]"),
        (lambda _, provenance: provenance.update(key_of=[3]), "provenance's key_of is [3]"),
        (lambda _, provenance: provenance["key_of"].update(target=None), "the cell was made with None"),
    ],
)
def test_other_columns_than_the_key_says_are_named(run, cell, capsys, change, said):
    edit(cell, change)
    assert said in findings(capsys, run, cell)


def test_cells_of_earlier_versions_pass_and_are_counted(run, cell, capsys):
    edit(cell, lambda _, provenance: provenance.pop("key_of"))
    status, _, err = answer(capsys, run)
    assert status == 0 and "1 cells were made before `key_of` was kept" in err


def test_a_benchmark_stores_what_its_keys_are_made_of(toys, tmp_path, capsys):
    main(["benchmark", str(toys), "--methods", "pgd:ensemble", "--targets", "1", "--out", str(tmp_path / "run")])
    for folder in (tmp_path / "run" / "cells").iterdir():
        provenance = read_result(folder)["provenance"]
        assert sha256_json(provenance["key_of"]) == provenance["key"] and folder.name.endswith(provenance["key"][:12])
    capsys.readouterr()
    status, lines, err = answer(capsys, tmp_path / "run")
    assert status == 0 and "before `key_of`" not in err, lines
