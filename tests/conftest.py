"""What several test files share: real GSM8K if there is a copy, the tiny checkpoint, and one finished small run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.runs import machine
from harness.util import processes, startup
from tests import warm

# Tests run in parallel on few cores, where torch's threads would slow each other down. Set before torch is imported,
# and inherited by every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

startup.set_environment()

ROOT = Path(__file__).resolve().parent.parent

# A run of the real command that takes seconds: a few steps, a few questions, several batches, no tracker.
SMALL = (
    "eval.limit=48", "eval.batch_size=8", "train.steps=6", "train.prompts_per_step=2", "train.generations=4",
    "train.resume_every=2", "train.save_steps=6", "track.mode=disabled",
)  # fmt: skip


without_gpu = pytest.mark.skipif(bool(machine.gpus()), reason="tests a machine without an NVIDIA GPU; this has one")


# Seconds after which a process counts as hanging, even on a slow and busy machine; they measure nothing.
HANG = 1200


# With a GPU, libraries must be imported in their own order.
WARM = sys.platform == "linux" and not machine.gpus()


def harness(module: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess:
    """Run `python -m harness.<module>` as a user would, and return what it printed and its exit code."""
    with started(module, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            output, errors = process.communicate(timeout=HANG)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def started(module: str, *arguments: str | Path, cold: bool = False, **options: Any) -> subprocess.Popen:
    """The same without waiting for its end; the options are those of subprocess.Popen.

    The process is a fork of one that has imported torch and the like (tests/warm.py); `cold` starts a new interpreter.
    """
    kind = warm.Popen if WARM and not cold else subprocess.Popen
    return kind(_command(module, arguments), **{"cwd": ROOT, "env": environment(), "text": True} | options)


def _command(module: str, arguments: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-m", f"harness.{module}", *map(str, arguments)]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}


def wait_until(ready: Callable[[], object], process: subprocess.Popen) -> None:
    """Return as soon as `ready()` holds; the process must still be running then."""
    deadline = time.monotonic() + HANG
    while not ready():
        assert process.poll() is None, process.stderr.read() if process.stderr else process.returncode
        assert time.monotonic() < deadline
        time.sleep(0.002)


def memory_is_back(free: float) -> bool:
    """Whether the first GPU has, within two minutes, the same free memory as before, up to 0.2 GiB."""
    deadline = time.monotonic() + 120
    while (left := free - machine.gpus()[0].free) > 0.2 and time.monotonic() < deadline:
        time.sleep(0.5)
    print(f"\n{left:.2f} GiB less memory is free than before")
    return left <= 0.2


def near(expected: Any, tolerance: float = 5.1e-9) -> Any:
    """Equal to the eight decimals that the reference values have."""
    return pytest.approx(expected, rel=0, abs=tolerance)


def refused(done: subprocess.CompletedProcess, *parts: str) -> None:
    """Assert what a user error gives: exit code 2, one line on standard error, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def growth(work: Callable[[Any], object], small: Any, large: Any) -> float:
    """The processor time of the large input divided by that of the small one, each the best of three.

    With two sizes in one process, a slow or busy machine gives the same ratio. A small input that takes less than half
    a millisecond counts as that much, because shorter times are noise.
    """
    at_best = [min(_processor_seconds(work, given) for _ in range(3)) for given in (small, large)]
    return at_best[1] / max(at_best[0], 5e-4)


def _processor_seconds(work: Callable[[Any], object], given: Any) -> float:
    began = time.process_time()
    work(given)
    return time.process_time() - began


# For a text 8 times as long: between linear growth (8) and quadratic growth (64).
EIGHTFOLD = 24


# The longest tests, which also make the runs that others share.
FIRST = ("test_kill_9_in_every_stage_changes_nothing", "test_a_seed_trains_alike_alone_resumed_and_after_another")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, as tests wait for the processes that they start."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first and those that use a shared run last, so that no worker waits for it or for them."""
    items.sort(key=lambda item: item.name not in FIRST and 1 + bool({"finished", "staged"} & set(item.fixturenames)))


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder for all workers to read; the first worker that asks for it fills it with `make`."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder = place / name
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session", autouse=True)
def _the_process_that_forks_goes_on() -> None:
    """Also if a test calls, in its own process, code that ends everything that this process has started."""
    found = processes.descendants
    processes.descendants = lambda: {each for each in found() if each.pid != warm.Popen.server}


@pytest.fixture(scope="session")
def gsm8k_folder() -> Path:
    """The folder of real GSM8K (train.jsonl, test.jsonl) that HARNESS_GSM8K names; skips by name without it."""
    folder = os.environ.get("HARNESS_GSM8K")
    if not folder:
        pytest.skip("HARNESS_GSM8K names no folder with GSM8K's train.jsonl and test.jsonl")
    return Path(folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of one small, complete run of the quickstart experiment, tracked as runs are by default.

    It is for reading: what changes it takes a copy.
    """

    def make(results: Path) -> None:
        done = harness("run", "exp/quickstart.yaml", *SMALL, "track.mode=offline", "--results", results, cold=True)
        assert done.returncode == 0, done.stderr

    (run,) = made_once(tmp_path_factory, "finished", make).glob("quickstart-*")
    return run


def copied(finished: Path, place: Path) -> Path:
    """A copy of the results folder with the finished run and its base."""
    results = place / "results"
    for name in (finished.name, ".base"):
        shutil.copytree(finished.parent / name, results / name)
    return results
