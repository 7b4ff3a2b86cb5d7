"""SwanLab follows an experiment: a process of its own that reads what the stages write, and shows it while they work.

    python -m harness.track results/quickstart-27b891f3                # a run that was not tracked, or again
    python -m harness.track results/quickstart-27b891f3 --mode online  # the same, on swanlab.cn

harness.run starts it (track.mode). It gets files and nothing else, so that it can change no number, and one that
fails, hangs or is killed costs a line. One experiment is one SwanLab run, however often it was stopped: the swanlab/
folder is made anew from the run's files at every start, and online the run is gone on with. No step is there twice.

Keys are the places in the run directory: train/<metric> at its step (train/seed-<s>/<metric> of several seeds), as
SwanLab's callback for the trainer names them too; base/<score>, tuned/<score> and difference/<score>, each with the
ends of its 95% interval; completions as text; the report's plots as images.
"""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import processes, results, rundir, summary
from harness.config import Config
from harness.console import hushed, say
from harness.document import one_line
from harness.errors import HarnessError, Parser, exit_code
from harness.rundir import RunDir

POLL_SECONDS = 1.0  # between two looks at the files
START_SECONDS = 20  # that SwanLab's server may take to answer
FINISH_SECONDS = 60  # that SwanLab may take for the rest, once the report is there
COMPLETIONS = 8  # a step, of those shown
MODES = ("offline", "online", "local")
EXTRA = 'pip install -e ".[track]"'
# The dashboard pins a rich that is older than ours, and works with ours.
DASHBOARD = "pip install --no-deps swanboard==0.1.10b2; pip install fastapi uvicorn ujson 'peewee<4'"


@dataclass(frozen=True)
class Shown:
    """What is shown of one step."""

    step: int
    numbers: dict[str, float] = field(default_factory=dict)
    texts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # text and caption
    charts: dict[str, str] = field(default_factory=dict)  # SVG files


# --- beside harness.run -------------------------------------------------------------------------------------


def check(config: Config) -> None:
    """Raise HarnessError where the experiment asks for a tracking that this machine or account cannot give."""
    _check_mode(config.track.mode)


def _check_mode(mode: str) -> None:
    if mode in ("online", "local") and not _there("swanlab"):
        raise HarnessError(f"track.mode: {mode} needs SwanLab: {EXTRA}")
    if mode == "local" and not _there("swanboard"):
        raise HarnessError(f"track.mode: local needs SwanLab's dashboard: {DASHBOARD}")
    if mode == "online":
        from harness import swanlab_run

        if not swanlab_run.has_key():
            raise HarnessError("track.mode: online needs an account: swanlab login, or set SWANLAB_API_KEY")


def _there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def following(run: RunDir, held: int | None, work: Callable[[], int]) -> int:
    """Do the work of the run while SwanLab follows it, and return its exit code; nothing of SwanLab's can change it.

    `held` is the descriptor of the run's lock.
    """
    tracker, state = _start(run, held), "crashed"
    try:
        code = work()
        state = "crashed" if code else "success"
        return code
    except KeyboardInterrupt:
        state = "aborted"
        raise
    finally:
        tracker.finish(state)


class Untracked:
    """The tracker of an experiment that has none."""

    def finish(self, state: str) -> None:
        pass


class Tracker:
    """The process that follows, as seen from harness.run."""

    def __init__(self, run: RunDir, held: int | None) -> None:
        self.run = run
        self._said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.track", str(run.path), "--follow"],
            env=rundir.stage_environment(run),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[held] if held is not None else [],
            preexec_fn=processes.die_with_parent,
            start_new_session=True,  # Ctrl-C is for us; we tell it
            text=True,
        )

    def first_line(self) -> str:
        """What it says once SwanLab's server has answered; nothing if that takes too long."""
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        self._said = self._process.stdout.readline() if ready else ""
        return self._said.strip().removeprefix("error: ")

    def finish(self, state: str) -> None:
        try:
            self._said += self._process.communicate(state + "\n", timeout=FINISH_SECONDS)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            self._said = f"not done after {FINISH_SECONDS} s"
        if self._process.returncode:
            why = one_line((self._said.strip() or "it was killed").splitlines()[-1]).removeprefix("error: ")
            say(
                f"SwanLab has not got all of this run ({why}); the experiment has lost nothing. "
                f"python -m harness.track {one_line(str(self.run.path))} tracks it again."
            )


def _start(run: RunDir, held: int | None) -> Tracker | Untracked:
    mode = run.config.track.mode
    if mode == "disabled":
        return Untracked()
    if not _there("swanlab"):
        say(f"SwanLab is not installed, the run is not tracked: {EXTRA}, or track.mode=disabled.")
        return Untracked()
    identity = _identity(run)
    try:
        tracker = Tracker(run, held)
    except OSError as error:
        say(f"SwanLab cannot be started, the run is not tracked: {error}.")
        return Untracked()
    say((tracker.first_line() or "SwanLab: no answer yet.") if mode == "online" else _where(run, mode, identity))
    return tracker


def _identity(run: RunDir) -> str:
    """The id of the experiment's one SwanLab run, made once (the caller holds the run's lock)."""
    if "track" not in run.read_manifest():
        run.note("track", {"id": secrets.token_hex(8)})
    return run.read_manifest()["track"]["id"]


def _where(run: RunDir, mode: str, identity: str) -> str:
    folder = one_line(str(run.tracked))
    if mode == "local":
        return f"SwanLab: swanlab watch {folder}"
    return f"SwanLab: offline; swanlab sync {folder}/run-{identity} puts it online."


# --- what there is to show ----------------------------------------------------------------------------------


class Reader:
    """What the stages of a run have written and was not shown yet."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._shown: set[str] = set()
        self._last: dict[Path, int] = {}  # step shown, by file
        self._read: dict[Path, tuple[int, int]] = {}  # state when it was read
        # A training that goes on forgets the steps past its resume point, and takes them again: until it has
        # written these files itself they are not shown.
        unfinished = [seed for seed in run.config.train.seeds if not run.adapter(seed).exists()]
        self._stale = {file: _state(file) for seed in unfinished for file in self._logs(seed)}

    def new(self) -> Iterator[Shown]:
        run, steps = self.run, self.run.config.train.steps
        yield from self._side(run.base, "base", 0)
        yield from self._side(run.again, "again", 0)
        for seed in run.config.train.seeds:
            metrics, completions = self._logs(seed)
            place = self._place("train", seed)
            for row in self._rows(metrics, seed, rundir.read_lines):
                numbers = {f"{place}/{key}": value for key, value in row.items() if key != "step" and value is not None}
                yield Shown(row["step"], numbers)
            yield from self._rollouts(f"{place}/completions", self._rows(completions, seed, _parquet))
            yield from self._curve(seed)
        for seed in run.config.train.seeds:
            yield from self._side(run.tuned(seed), self._place("tuned", seed), self._tuned_step(seed) or steps)

    def closing(self) -> Iterator[Shown]:
        """What is there once the report is."""
        run, numbers = self.run, rundir.read_json(self.run.summary)
        found = {f"difference/{name}": numbers["difference"][name] for name in summary.COMPARED}
        if len(run.config.train.seeds) > 1:  # of one seed the evaluation has shown it
            found |= {f"tuned/{name}": numbers["tuned"][name] for name in summary.QUANTITIES}
        yield Shown(
            run.config.train.steps,
            {key: value for name, each in found.items() for key, value in _with_interval(name, each).items()},
            {"report/verdict": [(numbers["verdict"]["sentence"], run.path.name)]},
            {f"report/{file.stem}": file.read_text(encoding="utf-8") for file in sorted(run.plots.glob("*.svg"))},
        )

    def _place(self, stage: str, seed: int) -> str:
        return f"{stage}/seed-{seed}" if len(self.run.config.train.seeds) > 1 else stage

    def _logs(self, seed: int) -> tuple[Path, Path]:
        return self.run.train(seed) / "metrics.jsonl", self.run.train(seed) / "completions.parquet"

    def _once(self, file: Path) -> bool:
        if str(file) in self._shown or not file.exists():
            return False
        self._shown.add(str(file))
        return True

    def _side(self, folder: Path, name: str, step: int) -> Iterator[Shown]:
        """The scores of an evaluation, as the summary has them, and its first completions."""
        if not self._once(folder / "result.json"):
            return
        result = rundir.read_json(folder / "result.json")
        columns, count = summary.per_question(result["scores"]), self.run.config.eval.samples
        numbers = {}
        for quantity, values in columns.items():
            numbers |= _with_interval(f"{name}/{quantity}", summary.rate(values, count))
        said, questions = results.texts(folder / "samples.jsonl"), result.get("questions", {})
        texts = [
            (
                _dialogue(questions.get(score["id"]), said[score["id"], score["sample"]]),
                f"problem {score['id']}, gold {score['gold']}, answer {score['answer']}, {score['why']}",
            )
            for score in result["scores"][:COMPLETIONS]
        ]
        yield Shown(step, numbers, {f"{name}/completions": texts})

    def _curve(self, seed: int) -> Iterator[Shown]:
        file = self.run.curve(seed) / "curve.json"
        if self._once(file):
            for point in rundir.read_json(file)["points"]:
                numbers = {}
                for name in summary.COMPARED:
                    numbers |= _with_interval(f"{self._place('curve', seed)}/{name}", point[name])
                yield Shown(point["step"], numbers)

    def _tuned_step(self, seed: int) -> int | None:
        file = self.run.curve(seed) / "curve.json"
        return rundir.read_json(file)["chosen"] if file.exists() else None

    def _rollouts(self, key: str, rows: list[dict[str, Any]]) -> Iterator[Shown]:
        """The group that was kept of the first step, the last, and each at which training can be resumed."""
        t = self.run.config.train
        groups: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            if row["step"] in (1, t.steps) or row["step"] % t.resume_every == 0:
                groups.setdefault(row["step"], []).append(row)
        for step, group in groups.items():
            texts = [
                (
                    _dialogue(row["question"], row["completion"]),
                    f"problem {row['problem_id']}, gold {row['gold']}, reward {row['reward']:.2f}",
                )
                for row in group[:COMPLETIONS]
            ]
            yield Shown(step, texts={key: texts})

    def _rows(self, file: Path, seed: int, read: Callable[[Path], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The rows of a training's log that come after the last step shown."""
        now = _state(file)
        stale = now == self._stale.get(file) and not self.run.adapter(seed).exists()
        if now is None or now == self._read.get(file) or stale:
            return []
        self._read[file], last = now, self._last.get(file, 0)
        rows = [row for row in read(file) if row["step"] > last]
        self._last[file] = max((row["step"] for row in rows), default=last)
        return rows


def _state(file: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced or grows; None where there is none."""
    with contextlib.suppress(FileNotFoundError):
        found = file.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def _parquet(file: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(file).to_pylist()


def _with_interval(name: str, found: dict[str, Any]) -> dict[str, float]:
    """A rate or difference of the summary; without its interval where it has none."""
    numbers = {name: found["value"], f"{name}_low": found.get("low"), f"{name}_high": found.get("high")}
    return {key: value for key, value in numbers.items() if value is not None}


def _dialogue(question: str | None, completion: str) -> str:
    return f"{question}\n\n{completion}" if question else completion


# --- the process that follows -------------------------------------------------------------------------------


def _follow(run: RunDir, mode: str, state: Callable[[], str | None]) -> None:
    """Show what the run has and gets until `state()` names how it ended, and then the rest."""
    reader, identity = Reader(run), _identity(run)
    with hushed():  # it greets, and says from its threads what a person can do nothing about
        from harness import swanlab_run

        tracked = swanlab_run.SwanLabRun(run, mode, identity)
    say(f"SwanLab: {tracked.url}" if tracked.url else _where(run, mode, identity))
    ended = None
    with hushed():
        try:
            while ended is None:
                ended = state()  # asked for first, so that nothing written before the end is missed
                for shown in reader.new():
                    tracked.show(shown)
            for shown in reader.closing() if ended == "success" else ():
                tracked.show(shown)
        except BaseException:
            ended = "crashed"
            raise
        finally:
            tracked.finish(ended)


def _told() -> str | None:
    """What harness.run says about how the run ended, after a moment's wait; None while it goes on."""
    ready, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
    return (sys.stdin.readline().strip() or "crashed") if ready else None


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.track", description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--mode", choices=MODES, help="default: the run's own track.mode")
    parser.add_argument("--follow", action="store_true", help="until told on standard input how the run ended")
    args = parser.parse(argv)
    run = rundir.existing(args.run)
    run = RunDir(run.path.resolve(), run.config)
    mode = args.mode or run.config.track.mode
    if mode == "disabled":
        raise HarnessError(f"{args.run}: track.mode is disabled; say --mode offline or --mode online")
    if not _there("swanlab"):
        raise HarnessError(f"SwanLab is not installed: {EXTRA}")
    _check_mode(mode)
    with rundir.lock(run.path):
        complete = "success" if run.report.exists() else "crashed"
        _follow(run, mode, _told if args.follow else lambda: complete)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
