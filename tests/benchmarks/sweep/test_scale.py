"""Many trials on many agents of W&B: its limits, that no trial is lost or doubled, and the memory of the report."""

import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.sweep.agents import STATE
from benchmarks.sweep.files import load_sweep
from facecloak.io import write_json
from tests.benchmarks.sweep.many_agents import CREATES, FILES, HEARTBEAT, Agents, register
from tests.benchmarks.tracking.wandb_server import Server
from tests.forked import run

# the published default limits of W&B's servers, requests a second, docs.wandb.ai/platform/hosting/.../rate-limits
LIMITS = {FILES: 500, CREATES: 80}
OF_RUN = 2
MEMORY = 1500  # MB


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_MODE", "online")
        yield server


@pytest.mark.parametrize(
    "count, agents", [(20, 8), pytest.param(1000, 64, marks=pytest.mark.slow)], ids=["small", "large"]
)
def test_many_agents_stay_below_wandbs_limits_and_every_trial_is_in_the_report_once(
    server, sweep, quick, tmp_path, count, agents, capsys
):
    is_large = count > 100
    path = Path(sweep({"pgd.epsilon": {"min": 1.0, "max": 64.0}, "pgd.iterations": {"values": [1, 2, 3]}}))
    if isinstance(getattr(server, "trials", None), list):
        server.trials = [{"pgd.epsilon": 1 + place % 63, "pgd.iterations": 1 + place % 3} for place in range(2 * count)]
    name = register(server.url, yaml.safe_load(path.read_text()))
    sent = Agents(server.url, name, count, agents, crash=0.05).run()
    assert len(set(sent.begun)) == len(sent.begun) > len(sent.ended) == count
    busiest = {kind: sent.most(kind, 10) for kind in (HEARTBEAT, FILES, CREATES)}
    assert all(busiest[kind] < LIMITS[kind] / 10 for kind in LIMITS)  # far from them
    assert max(sent.of_run.values()) <= OF_RUN
    assert 60 * sent.most(HEARTBEAT, 60) <= agents * 13  # once in 5 seconds

    state = {"sweep": f"team/facecloak/{name}", "file": load_sweep(path).sha256}
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out" / STATE, state)
    typed = ["sweep", path, "--backend", "wandb", "--count", count, "--out", tmp_path / "out"]
    command = [sys.executable, "-m", "facecloak.cli", *map(str, typed)]
    # the memory is that of a process of its own
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path) if is_large else run(*typed)
    assert said.returncode == 0, said.stdout + said.stderr
    table = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert len(table) == count and (table["objective"] == 4).all()
    page = (tmp_path / "out" / "sweep.html").stat().st_size
    assert page < 1000 * count + 100_000
    if is_large:
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        assert memory < MEMORY
        with capsys.disabled():
            minutes = {kind: round(60 * sent.most(kind, 60)) for kind in busiest}
            print(f"\n{count} trials on {agents} agents: requests in the busiest minute {minutes}; in a second, over "
                  f"the busiest 10, {busiest}; report: {memory:.0f} MB, page {page / 1e6:.2f} MB")  # fmt: skip
