"""The scorer, under the name that other programs import; python -m harness.scoring --selftest runs its self-test."""

import sys

from harness.tasks.scoring import score
from harness.tasks.selftest import main

__all__ = ["score"]

if __name__ == "__main__":
    from harness.util.cli import exit_code

    sys.exit(exit_code(main))
