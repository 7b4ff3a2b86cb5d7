"""How lm-eval asks, as options of the command line."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.util.cli import Parser
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from harness.runs.directory import RunDir

SHOTS = 5  # the default of lm-eval's gsm8k task


@dataclass(frozen=True, slots=True)
class Check:
    """How lm-eval asks."""

    shots: int = SHOTS  # worked examples in the prompt
    limit: int | None = None  # only the first so many questions of the evaluation; None: all
    chat: bool = False  # through the chat template, the examples as turns; lm-eval's default is plain text
    our_prompt: bool = False  # the run's own prompt and length, not the task's; then no shots, and the chat template
    batch_size: int | None = None  # None: eval.batch_size with transformers, all at once with vLLM
    task: str | None = None  # one of the run's further tasks; None: its own

    @property
    def name(self) -> str:
        """The folder of these settings, such as 5-shot-chat-first-200."""
        parts = ["our-prompt"] if self.our_prompt else [f"{self.shots}-shot", "chat" if self.chat else ""]
        parts += [f"{what}-{value}" for what, value in (("first", self.limit), ("batch", self.batch_size)) if value]
        return "-".join(filter(None, (self.task, *parts)))

    def options(self) -> list[str]:
        """The same settings as command-line options."""
        given = {"--limit": self.limit, "--batch-size": self.batch_size, "--task": self.task}
        listed = [part for name, value in given.items() if value is not None for part in (name, str(value))]
        how = ["--our-prompt"] if self.our_prompt else ["--shots", str(self.shots), *(["--chat"] if self.chat else [])]
        return [*how, *listed]


def add(parser: Parser) -> None:
    """Add the options of a Check."""
    parser.add_argument("--shots", type=int, metavar="N", help=f"worked examples; default {SHOTS}")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N questions that the run evaluated")
    parser.add_argument("--chat", action="store_true", help="use the chat template; lm-eval's default is plain text")
    parser.add_argument("--our-prompt", action="store_true", help="ask with the run's own prompt and length instead")
    parser.add_argument("--batch-size", type=int, metavar="N", help="prompts a batch; default: the experiment's")
    parser.add_argument("--task", metavar="NAME", help="one of the further eval.tasks: gsm_plus; default: the first")


def of_task(run: RunDir, check: Check) -> RunDir:
    """The run as the check's task sees it. Raises HarnessError if it is not one of the run's."""
    if check.task is None:
        return run
    further = {each.task: each for each in run.further}
    if check.task not in further:
        allowed = f"give one of {', '.join(further)}" if further else "it has none, so leave the option out"
        raise HarnessError(f"--task: {check.task} is none of this run's further tasks; {allowed}")
    return further[check.task]


def check_of(args: Namespace) -> Check:
    """The Check of parsed options. Raises HarnessError for impossible ones."""
    for name, least in (("shots", 0), ("limit", 1), ("batch_size", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise HarnessError(f"--{name.replace('_', '-')}: found {value}, allowed: {least} or more")
    if args.our_prompt:
        if args.chat or args.shots is not None:
            raise HarnessError(
                "--our-prompt: always uses the chat template and no worked examples; leave out --shots and --chat"
            )
        return Check(0, args.limit, True, True, args.batch_size, args.task)
    shots = SHOTS if args.shots is None else args.shots
    return Check(shots, args.limit, args.chat, False, args.batch_size, args.task)
