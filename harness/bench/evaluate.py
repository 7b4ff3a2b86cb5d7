"""`python -m harness.bench eval`: the evaluation's speed compared with raw vLLM and the transformers engine.

Each path runs in its own process, one after the other, on the same token ids with the same settings:

- raw: one LLM.generate call, started with the same settings, with vLLM's default of a separate engine core process
- harness: an evaluation, with its durable log and its scoring
- transformers: the same evaluation with that engine
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bench import common
from harness.config import loading, plugins, schema
from harness.runs import machine
from harness.runs.directory import RunDir
from harness.runs.results import Conditions
from harness.util import typed
from harness.util.console import say
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from harness.models.engine import Work
    from harness.models.prompts import Questions

PATHS = ("raw", "harness", "transformers")
B_SPREAD = 1e-4  # standard deviation of a random adapter's B, as after 50 Adam steps at 5e-6
OUT = "HARNESS_BENCH_OUT"  # the file to which a path's process writes its rows
BROKEN = ("zeroed", "wrongly named", "named for the other class")


def main(argv: list[str]) -> None:
    """Measure each path in its own process and print the table."""
    parser = common.parser("eval", __doc__, PATHS, "its model, data, prompts and eval section are measured")
    parser.add_argument("--fixed", action="store_true", help="no stop ids: every completion has all its new tokens")
    parser.add_argument("--repeats", type=int, default=2, metavar="N", help="timed rounds of each path; all are shown")
    parser.add_argument("--slow-questions", type=int, default=128, metavar="N", help="questions for transformers")
    parser.add_argument("--adapters", type=int, default=0, metavar="N", help="also prove and score N random adapters")
    parser.add_argument("--only", choices=PATHS, help=argparse.SUPPRESS)  # for a path's process
    args = parser.parse(argv)
    config = loading.load(loading.find_experiment(args.experiment), args.overrides)
    if args.only:
        rows = _raw(config, args) if args.only == "raw" else _harness(config, args)
        Path(os.environ[OUT]).write_text(json.dumps(rows), encoding="utf-8")
        return
    paths = common.chosen(args.paths, PATHS)
    if args.repeats < 1:
        raise HarnessError(f"--repeats: found {args.repeats}, allowed: 1 or more")

    def measure(path: str, folder: Path) -> list[dict[str, Any]]:
        out = folder / f"{path}.json"
        command = ["harness.bench", "eval", *argv, "--only", path]
        if path == "transformers":
            command += ["eval.engine=transformers", f"eval.limit={args.slow_questions}"]
        else:
            command += ["eval.engine=vllm"]
        common.run("eval", path, command, os.environ | {OUT: str(out)})
        return json.loads(out.read_text(encoding="utf-8"))

    common.measured("eval", paths, measure, _print)


def _print(rows: list[dict[str, Any]]) -> None:
    common.print_machine("python", "torch", "vllm", "transformers", "peft")
    print("| path | what | start, s | completions | tokens | s | tokens/s | GPU memory in use, GiB |")
    print("|---|---|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| {r['path']} | {r['what']} | {r['start']:.1f} | {r['completions']:,} | {r['tokens']:,} "
            f"| {r['seconds']:.2f} | {r['tokens'] / r['seconds']:,.0f} | {r['gpu_gib']:.1f} |"
        )
    best = {
        path: max(r["tokens"] / r["seconds"] for r in rows if r["path"] == path and r["what"].startswith("base"))
        for path in dict.fromkeys(r["path"] for r in rows)
    }
    for other in ("raw", "transformers"):
        if other in best and "harness" in best:
            print(f"\nharness / {other}: {best['harness'] / best[other]:.3f} (best rounds)")


# --- in a path's process -------------------------------------------------------------------------------------


def _prepare(config: schema.Config, args: argparse.Namespace) -> tuple[Questions, Conditions, Work]:
    """Questions, evaluation conditions and work, as in harness.evaluate."""
    from harness.evaluate import generation
    from harness.models import prompts, registry

    questions = prompts.prepare(config, plugins.task(config).load(config.data.source()))
    work = generation.work(config, questions, adapters=bool(args.adapters))
    conditions = generation.conditions(config, questions, registry.version(config.eval, work))
    if args.fixed:
        conditions = dataclasses.replace(conditions, stop_ids=())
    return questions, conditions, work


def _row(path: str, what: str, start: float, completions: int, tokens: int, seconds: float) -> dict[str, Any]:
    used = max((gpu.total - gpu.free for gpu in machine.gpus()), default=0.0)
    row = {"path": path, "what": what, "start": start, "completions": completions, "tokens": tokens}
    print(f"{path}, {what}: {tokens:,} tokens in {seconds:.2f} s, {tokens / seconds:,.0f} tokens/s", flush=True)
    return row | {"seconds": seconds, "gpu_gib": used}


def _raw(config: schema.Config, args: argparse.Namespace) -> list[dict[str, Any]]:
    from harness.models import vllm_engine

    questions, conditions, work = _prepare(config, args)
    settings = vllm_engine.llm_settings(config.eval, questions.checkpoint, work)
    vllm_engine.environment(config.eval)
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"  # vLLM's own default
    from vllm import LLM, SamplingParams

    began = time.perf_counter()
    llm = LLM(**settings)
    start = time.perf_counter() - began
    params = SamplingParams(
        max_tokens=conditions.max_new_tokens, **typed.fields(conditions.sampling),
        stop_token_ids=list(conditions.stop_ids),
        ignore_eos=True,
    )  # fmt: skip
    asked = [{"prompt_token_ids": list(p.ids)} for p in questions.prompts for _ in range(config.eval.samples)]
    rows = []
    for number in range(-1, args.repeats):
        llm.reset_prefix_cache()
        began = time.perf_counter()
        outputs = llm.generate(asked if number >= 0 else asked[:8], params, use_tqdm=False)
        seconds = time.perf_counter() - began
        tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        if number >= 0:  # the first round is a warm-up
            rows.append(_row("raw", f"base, round {number + 1}", start, len(outputs), tokens, seconds))
    return rows


def _harness(config: schema.Config, args: argparse.Namespace) -> list[dict[str, Any]]:
    from harness.evaluate import adapter_proof, generation
    from harness.models import lora, prompts, registry

    questions, conditions, work = _prepare(config, args)
    ids = [prompt.ids for prompt in questions.prompts]
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-eval-") as name:
        folder = Path(name)
        adapters = [
            random_adapter(config, questions.checkpoint, folder / f"adapter-{n}", n) for n in range(args.adapters)
        ]
        stops = tuple(prompts.stop_ids(questions.checkpoint, questions.tokenizer))
        peft = [adapter_proof.reference(questions.checkpoint, a, ids, stops, config.eval.precision) for a in adapters]
        lazy = generation.LazyEngine(
            lambda: registry.load(config.eval, questions.checkpoint, questions.tokenizer, work)
        )
        running = lazy.get()
        run = RunDir(folder / "run", config)

        def evaluated(what: str, adapter: Path | None, few: int | None = None) -> None:
            if args.only == "harness":
                running.llm.reset_prefix_cache()
            asked = dataclasses.replace(questions, problems=questions.problems[:few], prompts=questions.prompts[:few])
            made = generation.Series(run, what, folder / f"{what}.jsonl", asked, conditions, adapter)
            generation.complete(made, lazy, None)
            cost = run.read_manifest().stages[what]
            if not few:
                rows.append(_row(args.only, what, cost.start_seconds, cost.completions, cost.tokens, cost.seconds))

        evaluated("warm-up", None, few=8)
        for number in range(args.repeats):
            evaluated(f"base, round {number + 1}", None)
        for number, (adapter, reference) in enumerate(zip(adapters, peft, strict=True), 1):
            say(f"adapter {number}: {json.dumps(typed.plain(adapter_proof.prove(running, adapter, reference)))}")
            evaluated(f"adapter {number}", adapter)
        for kind in BROKEN if adapters else ():
            try:
                copy = broken_copy(adapters[0], folder / kind, kind)
                lora.check_weights(copy)
                adapter_proof.prove(running, copy, peft[0])
                raise RuntimeError(f"the {kind} copy passed the proof")
            except HarnessError as error:
                say(f"{kind} copy: refused ({error})")
    return rows


def random_adapter(config: schema.Config, checkpoint: Any, folder: Path, seed: int) -> Path:
    """A LoRA adapter of the experiment's shape with random weights, B as small as after a short training."""
    import torch
    from peft import get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    from harness.models.lora import lora_config

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(checkpoint.path))
    peft_model = get_peft_model(model, lora_config(config))
    draw = torch.Generator().manual_seed(seed)
    weights = {}
    for name, parameter in peft_model.named_parameters():
        if ".lora_" not in name:
            continue
        spread = B_SPREAD if ".lora_B." in name else (1 / 3 / parameter.shape[1]) ** 0.5  # PEFT's own for A
        weights[name.replace(".default.", ".")] = spread * torch.randn(parameter.shape, generator=draw)
    folder.mkdir(parents=True)
    peft_model.peft_config["default"].base_model_name_or_path = checkpoint.id
    peft_model.peft_config["default"].save_pretrained(folder)
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


def broken_copy(adapter: Path, folder: Path, kind: str) -> Path:
    """A copy of an adapter that must not pass: zeroed, wrongly named, or with the names of the text-only class on a
    multimodal checkpoint (and the other way round)."""
    from harness.models.lora import adapter_weights, save_copy, with_b_scaled

    weights = adapter_weights(adapter)
    if kind == "zeroed":
        return save_copy(adapter, with_b_scaled(weights, 0), folder)
    there, other = "layers", "blocks"
    if kind == "named for the other class":
        text, multimodal = ".model.layers.", ".model.language_model.layers."
        there, other = (multimodal, text) if any(multimodal in key for key in weights) else (text, multimodal)
    return save_copy(adapter, {key.replace(there, other): weight for key, weight in weights.items()}, folder)
