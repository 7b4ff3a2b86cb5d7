"""Measured rates, as in results/reference: none was estimated. Times are upper bounds where cards were shared."""

from __future__ import annotations

from dataclasses import dataclass

H200, H100 = "NVIDIA H200", "NVIDIA H100 80GB HBM3"  # as NVML names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One measured training; of several seeds or repeats, the slowest of each time."""

    gpu: str
    parameters: float  # of the model
    backend: str  # train.backend
    rollouts: str  # train.rollouts
    completions: int  # a step
    tokens: int  # the most of a completion
    preparation: float  # seconds until the first step
    first_step: float  # seconds, compilation included
    step: float  # seconds of a later step, median
    peak_gib: float | None  # of GPU memory, vLLM's share included; None: not recorded
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Measured evaluations of all GSM8K test questions by vLLM in bf16."""

    gpu: str
    parameters: float
    start: float  # seconds of the slowest start
    tokens_per_second: float  # the slowest that was measured; on an H200 of the base alone
    source: str


QWEN, SMOLLM, GEMMA = 0.494e9, 0.1345e9, 4.30e9  # parameters of the models that were run

TRAININGS = (
    Training(gpu=H200, parameters=QWEN, backend="trl", rollouts="vllm", completions=64, tokens=256,
             preparation=33, first_step=4.2, step=2.3, peak_gib=65, source="h200.md"),
    Training(gpu=H200, parameters=QWEN, backend="trl", rollouts="vllm", completions=128, tokens=400,
             preparation=81, first_step=8.1, step=5.6, peak_gib=70, source="h200.md"),
    Training(gpu=H200, parameters=QWEN, backend="unsloth", rollouts="vllm", completions=64, tokens=256,
             preparation=75.0, first_step=56.2, step=5.0, peak_gib=None, source="h200.md"),
    Training(gpu=H200, parameters=SMOLLM, backend="unsloth", rollouts="vllm", completions=64, tokens=256,
             preparation=104, first_step=77, step=7.4, peak_gib=8, source="h200.md"),
    Training(gpu=H200, parameters=GEMMA, backend="trl", rollouts="vllm", completions=4, tokens=768,
             preparation=93, first_step=4.6, step=4.0, peak_gib=86, source="h200.md"),
    Training(gpu=H200, parameters=GEMMA, backend="trl", rollouts="vllm", completions=64, tokens=768,
             preparation=68, first_step=14.5, step=14.2, peak_gib=100, source="h200.md"),
    Training(gpu=H200, parameters=GEMMA, backend="unsloth", rollouts="vllm", completions=4, tokens=768,
             preparation=72, first_step=53.1, step=4.7, peak_gib=14, source="h200.md"),
    Training(gpu=H100, parameters=GEMMA, backend="unsloth", rollouts="vllm", completions=4, tokens=768,
             preparation=149.8, first_step=93.8, step=5.62, peak_gib=37.4, source="h100.md"),
)  # fmt: skip

EVALUATIONS = (
    Evaluation(gpu=H200, parameters=QWEN, start=147, tokens_per_second=23_200, source="h200.md"),
    Evaluation(gpu=H200, parameters=SMOLLM, start=147, tokens_per_second=18_800, source="h200.md"),
    Evaluation(gpu=H200, parameters=GEMMA, start=178, tokens_per_second=12_790, source="h200.md"),
    Evaluation(gpu=H100, parameters=GEMMA, start=232, tokens_per_second=7_113, source="h100.md"),
)
