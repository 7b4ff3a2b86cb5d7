"""Measurements of the harness: python -m harness.bench."""
