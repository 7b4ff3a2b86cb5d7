"""How far the runs of a folder are, and one run's page while it is made."""
