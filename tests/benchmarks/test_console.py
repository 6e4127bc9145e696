"""Output that is silenced during some work comes back afterwards."""

import logging
import warnings

import pytest

from benchmarks.console import quietly


def test_levels_and_filters_are_as_before_even_after_an_error():
    lightning = logging.getLogger("pytorch_lightning")
    before = lightning.level, list(warnings.filters)
    with pytest.raises(ValueError, match="x"), quietly():
        assert lightning.level == logging.ERROR and warnings.filters != before[1]
        raise ValueError("x")
    assert (lightning.level, warnings.filters) == before
