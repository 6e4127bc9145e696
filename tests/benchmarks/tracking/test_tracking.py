"""The data that W&B gets about a method, read back from the files that the real client writes."""

import json
import re
import socket
import struct
import subprocess
import sys

import pytest
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record

from benchmarks.results.schema import COLUMNS
from benchmarks.results.store import find_judgements, judgements_of, read_judgement
from benchmarks.tracking import sender, sending
from benchmarks.tracking import tracker as tracker_module
from benchmarks.tracking.client import NoAnswer
from benchmarks.tracking.content import Method
from benchmarks.tracking.folders import SENT, WRITTEN
from benchmarks.tracking.tracker import LOG, Tracker
from facecloak.cli.main import main as facecloak
from tests.benchmarks.tracking.written import write_method
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


def offline(out) -> dict[str, list[Record]]:
    """Method → the records of its run."""
    files = sorted((out / "wandb").glob("offline-run-*/*.wandb"))
    found = [records(file) for file in files]
    return {of_kind(each, "run")[0].display_name.split(":")[0]: each for each in found}


def of_kind(each, kind):
    return [getattr(record, kind) for record in each if record.WhichOneof("record_type") == kind]


def summary(each) -> dict:
    return {name: value for part in of_kind(each, "summary") for name, value in values(part.update).items()}


def artifacts(each) -> dict[str, set[str]]:
    """Type → the names of its files."""
    return {found.type: {entry.path for entry in found.manifest.contents} for found in of_kind(each, "artifact")}


def folders(out):
    return sorted((out / "wandb").glob("offline-run-*"))


def track(out, *arguments):
    return facecloak(["track", str(out), "--wandb", "offline", *arguments])


def test_every_method_of_a_benchmark_is_a_run_without_pictures(toys, tmp_path, monkeypatch, caplog):
    out, arguments = tmp_path / "my run", ["benchmark", str(toys), "--methods", "none,pgd", "--pgd.iterations=3"]
    monkeypatch.setenv("WANDB_MODE", "dryrun")  # an old name of offline
    assert facecloak([*arguments, "--targets", "1,2", "--out", str(out)]) == 0
    runs = offline(out)
    assert set(runs) == {"none", "pgd"} and "Weights & Biases" not in caplog.text
    (about,), results = of_kind(runs["pgd"], "run")[:1], [read_judgement(each) for each in find_judgements([out])]
    config = {item.key: json.loads(item.value_json) for item in about.config.update}
    own = [each for each in results if each.rows[0]["method"] == "pgd"]
    assert about.run_group == "toys" and config["pgd"] == own[0].protection["settings"]
    rates = [row["psr"] for each in own for row in each.rows if row["far"] == 0.01]
    assert len(rates) == 6 and summary(runs["pgd"])["psr"] == pytest.approx(100 * sum(rates) / 6)
    steps = [values(history.item) for history in of_kind(runs["pgd"], "history")]
    losses = [step["loss/loss"] for step in steps if "loss/loss" in step]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert [step["iteration"] for step in steps if "loss/loss" in step] == [0, 1, 2]
    (folder,) = (each for each in folders(out) if "-pgd-" in each.name)
    (media,) = (path for path in (folder / "files").rglob("*") if path.is_file())
    table = json.loads(media.read_text())
    assert len(table["data"]) == 12 and {*table["columns"]} == {*COLUMNS}
    assert set(artifacts(runs["pgd"])) == {"run_table"}
    (file,) = folder.glob("*.wandb")
    for private in (str(tmp_path), "my run", socket.gethostname()):
        for path in (file, media):
            assert not re.search(rb"\b%s\b" % re.escape(private.encode()), path.read_bytes()), f"{private} in {path}"


def test_pictures_and_files_come_with_the_flag_and_what_was_sent_with_them_is_not_sent_without(tmp_path):
    write_method(tmp_path, {("1", "ada", "bob"): 1.0})
    assert track(tmp_path, "--wandb-images") == 0
    (folder,) = folders(tmp_path)
    (protection,) = (tmp_path / "protections").iterdir()
    names = {f"{protection.name}/{path.relative_to(protection)}" for path in protection.rglob("*") if path.is_file()}
    assert artifacts(offline(tmp_path)["pgd"])["method"] == names
    assert {Image.open(path).size for path in (folder / "files").rglob("*.png")} == {(24, 8)}
    (folder / SENT).touch()  # as if it had been sent
    assert track(tmp_path) == 0 and folders(tmp_path) == [folder]


def test_what_was_only_written_with_pictures_is_never_sent_without_asking(tmp_path):
    write_method(tmp_path, {("1", "ada", "bob"): 1.0})
    for arguments in (["--wandb-images"], []):
        assert track(tmp_path, *arguments) == 0
    (folder,) = folders(tmp_path)
    assert not [*(folder / "files").rglob("*.png")]
    assert [path.name.endswith("-pictures") for path in (tmp_path / "wandb" / "superseded").iterdir()] == [True]


def test_a_run_that_was_killed_while_it_was_written_is_written_again(tmp_path):
    write_method(tmp_path, {("1", "ada", "bob"): 1.0})
    assert track(tmp_path) == 0
    (half,) = folders(tmp_path)
    (half / WRITTEN).unlink()
    half = half.rename(half.with_name(half.name.replace("offline-run-2", "offline-run-1")))
    assert track(tmp_path) == 0
    (whole,) = folders(tmp_path)
    assert whole != half and (whole / WRITTEN).is_file()
    assert track(tmp_path) == 0 and folders(tmp_path) == [whole]


def test_a_run_that_was_moved_is_written_again_because_its_files_are_named_by_their_place(tmp_path):
    write_method(tmp_path / "there", {("1", "ada", "bob"): 1.0})
    assert track(tmp_path / "there", "--wandb-images") == 0
    (there,) = folders(tmp_path / "there")
    (there / "old").touch()
    (tmp_path / "there").rename(tmp_path / "here")
    assert track(tmp_path / "here", "--wandb-images") == 0
    (here,) = folders(tmp_path / "here")
    assert (here / WRITTEN).read_text() == str(tmp_path / "here") and not (here / "old").exists()
    (each,) = offline(tmp_path / "here").values()
    places = {entry.local_path for found in of_kind(each, "artifact") for entry in found.manifest.contents}
    assert not [place for place in places if str(tmp_path) in place]
    staged = [*(tmp_path / "here" / "wandb" / "artifacts" / "staging").iterdir()]
    assert staged and all((tmp_path / "here" / place).is_file() for place in places if place[0] != "/")


def test_more_judgements_supersede_what_was_written(tmp_path):
    for judge, psr in (("ada", 0.5), ("cyd", 1.0), ("ada", 0.5)):
        folder, *_ = write_method(tmp_path, {("1", judge, "bob"): psr})
        assert track(tmp_path) == 0
        assert len(folders(tmp_path)) == 1
    assert summary(offline(tmp_path)["pgd"])["psr"] == 75
    assert len([*(tmp_path / "wandb" / "superseded").iterdir()]) == 1
    (cyd,) = (each for each in judgements_of(folder.parents[2]) if each.name == "cyd")
    (cyd / "judgement.json").unlink()
    assert track(tmp_path) == 0  # the first results once more; they are no longer superseded
    assert summary(offline(tmp_path)["pgd"])["psr"] == 50
    (aside,) = (tmp_path / "wandb" / "superseded").iterdir()
    assert aside.name.rpartition("-")[2] != folders(tmp_path)[0].name.rpartition("-")[2]


def test_scores_of_folders_are_sent_when_asked_for_and_only_then(toys, tmp_path, capsys):
    arguments = ["evaluate", "--suite", str(toys), "--black-box", "ada", "--as", "their tool"]
    for folder, shift in (("originals", 0), ("protected", 1)):
        arguments += [f"--{folder}", str(tmp_path / folder)]
        for person in range(2):
            write_photo(tmp_path / folder / f"p{person}.png", person + shift)
    assert facecloak([*arguments, "--wandb", "offline"]) == 2
    assert "give --out too" in capsys.readouterr().err
    out = tmp_path / "my scores"
    assert facecloak([*arguments, "--out", str(out)]) == 0 and not (out / "wandb").exists()
    assert facecloak([*arguments, "--out", str(out), "--wandb", "offline", "--wandb-images"]) == 0
    (each,) = offline(out).values()
    (judgement,) = find_judgements([out])
    row = read_judgement(judgement).rows[-1]
    assert summary(each)["psr"] == pytest.approx(100 * row["psr"])
    assert summary(each)["psnr"] == pytest.approx(row["psnr"])
    assert any(name.endswith("judgements/none/ada/judgement.json") for name in artifacts(each)["method"])


def test_a_server_that_is_not_there_costs_no_result_and_is_named(toys, tmp_path, monkeypatch, caplog):
    out = tmp_path / "out"
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "3")
    arguments = ["benchmark", str(toys), "--methods", "none,blur", "--black-box", "ada", "--out", str(out)]
    assert facecloak([*arguments, "--wandb", "online"]) == 0
    assert len(find_judgements([out])) == 2
    assert "Not everything was sent to Weights & Biases" in caplog.text and f"facecloak track {out}" in caplog.text
    log = (out / LOG).read_text()
    assert log.count("error: none (") == 1 and log.count("offline: blur (") == 1
    assert len(offline(out)) == 2  # for `wandb sync`
    assert "0" * 40 not in log


def test_a_folder_without_results_is_an_error(tmp_path, capsys):
    assert track(tmp_path) == 2
    assert "it contains no protections" in capsys.readouterr().err
    (folder,) = write_method(tmp_path, {("1", "ada", "bob"): 1.0})
    (folder / "judgement.json").unlink()
    assert track(tmp_path) == 2
    assert "nothing has been judged there yet" in capsys.readouterr().err
    assert facecloak(["track", str(tmp_path)]) == 2  # WANDB_MODE of the tests
    assert "$WANDB_MODE is 'disabled'" in capsys.readouterr().err


@pytest.mark.parametrize("word, mode", [("dryrun", "offline"), ("shared", "online"), ("run", "online"), ("", None)])
def test_wandbs_other_words_for_its_modes_are_known(tmp_path, monkeypatch, word, mode):
    monkeypatch.setenv("WANDB_MODE", word)
    assert Tracker(tmp_path, None).mode == mode and Tracker(tmp_path, "disabled").mode == "disabled"


@pytest.mark.parametrize("name, value", [("FINISH_TIMEOUT", "soon"), ("FINISH_TIMEOUT", "nan"),
                                         ("FINISH_TIMEOUT", "-1"), ("MODE", "sometimes")])  # fmt: skip
def test_an_environment_that_wandb_cannot_read_is_one_line_when_it_is_used(tmp_path, monkeypatch, capsys, name, value):
    write_method(tmp_path, {("1", "ada", "bob"): 1.0})
    monkeypatch.setenv(f"WANDB_{name}", value)
    assert track(tmp_path) == 2 and not folders(tmp_path)
    assert capsys.readouterr().err.startswith(f"error: $WANDB_{name} is {value!r}; it must be")


def test_a_mode_that_is_none_is_refused_before_anything_runs(toys, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    assert facecloak(["benchmark", str(toys), "--methods", "none", "--out", str(tmp_path / "out")]) == 2
    assert "$WANDB_MODE is 'sometimes'" in capsys.readouterr().err
    assert not [*(tmp_path / "out").glob("protections/*")]


def test_a_benchmark_does_not_wait_for_ever_for_what_is_being_sent(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tracker_module, "PATIENCE", 0.01)
    sleeper = [sys.executable, "-c", "import sys; sys.stdin.read(); import threading; threading.Event().wait(30)"]
    popen = subprocess.Popen
    monkeypatch.setattr(tracker_module.subprocess, "Popen", lambda command, **options: popen(sleeper, **options))
    with Tracker(tmp_path, "offline") as tracker:
        tracker.send(tmp_path)
    tracker.process.kill()
    assert "still being sent to Weights & Biases" in caplog.text


def test_a_process_that_cannot_be_started_costs_no_result(toys, tmp_path, caplog):
    (tmp_path / "out" / LOG).mkdir(parents=True)  # so that the log cannot be opened
    arguments = ["benchmark", str(toys), "--methods", "none", "--black-box", "ada,bob", "--out", str(tmp_path / "out")]
    assert facecloak([*arguments, "--wandb", "offline"]) == 0
    assert len(find_judgements([tmp_path / "out"])) == 2
    assert caplog.text.count("Nothing is sent to Weights & Biases") == 1


def test_a_run_that_somebody_deleted_does_not_keep_later_ones_from_the_server(tmp_path, monkeypatch):
    """Unlike a server that is silent: it would be waited for again and again."""
    modes = {"deleted": [], "silent": []}
    for name, error in (("deleted", sending.NotSent("somebody has deleted it")), ("silent", NoAnswer("silence"))):
        send = lambda batch, mode, _, to=name, of=error: modes[to].append(mode) or [of]  # noqa: E731
        monkeypatch.setattr(sender, "_send_batch", send)
        batches = [[(Method(tmp_path, "toys", "o", method, "0"), [])] for method in "ab"]
        assert sender.send_methods(batches, "online", False, lambda *_: None) == 2
    assert modes == {"deleted": ["online", "online"], "silent": ["online", "offline"]}
    assert not isinstance(sending._gone("x"), NoAnswer)
