"""Whether two mathematical expressions have the same value, by math-verify (the extra `math`), in processes of its own.

Its own limit is a clock that needs a main thread, and its verdict then depends on how busy the machine is. Here each
pair is judged in a fresh copy (a fork) of a process that has loaded math-verify and judged WARM_UP, so that no verdict
depends on the pairs before it, with Python's hashes fixed and a budget that is counted and not timed: BUDGET events of
Python's profiler (calls and returns). A pair that needs more is a time-out, which is an outcome like the others, on
every machine the same. A clock is left for what cannot be counted, one call of C code that takes over CPU_SECONDS.

Before math-verify reads them, spellings that it cannot read are put into ones that it can: markdown's bold, a full stop
at the end, percent signs (which count for nothing, as in harness.tasks.numbers), `\\frac\\pi2`, signs and roots outside
LaTeX (60°, π, ½, √13, sqrt 13), and words behind a number, which are its unit. It drops the base of a number, as in
4210_5: two stated bases must be the same.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib.util
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from harness.util.errors import HarnessError

BUDGET = 20_000_000  # events; of MATH-500's golds against themselves the slowest takes 2.5 million
# Seconds of the processor in which nothing comes to BUDGET events, 5 nanoseconds for each. What ends within them is not
# counted, as counting takes longer than judging.
QUICK = 0.1
CPU_SECONDS = 30  # of the processor, for one pair
MEMORY = 2 << 30  # bytes of address space
LONGEST = 2_000  # characters of an expression; a longer one is not read
# What loads the parts of its libraries that are needed often.
WARM_UP = (("\\frac{1}{2}", "0.5"), ("(1,2]", "(1,2]"), ("(3,\\frac{\\pi}{2})", "(3,\\pi/2)"), ("x^2+1", "6-5i"))
SAME, DIFFERENT, UNREAD, TIME_OUT = "same", "different", "unread", "time-out"
# Processes that judge: a core each. Eight have judged 500 pairs before further ones would have loaded math-verify.
SERVERS = min(8, os.cpu_count() or 1)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ruling(NamedTuple):
    """The verdict on one pair."""

    verdict: str  # SAME, DIFFERENT, UNREAD (no expression was found in the answer) or TIME_OUT
    read: str  # the expression that was found in the answer, as LaTeX; empty if none


def check_installed() -> None:
    """Raises HarnessError unless math-verify can be loaded."""
    if not importlib.util.find_spec("math_verify"):
        raise HarnessError(
            'eval.tasks: math500 is judged by math-verify, which is not installed; pip install -e ".[math]"'
        )


def installed() -> str:
    """The version of the judge, for conditions that must be equal; empty if it is not installed."""
    return f"math-verify {version('math-verify')}" if importlib.util.find_spec("math_verify") else ""


def judge(gold: str, answer: str, *, whole: bool = False) -> Ruling:
    """Whether the answer has the value of the gold. Both are LaTeX or plain text, without delimiters or with.

    whole: the answer is running text, in which the last expression counts. Never raises because of the texts; may be
    called from any thread. Raises HarnessError if math-verify is not installed.
    """
    if max(len(gold), len(answer)) > LONGEST:
        return Ruling(UNREAD, "")
    bases = [found[1] for text in (gold, answer) if (found := _BASE.search(text.strip("$ .")))]
    if len(bases) == 2 and bases[0] != bases[1]:
        return Ruling(DIFFERENT, answer)
    target, given = f"${readable(gold)}$", readable(answer)
    if not whole and not _DELIMITED.search(given):
        given = f"\\boxed{{{given}}}"
    return _ruling(target, given)


@functools.lru_cache(maxsize=65_536)
def _ruling(gold: str, answer: str) -> Ruling:
    with _MAKING:
        servers = _servers_of(os.getpid())  # a fork must not talk to its parent's
    return Ruling(*servers.ask(gold, answer))


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """[work(item) for item in items], for work that judges: as many at a time as there are processes for it."""
    with ThreadPoolExecutor(SERVERS) as pool:
        return list(pool.map(work, items))


# --- what math-verify cannot read

_BASE = re.compile(r"\d_\{?(\d+)\}?$")
_DELIMITED = re.compile(r"\\boxed|\\\(|\\\[|\$[^$]+\$")
_BARE_FRACTION = re.compile(r"\\[dt]?frac\s*(\\[A-Za-z]+|\w)\s*(\\[A-Za-z]+|\w)")
# No word can be read in two ways: linear. A single letter is a variable, but for one behind a slash, as in km/h.
_UNIT = re.compile(r"(?<=[\d}])\s+([A-Za-z]{2,}(?:\^[23])?(?:(?:\s+[A-Za-z]{2,}|/[A-Za-z]+)(?:\^[23])?)*)$")
_SIGNS = {
    "°": "^\\circ ", "∞": "\\infty ", "∪": "\\cup ", "∩": "\\cap ", "π": "\\pi ", "²": "^2", "³": "^3",
    "½": "\\frac{1}{2}", "⅓": "\\frac{1}{3}", "⅔": "\\frac{2}{3}", "¼": "\\frac{1}{4}", "¾": "\\frac{3}{4}",
}  # fmt: skip
_ROOT = re.compile(r"(?:√|(?<![A-Za-z\\])sqrt)\s*(?:(\d+|[A-Za-z])|\(([^()]*)\))")
_NO_UNIT = re.compile(
    r"\b(?:and|or|to|half|halves|thirds?|quarters?|fourths?|i|pi|sqrt|if|for|times|plus|minus"
    r"|hundred|thousand|million|billion|trillion)\b"
)
_NAMED = re.compile(r"(?<![A-Za-z\\])(pi|sqrt|infty|theta)(?![A-Za-z])")


def readable(text: str) -> str:
    """The expression in a spelling that math-verify reads."""
    text = text.replace("**", "").replace("−", "-").strip().rstrip(".,;").strip()
    text = re.sub(r"\\?%", "", text)
    for sign, spelt in _SIGNS.items():
        text = text.replace(sign, spelt)
    text = _ROOT.sub(lambda found: f"\\sqrt{{{found[1] or found[2]}}}", text)
    text = _NAMED.sub(r"\\\1", text) if "sqrt(" not in text else text
    text = _BARE_FRACTION.sub(r"\\frac{\1}{\2}", text)
    if (unit := _UNIT.search(text)) and not _NO_UNIT.search(unit[1]):
        text = f"{text[: unit.start()]}\\text{{ {re.sub('[/^23]', ' ', unit[1])}}}"
    return text


# --- the processes


class _Server:
    """A process that judges, one pair at a time; it ends with this one."""

    def __init__(self) -> None:
        paths = (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))  # the same harness there
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.tasks.judge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # Ctrl-C is for this process, which ends it
        )
        atexit.register(self.close)

    def ask(self, gold: str, answer: str) -> tuple[str, str]:
        try:
            self._process.stdin.write(json.dumps([gold, answer]).encode() + b"\n")
            self._process.stdin.flush()
            return tuple(json.loads(self._process.stdout.readline()))
        except (OSError, ValueError):
            raise HarnessError(
                "a process that judges with math-verify has ended; the same command goes on from here"
            ) from None

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


class _Servers:
    """SERVERS of them, each started when there is a pair for it and no other is idle."""

    def __init__(self) -> None:
        check_installed()
        self._idle: queue.LifoQueue[_Server | None] = queue.LifoQueue()  # so that those that have started come first
        for _ in range(SERVERS):
            self._idle.put(None)

    def ask(self, gold: str, answer: str) -> tuple[str, str]:
        server = self._idle.get()
        try:
            server = server or _Server()
            return server.ask(gold, answer)
        finally:
            self._idle.put(server)


_MAKING = threading.Lock()


@functools.cache
def _servers_of(process: int) -> _Servers:
    return _Servers()


def serve(asked: IO[bytes], answered: IO[bytes]) -> None:
    """Judge the pairs that are asked, one a line, each in a fork of this process, until there are no more."""
    import logging

    logging.disable(logging.CRITICAL)  # it warns that its clock is off
    for pair in WARM_UP:
        _verdict(*(f"${each}$" for each in pair))
    gc.freeze()  # or every fork would copy what the collector touches
    for line in asked:
        gold, answer = json.loads(line)
        answered.write(json.dumps(_forked(gold, answer)).encode() + b"\n")
        answered.flush()


def _forked(gold: str, answer: str) -> list[str]:
    return _limited(gold, answer, counted=False) or _limited(gold, answer, counted=True) or [TIME_OUT, ""]


def _limited(gold: str, answer: str, *, counted: bool) -> list[str] | None:
    """The verdict of a fork within BUDGET events or, not counted, within QUICK seconds; None if a limit ended it."""
    source, sink = os.pipe()
    if not (child := os.fork()):
        _judge_and_end(sink, gold, answer, counted)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else None


def _judge_and_end(sink: int, gold: str, answer: str, counted: bool) -> None:
    """Judge within the limits, write the verdict to the pipe, and end this process."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    events = 0

    def count(*_: object) -> None:
        nonlocal events
        events += 1
        if events > BUDGET:  # not by an exception, which math-verify would catch
            os._exit(1)

    if counted:
        sys.setprofile(count)
    else:
        signal.setitimer(signal.ITIMER_PROF, QUICK)
    try:
        said = json.dumps(_verdict(gold, answer))
    except BaseException:
        said = json.dumps([UNREAD, ""])
    sys.setprofile(None)
    signal.setitimer(signal.ITIMER_PROF, 0)
    os.write(sink, said.encode()[:65_536])
    os._exit(0)


def _verdict(gold: str, answer: str) -> list[str]:
    from math_verify import parse, verify

    read = parse(answer, parsing_timeout=None)
    if not read:
        return [UNREAD, ""]
    spelled = read[-1] if isinstance(read[-1], str) else ""
    same = verify(parse(gold, parsing_timeout=None), read, timeout_seconds=None)
    return [SAME if same else DIFFERENT, spelled]


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
