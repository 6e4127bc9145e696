"""`facecloak leaderboard --check`: a photo that one cell leaves out of its rate, and the others do not, is named."""

import pytest

from facecloak.io import read_json
from tests.benchmarks.handmade import answer, edit, edit_records, findings, recompute, write_run


def drop_photo(cell, name: str) -> None:
    """Remove a photo's picture and outcome."""
    for kind, suffix in (("images", "png"), ("outcomes", "json")):
        (cell / kind / f"{name}.{suffix}").unlink(missing_ok=True)


def test_a_photo_dropped_whole_is_named(run, cell, capsys):
    before = read_json(cell / "cell.json")["rows"][0]["psr"]
    edit_records(cell, lambda records: records.pop(0))
    drop_photo(cell, "p10")
    recompute(cell)
    assert read_json(cell / "cell.json")["rows"][0]["psr"] > before
    assert "records.jsonl lacks p10, other than most cells of toys impersonation 1" in findings(capsys, run, cell)


def test_a_photo_put_in_whole_is_named(run, cell, capsys):
    edit_records(cell, lambda records: records.append(records[0] | {"id": "p19"}))
    (cell / "outcomes" / "p19.json").write_bytes((cell / "outcomes" / "p10.json").read_bytes())
    recompute(cell)
    assert "records.jsonl has p19, other than most" in findings(capsys, run, cell)


def test_of_two_cells_the_one_with_fewer_photos_is_named(tmp_path, capsys):
    run = write_run(tmp_path, targets=("1",), boxes=("ada",))
    (cell,) = run.glob("cells/pgd*")
    edit_records(cell, lambda records: records.pop())
    drop_photo(cell, "p13")
    recompute(cell)
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 1 and lines[0].startswith(f"{cell}: records.jsonl lacks p13")


def test_a_photo_declared_unusable_is_named(run, cell, capsys):
    def change(records):
        records[0] |= {"usable": False, "error": "no face", "cosine_clean": {"target": {}, "self": {}}}

    edit_records(cell, change)
    drop_photo(cell, "p10")
    recompute(cell)
    assert "p10: not usable, other than in most cells of toys impersonation 1" in findings(capsys, run, cell)


@pytest.mark.parametrize("side", ["self", "target"])
def test_a_photo_with_nothing_to_compare_with_is_named(tmp_path, capsys, side):
    run = write_run(tmp_path, objective="obfuscation")
    (cell,) = run.glob("cells/pgd-default_1_ada_*")

    def change(records):
        for record in records[:1] if side == "self" else records:
            record["reference"].remove(side)
            record["cosine"][side] = record["cosine_clean"][side] = {}

    edit_records(cell, change)
    recompute(cell)
    found = findings(capsys, run, cell)
    assert f"p10{'' if side == 'self' else ', p11, p12 and 1 more'}: not compared with a photo of {side}" in found


def test_a_cosine_of_an_unprotected_photo_that_others_measured_otherwise_is_named(run, cell, capsys):
    def raise_by(rise):
        edit_records(cell, lambda records: records[1]["cosine_clean"]["target"].update(ada=value + rise))
        recompute(cell)

    values = []
    edit_records(cell, lambda records: values.append(records[1]["cosine_clean"]["target"]["ada"]))
    value = values[0]
    raise_by(5e-5)  # another machine
    assert answer(capsys, run)[0] == 0
    raise_by(0.1)
    found = findings(capsys, run, cell)
    assert (
        f"cosine_clean of p11 to target is {value + 0.1:g}, in most other cells" in found
        and f"{value:g} (1 of 8" in found
    )


def test_a_far_left_out_is_named(run, cell, capsys):
    edit(cell, lambda rows, _: rows.pop())
    assert "has rows of FAR 0.1, most other cells of toys impersonation of 0.1, 0.01" in findings(capsys, run, cell)


def test_boards_may_have_other_fars_and_photos(run, tmp_path, capsys):
    other = write_run(tmp_path / "other", ("pgd",), photos=3, objective="obfuscation")
    for cell in other.glob("cells/*"):
        edit(cell, lambda rows, _: rows.pop())
    status, lines, _ = answer(capsys, run, other)
    assert status == 0, lines
