import pytest

from tests.reference.models import Models, random_models


@pytest.fixture
def models() -> Models:
    """A random model of Stable Diffusion's form, in float64."""
    return random_models("test")
