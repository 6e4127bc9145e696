"""Trained stages become assets: in float16, found by name, and nothing else stays."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.ship import main
from benchmarks.training import SHIPPED, find_checkpoint
from facecloak.io import pocket_dir, sha256, write_json
from facecloak.pocket.training.assets import check_manifest

WEIGHTS = {"a": torch.tensor([1.0, 1 / 3, 1e-4])}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder of assets, and a run with one trained stage."""
    monkeypatch.setenv("FACECLOAK_POCKET", str(tmp_path / "pocket"))
    (tmp_path / "pocket" / SHIPPED).mkdir(parents=True)
    write_json(tmp_path / "pocket" / "thresholds.json", {})
    file = tmp_path / "run" / "checkpoints" / "tinted-mean-0123.safetensors"
    file.parent.mkdir(parents=True)
    save_file(WEIGHTS, file)
    write_json(file.with_suffix(".json"), {"seconds": 7.0, "total_seconds": 9.0, "sha256": sha256(file)})
    return tmp_path


def test_a_stage_is_found_in_float16_and_what_was_shipped_before_is_gone(world, capsys):
    for old in ("old-mean-1.safetensors", "old-mean-1.json"):
        shutil.copy(world / "pocket" / "thresholds.json", world / "pocket" / SHIPPED / old)
    assert main([str(world / "run")]) == 0
    assert capsys.readouterr().out.startswith("1 trained stages")
    found = find_checkpoint(world / "elsewhere", "tinted-mean-0123")
    weights = load_file(found)["a"]
    assert weights.dtype == torch.float16 and torch.allclose(weights.float(), WEIGHTS["a"], rtol=1e-3)
    assert {path.stem for path in found.parent.iterdir()} == {"tinted-mean-0123"}
    check_manifest(pocket_dir())


def test_the_run_that_trained_it_keeps_its_own(world):
    assert main([str(world / "run")]) == 0
    assert load_file(find_checkpoint(world / "run", "tinted-mean-0123"))["a"].dtype == torch.float32


def test_a_run_without_checkpoints_changes_nothing(world, capsys):
    assert main([str(world / "run")]) == 0
    before = sorted((world / "pocket").rglob("*"))
    assert main([str(world / "run"), str(world / "empty")]) == 2
    assert "empty/checkpoints holds no trained stage" in capsys.readouterr().err
    assert sorted((world / "pocket").rglob("*")) == before
