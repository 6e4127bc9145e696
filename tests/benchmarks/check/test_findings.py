"""`facecloak leaderboard --check`: a correct run passes, one error does not hide others, and no file can stop it."""

import copy
import functools
import json
import random
import shutil

import pytest

from benchmarks.check.findings import Checked, Finding
from benchmarks.check.findings import findings as look
from benchmarks.results.store import protection_of
from facecloak.cli.leaderboard import print_check
from facecloak.cli.main import main
from facecloak.io import read_json, sha256, write_json
from tests.benchmarks.handmade import answer, findings, set_row, write_run


def test_a_sound_run_passes(run, capsys):
    status, lines, err = answer(capsys, run)
    assert status == 0 and "findings" not in err
    assert lines == [
        "12 judgements of 8 protections: rows, records and pictures agree, and can be in one table."
    ]  # fmt: skip


def test_a_folder_of_runs_passes_at_any_depth_and_is_counted_once(run, capsys):
    shutil.copytree(write_run(run.parent / "x", ("blur",)), run.parent / "all" / "y" / "blur")
    run.rename(run.parent / "all" / "run")
    status, lines, _ = answer(capsys, run.parent / "all", run.parent / "all" / "run")
    assert status == 0 and lines[0].startswith("18 judgements of 14 protections")


def test_pictures_are_checked_once_however_many_have_judged_them(sound, monkeypatch):
    seen = []

    def count(path):
        seen.append(path)
        return sha256(path)

    monkeypatch.setattr("benchmarks.check.images.sha256", count)
    checked = Checked()
    assert not [*look([sound], checked)]
    assert len(seen) == len({*seen}) == len([*sound.glob("protections/*/images/*.png")])
    assert (checked.protections, checked.judgements) == (8, 12)


def test_what_others_find_is_printed_and_counted_too(sound, capsys):
    assert print_check([sound], more=iter([(sound, 0.01, "a cosine differs")])) == 1
    said = capsys.readouterr()
    assert said.out == f"{sound}, FAR 0.01: a cosine differs\n"
    assert said.err.endswith("1 findings in 12 judgements of 8 protections\n")


def test_what_cannot_be_checked_does_not_hide_the_others(run, cell, capsys, monkeypatch):
    unreadable, tampered = (next(run.glob(f"protections/pgd_2_*/judgements/none/{box}")) for box in ("bob", "cyd"))
    text = (cell / "judgement.json").read_text()
    (cell / "judgement.json").write_text(text.replace('"n_failed": 1', f'"n_failed": {"[" * 1000 + "]" * 1000}'))
    (protection_of(unreadable) / "protection.json").write_text("{")
    set_row(tampered, psr=1.2)
    status, lines, _ = answer(capsys, run)
    assert status == 1 and len(lines) == 3
    assert any(line.startswith(f"{cell}: cannot be checked: maximum recursion") for line in lines)
    assert any(line.startswith(f"{protection_of(unreadable)}: cannot be checked: ") for line in lines)
    assert any(line.startswith(f"{tampered}, FAR 0.01: psr is 1.2") for line in lines)


def test_what_cannot_be_printed_is_printed_in_another_way(run, cell, capsys):
    path = protection_of(cell) / "outcomes" / "p10.json"
    write_json(path, read_json(path) | {"error": "a\x1b[2J\nb é"})
    assert "a\\x1b[2J\\nb é" in findings(capsys, run, cell).replace("\\\\", "\\")
    assert str(Finding(cell, None, "\x1b[2J é \udc80")).endswith("\\x1b[2J é \\udc80")


@pytest.mark.parametrize("content", [None, "nothing"])
def test_a_folder_without_a_run_is_a_mistake(tmp_path, capsys, content):
    if content:
        (tmp_path / "run" / content).mkdir(parents=True)
    assert main(["leaderboard", str(tmp_path / "run"), "--check"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "run") in error and "Give the --out of a benchmark" in error


def test_a_run_of_an_earlier_version_is_refused(tmp_path, capsys):
    write_json(tmp_path / "old" / "cells" / "pgd" / "cell.json", {"rows": []})
    assert main(["leaderboard", str(tmp_path / "old"), "--check"]) == 2
    assert "a run of facecloak 0.1" in capsys.readouterr().err


def test_all_findings_are_printed(run, capsys):
    judgements = sorted(run.glob("protections/*/judgements/none/*"))[:2]
    for each in judgements:
        set_row(each, psr=1.2)
        set_row(each, dodging=-1)
    status, lines, _ = answer(capsys, run)
    assert status == 1 and [line.split(", FAR")[0] for line in lines] == [
        str(each) for each in judgements for _ in "ab"
    ]


def test_a_judgement_that_is_not_complete_is_named(run, cell, capsys):
    (cell / "judgement.json").unlink()
    assert f"{cell}: not complete: there is no judgement.json" in findings(capsys, run, cell)


def test_a_protection_that_nobody_has_judged_is_named(run, cell, capsys):
    shutil.rmtree(protection_of(cell) / "judgements")
    status, lines, _ = answer(capsys, run)
    assert status == 1 and lines == [f"{protection_of(cell)}: not complete: no recognizer has judged its pictures"]


def test_a_link_to_a_protection_elsewhere_is_not_one(run, cell, capsys, tmp_path):
    protection_of(cell).symlink_to(protection_of(cell).rename(tmp_path / "elsewhere"))
    status, lines, _ = answer(capsys, run)
    assert status == 0 and lines[0].startswith("11 judgements of 7 protections")


ODD = [None, True, -1, 0, 1.5, 1e308, 2**63, "", "x", "../up", "\x1b", "é" * 300, [], [[]], {}, {"a": None}, ["a", 1]]
FOLDER = "judgements/none/ada/"
FILES = ("protection.json", "measured.json", "outcomes/p11.json", f"{FOLDER}judgement.json", f"{FOLDER}records.jsonl")


def places(value, path=()):
    """The path of every value within JSON."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def changed(content, path, new):
    """A copy with another value at a path, or with that value removed."""
    content = copy.deepcopy(content)
    *parents, last = path
    value = functools.reduce(lambda value, key: value[key], parents, content)
    value.pop(last)
    if new is not NOTHING:
        value.insert(last, new) if isinstance(value, list) else value.update({last: new})
    return content


NOTHING = object()


@pytest.mark.parametrize("name", FILES)
def test_no_value_in_a_file_stops_the_check(run, cell, name):
    """Each odd value gives a finding or none, but never an exception."""
    others, chance = run / "protections", random.Random(name)
    others.rename(run / "elsewhere")
    protection = others / protection_of(cell).name
    shutil.copytree(run / "elsewhere" / protection.name, protection)
    lines = (protection / name).read_text()
    content = [json.loads(line) for line in (lines.splitlines() if name.endswith("jsonl") else [lines])]
    found = 0
    for place in chance.sample([*places(content)] * 3, 50 if name.endswith(("judgement.json", "jsonl")) else 30):
        odd = changed(content, place, chance.choice([*ODD, NOTHING]))
        (protection / name).write_text("".join(json.dumps(each) + "\n" for each in odd))
        found += any(str(finding) for finding in look([run]))
    assert found > 10  # not all of them: the values of a loss curve are not checked
