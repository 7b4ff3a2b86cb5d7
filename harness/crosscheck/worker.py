"""The crosscheck stage: lm-evaluation-harness asks one model, the base or a tuned one.

    python -m harness.crosscheck.worker results/quickstart-1a2b3c4d --base
    python -m harness.crosscheck.worker results/quickstart-1a2b3c4d --seed 3407

Writes <side>.jsonl, with a line for each question with the completion and lm-eval's verdicts, and then <side>.json: the
conditions, lm-eval's own totals, and what it does silently, such as cutting prompts that are too long.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config import arguments, plugins
from harness.crosscheck import inputs, lm_eval_task, options
from harness.crosscheck.inputs import Asked, Material
from harness.crosscheck.lm_eval_task import FILTERS
from harness.crosscheck.options import Check
from harness.models.checkpoint import Checkpoint
from harness.runs import directory
from harness.runs.directory import RunDir
from harness.runs.machine import within_memory
from harness.tasks import dataset
from harness.util import files, locks
from harness.util.cli import Parser, exit_code
from harness.util.console import hushed, say
from harness.util.errors import HarnessError
from harness.util.interrupts import interruption

AROUND = 32  # tokens; more than a prompt has around a question and its solution, turn markers included


@within_memory("lower --batch-size, or end other programs on the GPU")
def score(run: RunDir, check: Check, seed: int | None) -> None:
    """Let lm-eval ask one model all questions, and write the results. The caller holds the run's lock."""
    from lm_eval.evaluator import evaluate

    material = inputs.prepare(run, check)
    loaded, adapter, trained = inputs.model(run, material, seed)
    made = inputs.conditions(run, check, material, trained)
    name = plugins.task(run.config).name
    own = made["new tokens"]
    task = lm_eval_task.build(material.asked, material.examples, check.shots, own=own, name=name)
    lm = (_vllm if made["backend"] == "vllm" else _transformers)(run, check, material, loaded, adapter)
    if stops := made.get("stop ids"):
        # As our engines: without the checkpoint's own penalties, to the end of a turn.
        from transformers import GenerationConfig

        lm.model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=lm.tokenizer.pad_token_id)
    if loaded.chat_template is not None:
        lm.tokenizer.chat_template = loaded.chat_template
    new = own or lm.max_gen_toks
    if lm.max_length <= new:
        raise HarnessError(
            f"model.id: lm-eval asks for {new} new tokens, but the context of {loaded.id} has only "
            f"{lm.max_length}, so lm-eval cannot ask this model"
        )
    began = time.perf_counter()
    with hushed(not sys.stderr.isatty()):  # lm-eval has a progress bar of its own
        found = evaluate(
            lm,
            {"tasks": {name: task}},
            bootstrap_iters=0,  # its standard errors are for single models; ours are paired
            system_instruction=run.config.prompt.system if check.our_prompt else None,
            apply_chat_template=check.chat,
            fewshot_as_multiturn=check.chat,
        )
    rows = _rows(found["samples"][name], lm, new)
    place = inputs.folder(run, check)
    side = inputs.side(seed)
    files.write_lines(place / f"{side}.jsonl", rows)
    inputs.write_asked(place, seed, Asked(made, _facts(found, name, task, lm, rows, new)))
    say(f"{side}: {len(rows)} questions in {time.perf_counter() - began:.1f} s.")


def _transformers(run: RunDir, check: Check, material: Material, checkpoint: Checkpoint, adapter: Path | None) -> Any:
    """lm-eval's hf backend with the model. Raises HarnessError if PEFT ignores a part of the adapter."""
    import torch

    from harness.models.hf_engine import DTYPES
    from harness.models.prompts import quiet

    quiet()
    section = run.config.eval
    with hushed(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        from lm_eval.models.huggingface import HFLM

        try:
            return HFLM(
                pretrained=str(checkpoint.path),
                peft=None if adapter is None else str(adapter),
                dtype=str(DTYPES[section.precision]).removeprefix("torch."),
                device="cuda" if torch.cuda.is_available() else "cpu",
                batch_size=check.batch_size or section.batch_size,
                max_length=checkpoint.context,
                use_safetensors=True,
            )
        except UserWarning:
            raise HarnessError(
                f"{adapter}: is not an adapter of this checkpoint: PEFT finds modules missing; delete train/ of this "
                f"run and train again"
            ) from None


def _vllm(run: RunDir, check: Check, material: Material, checkpoint: Checkpoint, adapter: Path | None) -> Any:
    """lm-eval's vllm backend, started in the same way as our engine. Raises HarnessError if vLLM does not start."""
    from harness.models import vllm_engine
    from harness.models.engine import Work

    section = run.config.eval
    work = Work(
        completions=len(material.asked),
        longest=_longest(run, check, material),
        lora_rank=0 if adapter is None else run.config.lora.r,
    )
    with vllm_engine.starting(section, checkpoint, work) as settings:
        from lm_eval.models.vllm_causallms import VLLM

        model = settings.pop("model")
        lora = None if adapter is None else str(adapter.resolve())
        return VLLM(pretrained=model, lora_local_path=lora, batch_size=check.batch_size or "auto", **settings)


def _longest(run: RunDir, check: Check, material: Material) -> int:
    """An upper bound of the tokens of a prompt and its completion: the longest question with the longest examples."""
    from lm_eval.defaults import DEFAULT_MAX_GEN_TOKS

    from harness.models.prompts import encode, load_tokenizer

    tokenizer = load_tokenizer(material.checkpoint)
    if check.our_prompt:
        asked = encode(tokenizer, material.asked, run.config.prompt.system)
        return max(len(prompt.ids) for prompt in asked) + run.config.eval.max_new_tokens
    asked = tokenizer([problem.question for problem in material.asked]).input_ids
    worked = tokenizer([f"{problem.question} {problem.solution}" for problem in material.examples]).input_ids
    parts = [max(map(len, asked)), *sorted(map(len, worked), reverse=True)[: check.shots]]
    return sum(parts) + AROUND * len(parts) + DEFAULT_MAX_GEN_TOKS


def _rows(samples: Sequence[dict[str, Any]], lm: Any, new: int) -> list[dict[str, Any]]:
    """A row for each question, in the order asked, from lm-eval's samples, one for each question and filter.

    new: tokens of a completion at most.
    """
    from harness.models.prompts import ids_hash

    rows: dict[int, dict[str, Any]] = {}
    room = lm.max_length - new
    for sample in samples:
        ((prompt, _),) = sample["arguments"]
        ((completion,),) = sample["resps"]
        (extracted,) = sample["filtered_resps"]
        if sample["doc_id"] not in rows:
            ids = lm.tok_encode(prompt)
            rows[sample["doc_id"]] = {
                "id": dataset.problem_id(sample["doc"]["question"]),
                "prompt": prompt,
                "prompt_hash": ids_hash(ids),  # as in our own samples.jsonl
                "prompt_tokens": len(ids),
                "prompt_tokens_cut": max(0, len(ids) - room),
                "completion": completion,
            }
        found = lm_eval_task.ruling(extracted, sample)
        rows[sample["doc_id"]][sample["filter"]] = found._asdict()
    return [rows[number] for number in sorted(rows)]


def _facts(
    found: dict[str, Any], name: str, task: Any, lm: Any, rows: Sequence[dict[str, Any]], new: int
) -> dict[str, Any]:
    totals = found["results"][name]
    return {
        "totals": {name: float(totals[f"exact_match,{name}"]) for name in FILTERS},
        "task version": str(found["versions"][name]),
        "shots": found["n-shot"][name],
        "max_new_tokens": new,
        "context": lm.max_length,
        "longest prompt": max(row["prompt_tokens"] for row in rows),
        "prompts cut": sum(row["prompt_tokens_cut"] > 0 for row in rows),
        "stops": list(task.config.generation_kwargs["until"]),
        "sampling": {name: task.config.generation_kwargs[name] for name in ("do_sample", "temperature")},
    }


def main(argv: list[str] | None = None) -> int:
    parser = Parser("crosscheck_side", __doc__)
    arguments.add_run(parser)
    options.add(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--base", action="store_true", help="the base checkpoint")
    which.add_argument("--seed", type=int, metavar="S", help="the model of this training seed")
    args = parser.parse(argv)
    check = options.check_of(args)
    run = options.of_task(directory.existing(args.run), check)
    with locks.lock(run.path):
        try:
            score(run, check, args.seed)
        except BaseException:
            if stopped := interruption():
                stopped.where = (
                    f"crosscheck ({inputs.side(args.seed)}), which starts over"  # lm-eval keeps no partial results
                )
            raise
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
