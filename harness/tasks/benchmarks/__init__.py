"""The benchmarks: one file each, one row in harness.tasks.registry."""
