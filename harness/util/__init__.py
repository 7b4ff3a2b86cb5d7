"""What any part of the harness may use, and what knows nothing of experiments."""
