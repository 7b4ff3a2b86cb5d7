"""What keeps a cluster from being used is one line; what a stage is given there."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

import psutil
import pytest

from harness.cluster import members, parallel, pool, watch, worker
from harness.cluster.members import Member
from harness.cluster.worker import Node
from harness.config.schema import ClusterSection
from harness.run import execute
from harness.runs import directory, provenance
from harness.runs.stages import stages
from harness.util import console, locks
from harness.util.errors import BUSY, HarnessError

SECTION = ClusterSection(scheduler="ray")


def joining(tmp_path: Path) -> None:
    with pool.joined(SECTION, tmp_path):
        pass


def test_without_ray_there_is_a_line_that_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HarnessError, match=r'ray is not installed; pip install -e "\.\[cluster\]", or use local'):
        joining(tmp_path)
    run = directory.open_run("quickstart", [], tmp_path / "results", create=False).on("ray")
    with pytest.raises(HarnessError, match="ray is not installed"):
        execute.run(run)
    assert not run.path.exists()


def test_an_address_of_rays_client_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv(pool.ADDRESS, "ray://head:10001")
    with pytest.raises(HarnessError, match="is for Ray's client; give HOST:PORT of the head, or auto"):
        joining(tmp_path)


def test_a_ray_of_another_version_is_one_line(tmp_path, monkeypatch):
    def init(**settings):
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9\n    Python: 3.10\n")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(init=init, shutdown=lambda: None))
    monkeypatch.setenv(pool.ADDRESS, "head:6379")
    with pytest.raises(HarnessError, match=r"Ray cannot be used \(Version mismatch: .* Python: 3\.10\)"):
        joining(tmp_path)


def test_a_ray_of_our_own_that_starts_too_slowly_is_started_again(tmp_path, monkeypatch):
    tried, left = [], []

    def init(**settings):
        assert not psutil.wait_procs(left, timeout=0)[1]  # nothing of the one before is left
        tried.append(settings["address"])
        left.append(psutil.Popen([sys.executable, "-c", "import time; time.sleep(1200)"]))
        raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.delenv(pool.ADDRESS, raising=False)
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(init=init, shutdown=lambda: None))
    with pytest.raises(HarnessError, match=r"Ray cannot be used \(The current node timed out during startup\. "):
        joining(tmp_path)
    assert tried == ["local"] * pool.STARTS
    monkeypatch.setenv(pool.ADDRESS, "head:6379")
    with pytest.raises(HarnessError, match="Ray cannot be used"):
        joining(tmp_path)
    assert tried[pool.STARTS :] == ["head:6379"]
    assert not any(each.is_running() for each in left)


OURS = provenance.versions()


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (Node(False, False, OURS), "does not share"),
        (Node(True, False, OURS), "is not told of locks"),
        (Node(True, True, OURS | {"torch": "1.0"}), "has torch 1.0, and this one"),
        (Node(True, True, {name: OURS[name] for name in OURS if name != "peft"}), "has peft not installed"),
    ],
)
def test_a_machine_that_cannot_do_the_same_work_is_named(tmp_path, node, said):
    class Looked(pool.Pool):
        def __init__(self) -> None:
            pass

        def look(self, folder, token):
            yield "node-2", node

    with pytest.raises(HarnessError, match=f"the machine node-2 {said}"):
        pool._check(Looked(), tmp_path)


def test_a_machine_sees_what_was_just_written_and_who_holds_the_lock(tmp_path):
    with locks.lock(tmp_path) as held:
        token = os.pread(held, 1000, 0).decode()
        seen = worker.look(str(tmp_path), token)
    assert seen.sees and seen.locks and seen.versions["torch"] == OURS["torch"]
    assert not worker.look(str(tmp_path), token).locks
    assert not worker.look(str(tmp_path / "elsewhere"), token).sees


def test_a_stage_has_the_threads_of_the_command_and_the_keys_of_its_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    monkeypatch.setenv("HF_TOKEN", "hf_command")
    given = worker.environment()
    assert given["OMP_NUM_THREADS"] == "3" and given["VLLM_LOGGING_LEVEL"] == "INFO" and "HF_TOKEN" not in given
    # In a worker, where Ray has set another number, and one variable that the command does not have.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_machine")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    told = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_TOKEN", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"]
    code = f"import os, sys; open(sys.argv[1], 'w').write(repr([os.environ.get(n) for n in {told}])); sys.exit(3)"
    order = worker.Order(("-c", code, str(tmp_path / "said")), str(tmp_path), given, str(tmp_path / "errors"))
    assert worker.work(order).code == 3
    assert (tmp_path / "said").read_text() == repr(["3", None, "hf_machine", "5", "PCI_BUS_ID"])


def test_a_killed_stage_is_for_another_worker_to_do(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(worker.Killed):
        worker.work(worker.Order(("-c", code), str(tmp_path), {}, str(tmp_path / "errors")))


def test_a_stage_in_whose_way_another_program_is_is_for_another_worker_to_do(tmp_path):
    code = f"import sys; print('error: a.b: taken', file=sys.stderr); sys.exit({BUSY})"
    with pytest.raises(worker.Killed, match=r"^a\.b: taken$"):
        worker.work(worker.Order(("-c", code), str(tmp_path), {}, str(tmp_path / "errors")))


class FakeRay(types.SimpleNamespace):
    """A cluster with these GPUs on each machine; a task returns what it needs."""

    __version__ = "2"

    def __init__(self, *gpus: float) -> None:
        self.gpus = gpus

    def nodes(self):
        return [{"Alive": True, "Resources": {"GPU": each}} for each in self.gpus] + [{"Alive": False}]

    def cluster_resources(self):
        return {"GPU": sum(self.gpus)}

    def get_runtime_context(self):
        return types.SimpleNamespace(gcs_address="head:6379")

    def remote(self, **options):
        return lambda function: self

    def options(self, **needs):
        return types.SimpleNamespace(remote=lambda order: needs)


def test_a_training_on_more_gpus_than_any_machine_has_does_not_wait_for_ever():
    workers = pool.Pool(FakeRay(2.0, 2.0), SECTION.model_copy(update={"gpus_per_task": 0.5}))
    assert workers.start(None, 1) == {"num_gpus": 0.5, "num_cpus": 0}
    assert workers.start(None, 2) == {"num_gpus": 2, "num_cpus": 0}
    with pytest.raises(HarnessError, match="4 need as many GPUs of one machine, and the largest has 2"):
        workers.start(None, 4)
    assert pool.Pool(FakeRay(0.0), SECTION).start(None, 4) == {"num_cpus": 1}


@pytest.mark.parametrize(
    ("threads", "wanted", "workers"), [("1", None, 8), ("3", None, 2), ("16", None, 1), (None, None, 1), (None, 5, 5)]
)
def test_without_a_gpu_the_stages_side_by_side_share_the_cores(monkeypatch, threads, wanted, workers):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert pool._workers(SECTION.model_copy(update={"workers": wanted})) == workers


def test_trainings_run_side_by_side_and_the_rest_one_after_the_other(tmp_path, monkeypatch):
    overrides = ["train.seeds=[1,2]", "eval.noise_floor=true", "eval.curve=true", "cluster.parts=3"]
    run = directory.open_run("quickstart", overrides, tmp_path, create=False)
    phases = dict(parallel._phases(stages(run)))
    assert list(phases) == ["base evaluation", "base again", "trainings", "learning curve", "tuned evaluation"]
    assert [stage.name for stage in phases["trainings"]] == ["training (seed 1)", "training (seed 2)"]
    parts = parallel._parts(run, phases["tuned evaluation"][0], pool=None)
    assert [unit.name for unit in parts] == [f"tuned evaluation, part {number}/3" for number in (1, 2, 3)]
    assert parallel._parts(run, phases["trainings"][0], pool=None) == [parallel.Unit(phases["trainings"][0])]
    monkeypatch.setenv(parallel.BASE_MADE, "1")  # nothing to divide
    base, tuned = phases["base evaluation"][0], phases["tuned evaluation"][0]
    assert len(parallel._parts(run, base, pool=None)) == 1 and len(parallel._parts(run, tuned, pool=None)) == 3


def test_runs_that_share_their_base_wait_until_the_first_has_made_it(tmp_path):
    def member(*overrides: str) -> Member:
        return Member("", directory.open_run("quickstart", [*overrides], tmp_path, create=False), [])

    chosen = [member("lora.r=4"), member("lora.r=8", "train.steps=9"), member("eval.limit=5")]
    assert not members._may_begin(chosen, 1, {0: None}) and members._may_begin(chosen, 2, {0: None})
    chosen[0].run.base.mkdir(parents=True)
    (chosen[0].run.base / "result.json").touch()
    assert members._may_begin(chosen, 1, {0: None})
    assert [members._base_is_made(chosen, number) for number in range(3)] == [True, True, False]


def test_the_table_has_every_run_with_what_its_stages_say_of_themselves(tmp_path, monkeypatch):
    run = directory.open_run("quickstart", [], tmp_path)
    file = locks.part_file(run.path, "training").with_suffix(".json")
    with locks.lock(run.path) as held, locks.shared(run.path, held) as token:
        monkeypatch.setenv(locks.HELD, str((run.path / ".lock").resolve()))
        monkeypatch.setenv(locks.TOKEN, token)
        monkeypatch.setenv(locks.PART, "training")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        with locks.lock(run.path):
            monkeypatch.setenv(console.SHOWN, str(file))
            console.publish(console.Shown("training (seed 1)", 12, 60, 96.4, "reward 2.31"))
            (row,) = watch.rows([watch.Shown("lora.r=4", run, "begun")])
        *told, where = row.values()
        assert told == ["lora.r=4", "running", "training (seed 1)", "12 of 60", "0:01:36", "reward 2.31"]
        assert where.startswith(f"pid {os.getpid()} on ") and where.endswith(", GPU 1")
        file.write_text('{"what": "torn')
        (row,) = watch.rows([watch.Shown("lora.r=4", run, "begun")])
    assert row["state"] == "begun" and row["stage"] == ""
