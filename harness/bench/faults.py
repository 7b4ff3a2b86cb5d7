"""A fault campaign on a run of seconds: kills at random moments, damaged files, bad inputs. Seeded; real processes.

After every kill the same command must end with the summary of the run that was left alone. A command on a damaged run
must end with those bytes too, or with one line and exit code 2; on a bad input with one line and exit code 2, or accept
it, within HANG seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.util.cli import Parser, exit_code

SMALL = (
    "train.steps=4", "train.prompts_per_step=4", "train.generations=4", "train.resume_every=1", "train.save_steps=4",
    "eval.limit=32", "eval.batch_size=8", "track.mode=disabled",
)  # fmt: skip
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSTOP")  # one that was stopped is killed then
CHAIN = 3  # kills before a run is left to finish
HANG = 3.0  # processor seconds for an input
LONGEST = 600  # seconds for a command


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


# --- kills


def _started(results: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "harness.run", "exp/quickstart.yaml", *SMALL, "--results", str(results)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **quiet)


def _finish(results: Path) -> tuple[float, str]:
    """Seconds and errors of a run that is left alone."""
    began = time.monotonic()
    _, errors = (process := _started(results)).communicate(timeout=LONGEST)
    return time.monotonic() - began, "" if process.returncode == 0 else errors or f"exit code {process.returncode}"


def _summary(results: Path) -> bytes | None:
    found = list(results.glob("quickstart-*/summary.json"))
    return found[0].read_bytes() if found else None


def kills(rng: random.Random, wanted: int, seconds: float, expected: bytes) -> Counter[str]:
    """Chains of kills at random moments of a run, the last of them left to finish; how the chains ended."""
    found: Counter[str] = Counter()
    while found["kills"] < wanted:
        with tempfile.TemporaryDirectory() as place:
            results = Path(place)
            for _ in range(min(CHAIN, wanted - found["kills"])):
                process, name = _started(results), rng.choice(SIGNALS)
                time.sleep(rng.uniform(0, seconds))
                _send(process, name)
                found["kills"] += 1
                found[name] += 1
            _, errors = _finish(results)
            found["chains"] += 1
            found["other bytes"] += _summary(results) != expected
            if errors:
                found["chains that failed"] += 1
                print(f"chain {found['chains']}: {errors}", file=sys.stderr)
    return found


def _send(process: subprocess.Popen, name: str) -> None:
    """A signal to the command and its stages, as a terminal, a scheduler or the kernel sends it."""
    number = getattr(signal, name)
    try:
        os.killpg(process.pid, number) if name in ("SIGINT", "SIGHUP") else process.send_signal(number)
        if name == "SIGSTOP":
            time.sleep(0.2)
            process.kill()
    except ProcessLookupError:  # it has ended
        pass
    process.communicate(timeout=LONGEST)


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


COMMANDS = {"report": "report.__main__", "rescore": "rescore", "compare": "compare.__main__", "run": "run"}


def command(name: str) -> Callable[[list[str]], int | None]:
    """The main function of a command, by name as for the console script: no other room imports a command."""
    return importlib.import_module(f"harness.{COMMANDS[name]}").main


def corruptions(
    rng: random.Random, wanted: int, finished: Path, expected: bytes, commands: Sequence[str] = tuple(COMMANDS)
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
            seconds, errors = _finish(Path(place))
            (finished,) = Path(place).glob("quickstart-*")
            expected = _summary(Path(place))
            print(f"The run that is left alone takes {seconds:.0f} s{errors}.")
            if args.corruptions:
                found["corruptions"] = corruptions(rng, args.corruptions, finished, expected)
            if args.kills:
                found["kills"] = kills(rng, args.kills, seconds, expected)
    for what, counts in found.items():
        print(f"\n| {what}, seed {args.seed} | |\n|---|---|")
        for name, count in counts.items():
            print(f"| {name} | {count} |")
