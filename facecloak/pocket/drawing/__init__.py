"""Draws portraits of people who do not exist."""
