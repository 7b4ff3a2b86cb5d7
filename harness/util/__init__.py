"""Tools that any part of the harness may use; they know nothing about experiments."""
