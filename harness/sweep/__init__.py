"""One experiment with several values of its settings."""
