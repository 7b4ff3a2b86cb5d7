"""Ray as the place where stages run: a Ray that is there (RAY_ADDRESS), or one started for this command.

Ray schedules, retries and notices lost machines; it moves no data, and without it nothing of the harness needs it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.cluster import worker
from harness.cluster.worker import Ended, Node, Order
from harness.config.schema import ClusterSection
from harness.runs import provenance
from harness.util import interrupts, locks, processes, startup
from harness.util.console import hushed, say, working
from harness.util.errors import HarnessError, in_short
from harness.util.text import plural

ADDRESS = "RAY_ADDRESS"  # Ray's own variable
TOKENS = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}  # by which the processes of one Ray know each other
STORE = 80 * 2**20  # bytes; about Ray's smallest: only exit codes go through it
RETRIES = 3  # of a stage whose worker, machine or process was killed
LOOK_SECONDS = 120  # for a machine to start a worker and answer
STARTS = 3  # of a Ray of our own: it gives itself 30 s, which may be too few on a busy machine
TOO_SLOW = "timed out during startup"  # in what Ray says then
SETTLE = 1.0  # seconds after which Ray's count of free resources is that of now
DEFAULTS = {  # unless the user sets others
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # an environment of its own for the workers
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # its lines about lost workers, on our screen
    "RAY_worker_niceness": "0",  # stages are the work, not something beside it
}


class Pool:
    """The workers of a Ray cluster, one stage each."""

    def __init__(self, ray: Any, section: ClusterSection) -> None:
        self._ray, self._share = ray, section.gpus_per_task
        self.gpus = int(ray.cluster_resources().get("GPU", 0))
        self.version: str = ray.__version__
        self.address: str = ray.get_runtime_context().gcs_address
        self._task = ray.remote(max_retries=RETRIES, retry_exceptions=[worker.Killed])(worker.work)

    @property
    def share(self) -> float:
        """Of a GPU that a stage has; 1 also where there is none."""
        return self._share if self.gpus else 1.0

    def room(self) -> int:
        """How many stages could start now; at least 1."""
        time.sleep(SETTLE)
        free = self._ray.available_resources()
        count = free.get("GPU", 0) / self._share if self.gpus else free.get("CPU", 0)
        return max(1, int(count + 1e-6))

    def start(self, order: Order, gpus: int) -> Any:
        """Queue a stage that needs so many GPUs (of one, the share that all have); `ended` returns it by the result.

        Raises HarnessError if no machine has so many, since it would wait for ever.
        """
        most = max(int(node["Resources"].get("GPU", 0)) for node in self._alive())
        if 1 <= most < gpus:
            raise HarnessError(f"train.processes: {gpus} need as many GPUs of one machine, and the largest has {most}")
        needs = {"num_gpus": gpus if gpus > 1 else self._share, "num_cpus": 0} if self.gpus else {"num_cpus": 1}
        return self._task.options(**needs).remote(order)

    def ended(self, waiting: Sequence[Any], seconds: float) -> list[tuple[Any, Ended | str]]:
        """Those that have ended within these seconds, each with how, or with why it could not be run to its end.

        Raises HarnessError if the head of the cluster is gone.
        """
        done, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=seconds)
        self._check_head()
        return [(each, self._outcome(each)) for each in done]

    def _outcome(self, task: Any) -> Ended | str:
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            return in_short(error.cause) if isinstance(error.cause, Exception) else in_short(error)
        except self._ray.exceptions.RayError as error:
            return f"its worker was lost {RETRIES + 1} times ({in_short(error)})"

    def _check_head(self) -> None:
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise HarnessError(
                f"cluster: the head of Ray at {self.address} is gone ({error.strerror or error}); start it again, and "
                f"run the same command, which resumes"
            ) from None

    def look(self, folder: Path, token: str) -> Iterator[tuple[str, Node]]:
        """What each machine of the cluster has, by its address."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(num_cpus=0)(worker.look)
        asked = []
        for node in self._alive():
            there = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            asked.append((node["NodeManagerAddress"], there.remote(str(folder), token)))
        for address, answer in asked:
            try:
                yield address, self._ray.get(answer, timeout=LOOK_SECONDS)
            except (self._ray.exceptions.RayError, ImportError) as error:
                raise HarnessError(
                    f"cluster: the machine {address} does not run the harness ({in_short(error)}); it needs the same "
                    f"installation, at the same place"
                ) from None

    def _alive(self) -> list[dict[str, Any]]:
        """The machines of the cluster, as Ray describes them."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def stop(self, waiting: Sequence[Any]) -> None:
        """End stages that run or wait."""
        for each in waiting:
            with contextlib.suppress(Exception):
                self._ray.cancel(each, force=True)


def check_installed() -> None:
    """Raise HarnessError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise HarnessError('cluster.scheduler: ray is not installed; pip install -e ".[cluster]", or use local')


@contextlib.contextmanager
def joined(section: ClusterSection, results: Path) -> Iterator[Pool]:
    """The workers of the Ray that is there, or of one that is started for as long as this lasts.

    Raises HarnessError if there is no Ray, or if its machines cannot do this work.
    """
    check_installed()
    given = os.environ.get(ADDRESS)
    if given and given.startswith("ray://"):
        raise HarnessError(f"{ADDRESS}: {given} is for Ray's client; give HOST:PORT of the head, or auto")
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    with working("start of Ray" if given is None else f"connection to Ray at {given}"):
        import ray

        settings: dict[str, Any] = {"address": given or "local"}
        if given is None:
            settings |= {"include_dashboard": False, "object_store_memory": STORE, "num_cpus": _workers(section)}
            if not TOKENS & os.environ.keys():
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray writes one into the home folder
        others = processes.descendants()
        for left in reversed(range(STARTS)):
            try:
                with hushed(), _all_gpus():
                    ray.init(logging_level="ERROR", log_to_driver=False, configure_logging=False, **settings)
                break
            except Exception as error:  # Ray's own are of many kinds, plain ones among them
                ray.shutdown()
                processes.end_descendants(spared=others)  # it leaves its own, which would slow the next one down
                if given or not left or TOO_SLOW not in str(error):
                    raise HarnessError(f"cluster: Ray cannot be used ({' '.join(str(error).split())[:300]})") from None
    interrupts.answer_with(interrupts.stop)  # ray.init has set handlers of its own
    try:
        pool = Pool(ray, section)
        if interrupts.COMMAND not in os.environ:  # else the command that started this one has done it
            _check(pool, results)
        yield pool
    finally:
        with contextlib.suppress(Exception):
            ray.shutdown()


@contextlib.contextmanager
def _all_gpus() -> Iterator[None]:
    """The context in which a Ray that is started finds all GPUs that the user gave; a command itself uses one."""
    ours = os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if (given := os.environ[startup.GIVEN_GPUS]) != startup.ALL:
        os.environ["CUDA_VISIBLE_DEVICES"] = given
    try:
        yield
    finally:
        if ours is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = ours


def _workers(section: ClusterSection) -> int:
    """Stages side by side on a machine without a GPU: each has the threads that the command would have."""
    cores = os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return section.workers or max(1, cores // (int(threads) if threads.isdecimal() and int(threads) else cores))


def _check(pool: Pool, results: Path) -> None:
    """Raise HarnessError unless every machine shares the results folder, its locks, and our versions."""
    ours = provenance.versions()
    probe = (results / ".cluster").resolve()
    with locks.lock(probe, wait=True) as held:
        os.fsync(held)  # the others read it while it is open
        token = os.pread(held, 1000, 0).decode()
        for address, node in pool.look(probe, token):
            if not node.sees:
                raise HarnessError(f"cluster: the machine {address} does not share {probe.parent} with this one")
            if not node.locks:
                raise HarnessError(
                    f"cluster: the machine {address} is not told of locks in {probe.parent}, so that two stages could "
                    f"write there at once; mount it with locks (NFS: without nolock or local_lock)"
                )
            for name in sorted(ours.keys() | node.versions.keys()):
                if (here := ours.get(name)) != (there := node.versions.get(name)):
                    raise HarnessError(
                        f"cluster: the machine {address} has {name} {there or 'not installed'}, and this one "
                        f"{here or 'has not'}; install the same everywhere"
                    )
    gpus = f"{pool.gpus} GPUs" if pool.gpus else "no GPU"
    say(f"Ray {pool.version} at {pool.address}: {gpus}, room for {plural(pool.room(), 'stage')} at a time.")
