"""Questions, and the scoring of answers."""
