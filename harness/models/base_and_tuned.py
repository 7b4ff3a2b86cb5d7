"""The base and the tuned model of a run, ready to answer questions as in the evaluation.

One base with the adapter on or off; if all weights were trained, two models. The engine is transformers, whichever the
evaluation used: it starts in seconds and can stream its text.
"""

from __future__ import annotations

from collections.abc import Callable

from transformers import TextStreamer

from harness.models import lora, prompts
from harness.models.engine import Request, Sampling
from harness.models.hf_engine import TransformersEngine
from harness.models.trained import Trained
from harness.tasks import dataset
from harness.tasks.records import Completion, Problem
from harness.util.errors import HarnessError

NAMES = ("base", "tuned")


class Sides:
    """Both models of a training, in its evaluation's precision. Raises HarnessError if they cannot be loaded."""

    def __init__(self, trained: Trained) -> None:
        self.system = trained.run.config.prompt.system
        self.base = trained.base
        self.tokenizer = prompts.load_tokenizer(trained.base)
        self.stop_ids = tuple(prompts.stop_ids(trained.base, self.tokenizer))
        precision = trained.run.config.eval.precision
        engine = TransformersEngine(trained.base, self.tokenizer, precision, 1)
        self._models = {"base": (engine, None), "tuned": (engine, trained.path)}
        if trained.full:
            self._models["tuned"] = (TransformersEngine(trained.model, self.tokenizer, precision, 1), None)
            return
        lora.check_weights(trained.path)
        modules = lora.modules(trained.path)
        if missing := modules - engine.adapter_modules(trained.path):
            raise HarnessError(
                f"{trained.path}: {len(missing)} of the adapter's modules do not match {trained.base.id}; "
                f"delete train/ of this run and train again"
            )

    def prompt(self, question: str, max_new_tokens: int) -> tuple[int, ...]:
        """The question as token ids. Raises HarnessError if it and its answer do not fit the model's context."""
        (prompt,) = prompts.encode(self.tokenizer, [Problem(dataset.problem_id(question), question, "0")], self.system)
        if len(prompt.ids) + max_new_tokens > self.base.context:
            raise HarnessError(
                f"--max-new-tokens: the question takes {len(prompt.ids)} of the model's {self.base.context} tokens, "
                f"which leaves {max(self.base.context - len(prompt.ids), 0)} for its answer and not {max_new_tokens}; "
                f"lower --max-new-tokens"
            )
        return prompt.ids

    def answer(
        self, side: str, prompt: tuple[int, ...], sampling: Sampling, seed: int, show: Callable[[str], None]
    ) -> Completion:
        """One completion by one of NAMES; show() is called with each new piece of its text."""
        engine, adapter = self._models[side]
        return engine.stream(Request(0, 0, prompt, seed), sampling, adapter, _Pieces(self.tokenizer, show))


class _Pieces(TextStreamer):
    """Passes decoded text on, in pieces that end at word boundaries, instead of printing it."""

    def __init__(self, tokenizer, show: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.show = show

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.show(text)
