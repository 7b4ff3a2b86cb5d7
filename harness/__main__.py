"""One command for all of them.

    harness run exp/quickstart.yaml
    harness compare results/*
    harness run --help

`harness COMMAND` is `python -m harness.COMMAND`.
"""

from __future__ import annotations

import importlib
import sys

from harness.util.cli import Parser, exit_code

COMMANDS = {
    "run": "one experiment: base evaluation, GRPO, tuned evaluation, report",
    "sweep": "one experiment with several values of its settings, and their comparison",
    "compare": "finished runs in one accuracy table",
    "ask": "your own questions to the base and the tuned model",
    "export": "the tuned model as a merged checkpoint or a GGUF file",
    "evaluate": "the evaluation stage alone",
    "train": "the training stage alone",
    "report": "a run's report, drawn again",
    "rescore": "stored completions scored again with the current scorer",
    "crosscheck": "lm-evaluation-harness on the same models",
    "track": "a finished run sent to SwanLab",
    "doctor": "what this machine can run",
    "scoring": "the scorer's self-test",
    "bench": "measurements of the harness",
}


def main(argv: list[str] | None = None) -> int | None:
    arguments = sys.argv[1:] if argv is None else argv
    lines = "\n".join(f"    {name:11} {what}" for name, what in COMMANDS.items())
    parser = Parser("", f"{__doc__}\ncommands:\n{lines}", prog="harness")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="each has its own --help")
    chosen = parser.parse(arguments[:1]).command
    module = f"harness.{chosen}"
    # A command is a module, or a package with a __main__.
    package = importlib.import_module(module)
    command = importlib.import_module(f"{module}.__main__") if hasattr(package, "__path__") else package
    return command.main(arguments[1:])


def console_script() -> int:
    return exit_code(main)


if __name__ == "__main__":
    sys.exit(exit_code(main))
