"""Suites, as YAML files, and their thresholds."""
