"""What was trained, as a model of its own."""
