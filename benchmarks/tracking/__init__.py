"""Weights & Biases: what it gets, and how it is sent."""
