"""Runs that are killed, and runs in two processes: the same files, the same rows."""

import itertools
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.harness import predict
from benchmarks.harness.plan import Plan
from benchmarks.results import store
from facecloak.cli import benchmark
from tests.forked import run, start, typed

COST = ["seconds_per_image", "amortised_seconds_per_image", "peak_memory_mb"]


def signalled(number: int):
    """Gets a signal just before it reports the third image as finished, when its picture has already been written."""

    def patch() -> None:
        write_json, count = store.write_json, itertools.count(1)

        def dying(path, value):
            if path.parent.name == "outcomes" and next(count) == 3:
                os.kill(os.getpid(), number)
            write_json(path, value)

        store.write_json = dying

    return patch


def killed_while_writing(moment: int):
    """Dies in the middle of its N-th write: part of the file has been written, under a temporary name."""

    def patch() -> None:
        flush, count = os.fsync, itertools.count(1)

        def dying(handle):
            if next(count) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            flush(handle)

        os.fsync = dying

    return patch


def pair(*arguments: object, patch: Callable[[], None] | None = None) -> list[subprocess.CompletedProcess]:
    """A command in two forked processes that share its work; the patch is for the second one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        about = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    two = [*arguments, "--devices", "2"]
    first = start(*two, LOCAL_RANK="0", **about)
    second = start(*two, patch=patch, LOCAL_RANK="1", **about)
    return [first.wait(), second.wait()]


def rows(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "leaderboard.csv").drop(columns=COST)


def stamps(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("protections/*/*/*")}


def files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and path.parent.name != "locks"}


def test_a_killed_run_goes_on_and_ends_with_the_same_files(toys, tmp_path):
    """It is killed between a picture and its outcome, then at random moments within writes."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = ["benchmark", toys, "--methods", "blur", "--targets", "1,2", "--wandb", "disabled"]
    assert run(*arguments, "--out", whole).returncode == 0
    assert run(*arguments, "--out", broken, patch=signalled(signal.SIGKILL)).returncode == -9
    assert not (broken / "leaderboard.csv").exists()
    finished = {name: stamp for name, stamp in stamps(broken).items() if "p0" in name or "p1" in name}
    assert len(finished) == 4  # two pictures, two outcomes
    moments = random.Random(0)
    for _ in range(4):
        moment = moments.randrange(1, 12)
        assert run(*arguments, "--out", broken, patch=killed_while_writing(moment)).returncode == -9, moment
        assert len([*broken.rglob(".facecloak-tmp-*")]) == 1, "it was killed inside of a write"
    assert run(*arguments, "--out", broken).returncode == 0
    assert finished.items() <= stamps(broken).items()  # not made again
    pd.testing.assert_frame_equal(rows(broken), rows(whole))
    pictures = sorted(path.relative_to(whole) for path in whole.glob("protections/*/images/*"))
    assert len(pictures) == 8
    for picture in pictures:
        assert (broken / picture).read_bytes() == (whole / picture).read_bytes()
    assert files(broken) == files(whole)  # none is missing, and none is left over
    checked = run("leaderboard", "--check", broken)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(toys, tmp_path, number):
    arguments = ["benchmark", toys, "--methods", "blur", "--black-box", "ada", "--out", tmp_path / "out"]
    result = run(*arguments, patch=signalled(number))
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "interrupted. Finished images are kept" in result.stderr.splitlines()[-1]
    assert not list((tmp_path / "out").glob("protections/*/judgements/*/*/judgement.json"))


def test_a_second_run_computes_nothing(toys, tmp_path):
    out = tmp_path / "out"
    arguments = ["benchmark", toys, "--methods", "blur", "--black-box", "ada", "--out", out]
    run(*arguments)
    before = stamps(out)
    again = run(*arguments)
    assert "were done before" in again.stdout and stamps(out) == before


def test_two_processes_give_the_same_rows_and_every_image_once(toys, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    arguments = ["benchmark", toys, "--methods", "blur,none", "--black-box", "ada,bob", "--accelerator", "cpu"]
    assert run(*arguments, "--out", one).returncode == 0
    command = [sys.executable, "-m", "facecloak.cli", *map(str, arguments), "--out", str(two), "--devices", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    both = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert both.returncode == 0, both.stderr
    pd.testing.assert_frame_equal(rows(two), rows(one))
    assert len(list(two.glob("protections/*/outcomes/*.json"))) == 8
    for picture in one.glob("protections/*/images/*"):
        assert (two / picture.relative_to(one)).read_bytes() == picture.read_bytes()


def test_more_processes_than_batches_share_the_protections(toys, tmp_path):
    """Each of the protections is one batch; the second process makes and judges every other one."""
    arguments = ["benchmark", toys, "--methods", "blur,none", "--targets", "1,2", "--limit", 1, "--accelerator", "cpu"]
    assert run(*arguments, "--out", tmp_path / "one").returncode == 0
    for ended in pair(*arguments, "--out", tmp_path / "two"):
        assert ended.returncode == 0 and not ended.stderr
    assert files(tmp_path / "two") == files(tmp_path / "one")
    pd.testing.assert_frame_equal(rows(tmp_path / "two"), rows(tmp_path / "one"))


def test_a_process_that_dies_is_reported_and_its_images_can_be_made_later(toys, tmp_path):
    """The second process is killed when it writes its first picture; the first one keeps what it makes."""

    def patch() -> None:
        predict.write_outcome = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

    arguments = ["benchmark", toys, "--methods", "blur", "--black-box", "ada", "--accelerator", "cpu"]
    first, second = pair(*arguments, "--out", tmp_path / "out", patch=patch)
    assert second.returncode == -signal.SIGKILL
    assert first.returncode == 2 and "another process of this run ended early" in first.stderr
    made = {name: stamp for name, stamp in stamps(tmp_path / "out").items() if name.endswith(".png")}
    assert 0 < len(made) < 4
    assert run(*arguments, "--out", tmp_path / "out").returncode == 0
    assert made.items() <= stamps(tmp_path / "out").items()


def test_what_is_wrong_with_a_request_is_said_once(toys, tmp_path):
    """The first process finds the mistake when the other one waits for it, or has ended."""
    reading, writing = os.pipe()

    def patch() -> None:
        make_plan = benchmark.make_plan

        def join(*_: object) -> None:
            os.write(writing, b"waits")
            threading.Event().wait()

        def plan(*request: object) -> Plan:
            if os.environ["LOCAL_RANK"] == "0":
                os.close(writing)
                os.read(reading, 1)
            return make_plan(*request)

        benchmark.join, benchmark.make_plan = join, plan

    command = ["benchmark", toys, "--methods", "blurr", "--devices", "2", "--out", tmp_path / "out"]
    first = typed(*command, patch=patch)
    os.close(writing)
    result = first.wait()
    os.close(reading)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1 and "blurr" in result.stderr


def test_no_process_outlives_the_first_one(toys, tmp_path):
    """The first is killed when it writes a picture, the second hangs; both have the pipe that is read to its end."""

    def die_or_hang(*_: object) -> None:
        if os.environ["LOCAL_RANK"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()

    def patch() -> None:
        predict.write_outcome = die_or_hang

    arguments = ["benchmark", toys, "--methods", "blur", "--black-box", "ada", "--accelerator", "cpu", "--devices", "2"]
    reading, writing = os.pipe()
    first = typed(*arguments, "--out", tmp_path / "out", patch=patch, stdout=writing)
    os.close(writing)
    assert first.wait().returncode == -signal.SIGKILL
    while select.select([reading], [], [], 60)[0]:
        if not os.read(reading, 1000):
            return os.close(reading)
    pytest.fail("the second process still runs")
