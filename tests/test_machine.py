"""What a machine is found to have, and what the doctor says of it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace

import pytest
import torch

from harness import config, doctor, machine
from harness.errors import HarnessError
from harness.machine import GIB, Gpu

BIG = Gpu("NVIDIA H100", total=79.2, free=78.7, capability=(9, 0), driver="580.1", cuda=(13, 0))
SMALL = Gpu("NVIDIA GTX", total=6.0, free=5.5, capability=(7, 5), driver="550.1", cuda=(12, 4))


class Nvml:
    """NVML as a machine with two GPUs shows it (CI has none)."""

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
    nvmlDeviceGetUUID = staticmethod(lambda handle: f"GPU-{handle}a2b")


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["GPU 0", "GPU 1"]),
        ("1", ["GPU 1"]),
        ("1,0", ["GPU 1", "GPU 0"]),
        ("", []),
        ("-1", []),
        ("GPU-1a2b", ["GPU 1"]),
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
    code = "import sys; from harness import doctor; doctor.main([]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for part in ("Machine: Linux", "Packages: ", "  quickstart"):
        assert part in done.stdout


def doctor_on(monkeypatch, *found: Gpu) -> str:
    monkeypatch.setattr(machine, "gpus", lambda: list(found))
    said: list[str] = []
    monkeypatch.setattr(doctor, "say", said.append)
    assert doctor.main([]) == 0
    return "\n".join(said)


def test_the_doctor_names_old_drivers_small_cards_and_missing_packages(monkeypatch):
    def without_vllm(name):
        if name == "vllm":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", without_vllm)
    said = doctor_on(monkeypatch, SMALL)
    for part in ("too old a driver", "no bf16", "vllm: missing, ==0.26.0 is wanted", 'pip install -e ".[gpu]"'):
        assert part in said
    assert "too old" not in doctor_on(monkeypatch, BIG)


def test_which_experiments_fit_is_told_by_their_memory(monkeypatch):
    monkeypatch.setattr(machine, "cannot_run", lambda config: None)
    four = config.load(config.find_experiment("grpo_r8"))
    assert doctor._fits(four, [BIG]).startswith("yes: about 10.0 GiB for the evaluation and 10.0 GiB for the training")
    small = doctor._fits(four, [SMALL])
    assert small.startswith("no: it takes about 10.0 GiB") and small.endswith("5.4 GiB of GPU memory")
    unknown = config.load(config.find_experiment("grpo_r8"), ["model.id=somebody/model"])
    assert "not known" in doctor._fits(unknown, [BIG])


def test_a_gpu_without_bf16_is_refused_for_vllm(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: [SMALL])
    assert "compute capability 8.0" in machine.cannot_run(config.load(config.find_experiment("grpo_r8")))


def test_a_gpu_without_vllm_is_told_how_to_install_it(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: [BIG])
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    refusal = machine.cannot_run(
        config.load(config.find_experiment("quickstart"), ["eval.engine=vllm", "eval.precision=bf16"])
    )
    assert "vllm is not installed" in refusal and 'pip install -e ".[gpu]"' in refusal


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 80"),
            r"^memory does not suffice \(CUDA out of memory\. Tried to allocate 2\.00 GiB\); buy less$",
        ),
        (MemoryError(), r"^memory does not suffice \(MemoryError\); buy less$"),
        (
            RuntimeError("No available memory for the cache blocks. Try increasing\n it"),
            r"\(No available memory for the cache blocks\. Try increasing\); buy less$",
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
        (["train.backend=trl"], ["train.micro_batch below 4"]),
        (["train.rollouts=vllm"], ["train.gpu_memory_utilization (now 0.5)", "model.load_in_4bit"]),
        (["model.load_in_4bit=true", "train.gradient_checkpointing=false"], ["train.gradient_checkpointing to true"]),
    ],
)
def test_what_to_do_about_a_trainings_memory_is_what_would_work(overrides, ways):
    said = machine.less_to_train(config.load(config.find_experiment("grpo_r8"), overrides))
    named = [key for key in ("micro_batch", "utilization", "checkpointing", "4bit") if key in said]
    assert all(way in said for way in ways), said
    assert len(named) == len(ways), said
