import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from benchmarks.sweep import local, report
from tests.benchmarks.handmade import write_run


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Path:
    """A run of 12 judgements of 8 protections written by hand; not to be changed."""
    return write_run(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def run(sound, tmp_path) -> Path:
    """A copy of the run `sound`, which a test may change."""
    return shutil.copytree(sound, tmp_path / "run")


@pytest.fixture
def cell(run) -> Path:
    """A judgement of `run`: pgd, target 1, by ada, the only one of its pictures; its first photo, p10, has failed."""
    (folder,) = run.glob("protections/pgd_1_*/judgements/none/ada")
    return folder


@pytest.fixture
def tables_only(monkeypatch) -> None:
    """Boards without plots and page, each of which takes seconds."""
    nothing = SimpleNamespace(write_plots=lambda *_: None, write_page=lambda *_: None)
    for name in ("benchmarks.leaderboard.plots.families", "benchmarks.leaderboard.page.document"):
        monkeypatch.setitem(sys.modules, name, nothing)


@pytest.fixture
def sweep(toys, tmp_path, monkeypatch):
    """Writes a sweep of PGD on the toy suite."""

    def write(parameters, method="random", **others) -> str:
        command = [
            "${env}",
            "${interpreter}",
            "-m",
            "benchmarks.sweep.trial",
            str(toys),
            "--methods=pgd",
            "--black-box=ada,bob",
            "--limit=2",
            "--floor=20",
            "${args}",
        ]
        content = {
            "program": "benchmarks.sweep.trial", "method": method, "metric": {"name": "objective", "goal": "maximize"},
            "parameters": parameters, "command": command, **others,
        }  # fmt: skip
        (tmp_path / "toy_sweep.yaml").write_text(yaml.safe_dump(content))
        return str(tmp_path / "toy_sweep.yaml")

    return write


@pytest.fixture
def quick(monkeypatch) -> None:
    """Trials of sweeps that do no real work, see tests/benchmarks/sweep/quick_trial.py, and a report without plots."""
    monkeypatch.setattr(report, "_save", lambda *_: None)
    monkeypatch.setattr(local, "TRIAL", [sys.executable, str(Path(__file__).parent / "sweep" / "quick_trial.py")])
