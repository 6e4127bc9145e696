"""Checks results: what every file of a run must contain, and what runs must agree on."""
