"""Make the embedded tiny checkpoint from scratch: tokenizer, chat template, a small Gemma-3-architecture model.

    python -m harness.tasks.tiny.make --out harness/tasks/tiny/checkpoint --device cuda --compile    # the shipped one
    python -m harness.tasks.tiny.make --out /tmp/tiny --steps 40 --batch 32 --workers 2        # a rehearsal on a CPU

One pass over a stream of made-up word problems (problems.py, split `pretrain`) in chat form, under the tutorial's
system prompt. Two departures from a real pretraining: the loss on the prompt counts a fifth (the prompts are
templates; learning them by heart is wasted capacity), and the completions are deliberately of mixed quality,
because a base model that already follows the format leaves GRPO nothing to do. The number of steps is a choice as
well: with twice as many the model learns to guess most answers without any working, and writing it no longer pays.

The last line of the output goes into README.md: losses, and scores on the dev split.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig, GenerationConfig, PreTrainedTokenizerFast

from harness.tasks.answer_format import SYSTEM_PROMPT
from harness.tasks.scoring import score
from harness.tasks.tiny import problems as tiny_problems

SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
PAD, EOS, BOS, UNK, START, END = range(len(SPECIALS))
CONTEXT = 1024
ROW = 160  # tokens of one training example, padding included; a longer example is an error
PROMPT_WEIGHT = 0.2

# Gemma's turns: one BOS, the system text folded into the first user turn, `model` for the assistant.
CHAT_TEMPLATE = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] | trim + '\\n\\n' -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('user and assistant must take turns, the user first') }}
    {%- endif -%}
    {{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' -}}
    {{ (system if loop.first else '') + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}
"""

# A tag is one piece, digits are single (sums are done digit by digit), then words with their space, signs, spaces.
PIECES = r"</?[A-Za-z_]+>| (?=<)| ?[A-Za-z]+|\d| ?[^\sA-Za-z\d]|\s+"

# Words of ordinary school problems: with them the tokenizer keeps real questions short.
COMMON_WORDS = """
the a an of to and in for is are was were has have had he she it they we you his her him its their them this
that these those there then than with without from into onto over under after before between during each
every all both some any many much more most less least fewer few other another same different first second
third last next new old one two three four five six seven eight nine ten eleven twelve twenty thirty forty
fifty hundred thousand million half twice double triple quarter times total number amount sum difference
average percent rate ratio equal equally altogether remaining rest left only also still already again
together alone now later earlier ago if when while how what which who whose where why because so but or not
no yes as at by on up down out off about around per day days week weeks month months year years hour hours
minute minutes seconds morning afternoon evening night today tomorrow yesterday monday tuesday wednesday
thursday friday saturday sunday january june december time dollar dollars cent cents money cost costs price
prices pay pays paid spend spends spent buy buys bought sell sells sold earn earns earned save saves saved
give gives gave given get gets got take takes took taken make makes made need needs needed want wants wanted
use uses used eat eats ate drink drinks go goes went come comes came leave leaves start starts started
finish finished find found know think say says said tell ask put keep keeps kept run runs ran walk walks
walked drive drives drove travel travels read reads write writes play plays played work works worked live
lives lived grow grows plant plants planted receive received decide decided share shares shared divide
divided collect collected order ordered charge charges bring brings brought carry hold holds fill fills add
adds added school class student students teacher teachers friend friends family mother father mom dad
brother brothers sister sisters son daughter uncle aunt grandmother cousin child children kids boy boys girl
girls man men woman women people person store shop market farm house home room garden town city car cars
truck bus train bike road mile miles foot feet inch inches meter meters kilometers yard yards pound pounds
ounce ounces gallon gallons liter liters kilogram grams apple apples orange oranges banana bananas egg eggs
milk bread cake cakes pizza pizzas slice slices cookie candy candies chocolate sandwich water juice coffee
fruit food lunch dinner breakfast box bag bags basket bottle bottles pack packs package dozen piece pieces
pair pairs set sets group groups row rows book books page pages pencil pencils pen pens paper game games toy
toys ball balls card cards ticket tickets movie team teams point points score shirt shirts shoes dress color
red blue green white black yellow dog dogs cat cats fish bird birds chicken chickens cow cows horse horses
tree trees flower flowers area length width height long wide high tall big small large short fast slow James
John Mary Tom Sarah Emily Mike Jack Anna Lisa Tim Sam Mark Bob Jane Amy Ben David Maria Kim Carl Josh Peter
"""


def train_tokenizer(vocab: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: any text encodes, and decodes to itself."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIALS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    draw = Random(0).random
    texts = [SYSTEM_PROMPT] * 200
    for problem in itertools.islice(tiny_problems.stream("pretrain", seed=-1), 20_000):
        texts += [problem.question, tiny_problems.pretraining_text(problem, draw)]
    words = COMMON_WORDS.split()
    texts += [" " + " ".join(words), " ".join(w.capitalize() for w in words)] * 60
    tokenizer.train_from_iterator(texts, trainer)
    # As in Gemma, plain encoding puts a BOS in front; the chat template writes its own and is encoded without.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", BOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def prompt_text(tokenizer: Any, question: str) -> str:
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def build_model(vocab: int, hidden: int, layers: int, mlp: int) -> Gemma3ForCausalLM:
    """A small version of Gemma 3's text architecture: sliding-window layers below, a global one on top."""
    config = Gemma3TextConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=mlp,
        num_attention_heads=max(2, hidden // 64 * 2),
        num_key_value_heads=2,
        head_dim=32,  # vLLM's attention kernels want a multiple of 32
        query_pre_attn_scalar=32,
        sliding_window=512,
        layer_types=["sliding_attention"] * (layers - 1) + ["full_attention"],
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=BOS,
    )
    return Gemma3ForCausalLM(config)


_worker: dict[str, Any] = {}


def _start_worker(folder: str, batch: int, seed: int) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    before, after = prompt_text(tokenizer, "QUESTION").split("QUESTION")
    # the long common beginning is encoded only once: it would be half of the work of making a batch
    before_ids = tokenizer(before, add_special_tokens=False)["input_ids"]
    _worker.update(tokens=tokenizer.backend_tokenizer, before=before_ids, after=after, batch=batch, seed=seed)


def make_batch(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch `index` of the stream: token ids (batch, ROW), padded on the right, and where the completions start."""
    seed = _worker["seed"] * 1_000_003 + index
    draw = Random(seed).random
    drawn = list(itertools.islice(tiny_problems.stream("pretrain", seed), _worker["batch"]))
    prompts = [p.question + _worker["after"] for p in drawn]
    texts = [tiny_problems.pretraining_text(p, draw) + "<end_of_turn>\n" for p in drawn]
    encode = _worker["tokens"].encode_batch
    ids = np.full((len(drawn), ROW), PAD, dtype=np.uint16)
    starts = np.zeros(len(drawn), dtype=np.int64)
    pairs = zip(encode(prompts, add_special_tokens=False), encode(texts, add_special_tokens=False), strict=True)
    for i, (prompt, text) in enumerate(pairs):
        row = _worker["before"] + prompt.ids + text.ids
        if len(row) > ROW:
            raise ValueError(f"an example has {len(row)} tokens, more than ROW = {ROW}")
        ids[i, : len(row)] = row
        starts[i] = len(row) - len(text.ids)
    return ids, starts


def loss_of(model: Any, ids: torch.Tensor, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(weighted loss to minimise, mean loss of a completion token). Right padding needs no attention mask."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()
    target = ids[:, 1:]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    inside = (torch.arange(1, ids.shape[1], device=ids.device) >= starts[:, None]).flatten()
    real = (target != PAD).flatten().float()
    weight = torch.where(inside, 1.0, PROMPT_WEIGHT) * real
    answer = inside * real
    return (losses * weight).sum() / weight.sum(), (losses * answer).sum().detach() / answer.sum()


def train(model: Gemma3ForCausalLM, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """One pass over `steps` batches; returns the losses of the last 50 steps and the seconds."""
    device = torch.device(args.device)
    model.to(device).train()
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.95), fused=device.type == "cuda")
    warmup = min(100, max(1, args.steps // 10))

    def rate(step: int) -> float:
        done = (step - warmup) / max(1, args.steps - warmup)
        return (step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * done))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    forward = torch.compile(loss_of) if args.compile else loss_of
    recent: list[tuple[torch.Tensor, torch.Tensor]] = []
    began = time.time()
    context = multiprocessing.get_context("spawn")  # the workers must not inherit this process's GPU state
    with context.Pool(args.workers, _start_worker, (str(folder), args.batch, args.seed)) as pool:
        for step, (ids, starts) in enumerate(pool.imap(make_batch, range(args.steps))):
            inputs = torch.from_numpy(ids.astype(np.int64)).to(device), torch.from_numpy(starts).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                loss, answer_loss = forward(model, *inputs)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            recent = [*recent, (loss.detach(), answer_loss)][-50:]
            if step % 200 == 0 or step == args.steps - 1:
                print(
                    f"step {step} loss {loss:.4f} answer {answer_loss:.4f} {time.time() - began:.0f}s",
                    flush=True,
                )
    means = [float(torch.stack(values).mean()) for values in zip(*recent, strict=True)]
    return {"loss": means[0], "answer_loss": means[1], "train_seconds": time.time() - began}


@torch.no_grad()
def measure(folder: Path, rows: list[dict[str, str]], device: str, sample: bool = False) -> dict[str, float]:
    """Percent accuracy, strict accuracy and exact format on rows: greedy, or one sample each at temperature 1."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Gemma3ForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {"do_sample": False}
    torch.manual_seed(0)
    scores = []
    for at in range(0, len(rows), 256):
        part = rows[at : at + 256]
        prompts = [prompt_text(tokenizer, r["question"]) for r in part]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(device)
        prompt, mask = inputs["input_ids"], inputs["attention_mask"]
        ids = model.generate(input_ids=prompt, attention_mask=mask, max_new_tokens=72, **how)
        for row, out in zip(part, ids[:, prompt.shape[1] :].tolist(), strict=True):
            finish = "stop" if END in out or EOS in out else "length"
            text = tokenizer.decode(out, skip_special_tokens=True)
            scores.append(score(text, row["answer"].split("####")[1].strip(), finish_reason=finish))
    n = len(scores) / 100
    return {
        "accuracy": round(sum(s.correct for s in scores) / n, 1),
        "strict": round(sum(s.strict for s in scores) / n, 1),
        "format": round(sum(s.exact_format for s in scores) / n, 1),
    }


def save(model: Gemma3ForCausalLM, folder: Path) -> None:
    """The weights in bf16, with Gemma's own stop ids (`<eos>` and `<end_of_turn>`) and sampling settings."""
    model = model.to("cpu", torch.bfloat16)
    model.config.dtype = torch.bfloat16
    model.generation_config = GenerationConfig(
        bos_token_id=BOS, eos_token_id=[EOS, END], pad_token_id=PAD, do_sample=True, top_k=64, top_p=0.95
    )
    model.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=1250)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--vocab", type=int, default=1536)
    parser.add_argument("--hidden", type=int, default=160)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--mlp", type=int, default=640)
    parser.add_argument("--seed", type=int, default=3407)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--score", type=int, default=400, help="dev problems to score at the end")
    args = parser.parse_args()

    began = time.time()
    torch.manual_seed(args.seed)
    # made beside the target and swapped in whole, so that nobody loads half a checkpoint
    folder = args.out.with_name(args.out.name + ".new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(args.vocab)
    tokenizer.save_pretrained(folder)
    model = build_model(len(tokenizer), args.hidden, args.layers, args.mlp)
    log: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    log["examples"] = args.steps * args.batch
    print(json.dumps(log), flush=True)
    log |= train(model, folder, args)
    save(model, folder)
    dev = tiny_problems.rows("dev", args.score)
    log["greedy"] = measure(folder, dev, args.device)
    log["sampled"] = measure(folder, dev, args.device, sample=True)
    log["seconds"] = time.time() - began
    shutil.rmtree(args.out, ignore_errors=True)
    folder.rename(args.out)
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in log.items()}))


if __name__ == "__main__":
    main()
