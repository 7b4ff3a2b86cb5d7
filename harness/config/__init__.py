"""The experiment file: schema, loading, and which settings work together."""
