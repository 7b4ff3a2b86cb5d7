"""Real Ray on this machine's processors: workers, machines and commands that are killed, and the same results."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.runs import directory
from harness.runs.directory import RunDir
from harness.util import locks
from tests import warm
from tests.conftest import HANG, SMALL, WARM, environment, started, wait_until
from tests.e2e.test_run import lines

pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("ray")  # the fixtures that take longest are made once

STORE = 80 * 2**20


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[dict[str, str], dict[int, int]]]:
    """The environment for a Ray whose workers have imported the libraries, and each worker's raylet (tests/warm.py)."""
    if not WARM:
        yield environment(), {}
        return
    with warm.ray_workers() as (told, raylets):
        yield environment() | told, raylets


@pytest.fixture
def nodes(workers, monkeypatch) -> Iterator[str]:
    """The address of a cluster of what Ray takes for three machines: a head without work, two with a worker each."""
    from ray.cluster_utils import Cluster

    for name, value in workers[0].items():
        monkeypatch.setenv(name, value)
    settings = {"object_store_memory": STORE}
    head = {"num_cpus": 0, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args=head | settings)
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, **settings)
        yield cluster.address
    finally:
        cluster.shutdown()


def stage_of(run: Path, part: Callable[[str], bool]) -> psutil.Process | None:
    """The process of a stage that is running."""
    for name, who in locks.parts(run).items():
        if part(name) and who:  # who is written a moment after the lock is taken
            return psutil.Process(int(who.split()[1]))
    return None


def left_of(place: Path) -> list[psutil.Process]:
    """The commands and stages that still work in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(place) in " ".join(process.info["cmdline"] or []):
            found.append(process)
    return found


def test_a_worker_and_a_machine_are_killed_and_the_result_is_that_of_a_run_by_itself(
    nodes, workers, finished, tmp_path
):
    process = started(
        "run", "quickstart", *SMALL, "--cluster", "ray", "--results", tmp_path,
        cold=True, env=environment() | {"RAY_ADDRESS": nodes}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    run = directory.open_run("quickstart", [*SMALL], tmp_path, create=False)
    wait_until(lambda: lines(run.train(3407) / "metrics.jsonl") >= 3, process)
    stage_of(run.path, lambda name: name == "training").parent().kill()
    wait_until(lambda: stage_of(run.path, lambda name: name.startswith("tuned evaluation, part 2")), process)
    stage = stage_of(run.path, lambda name: name.startswith("tuned evaluation, part 2"))
    worker = stage.parent()
    raylet = psutil.Process(workers[1].get(worker.pid, worker.ppid()))
    assert raylet.name() == "raylet"
    raylet.kill()
    said, errors = process.communicate(timeout=HANG)
    assert process.returncode == 0, errors
    assert errors == "" and "base evaluation: 2, 2 at a time" in said
    assert (run.summary).read_bytes() == (finished / "summary.json").read_bytes()
    log = (run.path / "log.txt").read_text()
    assert log.count("training (seed 3407): 6 steps (") == 1  # the second attempt went on from a resume point
    assert not stage.is_running() and not left_of(tmp_path)


def sweep(results: Path, given: dict[str, str]) -> tuple[subprocess.Popen, list[RunDir]]:
    """The command of a sweep of two runs on a Ray that it starts itself, and the directories of the two."""
    arguments = ["sweep", "quickstart", *SMALL, "train.seeds=1,3407", "cluster.workers=2", "--cluster", "ray"]
    runs = [
        directory.open_run("quickstart", [*SMALL, f"train.seeds=[{seed}]"], results, create=False) for seed in (1, 3407)
    ]
    process = started(
        *arguments, "--results", results, cold=True, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    return process, runs


def test_ctrl_c_ends_a_sweep_on_ray_and_all_that_it_has_started(tmp_path):
    process, runs = sweep(tmp_path, environment())
    wait_until(lambda: locks.parts(runs[0].path), process)
    ours = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130, errors
    assert errors.startswith("Stopped in the sweep, 0 of 2 runs complete. The same command resumes: ")
    assert errors.count("\n") == 1 and not left_of(tmp_path)
    assert not psutil.wait_procs(ours, timeout=HANG)[1]  # Ray's own end a moment after it


@pytest.fixture(scope="module")
def killed(workers, tmp_path_factory) -> Path:
    """The results of a sweep whose command was killed in its first training."""
    results = tmp_path_factory.mktemp("killed")
    process, runs = sweep(results, workers[0])
    wait_until(lambda: "training" in locks.parts(runs[0].path), process)
    process.kill()
    process.communicate(timeout=HANG)
    return results


def test_a_killed_command_takes_its_stages_along(killed):
    assert not psutil.wait_procs(left_of(killed), timeout=HANG)[1]
    assert not left_of(killed)


def test_a_killed_sweep_on_ray_ends_by_the_same_command_as_its_runs_by_themselves(killed, workers, finished):
    process, runs = sweep(killed, workers[0])
    said, errors = process.communicate(timeout=HANG)
    assert process.returncode == 0 and errors == "", errors
    assert f"Base completions: generated by {runs[0].path.name}; 1 of 2 runs used existing ones." in said
    assert len(list(killed.glob("sweep-quickstart-*.html"))) == 1 and not left_of(killed)
    assert runs[1].path.name == finished.name
    assert runs[1].summary.read_bytes() == (finished / "summary.json").read_bytes()
    assert not list(runs[1].path.rglob("*.part-*"))
