"""What is measured: suites, as YAML, and their thresholds."""
