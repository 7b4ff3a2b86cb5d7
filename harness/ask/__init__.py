"""Questions to the base and the tuned model of a run."""
