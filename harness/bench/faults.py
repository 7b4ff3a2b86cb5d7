"""A fault campaign on a run of seconds: bad inputs, damaged files, kills and full disks. Seeded; real processes.

A command on a bad input must end with one line and exit code 2, or accept it, within HANG seconds; on a damaged run
with the summary of the run that was left alone, or with one line and exit code 2; after kills and a full disk
(harness.bench.kills) with that summary.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.bench import kills
from harness.bench.kills import LONGEST
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

HANG = 3.0  # processor seconds for an input


class Outcome(NamedTuple):
    """How a command ended."""

    code: int  # -1: it did not end in time
    said: str  # on standard error
    seconds: float  # of the processor: on a busy machine the wall tells nothing

    @property
    def fault(self) -> str | None:
        """What is wrong with it: anything but success, or one line and exit code 2."""
        if self.code == -1:
            return "hang"
        if "Traceback" in self.said or self.code not in (0, 2):
            return "traceback"
        return "more than a line" if self.code == 2 and self.said.count("\n") != 1 else None


def forked(main: Callable[[list[str]], int | None], arguments: list[str], limit: float) -> Outcome:
    """Run a command in a fork of this process, which has imported what it needs."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        if (child := os.fork()) == 0:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(2), "w", buffering=1) for _ in range(2))
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
            code = 70
            try:
                code = exit_code(lambda: main(arguments))
            finally:
                sys.stderr.flush()
                os._exit(code if isinstance(code, int) else 70)
        while not (ended := os.wait4(child, os.WNOHANG))[0] and time.monotonic() - began < limit:
            time.sleep(0.002)
        if hangs := not ended[0]:
            os.killpg(child, signal.SIGKILL)
            ended = os.wait4(child, 0)
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    _, status, used = ended
    return Outcome(-1 if hangs else os.waitstatus_to_exitcode(status), said, used.ru_utime + used.ru_stime)


# --- damaged files


def _bit(rng: random.Random, content: bytes) -> bytes:
    if not content:
        return b"\0"
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def _reshaped(rng: random.Random, content: bytes) -> bytes:
    """JSON with one of its values replaced by one of another kind; other files are cut."""
    try:
        value = json.loads(content)
    except ValueError:
        return content[: rng.randrange(len(content) + 1)]
    places = list(_places(value))
    other = rng.choice([None, [], {}, "", "text", 0, -1, 1e308, True, [None], {"a": 1}])
    if not places or rng.random() < 0.1:
        return json.dumps(other).encode()
    holder, key = rng.choice(places)
    if rng.random() < 0.3 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = other
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in list(keys)[:50]:
        yield value, key
        yield from _places(inside)


DAMAGES: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "empty": lambda rng, content: b"",
    "cut": lambda rng, content: content[: rng.randrange(len(content) + 1)],
    "bit": _bit,
    "reshaped": _reshaped,
    "zeros": lambda rng, content: bytes(len(content)),
    "null lines": lambda rng, content: b"null\n" * 3,
}


def damage(rng: random.Random, file: Path) -> str:
    """Damage a file in one of many ways; returns which."""
    kind = rng.choice([*DAMAGES, "missing", "a folder", "a link to itself"])
    if kind in DAMAGES:
        file.write_bytes(DAMAGES[kind](rng, file.read_bytes()))
        return kind
    file.unlink()
    if kind == "a folder":
        file.mkdir()
    elif kind == "a link to itself":
        file.symlink_to(file.name)
    return kind


COMMANDS = ("report", "rescore", "compare", "run")


def command(name: str) -> Callable[[list[str]], int | None]:
    """The main function of a command, by name as for the console script: no other room imports a command."""
    return importlib.import_module(f"harness.{name}.__main__").main


def corruptions(
    rng: random.Random, wanted: int, finished: Path, expected: bytes, commands: Sequence[str] = COMMANDS
) -> Counter[str]:
    """One damaged file of a finished run, then one command on it; how it ended."""
    found: Counter[str] = Counter()
    apart = [finished / name for name in ("plots", "swanlab", "log.txt", ".lock")]  # no number depends on them
    names = sorted(
        str(file.relative_to(finished))
        for file in finished.rglob("*")
        if file.is_file() and not any(file.is_relative_to(place) for place in apart)
    )
    for _ in range(wanted):
        with tempfile.TemporaryDirectory() as place:
            results = Path(place)
            run = Path(shutil.copytree(finished, results / finished.name, symlinks=True))
            shutil.copytree(finished.parent / ".base", results / ".base")
            name, chosen = rng.choice(names), rng.choice(commands)
            kind = damage(rng, run / name)
            whole = [str(finished)] if chosen == "compare" else []  # it leaves the damaged run out
            ended = forked(command(chosen), [str(run), *whole], LONGEST)
            found["corruptions"] += 1
            found[f"by {chosen}"] += 1
            if fault := ended.fault:
                found[fault] += 1
                print(f"{chosen}, {name}: {kind}: {fault}: {ended.said[-600:]}", file=sys.stderr)
            elif ended.code == 0 and chosen != "compare" and _read(run / "summary.json") != expected:
                found["silently other numbers"] += 1
                print(f"{chosen}, {name}: {kind}: other numbers", file=sys.stderr)
            found["refused with a line" if ended.code == 2 else "same numbers"] += not fault
    return found


def _read(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


# --- bad inputs

NASTY = (
    "null", "true", "[]", "{}", "-1", "0", "1e400", ".nan", "''", "x" * 500, "[1, [2, [3]]]", "{a: {b: 1}}", "&a [*a]",
    "'\\x00'", "\u202e", "9" * 400, "2020-01-01", "!!python/object:os.system {}", "[" * 3000, "*a", "1.5",
    "nowhere.py:f", "/proc/nope", "../../etc/passwd", "hf_" + "a" * 30, "{{", "}", ": :", "- - -", "\t",
)  # fmt: skip
ROWS = (
    "null", "[]", "{}", '{"question": 1, "answer": "#### 1"}', '{"question": "q", "answer": null}', '{"question": "q"}',
    '{"question": "q", "answer": "#### 1\\u0000"}', '{"question": "q", "answer": "#### one"}', "{", '"text"', "\x00",
    '{"question": "q", "answer": "#### 1"}', '{"question": "", "answer": "#### "}', "[" * 2000, "NaN",
    "\ufeff", "1" * 5000,
)  # fmt: skip


def inputs(rng: random.Random, wanted: int, keys: list[str], hang: float = HANG) -> Counter[str]:
    """Overrides, experiment files and data files at random, each given to a dry run; how it ended."""
    from harness.models import prompts  # noqa: F401 (takes seconds, once here instead of in every fork)

    found: Counter[str] = Counter()
    for _ in range(wanted):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            kind, arguments = rng.choice([_override, _experiment, _data])(rng, folder, keys)
            ended = forked(command("run"), [*arguments, "--dry-run", "--results", str(folder / "results")], LONGEST)
            fault = "hang" if ended.seconds > hang else ended.fault
            found["inputs"] += 1
            found[kind] += 1
            found["refused with a line" if ended.code == 2 else "accepted"] += not fault
            if (folder / "results").exists():
                fault = "something written"
            if fault:
                found[fault] += 1
                what = f"{kind} {arguments!r:.300}"
                print(f"{what}: {fault}, {ended.seconds:.1f} s: {ended.said[-600:]}", file=sys.stderr)
    return found


def _override(rng: random.Random, folder: Path, keys: list[str]) -> tuple[str, list[str]]:
    return "overrides", ["quickstart", f"{rng.choice(keys)}={rng.choice(NASTY)}"]


def _experiment(rng: random.Random, folder: Path, keys: list[str]) -> tuple[str, list[str]]:
    file = folder / "mine.yaml"
    section, _, key = rng.choice(keys).partition(".")
    texts = (
        rng.choice(NASTY),
        f"{section}:\n  {key}: {rng.choice(NASTY)}\n",
        f"{section}: {rng.choice(NASTY)}\n",
        "a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)),
        "# " + "x" * rng.choice([100, 10_000_000]),
        "".join(f"{chr(rng.randrange(1, 0x2FF))}" for _ in range(40)),
    )
    file.write_text(rng.choice(texts), encoding="utf-8", errors="surrogatepass")
    return "experiment files", [str(file)]


def _data(rng: random.Random, folder: Path, keys: list[str]) -> tuple[str, list[str]]:
    file = folder / rng.choice(["data.jsonl", "data.json", "data.parquet", "data.txt"])
    file.write_text("\n".join(rng.choices(ROWS, k=rng.randrange(1, 6))), encoding="utf-8")
    return "data files", ["quickstart", f"data.path={file}"]


# --- the campaign


def main(argv: list[str]) -> None:
    parser = Parser("bench faults", __doc__)
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--corruptions", type=int, default=400, metavar="N")
    parser.add_argument("--inputs", type=int, default=600, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    args = parser.parse(argv)
    # Forks of a process with threads would warn, and a hub that cannot be reached is asked for half a minute.
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    from harness.config import loading

    rng = random.Random(args.seed)
    found: dict[str, Counter[str]] = {}
    if args.inputs:
        found["bad inputs"] = inputs(rng, args.inputs, loading.keys())
    if args.kills or args.corruptions:
        with tempfile.TemporaryDirectory() as place:
            seconds, errors = kills.finish(Path(place))
            if errors:
                raise HarnessError(f"bench faults: the run that is left alone fails: {errors.splitlines()[-1]}")
            (finished,) = Path(place).glob("quickstart-*")
            expected = (finished / "summary.json").read_bytes()
            print(f"The run that is left alone takes {seconds:.0f} s.", flush=True)
            if args.corruptions:
                found["corruptions"] = corruptions(rng, args.corruptions, finished, expected)
            if args.kills:
                found |= kills.campaign(rng, args.kills, finished, seconds)
    for what, counts in found.items():
        print(f"\n| {what}, seed {args.seed} | |\n|---|---|")
        for name, count in counts.items():
            print(f"| {name} | {count} |")
