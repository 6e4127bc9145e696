"""`facecloak validate` names the errors in a suite, a sweep file or a run, without running anything."""

import shutil

import pytest
import yaml

from facecloak.cli.main import main


def said(capsys, *paths):
    status = main(["validate", *map(str, paths)])
    found = capsys.readouterr()
    return status, found.out, found.err


def test_what_is_sound_is_said_to_be(toys, sweep, sound, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    file = sweep({"pgd.epsilon": {"min": 1, "max": 64}})
    status, out, err = said(capsys, toys, file, sound)
    assert status == 0 and err == "" and out.count("nothing is wrong") == 3
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "toy_sweep.yaml"])  # nothing was run


def test_all_that_is_wrong_with_a_suite_is_said_at_once(toys, capsys):
    content = yaml.safe_load(toys.read_text())
    (toys.parent / "targets" / "200.png").unlink()
    (toys.parent / "weights" / "bob.onnx").unlink()
    shutil.rmtree(toys.parent / "photos")
    toys.write_text(yaml.safe_dump(content | {"methods": {"pgd": {"epsilonn": 3}}}))
    status, out, err = said(capsys, toys)
    assert status == 1 and "4 problems" in out
    assert all(word in err for word in ("200.png", "bob.onnx", "photos", "epsilonn"))


@pytest.mark.parametrize(
    ("text", "word"), [("name: [", "toys.yaml"), ("3", "toys.yaml"), ("image_size: 64", "missing"), ("{}", "toys.yaml")]
)
def test_a_file_that_is_no_suite_is_one_line(toys, capsys, text, word):
    toys.write_text(text)
    status, _, err = said(capsys, toys)
    assert status == 1 and word in err and err.count("\n") == 1


def test_a_sweep_that_no_trial_could_begin_is_named(sweep, tmp_path, capsys):
    status, _, err = said(capsys, sweep({"pgd.epsilonn": {"values": [1, 2]}}))
    assert status == 1 and "epsilonn" in err


def test_a_damaged_run_and_a_missing_path_are_named(run, tmp_path, capsys):
    next(run.glob("protections/*/images/*.png")).unlink()
    status, _, err = said(capsys, run, tmp_path / "nothing")
    assert status == 1 and "is missing" in err and "no such file or folder" in err
