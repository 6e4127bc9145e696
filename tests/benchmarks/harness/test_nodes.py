"""One benchmark on several machines: processes of different node ranks, as torchrun and SLURM start them.

SLURM tells a process by its environment alone what it is, so its processes are forked here.
"""

import os
import socket
import subprocess
import sys

import pandas as pd
import pytest

from facecloak.cli.main import main
from tests.benchmarks import tinted
from tests.forked import start

COST = ["seconds_per_image", "training_seconds", "amortised_seconds_per_image", "peak_memory_mb"]
PLAIN = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "MASTER_ADDR": "127.0.0.1", "FACECLOAK_POCKET": "none"}


@pytest.fixture
def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def torchrun(port: str, commands: list[list]) -> list[tuple[int, str]]:
    """Exit status and standard error of a command on each machine."""
    started = []
    for rank, command in enumerate(commands):
        options = ["--nnodes", "2", "--node-rank", rank, "--nproc-per-node", "1", "--master-addr", "127.0.0.1"]
        program = ["-m", "torch.distributed.run", *options, "--master-port", port, "-m", "tests.benchmarks.tinted"]
        started.append(subprocess.Popen(
            [sys.executable, *map(str, [*program, *command])], env={**os.environ, **PLAIN},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ))  # fmt: skip
    errors = [process.communicate(timeout=240)[1] for process in started]
    return [(process.returncode, error) for process, error in zip(started, errors, strict=True)]


def srun(port: str, commands: list[list]) -> list[tuple[int, str]]:
    """The same with the environment variables that SLURM sets for its tasks."""
    started = []
    for rank, command in enumerate(commands):
        about = {"PROCID": rank, "NODEID": rank, "LOCALID": 0, "NTASKS": 2, "NTASKS_PER_NODE": 1, "NNODES": 2,
                 "STEP_NUM_TASKS": 2, "JOB_ID": 1, "JOB_NAME": "facecloak"}  # fmt: skip
        environment = {f"SLURM_{name}": str(value) for name, value in about.items()}
        started.append(start(*command, patch=tinted.install, **PLAIN, **environment, MASTER_PORT=port))
    ended = [process.wait() for process in started]
    return [(each.returncode, each.stderr) for each in ended]


@pytest.mark.parametrize("launch", [pytest.param(torchrun, marks=pytest.mark.slow), srun])
def test_two_machines_give_the_same_rows_and_every_image_once(toys, tmp_path, port, launch):
    """The method is trained first: each stage once, on the machine that needs it first."""
    one, two = tmp_path / "one", tmp_path / "two"
    arguments = ["benchmark", toys, "--methods", "blur,tinted", "--black-box", "ada,bob", "--accelerator", "cpu"]
    ended = launch(port, [[*arguments, "--out", two, "--num-nodes", 2]] * 2)
    assert [status for status, _ in ended] == [0, 0], ended
    assert sum(error.count("fitted in process") for _, error in ended) == 3
    assert start(*arguments, "--out", one, patch=tinted.install, **PLAIN).wait().returncode == 0
    tables = [pd.read_csv(out / "leaderboard.csv").drop(columns=COST) for out in (one, two)]
    pd.testing.assert_frame_equal(*tables)
    pictures = sorted(path.relative_to(one) for path in one.glob("protections/*/images/*"))
    assert len(pictures) == 12
    for picture in pictures:
        assert (two / picture).read_bytes() == (one / picture).read_bytes()


def test_machines_that_share_no_folder_are_told_so(toys, tmp_path, port):
    """Otherwise the other machine's images would count as lost."""
    arguments = ["benchmark", toys, "--methods", "blur", "--black-box", "ada", "--accelerator", "cpu", "--num-nodes", 2]
    ended = srun(port, [[*arguments, "--out", tmp_path / name] for name in ("here", "there")])
    assert ended[0][0] == 2 and "one folder that all machines share" in ended[0][1]
    assert not list(tmp_path.glob("*/protections/*/judgements/*/*/judgement.json"))


@pytest.mark.parametrize(
    "environment, devices, said",
    [
        ({}, "1", "start this command on every machine with torchrun or srun"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "2", "2 processes were started, but not for --devices 2 × --num-nodes 2"),
        ({"SLURM_NTASKS": "2"}, "1", "start this command on every machine with torchrun or srun"),
        ({"SLURM_STEP_NUM_TASKS": "3"}, "1", "3 processes were started, but not for --devices 1 × --num-nodes 2"),
    ],
)
def test_a_number_of_machines_that_were_not_started_is_refused(
    toys, tmp_path, monkeypatch, capsys, environment, devices, said
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    arguments = ["benchmark", str(toys), "--num-nodes", "2", "--devices", devices, "--out", str(tmp_path)]
    assert main([*arguments, "--accelerator", "cpu"]) == 2
    assert said in capsys.readouterr().err
