"""One command for all of them.

    harness run experiments/quickstart.yaml
    harness compare results/*
    harness run --help

`harness COMMAND` is `python -m harness.COMMAND`. For completion of commands, options, experiments, settings and runs,
put eval "$(harness --completion bash)" into the shell's start file (or zsh;
in fish: harness --completion fish | source).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from harness import __version__
from harness.util.cli import COMPLETING, Parser, exit_code
from harness.util.errors import HarnessError
from harness.util.text import did_you_mean

SHELLS = ("bash", "zsh", "fish")

COMMANDS = {
    "run": "one experiment: base evaluation, GRPO, tuned evaluation, report",
    "sweep": "one experiment with several values of its settings, and their comparison",
    "ls": "the runs of a folder: how far each is, and its verdict",
    "view": "a run's page in the browser, also while the run works",
    "compare": "finished runs in one accuracy table",
    "ask": "your own questions to the base and the tuned model",
    "export": "the tuned model as a merged checkpoint or a GGUF file",
    "evaluate": "the evaluation stage alone",
    "train": "the training stage alone",
    "report": "a run's report, drawn again",
    "rescore": "stored completions scored again with the current scorer",
    "crosscheck": "lm-evaluation-harness on the same models",
    "track": "a finished run sent to SwanLab",
    "settings": "every setting, what is allowed, and its default",
    "doctor": "what this machine can run",
    "scoring": "the scorer's self-test",
    "bench": "measurements of the harness",
}


def main(argv: list[str] | None = None) -> int | None:
    arguments = sys.argv[1:] if argv is None else argv
    lines = "\n".join(f"    {name:11} {what}" for name, what in COMMANDS.items())
    parser = Parser("", f"{__doc__}\ncommands:\n{lines}", prog="harness")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="each has its own --help")
    parser.add_argument("--version", action="version", version=f"grpo-harness {__version__}")
    parser.add_argument("--completion", action=Completion, choices=SHELLS, help="print what makes a shell complete")
    chosen = _command_on_the_line() if COMPLETING in os.environ else None
    if not arguments and COMPLETING not in os.environ:
        parser.print_help()
        return 0
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        hint = did_you_mean(arguments[0], COMMANDS) or "harness --help lists them"
        raise HarnessError(f"{arguments[0]}: no such command; {hint}")
    chosen = chosen or parser.parse(arguments[:1] if arguments[:1] != ["--completion"] else arguments).command
    module = f"harness.{chosen}"
    # A command is a module, or a package with a __main__.
    package = importlib.import_module(module)
    command = importlib.import_module(f"{module}.__main__") if hasattr(package, "__path__") else package
    return command.main(arguments[1:])


class Completion(argparse.Action):
    """Print the shell's code and end, as --version does."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, shell: Any, option: str | None = None) -> None:
        import argcomplete

        print(argcomplete.shellcode(["harness"], shell=shell))
        parser.exit()


def _command_on_the_line() -> str | None:
    """The command whose arguments the shell asks to complete; None if it asks for the command itself."""
    import argcomplete

    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    words = argcomplete.split_line(line, point)[3]
    if len(words) < 2 or words[1] not in COMMANDS:
        return None
    os.environ[COMPLETING] = "2"  # for the command's own parser, the second word is the program
    return words[1]


def console_script() -> int:
    return exit_code(main)


if __name__ == "__main__":
    sys.exit(exit_code(main))
