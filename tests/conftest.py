import os
from pathlib import Path

import pytest

os.environ["WANDB_MODE"] = "disabled"  # but where a test asks for it
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes run tests side by side, see addopts


@pytest.fixture
def toys(tmp_path, monkeypatch) -> Path:
    """The toy suite's YAML; its weights are the only ones that are found."""
    from tests.toys import write_suite  # after the environment is set

    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "toys" / "weights"))
    monkeypatch.setenv("FACECLOAK_SHARED", str(tmp_path / "nothing"))
    return write_suite(tmp_path / "toys")
