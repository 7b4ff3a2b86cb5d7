"""Stages side by side on several GPUs or machines: Ray decides where and when each runs (cluster.scheduler: ray)."""
