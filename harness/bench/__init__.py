"""Measurements of our own: python -m harness.bench."""
