"""The experiment file: one YAML file, typed and strict, with every default written out, and its digest.

The defaults are the tutorial's experiment (Gemma 3 4B, LoRA r 8, GRPO on GSM8K), with the algorithm settings
that it left to its libraries named here, because those libraries' defaults have moved since. A file says
only what differs. An unknown key, a wrong type or an impossible combination is one line and exit code 2.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.config import plugins, yaml_io
from harness.tasks.answer_format import SYSTEM_PROMPT
from harness.tasks.dataset import Source
from harness.tasks.records import Tags

# What adds numbers and changes none, so that it can still be added to a finished run. Of the tasks it is all but the
# first, which is in the digest.
ADDING = ("eval.tasks", "rewards.control", "eval.noise_floor", "eval.elicit")
# Settings of what a run writes and how often; they do not change its numbers, so the digest leaves them out.
OUTSIDE_DIGEST = ("name", "train.resume_every", "train.gpu_memory_utilization", "track", "cluster", *ADDING[1:])
EMBEDDED = "tiny"  # the embedded checkpoint and its word problems
CURVE_ONLY = ("train.save_steps", "train.checkpoint", "eval.curve")

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]  # what lists are made of: a typing error must not fill the memory
Share = Annotated[float, Field(ge=0, le=1)]
AboveZero = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
# YAML reads a bare `off` as false.
OnDrift = Annotated[Literal["off", "warn", "stop"], BeforeValidator(lambda given: "off" if given is False else given)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelSection(Section):
    """Which checkpoint, and how it is loaded for training."""

    id: str = "google/gemma-3-4b-it"  # a hub id, a local folder, or "tiny" for the embedded checkpoint
    revision: str | None = None  # a commit of the hub repository; ignored for a folder
    chat_template: str | None = None  # a Jinja file for a checkpoint without a chat template, or instead of its own
    max_seq_length: Positive = 1024  # tokens of a training prompt and its completion together
    precision: Literal["bf16", "fp32"] = "bf16"  # of training; Gemma 3 overflows in fp16
    load_in_4bit: bool = False  # quantized weights while training; evaluations are in eval.precision
    load_in_8bit: bool = False  # the same
    full_finetuning: bool = False  # train all weights instead of an adapter


class LoraSection(Section):
    r: Positive = 8  # rank of the adapter
    alpha: Positive = 8  # the adapter's change is scaled by alpha / r
    dropout: Share = 0.0
    bias: Literal["none"] = "none"  # Gemma has no biases to train
    seed: Seed = 3407  # of the initial A matrices
    finetune_vision_layers: bool = False
    finetune_language_layers: bool = True
    finetune_attention_modules: bool = True
    finetune_mlp_modules: bool = True


class DataSection(Section):
    path: str = "openai/gsm8k"  # a hub id, a local folder or file (JSONL, Parquet), or "tiny"
    config: str = "main"  # of the hub data set; ignored for local data
    revision: str | None = None  # a commit of the hub data set; ignored for local data
    dev: int = Field(200, ge=0)  # problems set aside from train for monitoring; 0 disables
    benchmarks: str | None = None  # a folder with the files of eval.tasks other than gsm8k (svamp.jsonl); null: the hub

    def source(self) -> Source:
        return Source(self.path, self.config, self.revision, self.dev, self.benchmarks)


class TagsSection(Section):
    working_start: str = Field(Tags().working_start, min_length=1)
    working_end: str = Field(Tags().working_end, min_length=1)
    solution_start: str = Field(Tags().solution_start, min_length=1)
    solution_end: str = Field(Tags().solution_end, min_length=1)

    def record(self) -> Tags:
        return Tags(**self.model_dump())


class PromptSection(Section):
    system: str = SYSTEM_PROMPT  # before every question, in training and evaluation
    tags: TagsSection = TagsSection()


class Reward(Section):
    """A reward function and its weight; a name alone means the weight 1."""

    name: str  # of the profile's four, a piece of harness/train/reward_pieces.py, or path/to/file.py:function
    weight: Annotated[float, Field(ge=-1e6, le=1e6)] = 1.0  # in float32

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given


class RewardsSection(Section):
    # tutorial: the four functions give exactly what the tutorial's give; robust: by the rules of our own scorer
    profile: Literal["tutorial", "robust"] = "tutorial"
    functions: list[Reward] = Field(
        [
            Reward(name="format_exact"),
            Reward(name="format_approximate"),
            Reward(name="check_answer"),
            Reward(name="check_numbers"),
        ],
        min_length=1,
    )
    # Also train a control with the same seeds, data and steps, paid for the format alone or by random numbers.
    control: Literal["format_only", "random"] | None = None

    def most(self) -> float | None:
        """The most that a completion can earn; None if that is not known, as of the user's own functions."""
        paid = [(MOST.get(function.name), function.weight) for function in self.functions]
        return None if any(best is None or weight < 0 for best, weight in paid) else sum(b * w for b, w in paid if b)


MOST = {  # that a reward function pays for a completion, in either profile
    "format_exact": 3.0, "format_approximate": 2.0, "check_answer": 3.0, "check_numbers": 1.5, "correct": 1.0,
    "math_verify": 1.0, "tag_count": 1.0, "soft_overlong": 0.0, "shorter": 0.5, "random": 1.0,
}  # fmt: skip
CONTROLS = {  # the reward functions of each control
    "format_only": ("format_exact", "format_approximate"),
    "random": ("random",),
}


class TrainSection(Section):
    backend: plugins.Backend = "unsloth"  # or "trl"
    rollouts: Literal["hf", "vllm"] = "hf"  # what generates the completions to learn from
    seeds: list[Seed] = Field([3407], min_length=1)  # of data order and rollouts; one training for each seed
    steps: Count = 50  # optimizer steps
    prompts_per_step: Count = 1  # questions a step, each with so many completions as `generations`
    generations: int = Field(4, ge=2, le=1_000_000)  # completions per prompt; a group of one has no advantage
    micro_batch: Positive | None = None  # completions per forward pass; bnpo averages over it; null: as many as it has
    processes: Positive = 1  # of one training, each on its own GPU with its share of a step's completions (trl)
    max_prompt_tokens: Positive = 256
    max_completion_tokens: Positive = 768
    long_prompts: Literal["drop", "refuse"] = "drop"  # training prompts over max_prompt_tokens

    learning_rate: AboveZero = 5e-6
    warmup_ratio: Share = 0.1  # of the steps
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    optimizer: Literal["adamw_torch_fused", "adamw_torch"] = "adamw_torch_fused"
    adam_beta1: Decay = 0.9
    adam_beta2: Decay = 0.99
    adam_epsilon: AboveZero = 1e-8
    weight_decay: NotNegative = 0.1
    max_grad_norm: AboveZero = 0.1

    # The tutorial leaves these to defaults that have changed since; bnpo and 0.001 were Unsloth's then.
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "bnpo"
    beta: NotNegative = 0.001  # weight of the KL term; 0 disables it
    kl_importance_weighted: bool = False  # newer TRL multiplies the KL term by the importance ratio
    scale_rewards: Literal["group", "batch", "none"] = "group"
    importance_sampling: Literal["token", "sequence"] = "token"
    epsilon: AboveZero = 0.2  # the importance ratio is clipped to 1 ± epsilon
    num_iterations: Positive = 1  # steps that learn from the same completions
    mask_truncated_completions: bool = False  # leave completions that were cut out of the loss
    temperature: AboveZero = 1.0  # of the completions to learn from
    top_p: float = Field(1.0, gt=0, le=1)  # 1.0 disables
    top_k: int = Field(0, ge=0)  # 0 disables
    min_p: Share = 0.0  # 0.0 disables
    gradient_checkpointing: bool = True  # less memory, more time
    gpu_memory_utilization: float = Field(0.5, gt=0, le=1)  # for rollouts by vllm: its share of the GPU's free memory

    save_steps: Positive = 50  # steps between adapters that are kept permanently
    checkpoint: Literal["last", "best_dev"] = "last"  # the adapter to evaluate; best_dev: the best of eval.curve
    logging_steps: Literal[1] = 1  # every step, because a resumed run needs the metrics of whole steps
    # Where the reward rises while the accuracy of the rollouts falls; stop: end there, and score what was trained.
    on_drift: OnDrift = "warn"
    resume_every: Positive = 10  # steps between resume points: the most that a kill can lose


class EvalSection(Section):
    # The benchmarks whose questions are asked: the first is the run's own, with the others the report says how far a
    # gain carries. gsm8k is the data of `data`, whose schema training data always has.
    tasks: list[plugins.Task] = Field(["gsm8k"], min_length=1)
    split: Literal["test", "dev"] = "test"
    limit: Positive | None = None  # only the first so many problems; null: all
    engine: plugins.Engine = "vllm"  # or "transformers"
    precision: Literal["bf16", "fp32"] = "bf16"
    max_new_tokens: Positive = 768  # of a completion; math500: twice as many
    temperature: NotNegative = 0.0  # 0 is greedy
    top_p: float = Field(1.0, gt=0, le=1)  # 1.0 disables
    top_k: int = Field(0, ge=0)  # 0 disables
    min_p: Share = 0.0  # 0.0 disables
    samples: Count = 1  # completions per question
    seed: Seed = 0  # of sampling; each completion's own seed is drawn from it and the problem's id
    batch_size: Positive = 64  # transformers: prompts per batch
    batch_invariant: bool = True  # vllm: a completion does not depend on the rest of its batch
    enforce_eager: bool | None = None  # vllm: no compilation, no CUDA graphs; null: by the number of tokens
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)  # vllm: its share of the GPU's free memory
    noise_floor: bool = False  # evaluate the base twice: what changes although nothing was trained
    elicit: int = Field(0, ge=0)  # dev questions on which a better prompt for the base is chosen; 0 disables
    curve: bool = False  # score the adapters kept during the training on all dev problems


class TrackSection(Section):
    """Where the experiment is shown while it runs; it changes no number."""

    tracker: plugins.Tracker = "swanlab"
    mode: Literal["offline", "online", "local", "disabled"] = "offline"  # offline: in the run directory, no account
    project: str = "grpo-harness"


class ClusterSection(Section):
    """Where the stages run, and how many side by side; it changes no number."""

    scheduler: Literal["local", "ray"] = "local"  # local: on this machine, one after the other
    gpus_per_task: float = Field(1.0, gt=0, le=1)  # ray: of a stage; below 1 several stages share a GPU
    parts: Positive | None = None  # ray: parts of an evaluation, side by side; null: as many as there is room for
    workers: Positive | None = None  # ray, without a GPU: stages side by side on this machine; null: cores / threads


class Config(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)  # begins that of the run directory
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    prompt: PromptSection = PromptSection()
    lora: LoraSection = LoraSection()
    rewards: RewardsSection = RewardsSection()
    train: TrainSection = TrainSection()
    eval: EvalSection = EvalSection()
    track: TrackSection = TrackSection()
    cluster: ClusterSection = ClusterSection()

    @property
    def completions_per_step(self) -> int:
        return self.train.prompts_per_step * self.train.generations

    @property
    def completions_per_process(self) -> int:
        """Of a step."""
        return self.completions_per_step // self.train.processes

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises from 0, never all of them. At 0 the first step learns nothing."""
        return min(math.ceil(self.train.warmup_ratio * self.train.steps), self.train.steps - 1)

    @property
    def rollouts(self) -> int:
        """How often completions are generated: num_iterations steps learn from each generation."""
        return -(-self.train.steps // self.train.num_iterations)

    @property
    def kept_steps(self) -> list[int]:
        """The steps after which an adapter is kept permanently, ascending; the last step is always one."""
        return [*range(self.train.save_steps, self.train.steps, self.train.save_steps), self.train.steps]

    def asking(self, task: str) -> Config:
        """The same experiment with one of its further tasks as its only one: all of its questions, at its length."""
        longer = self.eval.max_new_tokens * plugins.TASKS.get(task).lengths
        changed = {"tasks": [task], "split": "test", "max_new_tokens": longer, "noise_floor": False, "curve": False}
        return self.model_copy(update={"eval": self.eval.model_copy(update=changed)})

    @property
    def trainings(self) -> int:
        """How many there are, those of the control included."""
        return len(self.train.seeds) * (2 if self.rewards.control else 1)

    def of_control(self) -> Config:
        """The experiment with the rewards of its control, whose drift needs no warning."""
        functions = [Reward(name=name) for name in CONTROLS[self.rewards.control]]
        rewards = self.rewards.model_copy(update={"functions": functions})
        train = self.train.model_copy(update={"on_drift": "off"})
        return self.model_copy(update={"rewards": rewards, "train": train})

    def _idle(self) -> tuple[str, ...]:
        """Key paths that change no number in this experiment."""
        # Defaults are left out, so that runs made before the setting existed keep their names.
        default = ("eval.tasks",) if self.eval.tasks[0] == "gsm8k" else ()
        default += ("data.benchmarks",) if self.data.benchmarks is None or self.eval.tasks[0] == "gsm8k" else ()
        default += ("model.chat_template",) if self.model.chat_template is None else ()
        default += ("train.processes",) if self.train.processes == 1 else ()
        default += ("train.on_drift",) if self.train.on_drift != "stop" else ()  # a warning changes no number
        return default + (() if self.eval.curve else CURVE_ONLY) + plugins.idle(self)

    def digest(self) -> str:
        """SHA-256, in hex, over every setting that changes a number."""
        return hashlib.sha256(json.dumps(self.deciding(), sort_keys=True).encode()).hexdigest()

    def deciding(self) -> dict[str, Any]:
        """The settings that change a number, by section."""
        kept = self.model_dump()
        for path in (*OUTSIDE_DIGEST, *self._idle()):
            *parents, leaf = path.split(".")
            section = kept
            for parent in parents:
                section = section[parent]
            del section[leaf]
        if "tasks" in kept["eval"]:
            kept["eval"]["tasks"] = kept["eval"]["tasks"][:1]
        return kept

    def run_name(self) -> str:
        return f"{self.name}-{self.digest()[:8]}"

    def changed(self) -> str:
        """The settings that differ from their defaults, as a file."""
        return yaml_io.dump(self.model_dump(exclude_defaults=True))

    def to_yaml(self) -> str:
        """The settings as a file that reads back as they are."""
        return yaml_io.dump(self.model_dump())
