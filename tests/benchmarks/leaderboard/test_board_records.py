"""Records of a wrong form stop the board before it writes anything, and the check names them."""

import json

import pytest

from facecloak.cli.main import main
from tests.benchmarks.handmade import answer, edit_records, findings, set_rows

pytestmark = pytest.mark.usefixtures("tables_only")

MALFORMED = {
    "a text as PSNR": (lambda record: record.update(psnr="abc"), "p11: psnr is 'abc', not a number"),
    "a text as cosine": (
        lambda record: record["cosine"].update(target="x"),
        "cosine to target is 'x', not between -1 and 1",
    ),
    "a cosine of 2": (lambda record: record["cosine"].update(self=2), "cosine to self is 2, not between -1 and 1"),
    "a list of cosines": (
        lambda record: record["cosine"].update(target=[1]),
        "p11: cosine to target is [1], not between -1 and 1",
    ),
    "no cosines": (
        lambda record: record.pop("cosine_clean"),
        "p11: cosine_clean is None, not cosines to target and self",
    ),
    "a number as error": (lambda record: record.update(error=5), "p11: error is 5, not a text"),
    "a list as id": (lambda record: record.update(id=["a"]), "id ['a'] is not the name of a photo"),
    "a long id": (lambda record: record.update(id="é" * 121), "is not the name of a photo"),
    "an id that leaves the folder": (lambda record: record.update(id="../p11"), "'../p11' is not the name of a photo"),
    "a line break in an id": (lambda record: record.update(id="p\n11"), "'p\\n11' is not the name of a photo"),
    "a number as usable": (lambda record: record.update(usable=1), "p11: usable is 1, not true or false"),
    "a text as identical": (lambda record: record.update(identical="no"), "p11: identical is 'no', not true or"),
    "a text as reference": (lambda record: record.update(reference="target"), "p11: reference is 'target', not a list"),
    "half a character": (lambda record: record.update(id="\ud800"), "not valid JSON"),
    "NaN in a field of its own": (lambda record: record.update(extra=float("nan")), "not valid JSON"),
}


def refused(tmp_path, capsys, run) -> str:
    """The error message of the board, which must not write anything."""
    assert main(["leaderboard", str(run), "--out", str(tmp_path / "board")]) == 2
    assert not (tmp_path / "board").exists()
    return capsys.readouterr().err


@pytest.mark.parametrize("name", MALFORMED)
def test_check_and_board_refuse_the_same_records(run, cell, tmp_path, capsys, name):
    change, said = MALFORMED[name]
    edit_records(cell, lambda records: change(records[1]))
    found = findings(capsys, run, cell)
    assert "records.jsonl, line 2: " in found and said in found
    error = refused(tmp_path, capsys, run)
    assert f"{cell}: records.jsonl, line 2: " in error and said in error


@pytest.mark.parametrize("line", [b"[1]", b"[" * 200_000, b"\xff\xfe", b"NaN", b""])
def test_a_line_that_is_no_record_is_named(run, cell, tmp_path, capsys, line):
    path = cell / "records.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert "records.jsonl, line 1: not " in findings(capsys, run, cell)
    assert "records.jsonl, line 1: not " in refused(tmp_path, capsys, run)


def test_a_board_that_cannot_be_made_leaves_the_old_one_as_it_is(run, cell, tmp_path):
    out = tmp_path / "board"
    assert main(["leaderboard", str(run), "--out", str(out)]) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    set_rows(cell, device="another")
    edit_records(cell, lambda records: records[1].update(error=5))
    assert main(["leaderboard", str(run), "--out", str(out)]) == 2
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_names_that_photos_may_have(run, cell, capsys):
    """Spaces, other scripts, and characters that are printed in another way."""
    for old, new in (("p11", "Фото 1"), ("p12", "a\u202fb")):
        for path in run.glob(f"**/{old}.*"):
            path.rename(path.with_stem(new))
        for path in run.glob("protections/*_1_*/**/*.json"):
            path.write_text(path.read_text().replace(f'"{old}"', json.dumps(new, ensure_ascii=False)))
        for each in run.glob("protections/*_1_*/judgements/none/*"):
            edit_records(each, lambda records: [r.update(id=new) for r in records if r["id"] == old])  # noqa: B023
    status, lines, _ = answer(capsys, run)
    assert status == 0, lines
