"""The rooms of the package: which may import which, how large they are, and what runs without a heavy library."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the top floor down: a module imports from its own room and from the floors below it. The commands of one file
# stand in the order in which one may import another.
FLOORS = (
    ("__main__",), ("sweep",), ("run", "rescore", "ask", "doctor", "ls", "view", "settings"),
    ("bench", "watch", "cost"),
    ("evaluate", "train", "compare", "export", "crosscheck", "track", "cluster"),
    ("report",), ("models",), ("runs",), ("config",), ("tasks",), ("stats",), ("util",),
)  # fmt: skip
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Under the names that users' own files import.
OUTSIDE = {"harness", "harness.schema", "harness.scoring"}
LARGEST_ROOM, LARGEST_MODULE = 14, 500

LIGHT = ("util", "stats", "tasks", "config", "runs", "report", "compare")
MEDIUM = ("numpy", "scipy", "pydantic", "rich", "jinja2", "pyarrow", "psutil", "argcomplete", "huggingface_hub")
HEAVY = ("torch", "transformers", "vllm", "unsloth", "trl", "peft", "datasets", "matplotlib", "lm_eval", "swanlab")


def modules() -> dict[str, Path]:
    files = sorted((ROOT / "harness").rglob("*.py"))
    dotted = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    return {name.removesuffix(".__init__"): file for name, file in zip(dotted, files, strict=True)}


def imports() -> dict[str, set[str]]:
    """The modules of the harness that each of its modules imports, anywhere in its file."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, file in known.items():
        targets = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: a relative import"
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= (inside & known.keys()) or {node.module}
        found[name] = {target for target in targets if target.split(".")[0] == "harness"}
    return found


def room(module: str) -> str:
    return module.split(".")[1]


def test_imports_run_down_the_floors():
    wrong = []
    for name, targets in imports().items():
        for target in targets - OUTSIDE if name not in OUTSIDE else ():
            same_room = room(name) == room(target)
            if not same_room and FLOOR[room(target)] <= FLOOR[room(name)]:
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_every_module_is_in_a_room():
    assert {room(name) for name in modules().keys() - OUTSIDE} <= FLOOR.keys()


def test_no_import_goes_round_in_a_circle():
    graph, done = imports(), set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"circle: {' -> '.join((*path[path.index(name) :], name))}"
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_room_and_no_module_is_too_large():
    for folder in {file.parent for file in modules().values()}:
        assert len(list(folder.glob("*.py"))) <= LARGEST_ROOM, folder
    for file in modules().values():
        assert len(file.read_text(encoding="utf-8").splitlines()) <= LARGEST_MODULE, file


def test_light_rooms_stay_light():
    light = sorted(name for name in modules() if room(f"{name}.") in LIGHT and not name.endswith("tiny.make"))
    code = f"import importlib, sys\nfor name in {light!r}: importlib.import_module(name)\n"
    code += f"print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_changes_nothing_outside_it():
    code = (
        "import os, signal, sys; before = dict(os.environ), signal.getsignal(signal.SIGINT), sys.stdout; "
        "import harness, harness.schema, harness.scoring, harness.stats; "
        "print(before == (dict(os.environ), signal.getsignal(signal.SIGINT), sys.stdout))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_what_users_files_import_is_there():
    from harness.schema import Tags
    from harness.scoring import score
    from harness.stats import mcnemar, paired_difference, wilson

    assert Tags().solution_start == "<SOLUTION>" and score("#### 18", "18").correct
    assert wilson(1, 2).low < 0.5 and paired_difference([0, 1], [1, 1]).gained == 1 and mcnemar(0, 0).mid_p == 1


COMMANDS = "run sweep ls view compare ask export crosscheck track evaluate train report rescore doctor settings"


@pytest.mark.parametrize("command", COMMANDS.split())
def test_the_help_of_a_command_shows_how_it_is_used(command, capsys):
    from harness.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"examples:\n    python -m harness.{command}" in said


def test_no_help_loads_more_than_it_shows():
    """What is loaded does not depend on the machine, as seconds do. One process for all commands."""
    code = f"""
import sys
from harness.__main__ import COMMANDS, main
for command in COMMANDS:
    try:
        main([command, "--help"])
    except SystemExit as ended:
        assert not ended.code, command
print([name for name in {(*HEAVY, *MEDIUM)!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["harness", "harness.run", "harness.settings", "harness.ls", "harness.doctor"])
def test_a_python_without_the_packages_is_one_line_that_says_where_they_are(command):
    """What happens to someone who forgot to activate the environment; -S hides what is installed."""
    words = [sys.executable, "-S", "-m", command, *{"harness": ["ls"], "harness.run": ["quickstart"]}.get(command, [])]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    line = r"error: the Python package \w+ is not installed for .+ source \.venv/bin/activate, .+\n"
    assert re.fullmatch(line, done.stderr)


def test_the_console_script_lists_its_commands_and_refuses_others(capsys):
    from harness.__main__ import COMMANDS, main
    from harness.util.cli import exit_code

    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(f"\n    {command}" in said for command in COMMANDS)
    assert main([]) == 0 and capsys.readouterr().out == said
    assert importlib.util.find_spec("harness.__main__")
    assert exit_code(lambda: main(["rum"])) == 2
    assert "rum" in capsys.readouterr().err
