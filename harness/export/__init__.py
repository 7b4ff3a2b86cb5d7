"""Export of a trained model: merged checkpoint or GGUF."""
