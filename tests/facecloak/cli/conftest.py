"""Runs and sweeps for commands."""

from tests.benchmarks.conftest import run, sound, sweep  # noqa: F401
