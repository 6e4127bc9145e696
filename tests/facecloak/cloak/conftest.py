from pathlib import Path

import pytest

from facecloak.io import shared_dir
from tests.reference.models import Models, random_models


@pytest.fixture
def models() -> Models:
    """A random model of Stable Diffusion's form for 64-px images, in float64."""
    return random_models("test")


@pytest.fixture
def golden() -> Path:
    folder = shared_dir() / "golden"
    if not folder.is_dir():
        pytest.skip(f"{folder} with golden files is not there; set FACECLOAK_SHARED")
    return folder
