"""Noise within an L∞ box around each photo, found by projected gradients through the surrogates."""
