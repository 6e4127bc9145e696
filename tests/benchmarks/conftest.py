from pathlib import Path

import pytest

from tests.toys import write_suite


@pytest.fixture
def toys(tmp_path, monkeypatch) -> Path:
    """The toy suite's YAML; its weights are the only ones that are found."""
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(tmp_path / "toys" / "weights"))
    monkeypatch.setenv("FACECLOAK_SHARED", str(tmp_path / "nothing"))
    return write_suite(tmp_path / "toys")
