"""The run directory: its layout, its stages, its results, and what made it."""
