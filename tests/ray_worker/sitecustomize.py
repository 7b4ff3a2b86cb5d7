"""With this folder on PYTHONPATH, a worker that Ray starts has a fork made in its place (tests/warm.py)."""

import sys

if len(sys.orig_argv) > 1 and sys.orig_argv[1].endswith("ray/_private/workers/default_worker.py"):
    from tests import warm

    warm.become_ray_worker()
