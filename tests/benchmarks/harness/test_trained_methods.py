"""Methods that must be trained: each stage is trained once, found again, resumed after a kill; the row has its cost."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from benchmarks import METHODS
from benchmarks.harness.devices import device_name
from benchmarks.harness.training import fit_seconds
from facecloak.cli.main import main
from tests.benchmarks import tinted
from tests.benchmarks.tinted import DIES, FAILS, STEPS
from tests.forked import run, typed


@pytest.fixture
def arguments(toys, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS._targets, "tinted", tinted.PATH)
    monkeypatch.setenv("FACECLOAK_POCKET", str(tmp_path / "nothing"))
    STEPS.clear()
    out = str(tmp_path / "out")
    common = ["--methods", "tinted", "--black-box", "ada,bob", "--accelerator", "cpu"]
    return ["benchmark", str(toys), *common, "--out", out]


def apart(arguments, **environment):
    """The same in a separate process."""
    return run(*arguments, patch=tinted.install, **environment)


def started(arguments, **environment):
    """The same in a separate process that starts others."""
    return typed(*arguments, patch=tinted.install, **environment).wait()


def checkpoints(out):
    return {path.stem.rsplit("-", 1)[0]: path for path in sorted((out / "checkpoints").glob("*.safetensors"))}


def test_a_shared_stage_is_trained_once_and_an_adversarial_one_for_each_judge(arguments, tmp_path):
    assert main(arguments) == 0
    names = [path.stem.rsplit("-", 1)[0] for path in (tmp_path / "out" / "checkpoints").glob("*.safetensors")]
    assert sorted(names) == ["tinted-mean", "tinted-tint", "tinted-tint"]
    # 2 batches per pass, and 2 timed steps of each kind
    assert STEPS.count("mean") == 2 + 2 * 2 and STEPS.count("tint") == 2 + 2 * 3 * 2
    assert not [path for path in (tmp_path / "out" / "checkpoints").iterdir() if path.is_dir()]


def test_the_mean_is_what_the_second_stage_starts_from_and_the_result_fools(arguments, tmp_path, monkeypatch):
    starts, build = [], tinted.Tinted.build

    def watched(self, stage):
        starts.append(getattr(self, "mean", None))
        return build(self, stage)

    monkeypatch.setattr(tinted.Tinted, "build", watched)
    assert main([*arguments, "--tinted.passes=40"]) == 0
    mean = load_file(checkpoints(tmp_path / "out")["tinted-mean"])["colour"]
    assert sum(start is not None and bool((start == mean).all()) for start in starts) >= 2
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert (table["cosine_rise_surrogates"] > 0).all()


def test_what_is_trained_is_found_again(arguments, tmp_path):
    assert main(arguments) == 0
    STEPS.clear()
    assert main([*arguments, "--tinted.strength=0.5"]) == 0  # other images, made with the same weights
    assert STEPS == []
    assert main([*arguments, "--tinted.lr=0.01"]) == 0
    assert "mean" in STEPS and "tint" in STEPS
    STEPS.clear()
    assert main([*arguments, "--tinted.passes=4"]) == 0  # the first stage stays
    assert "mean" not in STEPS and "tint" in STEPS


def test_the_cost_of_training_is_in_the_row(arguments, tmp_path):
    assert main([*arguments, "--methods", "tinted,blur"]) == 0
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv").set_index("method")
    blur, own = table.loc["blur"], table.loc["tinted"]
    assert blur["training_seconds"].isna().all()
    assert (blur["amortised_seconds_per_image"] == blur["seconds_per_image"]).all()
    files = (tmp_path / "out" / "checkpoints").glob("*.json")
    spent = {path.stem: json.loads(path.read_text())["seconds"] for path in files}
    mean = next(seconds for name, seconds in spent.items() if "mean" in name)
    totals = {round(mean + seconds, 9) for name, seconds in spent.items() if "tint-" in name}
    assert {round(value, 9) for value in own["training_seconds"]} == totals and min(totals) > mean > 0
    expected = own["seconds_per_image"] + own["training_seconds"] / 4
    assert own["amortised_seconds_per_image"].to_list() == pytest.approx(expected.to_list())


def test_how_long_it_will_take_is_said_before_it_starts(arguments, capsys):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    places = [said.index(text) for text in ("1 × mean to train, about 0 min", "2 × tint to train", "tinted: PSR")]
    assert places == sorted(places)
    assert main(arguments) == 0
    assert "to train" not in capsys.readouterr().out


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(arguments, tmp_path):
    whole = tmp_path / "whole"
    assert apart([*arguments, "--out", str(whole)]).returncode == 0
    assert apart(arguments, **{DIES: "2"}).returncode == 9
    half = list((tmp_path / "out" / "checkpoints").glob("tinted-tint-*"))
    assert [path.is_dir() for path in half] == [True]
    stamp = checkpoints(tmp_path / "out")["tinted-mean"].stat().st_mtime_ns
    assert main(arguments) == 0
    assert STEPS.count("tint") == 2 + 2 + 2 * 3  # timed steps; the unfinished pass; the second judge's
    assert checkpoints(tmp_path / "out")["tinted-mean"].stat().st_mtime_ns == stamp
    for file in (whole / "checkpoints").glob("*.safetensors"):
        assert (tmp_path / "out" / "checkpoints" / file.name).read_bytes() == file.read_bytes()


def test_two_processes_train_once_and_make_the_same_images(arguments, tmp_path):
    both = started([*arguments, "--devices", "2", "--out", str(tmp_path / "two")])
    assert both.returncode == 0, both.stderr[-2000:]
    assert both.stderr.count("fitted in process") == 3
    assert main(arguments) == 0
    pictures = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").glob("protections/*/images/*"))
    assert len(pictures) == 8
    for picture in pictures:
        assert (tmp_path / "two" / picture).read_bytes() == (tmp_path / "out" / picture).read_bytes()


def test_weights_that_ship_with_the_embedded_suite_are_found(arguments, tmp_path, monkeypatch):
    assert main(arguments) == 0
    (tmp_path / "pocket").mkdir()
    (tmp_path / "out" / "checkpoints").rename(tmp_path / "pocket" / "trained")
    monkeypatch.setenv("FACECLOAK_POCKET", str(tmp_path / "pocket"))
    STEPS.clear()
    assert main([*arguments[:-1], str(tmp_path / "other")]) == 0
    assert STEPS == [] and not (tmp_path / "other" / "checkpoints").exists()


def test_weights_that_were_changed_are_refused(arguments, tmp_path, capsys):
    assert main(arguments) == 0
    file = checkpoints(tmp_path / "out")["tinted-tint"]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert main([*arguments, "--mode", "overwrite"]) == 2
    assert f"{file.name} has changed since it was trained" in capsys.readouterr().err


def test_what_a_fit_will_take_follows_from_two_steps(monkeypatch):
    class Slow(torch.nn.Linear):
        """Four batches; with the clock below, the first use of a batch takes 13 seconds and the second 3."""

        device = torch.device("cpu")

        def train_dataloader(self):
            return [torch.ones(1, 1)] * 4

        def training_step(self, batch, batch_idx):
            return self(batch).sum()

    clock = iter([0, 13, 20, 23])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert fit_seconds(Slow(1, 1), passes=5, accelerator="cpu") == 4 * 13 + 4 * 4 * 3


def test_the_time_before_a_kill_counts(arguments, tmp_path):
    assert apart(arguments, **{DIES: "2"}).returncode == 9
    (work,) = (path for path in (tmp_path / "out" / "checkpoints").iterdir() if path.is_dir())
    saved = torch.load(work / "last.ckpt", weights_only=True)
    saved["callbacks"]["_Clock"]["seconds"] = 1000.0
    torch.save(saved, work / "last.ckpt")
    assert main(arguments) == 0
    seconds = [json.loads(p.read_text()) for p in (tmp_path / "out" / "checkpoints").glob("tinted-tint-*.json")]
    assert sorted(entry["seconds"] > 1000 for entry in seconds) == [False, True]
    assert all(entry["total_seconds"] > entry["seconds"] and entry["device"].startswith("cpu") for entry in seconds)


def test_an_error_in_training_ends_both_processes_with_one_line(arguments):
    both = started([*arguments, "--devices", "2"], **{FAILS: "1"})
    assert both.returncode == 2
    assert "error: the loss is not finite" in both.stderr and "Traceback" not in both.stderr


def test_a_method_of_another_size_is_refused_before_it_is_trained(arguments, monkeypatch, capsys):
    monkeypatch.setattr(tinted.Tinted, "side", 32)
    assert main(arguments) == 2
    assert "tinted makes pictures of 32×32 pixels, but suite toys has pictures of 64×64" in capsys.readouterr().err
    assert STEPS == []


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert device_name(torch.device("cuda", 1)) == "GPU 1"
    assert device_name(torch.device("cpu")).startswith("cpu, ")
