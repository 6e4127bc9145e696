"""Weights & Biases: which results it gets, and how they are sent."""
