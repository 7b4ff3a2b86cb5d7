"""The benchmarks by name."""

from __future__ import annotations

from harness.tasks.task import Task
from harness.util.registry import Registry

TASKS: Registry[Task] = Registry({"gsm8k": "harness.tasks.benchmarks.gsm8k:TASK"})
# The benchmark whose row schema training data has.
TRAINING = "gsm8k"
