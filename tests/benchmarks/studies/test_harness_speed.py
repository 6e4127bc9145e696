"""The comparison of runs reports a ratio only for equal runs; no time is tested."""

import re
import shutil

import pytest

from benchmarks.studies import harness_speed
from facecloak.errors import FacecloakError
from facecloak.io import read_json, write_json
from tests import forked

FAKE = "import pathlib, sys; pathlib.Path(sys.argv[-1]).write_text(__file__)"  # says where it is


@pytest.fixture
def copy(run, tmp_path):
    """Another copy of the handmade run."""
    return shutil.copytree(run, tmp_path / "copy")


def test_runs_that_differ_in_cost_and_version_are_equal(run, copy):
    for path in copy.glob("protections/*/judgements/*/*/judgement.json"):
        content = read_json(path)
        for row in content["rows"]:
            row |= {"seconds_per_image": 99.0, "git_sha": "other", "date": "2000-01-01"}
        write_json(path, content)
    harness_speed.require_equal(run, copy)


def test_another_picture_number_or_judgement_is_named(run, copy):
    judged = next(copy.glob("protections/*/judgements/*/*/judgement.json"))
    content = read_json(judged)
    content["rows"][0]["psr"] = 0.123
    write_json(judged, content)
    with pytest.raises(FacecloakError, match=f"rows of .*{judged.parent.name} differs"):
        harness_speed.require_equal(run, copy)
    write_json(judged, content | {"rows": read_json(run / judged.relative_to(copy))["rows"]})
    picture = next(copy.glob("protections/*/images/*.png"))
    picture.unlink()
    with pytest.raises(FacecloakError, match=f"{picture.name} is missing in one of them"):
        harness_speed.require_equal(run, copy)


def test_damaged_records_are_refused(run, copy):
    judged = next(copy.glob("protections/*/judgements/*/*/records.jsonl"))
    with judged.open("a") as file:
        file.write("[1]\n")
    with pytest.raises(FacecloakError, match=f"{judged.parent.name}: records.jsonl, line"):
        harness_speed.require_equal(run, copy)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Another checkout, seen from this one's root, where Python would import this one's package."""
    folder = tmp_path / "checkout" / "facecloak"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "cli.py").write_text(FAKE)
    monkeypatch.chdir(harness_speed.HERE)
    return folder.parent


def test_it_runs_the_other_checkout(checkout, tmp_path):
    harness_speed.require_checkout(checkout)
    harness_speed.measure("other", tmp_path / "out", [], checkout, 1)
    assert (tmp_path / "out").read_text() == str(checkout / "facecloak" / "cli.py")


@pytest.mark.parametrize(("change", "said"), [
    (lambda own: shutil.rmtree(own), "there is no facecloak in it"),
    (lambda own: (shutil.rmtree(own), own.symlink_to(harness_speed.HERE / "facecloak")), "that of .*name the root"),
    (lambda own: (own / "__init__.py").write_text("1 / 0"), "cannot be imported.*ZeroDivisionError"),
])  # fmt: skip
def test_a_folder_whose_code_would_not_run_is_refused_before_anything_runs(checkout, capsys, change, said):
    change(checkout / "facecloak")
    assert harness_speed.main(["--against", str(checkout)]) == 2
    assert re.search(f"--against {checkout}: .*{said}", capsys.readouterr().err, re.DOTALL)


def test_it_prints_a_ratio_for_equal_runs(toys, capsys, monkeypatch):
    """The runs are forked here, without the seconds that imports take, and in one process each."""

    def measure(name, out, command, checkout, threads):
        alone = command[: command.index("--devices")] if "--devices" in command else command
        assert forked.run(*alone, "--out", out).returncode == 0
        return harness_speed.Run(name, out, 2.0, 3.0)

    def at_once(count, out, command, threads):
        return measure(f"{count} runs at once, each", out, command, None, threads)._replace(seconds=1.2)

    monkeypatch.setattr(harness_speed, "measure", measure)
    monkeypatch.setattr(harness_speed, "at_once", at_once)
    assert harness_speed.main(["--suite", str(toys), "--methods", "blur", "--limit", "1"]) == 0
    printed = capsys.readouterr().out
    assert "one process" in printed and "2 processes" in printed and "1.00" in printed
    assert "2 runs at once, each" in printed and "0.60" in printed


def test_a_run_among_several_at_once_takes_its_share_of_the_time(tmp_path, monkeypatch):
    now, cpu = iter([10.0, 18.0]), iter([1.0, 13.0])
    monkeypatch.setattr(harness_speed.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(harness_speed, "_cpu", lambda: next(cpu))
    monkeypatch.setattr(harness_speed, "measure", lambda name, out, *rest: harness_speed.Run(name, out, 9.0, 9.0))
    found = harness_speed.at_once(2, tmp_path, ["benchmark"], 1)
    assert found == ("2 runs at once, each", tmp_path / "0", 4.0, 6.0)


def test_a_run_that_fails_is_reported(capsys):
    """The process that runs it ends before the imports that take seconds."""
    assert harness_speed.main(["--suite=--nothing"]) == 2
    said = capsys.readouterr().err
    assert "one process: the run failed" in said and "arguments are required: suite" in said
