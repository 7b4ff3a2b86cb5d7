"""What is found on a machine, and what the doctor says about it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.config import loading
from harness.doctor import checks
from harness.runs import machine
from harness.runs.machine import GIB, Gpu
from harness.train import backend, unsloth_backend
from harness.util import startup
from harness.util.errors import HarnessError

BIG = Gpu("NVIDIA H100", total=79.2, free=78.7, capability=(9, 0), driver="580.1", cuda=(13, 0))
SMALL = Gpu("NVIDIA GTX", total=6.0, free=5.5, capability=(7, 5), driver="550.1", cuda=(12, 4))


class Nvml:
    """NVML as a machine with two GPUs shows it (CI has none); the second has a part with a quarter of its memory."""

    NVMLError = RuntimeError
    NVMLError_NotSupported = type("NVMLError_NotSupported", (RuntimeError,), {})
    nvmlInit = nvmlShutdown = staticmethod(lambda: None)
    nvmlDeviceGetCount = staticmethod(lambda: 2)
    nvmlDeviceGetHandleByIndex = staticmethod(lambda i: i)
    nvmlDeviceGetName = staticmethod(lambda handle: f"GPU {handle}")
    nvmlDeviceGetMemoryInfo = staticmethod(lambda handle: SimpleNamespace(total=24 * GIB, free=(24 - handle) * GIB))
    nvmlDeviceGetCudaComputeCapability = staticmethod(lambda handle: (8, 9))
    nvmlSystemGetDriverVersion = staticmethod(lambda: "580.1")
    nvmlSystemGetCudaDriverVersion = staticmethod(lambda: 12080)
    nvmlDeviceGetUUID = staticmethod(lambda handle: f"GPU-{handle}a2b-3c4d")

    @staticmethod
    def nvmlDeviceGetHandleByUUID(uuid):
        if uuid != "MIG-5e6f":
            raise RuntimeError("not found")
        return 18

    nvmlDeviceGetDeviceHandleFromMigDeviceHandle = staticmethod(lambda part: 1)


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["GPU 0", "GPU 1"]),
        ("1", ["GPU 1"]),
        ("1,0", ["GPU 1", "GPU 0"]),
        ("", []),
        ("-1", []),
        ("GPU-1a2b-3c4d", ["GPU 1"]),
        ("GPU-1a", ["GPU 1"]),
        ("GPU-", []),
        ("GPU-7", []),
        ("0,-1,1", ["GPU 0"]),
        ("0,7,1", ["GPU 0"]),
    ],
)
def test_the_gpus_are_those_that_cuda_will_see(monkeypatch, visible, names):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = machine.gpus()
    assert [gpu.name for gpu in found] == names
    assert all(gpu.cuda == (12, 8) and gpu.total == 24 for gpu in found)


def test_a_part_of_a_gpu_has_its_own_memory_and_its_gpus_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5e6f")
    (found,) = machine.gpus()
    assert (found.name, found.free, found.capability) == ("GPU 1", 6, (8, 9))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7")
    assert machine.gpus() == []


def test_a_gpu_that_may_not_be_asked_is_left_out_and_one_without_its_own_memory_has_the_machines(monkeypatch):
    class Odd(Nvml):
        @staticmethod
        def nvmlDeviceGetMemoryInfo(handle):
            raise (Nvml.NVMLError_NotSupported if handle else Nvml.NVMLError)("no")

    monkeypatch.setitem(sys.modules, "pynvml", Odd)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (found,) = machine.gpus()
    assert found.name == "GPU 1" and found.total == found.free == machine.ram()


def test_no_driver_is_no_gpu(monkeypatch):
    class Without(Nvml):
        @staticmethod
        def nvmlInit():
            raise RuntimeError("driver not loaded")

    monkeypatch.setitem(sys.modules, "pynvml", Without)
    assert machine.gpus() == []


def test_the_doctor_answers_without_torch_on_any_machine():
    code = "import sys; from harness.doctor.__main__ import main; main([]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for part in ("Machine: Linux", "Packages: ", "  quickstart"):
        assert part in done.stdout
    answers = done.stdout.partition("Experiments:\n")[2].splitlines()[1:-1:2]
    assert len(answers) == len(set(answers))  # one for all experiments that it is true of


def doctor_on(monkeypatch, *found: Gpu) -> str:
    monkeypatch.setattr(machine, "gpus", lambda: list(found))
    return "\n".join(checks.lines())


def test_the_doctor_names_old_drivers_small_cards_and_missing_packages(monkeypatch):
    def without_vllm(name):
        if name == "vllm":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(checks, "version", without_vllm)
    said = doctor_on(monkeypatch, SMALL)
    for part in ("driver too old", "no bf16", "vllm: missing, expected ==0.26.0", 'pip install -e ".[gpu]"'):
        assert part in said
    assert "too old" not in doctor_on(monkeypatch, BIG)


def test_which_experiments_fit_is_told_by_their_memory(monkeypatch):
    monkeypatch.setattr(machine, "cannot_run", lambda config: None)
    four = loading.load(loading.find_experiment("grpo_r8"))
    assert checks._fits(four, [BIG]).startswith("yes: about 10.0 GiB for the evaluation and 10.0 GiB for the training")
    small = checks._fits(four, [SMALL])
    assert small.startswith("no: it needs about 10.0 GiB") and small.endswith("5.4 GiB of GPU memory")
    unknown = loading.load(loading.find_experiment("grpo_r8"), ["model.id=somebody/model"])
    assert "is unknown" in checks._fits(unknown, [BIG])


UNFIT = [
    (SMALL, "bf16 needs compute capability 8.0, and NVIDIA GTX has 7.5"),
    (
        dataclasses.replace(BIG, driver="570.1", cuda=(12, 8)),
        "torch is built for CUDA 13.1 and the driver, 570.1, runs up to 12.8: update the driver",
    ),
]


@pytest.fixture
def cuda_torch(tmp_path, monkeypatch):
    """A torch whose files name a CUDA version (CI has none); every other package is installed too."""
    (tmp_path / "version.py").write_text("__version__ = '2.11.0+cu131'\ncuda: Optional[str] = '13.1'\nhip = None\n")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(machine, "find_spec", lambda name: spec)


@pytest.mark.parametrize(("gpu", "reason"), UNFIT)
def test_a_gpu_on_which_neither_vllm_nor_unsloth_runs_is_refused_with_the_reason(monkeypatch, cuda_torch, gpu, reason):
    monkeypatch.setattr(machine, "gpus", lambda: [gpu])
    evaluated = loading.load(loading.find_experiment("grpo_r8"))
    assert f"vllm cannot run here ({reason}); use eval.engine=transformers" in machine.cannot_run(evaluated)
    by_vllm = loading.load(loading.find_experiment("grpo_r8"), ["eval.engine=transformers", "train.rollouts=vllm"])
    assert f"vllm cannot run here ({reason}); use train.rollouts=hf" in machine.cannot_run(by_vllm)
    trained = loading.load(loading.find_experiment("grpo_r8_24gb"), ["eval.engine=transformers"])
    assert f"quantized weights needs unsloth, which cannot run here ({reason})" in machine.cannot_run(trained)
    with pytest.raises(HarnessError, match=f"unsloth cannot run here .{reason}"):
        unsloth_backend.patch(Path("nowhere"))


def test_a_driver_runs_what_is_built_for_its_major_version(monkeypatch, cuda_torch):
    monkeypatch.setattr(machine, "gpus", lambda: [BIG])
    assert machine.torch_cuda() == (13, 1)
    assert machine.cannot_run(loading.load(loading.find_experiment("grpo_r8"))) is None


def test_the_installed_torchs_cuda_is_read_without_loading_it():
    built = torch.version.cuda
    assert machine.torch_cuda() == (built and tuple(map(int, built.split("."))))


def test_a_gpu_without_vllm_is_told_how_to_install_it(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: [BIG])
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    refusal = machine.cannot_run(
        loading.load(loading.find_experiment("quickstart"), ["eval.engine=vllm", "eval.precision=bf16"])
    )
    assert "vllm is not installed" in refusal and 'pip install -e ".[gpu]"' in refusal


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 80"),
            r"^not enough memory \(CUDA out of memory\. Tried to allocate 2\.00 GiB\); buy less$",
        ),
        (MemoryError(), r"^not enough memory \(MemoryError\); buy less$"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate\n it"),
            r"\(CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate\); buy less$",
        ),
    ],
)
def test_too_little_memory_is_one_line_with_a_remedy(error, says):
    with pytest.raises(HarnessError, match=says), machine.within_memory("buy less"):
        raise error


def test_the_cpus_memory_counts_too_and_another_error_stays_what_it_is():
    says = "can't allocate memory: you tried to allocate 1152921504606846976 bytes"
    with pytest.raises(HarnessError, match=says), machine.within_memory("buy less"):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shape"), machine.within_memory("buy less"):
        torch.zeros(2) @ torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("overrides", "ways"),
    [
        (["train.backend=trl", "train.rollouts=hf"], ["train.micro_batch below 4"]),
        (["train.rollouts=vllm"], ["train.gpu_memory_utilization (now 0.5)", "model.load_in_4bit"]),
        (
            ["train.rollouts=hf", "model.load_in_4bit=true", "train.gradient_checkpointing=false"],
            ["train.gradient_checkpointing to true"],
        ),
    ],
)
def test_what_to_do_about_a_trainings_memory_is_what_would_work(overrides, ways):
    said = backend.less_memory(loading.load(loading.find_experiment("grpo_r8"), overrides))
    named = [key for key in ("micro_batch", "utilization", "checkpointing", "4bit") if key in said]
    assert all(way in said for way in ways), said
    assert len(named) == len(ways), said


def test_engines_on_one_gpu_start_one_after_the_other(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with machine.engine_start():
        assert not list(tmp_path.iterdir())  # one process of several that train together waits for nobody
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    order: list[str] = []

    def start(name: str) -> None:
        with machine.engine_start():
            order.append(f"{name} begins")
            time.sleep(0.7)
            order.append(f"{name} has begun")

    threads = [threading.Thread(target=start, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = order[0].split()[0], order[2].split()[0]
    assert order == [f"{first} begins", f"{first} has begun", f"{second} begins", f"{second} has begun"]
    assert "Waiting for another process" in capsys.readouterr().out


def test_the_gpus_that_the_user_gave(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: [None] * 4)
    for given, expected in (("all", ["0", "1", "2", "3"]), ("2,3", ["2", "3"]), ("GPU-ab", ["GPU-ab"])):
        monkeypatch.setenv(startup.GIVEN_GPUS, given)
        assert machine.given_gpus() == expected
    monkeypatch.setattr(machine, "gpus", lambda: [])
    assert machine.given_gpus() == []


def test_a_process_takes_the_first_gpu_and_remembers_which_there_were(monkeypatch):
    for visible, own, given in (("2,3", "2", "2,3"), ("", "", ""), (None, "0", "all")):
        monkeypatch.delenv(startup.GIVEN_GPUS, raising=False)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        startup.set_environment()
        assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ[startup.GIVEN_GPUS]) == (own, given)
