"""Trained stages become assets: they are in float16 and found by name, and other files are removed."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.harness.training import SHIPPED, find_checkpoint
from benchmarks.studies import pocket_checkpoints as ship
from benchmarks.studies.pocket_checkpoints import main
from facecloak.io import pocket_dir, sha256, write_json
from facecloak.pocket.training.assets import check_manifest

NAMES = ("tinted-mean-0123", "tinted-tint-4567")
WEIGHTS = {"a": torch.tensor([1.0, 1 / 3, 1e-4])}


def train(folder, name):
    file = folder / f"{name}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(WEIGHTS, file)
    write_json(file.with_suffix(".json"), {"seconds": 7.0, "total_seconds": 9.0, "sha256": sha256(file)})
    return file


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder of assets, and two runs, each with a trained stage."""
    monkeypatch.setenv("FACECLOAK_POCKET", str(tmp_path / "pocket"))
    monkeypatch.setattr(ship, "needed", lambda out: set(NAMES))
    for number, name in enumerate(NAMES):
        train(tmp_path / f"run{number}" / "checkpoints", name)
    train(tmp_path / "pocket" / SHIPPED, "old-mean-1")
    return tmp_path


def content(world):
    return {path: path.read_bytes() for path in (world / "pocket").rglob("*") if path.is_file()}


def test_stages_of_several_runs_are_found_in_float16_and_others_are_gone(world, capsys):
    assert main([str(world / "run0"), str(world / "run1")]) == 0
    assert capsys.readouterr().out.startswith("2 trained stages")
    found = find_checkpoint(world / "elsewhere", NAMES[0])
    weights = load_file(found)["a"]
    assert weights.dtype == torch.float16 and torch.allclose(weights.float(), WEIGHTS["a"], rtol=1e-3)
    assert {path.stem for path in found.parent.iterdir()} == set(NAMES)
    check_manifest(pocket_dir())
    assert load_file(find_checkpoint(world / "run0", NAMES[0]))["a"].dtype == torch.float32  # a run's own file stays


def test_what_is_shipped_and_still_needed_stays(world):
    assert main([str(world / "run0"), str(world / "run1")]) == 0
    before = content(world)
    shutil.rmtree(world / "run1" / "checkpoints")
    assert main([str(world / "run0"), str(world / "run1")]) == 0
    assert content(world) == before


def test_a_missing_or_damaged_stage_changes_nothing(world, capsys):
    before = content(world)
    assert main([str(world / "run0")]) == 2
    assert f"{NAMES[1]} is in none of these runs" in capsys.readouterr().err
    (world / "run1" / "checkpoints" / f"{NAMES[1]}.safetensors").write_bytes(b"half")
    assert main([str(world / "run0"), str(world / "run1")]) == 2
    assert "has changed since it was trained" in capsys.readouterr().err
    assert content(world) == before
