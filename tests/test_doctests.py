"""The examples in docstrings give the results that they show."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import METHODS
from facecloak.recognizers.checkpoints import CHECKPOINTS, POOL

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("facecloak", "baselines", "benchmarks")
    for path in sorted((ROOT / package).rglob("*.py"))
    if any(">>> " in line and "+SKIP" not in line for line in path.read_text().splitlines())
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    failed, tried = doctest.testmod(import_module(name))
    METHODS._loaded.clear()  # the names that an example has registered
    POOL.pop("mine", None)
    CHECKPOINTS._loaded.clear()
    assert tried and not failed


def test_there_are_examples():
    assert {"facecloak.api", "benchmarks.harness.methods", "benchmarks.suites.suite"} <= set(MODULES)
