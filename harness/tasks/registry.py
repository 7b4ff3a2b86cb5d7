"""The benchmarks by name."""

from __future__ import annotations

from harness.tasks.task import Task
from harness.util.registry import Registry

_BENCHMARKS = "gsm8k gsm_plus gsm_symbolic_p2 svamp asdiv math500"
TASKS: Registry[Task] = Registry({name: f"harness.tasks.benchmarks.{name}:TASK" for name in _BENCHMARKS.split()})
# The benchmark whose row schema training data has.
TRAINING = "gsm8k"
