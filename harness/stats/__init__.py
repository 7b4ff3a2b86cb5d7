"""Numbers in, intervals and tests out; nothing here knows about models or files."""

from harness.stats.intervals import wilson
from harness.stats.paired import paired_difference
from harness.stats.paired_tests import mcnemar

__all__ = ["mcnemar", "paired_difference", "wilson"]
