"""What W&B gets of a cell, read back from the files that the real client writes."""

import json
import struct
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record

from benchmarks.tracking import tracker as tracker_module
from benchmarks.tracking.sender import main
from benchmarks.tracking.tracker import LOG, Tracker
from facecloak.cli.main import main as facecloak
from tests.toys import write_photo

BLOCK = 32_768


def records(file) -> list[Record]:
    """The records of a .wandb file, which is a LevelDB log behind 7 bytes."""
    content, place, parts, found = file.read_bytes(), 7, [], []
    while place + 7 <= len(content):
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        parts.append(content[place + 7 : place + 7 + size])
        place += 7 + size
        if kind in (1, 4):  # full, last
            record = Record()
            record.ParseFromString(b"".join(parts))
            found.append(record)
            parts = []
    return found


def values(items) -> dict:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


@pytest.fixture
def run(toys, tmp_path):
    """A run of the toy suite: noise, with curves, and nothing."""
    out = tmp_path / "out"
    arguments = ["benchmark", str(toys), "--methods", "none,pgd", "--pgd.iterations=3", "--black-box", "ada"]
    assert facecloak([*arguments, "--out", str(out), "--wandb", "disabled"]) == 0
    return out


def offline(out) -> dict[str, list[Record]]:
    """Cell → the records of its run."""
    files = sorted((out / "wandb").glob("offline-run-*/*.wandb"))
    found = [records(file) for file in files]
    return {next(r.run for r in each if r.WhichOneof("record_type") == "run").display_name: each for each in found}


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def of_kind(each, kind):
    return [getattr(record, kind) for record in each if record.WhichOneof("record_type") == kind]


def test_every_cell_is_a_run_with_all_that_is_promised(run, capsys):
    assert main([str(run), "--wandb", "offline"]) == 0
    runs = offline(run)
    assert set(runs) == {path.name for path in (run / "cells").iterdir()}
    for name, each in runs.items():
        result = json.loads((run / "cells" / name / "cell.json").read_text())
        row = result["rows"][0]
        (about,) = of_kind(each, "run")[:1]
        assert (about.run_group, about.job_type) == (row["suite"], "protect")
        assert {row["method"], "ada", "impersonation"} <= set(about.tags)
        config = {item.key: json.loads(item.value_json) for item in about.config.update}
        assert config["target"] == row["target"] and config["versions"]["torch"]
        assert config["hashes"]["manifest_sha256"] == row["manifest_sha256"]
        assert config[row["method"]] == result["provenance"]["settings"]
        summary = {}
        for part in of_kind(each, "summary"):
            summary |= values(part.update)
        assert summary[f"psr/ada/{row['far']:g}"] == row["psr"]
        assert summary["cost/seconds_per_image"] == pytest.approx(row["seconds_per_image"])
        (cell,) = [artifact for artifact in of_kind(each, "artifact") if artifact.type == "cell"]
        sent = {entry.path for entry in cell.manifest.contents}
        assert {"cell.json", "records.jsonl"} <= sent and len(sent) == len(files(run / "cells" / name))
        media = {path.suffix: path for path in next((run / "wandb").glob(f"*{name[-40:]}-*/files/media")).rglob("*.*")}
        table = json.loads(media[".json"].read_text())
        assert len(table["data"]) == len(result["rows"])
        assert table["data"][0][table["columns"].index("psr")] == row["psr"]
        width, height = Image.open(media[".png"]).size
        assert width == 3 * height == 3 * 64
    noise = next(each for name, each in runs.items() if name.startswith("pgd"))
    steps = [values(history.item) for history in of_kind(noise, "history")]
    losses = [step["loss/loss"] for step in steps if "loss/loss" in step]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert [step["iteration"] for step in steps if "loss/loss" in step] == [0, 1, 2]


def test_a_benchmark_sends_its_cells_as_it_goes_and_only_what_is_new(toys, tmp_path, monkeypatch, capsys):
    arguments = ["benchmark", str(toys), "--methods", "none", "--out", str(tmp_path / "out")]
    assert facecloak([*arguments, "--black-box", "ada"]) == 0  # WANDB_MODE of the tests
    assert not (tmp_path / "out" / "wandb").exists() and not (tmp_path / "out" / LOG).exists()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert facecloak([*arguments, "--black-box", "ada,bob"]) == 0
    assert [name.split("_")[2] for name in offline(tmp_path / "out")] == ["bob"]
    assert "Weights & Biases has not got" not in capsys.readouterr().err


def test_scores_of_folders_are_sent_when_asked_for_and_only_then(toys, tmp_path, capsys):
    folders = []
    for folder, shift in (("originals", 0), ("protected", 1)):
        folders += [f"--{folder}", str(tmp_path / folder)]
        for person in range(2):
            write_photo(tmp_path / folder / f"p{person}.png", person + shift)
    arguments = ["evaluate", "--suite", str(toys), *folders, "--black-box", "ada"]
    assert facecloak([*arguments, "--wandb", "offline"]) == 2
    assert "give that too" in capsys.readouterr().err
    out = tmp_path / "scores"
    assert facecloak([*arguments, "--out", str(out)]) == 0 and not (out / "wandb").exists()
    assert facecloak([*arguments, "--out", str(out), "--wandb", "offline"]) == 0
    (each,) = offline(out).values()
    (about,) = of_kind(each, "run")[:1]
    assert (about.run_group, about.job_type) == ("toys", "evaluate")
    row = pd.read_csv(out / "scores.csv").iloc[0]
    summary = {}
    for part in of_kind(each, "summary"):
        summary |= values(part.update)
    assert summary[f"psr/ada/{row['far']:g}"] == row["psr"] and summary["quality/psnr"] == pytest.approx(row["psnr"])
    (cell,) = [artifact for artifact in of_kind(each, "artifact") if artifact.type == "cell"]
    assert {entry.path for entry in cell.manifest.contents} == {"scores.csv", "records.jsonl"}


def test_a_server_that_is_not_there_costs_no_result_and_is_named(toys, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "3")
    arguments = ["benchmark", str(toys), "--methods", "none", "--black-box", "ada,bob", "--out", str(out)]
    assert facecloak([*arguments, "--wandb", "online"]) == 0
    assert len([*out.glob("cells/*/cell.json")]) == 2
    printed = capsys.readouterr()
    assert "Weights & Biases has not got everything" in printed.out + printed.err
    log = (out / LOG).read_text()
    assert log.count("error: none-default") == 1 and log.count("offline: none-default") == 1
    assert len(offline(out)) == 2  # for `wandb sync`
    assert "0" * 40 not in (out / LOG).read_text()


def test_a_folder_without_a_cell_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "has no complete cell" in capsys.readouterr().err


def test_a_mode_that_is_none_is_refused_before_anything_runs(toys, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    assert facecloak(["benchmark", str(toys), "--methods", "none", "--out", str(tmp_path / "out")]) == 2
    assert "$WANDB_MODE is 'sometimes'" in capsys.readouterr().err
    assert not [*(tmp_path / "out").glob("cells/*")]


@pytest.mark.parametrize("word, mode", [("dryrun", "offline"), ("shared", "online"), ("run", "online"), ("", None)])
def test_wandbs_other_words_for_its_modes_are_known(tmp_path, monkeypatch, word, mode):
    monkeypatch.setenv("WANDB_MODE", word)
    assert Tracker(tmp_path, None).mode == mode and Tracker(tmp_path, "disabled").mode == "disabled"


@pytest.mark.parametrize("name, value", [("FINISH_TIMEOUT", "soon"), ("FINISH_TIMEOUT", "nan"),
                                         ("FINISH_TIMEOUT", "-1"), ("MODE", "sometimes")])  # fmt: skip
def test_an_environment_that_wandb_cannot_read_is_one_line_when_it_is_used(cell, monkeypatch, capsys, name, value):
    monkeypatch.setenv(f"WANDB_{name}", value)
    assert main([str(cell.parents[1])]) == 2
    assert capsys.readouterr().err.startswith(f"error: $WANDB_{name} is {value!r}; it must be")


def test_a_benchmark_does_not_wait_for_ever_for_what_is_being_sent(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tracker_module, "PATIENCE", 0.01)
    sleeper = [sys.executable, "-c", "import sys; sys.stdin.read(); import threading; threading.Event().wait(30)"]
    popen = subprocess.Popen
    monkeypatch.setattr(tracker_module.subprocess, "Popen", lambda command, **options: popen(sleeper, **options))
    with Tracker(tmp_path, "offline") as tracker:
        tracker.send(tmp_path)
    tracker.process.kill()
    assert "still being sent to Weights & Biases" in capsys.readouterr().out


def test_a_process_that_cannot_be_started_costs_no_result(toys, tmp_path, monkeypatch, capsys):
    (tmp_path / "out" / LOG).mkdir(parents=True)  # so that the log cannot be opened
    arguments = ["benchmark", str(toys), "--methods", "none", "--black-box", "ada,bob", "--out", str(tmp_path / "out")]
    assert facecloak([*arguments, "--wandb", "offline"]) == 0
    assert len([*(tmp_path / "out").glob("cells/*/cell.json")]) == 2
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("Nothing is sent to Weights & Biases") == 1
