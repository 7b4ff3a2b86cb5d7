"""How an evaluation scales with its parts, and what a sweep would take, from measured pieces.

    python -m harness.bench scale exp/grpo_r8.yaml --parts 1,2,4
    python -m harness.bench scale exp/quickstart.yaml cluster.workers=2 --parts 1,2
    python -m harness.bench project RUN OTHER --members 8,32 --gpus 1,4,8

scale evaluates the base in so many parts on Ray (RAY_ADDRESS, or one started here), each time from the start, and
compares the results byte by byte. A row of several parts is compared with the last row of one part before it; the first
start on a new machine compiles, so that --parts 1,1,2 measures it apart. project takes what the stages of two finished
runs of a sweep took: RUN has made its base, OTHER has used it. What it prints is projected, not measured.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.cluster import parallel, pool
from harness.cluster.pool import Pool
from harness.config.arguments import find_run
from harness.runs import directory, machine, provenance
from harness.runs.directory import RunDir
from harness.runs.stages import stages
from harness.util import console, locks
from harness.util.cli import Parser
from harness.util.errors import HarnessError


@dataclass(frozen=True)
class Measured:
    """One evaluation in parts."""

    parts: int
    seconds: float  # wall time, starts of processes and engines included
    start: float  # the longest start of an engine, seconds
    work: float  # the longest time in which a part made completions, seconds
    result: bytes  # result.json


def main(argv: list[str]) -> None:
    parser = Parser("bench scale", __doc__)
    parser.add_argument("experiment", help="exp/NAME.yaml: its base evaluation is measured")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--parts", default="1,2,4", metavar="A,B", help="default: 1,2,4")
    parser.add_argument("--results", type=Path, metavar="DIR", help="shared by all machines; default: a temporary one")
    args = parser.parse(argv)
    counts = _numbers("--parts", args.parts)
    with _folder(args.results) as folder:
        section = directory.open_run(args.experiment, args.overrides, folder, create=False).config.cluster
        with pool.joined(section, folder) as workers:
            rows = [
                _measure(args.experiment, args.overrides, folder / f"{number}-{count}", count, workers)
                for number, count in enumerate(counts)
            ]
    versions = provenance.versions()
    gpu = ", ".join(gpu.name for gpu in machine.gpus()) or "no GPU"
    used = [f"{name} {versions[name]}" for name in ("vllm", "transformers", "torch") if name in versions]
    console.say(f"{gpu}; {', '.join(used)}")
    console.table("the base evaluation in parts", compared(rows), ("parts", "seconds", "equal"))


def _measure(experiment: str, overrides: Sequence[str], results: Path, count: int, workers: Pool) -> Measured:
    run = directory.open_run(experiment, [*overrides, f"cluster.parts={count}"], results)
    began = time.perf_counter()
    with locks.lock(run.path) as held:
        parallel.run_stages(run, held, workers, stages(run)[:1])
    seconds = time.perf_counter() - began
    costs = run.read_manifest().stages.values()
    return Measured(
        count,
        seconds,
        max(cost.start_seconds for cost in costs),
        max(cost.seconds for cost in costs),
        (run.base / "result.json").read_bytes(),
    )


def compared(rows: Sequence[Measured]) -> list[dict[str, str]]:
    """The table: each row with its speed-up over the last row of one part up to it, and whether the bytes are equal."""
    found, alone = [], rows[0]
    for row in rows:
        alone = row if row.parts == 1 else alone
        found.append(
            {
                "parts": str(row.parts),
                "seconds": f"{row.seconds:.1f}",
                "engine start, s": f"{row.start:.1f}",
                "completions, s": f"{row.work:.1f}",
                "speed-up": f"{alone.seconds / row.seconds:.2f}",
                "of completions": f"{alone.work / row.work:.2f}",
                "equal": "yes" if row.result == rows[0].result else "NO",
            }
        )
    return found


@dataclass(frozen=True)
class Pieces:
    """What the stages of a run took, in seconds."""

    evaluation: float  # of an evaluation, apart from its completions: imports, engine, adapter proof
    completions: float  # of all questions on one GPU
    training: float  # of a training, apart from its steps
    steps: float  # of all steps
    reuse: float  # of a base evaluation that finds its completions

    @staticmethod
    def of(made: RunDir, reused: RunDir) -> Pieces:
        """Those of a run of one training seed without parts, and of one that used its base. HarnessError if not."""
        manifest, wall = made.read_manifest(), made.read_manifest().wall_seconds
        seed = made.config.train.seeds[0]
        base, tuned = manifest.stages.get("base"), manifest.stages.get(f"tuned (seed {seed})")
        trained = manifest.stages.get(f"training (seed {seed})")
        if not (base and tuned and trained) or "base" in reused.read_manifest().stages:
            raise HarnessError(
                f"bench project: {made.path} has to be a finished run of one seed that made its base in one part, and "
                f"{reused.path} one that used it"
            )
        return Pieces(
            evaluation=wall["tuned evaluation"] - tuned.seconds,
            completions=tuned.seconds,
            training=wall["training"] - trained.seconds,
            steps=trained.seconds,
            reuse=reused.read_manifest().wall_seconds["base evaluation"],
        )

    def projected(self, members: int, gpus: int) -> float:
        """Seconds of a sweep: the base once in parts on all GPUs, then the members in turns, each on its GPUs."""
        base = self.evaluation + self.completions / gpus
        each = max(1, gpus // members)  # GPUs for the parts of a member's tuned evaluation
        member = self.reuse + self.training + self.steps + self.evaluation + self.completions / each
        return base + math.ceil(members / gpus) * member


def project(argv: list[str]) -> None:
    parser = Parser("bench project", __doc__)
    parser.add_argument("run", type=find_run, help="a finished run of one seed that made its base in one part")
    parser.add_argument("other", type=find_run, help="one that used that base")
    parser.add_argument("--members", default="4,16", metavar="A,B", help="runs of the sweep; default: 4,16")
    parser.add_argument("--gpus", default="1,2,4,8", metavar="A,B", help="default: 1,2,4,8")
    args = parser.parse(argv)
    members, gpus = _numbers("--members", args.members), _numbers("--gpus", args.gpus)
    pieces = Pieces.of(directory.existing(args.run), directory.existing(args.other))
    rows = [
        {"runs": str(count)} | {f"{number} GPU": f"{pieces.projected(count, number) / 60:.1f} min" for number in gpus}
        for count in members
    ]
    measured = ", ".join(f"{name} {seconds:.1f}" for name, seconds in dataclasses.asdict(pieces).items())
    console.say(f"Measured, in seconds: {measured}.")
    console.table("projected, not measured", rows, list(rows[0]))


def _numbers(option: str, text: str) -> list[int]:
    found = text.split(",")
    if not all(number.isdecimal() and int(number) for number in found):
        raise HarnessError(f"{option}: found {text!r}, allowed: numbers from 1 with commas between them, such as 1,2,4")
    return list(map(int, found))


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        yield Path(folder)
