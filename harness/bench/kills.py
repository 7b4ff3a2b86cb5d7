"""The part of the fault campaign that stops commands: kills at random moments, and disks that are full.

Chains: a run is killed up to CHAIN times, then left to finish. Pairs: two experiments that share a base evaluation run
at once, and one is killed. Redrawing: harness.report and harness.rescore are killed on a finished run. Full disks: the
disk fills up in a stage, and has room for the second attempt. In the end every summary.json must be, byte for byte,
that of the run that was left alone.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

SMALL = (
    "train.steps=4", "train.prompts_per_step=4", "train.generations=4", "train.resume_every=1", "train.save_steps=4",
    "eval.limit=32", "eval.batch_size=8", "track.mode=disabled",
)  # fmt: skip
SIBLING = ("name=sibling", "train.learning_rate=0.0001")  # another experiment on the same base
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSTOP")  # one that was stopped is killed then
STAGES = 4  # base, training, tuned, report
CHAIN = 3  # kills before a run is left to finish
LONGEST = 600  # seconds for a command
# For so many kills there is one each of a pair of experiments, of a report and of a scoring, and one full disk.
EVERY = 8

# In a mount namespace of its own, so that it needs no rights and leaves nothing behind: the command on a disk that is
# made small (the room left is in KiB) a moment after the stage has begun, then again on a large one.
ON_A_FULL_DISK = """
mount -t tmpfs -o size=4g tmpfs "$PLACE" || exit 90
"$@" >"$OUT/first" 2>"$OUT/errors" &
until grep -q "^\[$STAGE/" "$OUT/first" || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
sleep "$DELAY"
until mount -o remount,size=$(($(df -Pk "$PLACE" | awk 'NR == 2 {print $3}') + ROOM))k "$PLACE"; do :; done
wait $!; echo $? >"$OUT/code"
mount -o remount,size=4g "$PLACE"
"$@" >"$OUT/second" 2>"$OUT/errors-2" || exit 91
cat "$PLACE"/*/summary.json
"""


def command(results: Path, *overrides: str) -> list[str]:
    run = ["harness.run", "experiments/quickstart.yaml", *SMALL, *overrides]
    return [sys.executable, "-m", *run, "--results", str(results)]


def started(arguments: Sequence[str]) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(arguments, start_new_session=True, **quiet)


def ended(process: subprocess.Popen) -> str:
    """Wait for the end of a command; what it said if it failed, else nothing."""
    _, errors = process.communicate(timeout=LONGEST)
    return "" if process.returncode == 0 else errors or f"exit code {process.returncode}"


def finish(results: Path, *overrides: str) -> tuple[float, str]:
    """Seconds and errors of a run that is left alone."""
    began = time.monotonic()
    errors = ended(started(command(results, *overrides)))
    return time.monotonic() - began, errors


def summary(results: Path, name: str = "quickstart") -> bytes | None:
    found = list(results.glob(f"{name}-*/summary.json"))
    return found[0].read_bytes() if found else None


def kill(process: subprocess.Popen, name: str) -> None:
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


def campaign(rng: random.Random, wanted: int, finished: Path, seconds: float) -> dict[str, Counter[str]]:
    """So many kills and full disks, by kind; `finished` is the run that was left alone, and took so many seconds."""
    expected = (finished / "summary.json").read_bytes()
    share = wanted // EVERY
    found = {
        "kills of the whole run": chains(rng, wanted - 4 * share, seconds, expected),
        "kills of one of two experiments on one base": pairs(rng, share, seconds, expected) if share else Counter(),
        "kills of rescore and report": redrawing(rng, 2 * share, finished, expected),
        "full disks": full_disks(rng, share, expected),
    }
    return {name: counts for name, counts in found.items() if counts}


def chains(rng: random.Random, wanted: int, seconds: float, expected: bytes) -> Counter[str]:
    """Chains of kills at random moments of a run, the last of them left to finish; how the chains ended."""
    found: Counter[str] = Counter()
    while found["kills"] < wanted:
        with tempfile.TemporaryDirectory() as place:
            results = Path(place)
            for _ in range(min(CHAIN, wanted - found["kills"])):
                process, name = started(command(results)), rng.choice(SIGNALS)
                time.sleep(rng.uniform(0, seconds))
                kill(process, name)
                found["kills"] += 1
                found[name] += 1
            found["chains"] += 1
            _judge(found, finish(results)[1], summary(results), expected)
    return found


def pairs(rng: random.Random, wanted: int, seconds: float, expected: bytes) -> Counter[str]:
    """Two experiments on one base at once; one is killed at a random moment, and both are given again."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        finish(Path(place), *SIBLING)
        sibling = summary(Path(place), "sibling")
    for _ in range(wanted):
        with tempfile.TemporaryDirectory() as place:
            results = Path(place)
            both = [started(command(results)), started(command(results, *SIBLING))]
            time.sleep(rng.uniform(0, seconds))
            at, name = rng.randrange(2), rng.choice(SIGNALS)
            kill(both[at], name)
            found["kills"] += 1
            found[name] += 1
            # A base evaluation has one writer at a time: the other experiment is refused while this one is at it.
            said = ended(both[1 - at])
            found["the other was refused meanwhile"] += bool(said)
            _judge(found, finish(results)[1], summary(results), expected)
            _judge(found, finish(results, *SIBLING)[1], summary(results, "sibling"), sibling)
    return found


def redrawing(rng: random.Random, wanted: int, finished: Path, expected: bytes) -> Counter[str]:
    """harness.rescore and harness.report in turn on a copy of a finished run, killed, and given again."""
    found: Counter[str] = Counter()
    for number in range(wanted):
        with tempfile.TemporaryDirectory() as place:
            run = Path(shutil.copytree(finished, Path(place) / finished.name, symlinks=True))
            shutil.copytree(finished.parent / ".base", Path(place) / ".base")
            which = ("harness.rescore", "harness.report")[number % 2]
            arguments = [sys.executable, "-m", which, str(run)]
            began = time.monotonic()
            ended(started(arguments))
            whole = time.monotonic() - began
            process, name = started(arguments), rng.choice(SIGNALS)
            time.sleep(rng.uniform(0, whole))
            kill(process, name)
            found["kills"] += 1
            found[f"of {which}"] += 1
            _judge(found, ended(started(arguments)), (run / "summary.json").read_bytes(), expected)
    return found


def full_disks(rng: random.Random, wanted: int, expected: bytes) -> Counter[str]:
    """A disk that fills up in each stage in turn and in the report, and the run given again with room.

    The first attempt has to end with one line and exit code 2, or to need no more room. Needs Linux's user namespaces;
    nothing without them.
    """
    found: Counter[str] = Counter()
    for number in range(wanted):
        with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as out:
            stage = number % STAGES + 1
            room, delay = rng.randrange(64), rng.uniform(0, 1)  # KiB, seconds
            own = {"OUT": out, "PLACE": place, "STAGE": str(stage), "ROOM": str(room), "DELAY": f"{delay:.2f}"}
            script = ["sh", "-c", ON_A_FULL_DISK, "sh", *command(Path(place))]
            done = subprocess.run(
                ["unshare", "--map-root-user", "--mount", *script],
                env=os.environ | own, capture_output=True, timeout=2 * LONGEST,
            )  # fmt: skip
            if done.returncode not in (0, 91):
                print(f"full disks: not possible here ({done.stderr.decode().strip()})", file=sys.stderr)
                return found
            said, code = (Path(out, name).read_text() for name in ("errors", "code"))
            clean, enough = int(code) == 2 and said.count("\n") == 1, int(code) == 0 and not said
            found["disks"] += 1
            found[f"in stage {stage} of {STAGES}"] += 1
            found["one line and exit code 2"] += clean
            found["room enough"] += enough
            fault = "" if clean or enough else f"exit code {code.strip()}: {said}"
            fault += Path(out, "errors-2").read_text() if done.returncode else ""
            _judge(found, fault, done.stdout or None, expected)
    return found


def _judge(found: Counter[str], errors: str, made: bytes | None, expected: bytes | None) -> None:
    """Count how something ended that had to end with these bytes and without an error."""
    found["ended with the same bytes"] += (right := not errors and made == expected)
    if not right:
        found["faults"] += 1
        print(f"fault: {errors[-600:] or 'other bytes'}", file=sys.stderr)
