"""The run directory: what lies where, its stages, its results, and what made it."""
