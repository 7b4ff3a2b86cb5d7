"""The run directory: its layout, its one writer, and the inputs that must not change during a run.

    results/<name>-<digest8>/
      config.yaml  manifest.json  log.txt
      base/            samples.jsonl  result.json
      again/           the same: the base evaluated a second time (eval.noise_floor)
      elicit/          choice.json  dev/<prompt>/, test/: the same: the base with other prompts (eval.elicit)
      train/seed-<s>/  adapter/  checkpoints/  metrics.jsonl  completions.parquet  effective_settings.json
                       stopped.json (train.on_drift: stop)
      curve/seed-<s>/  curve.json  step-<n>/: samples.jsonl  result.json  source.json (eval.curve)
      tuned/seed-<s>/  samples.jsonl  result.json  proof.json
      base/tasks/<task>/  tuned/seed-<s>/tasks/<task>/: samples.jsonl  result.json (further eval.tasks)
      train/control-<s>/  tuned/control-<s>/  the same of the control (rewards.control)
      crosscheck/<settings>/  base.jsonl  tuned-seed-<s>.jsonl  crosscheck.json  crosscheck.md (harness.crosscheck)
      export/merged/   export/gguf-<quant>/: the trained model, with a card and export.json (harness.export)
      summary.json  report.md  report.html  plots/
      .parts/          locks, progress and errors of stages that run elsewhere (cluster.scheduler: ray)
      swanlab/         the tracker's copy of the run, rebuilt from the files above at every start
    results/.base/<key>/   base evaluations, shared by content
    results/.cluster/      a lock that every machine of a cluster has to see

One run directory has one command that writes to it, and each file one stage at a time. Every file is either appended to
line by line (a torn last line is ignored when the file is read, and removed before the next is added) or written to a
temporary file and renamed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from glob import escape
from pathlib import Path
from typing import Any

from harness.config import loading
from harness.config.arguments import find_run
from harness.config.schema import Config
from harness.runs import curve, manifest, training
from harness.runs.manifest import Manifest
from harness.util.errors import HarnessError
from harness.util.files import read_json, write_json, write_text
from harness.util.locks import briefly, lock
from harness.util.typed import plain


class RunDir:
    """The paths of one run, and the experiment that it belongs to."""

    def __init__(self, path: Path, config: Config, task: str | None = None, *, arm: str = "seed") -> None:
        """arm: the trainings whose folders and settings these are, "seed" or, for the control's, "control"."""
        self.path = path
        self.config = config
        self.task = task  # one of the run's further tasks, whose evaluations are meant; None: its own
        self.arm = arm

    settings = property(lambda self: self.path / "config.yaml")
    manifest = property(lambda self: self.path / "manifest.json")
    base = property(lambda self: self._of_task(self.path / "base"))
    again = property(lambda self: self.path / "again")
    elicited = property(lambda self: self.path / "elicit" / "test")
    choice = property(lambda self: self.path / "elicit" / "choice.json")
    summary = property(lambda self: self.path / "summary.json")
    report = property(lambda self: self.path / "report.md")
    page = property(lambda self: self.path / "report.html")
    plots = property(lambda self: self.path / "plots")
    tracked = property(lambda self: self.path / self.config.track.tracker)
    shared_bases = property(lambda self: self.path.parent / ".base")

    def on(self, scheduler: str | None) -> RunDir:
        """The run with another cluster.scheduler, which is not in its digest; None: with its own."""
        if scheduler is None:
            return self
        cluster = self.config.cluster.model_copy(update={"scheduler": scheduler})
        return RunDir(self.path, self.config.model_copy(update={"cluster": cluster}))

    @property
    def further(self) -> list[RunDir]:
        """The run as its further tasks see it: settings and folders of their evaluations are theirs."""
        return [RunDir(self.path, self.config.asking(task), task) for task in self.config.eval.tasks[1:]]

    def _of_task(self, side: Path) -> Path:
        return side / "tasks" / self.task if self.task else side

    @property
    def control(self) -> RunDir | None:
        """The run as the trainings of its control have it; None without one."""
        return RunDir(self.path, self.config.of_control(), arm="control") if self.config.rewards.control else None

    @property
    def arms(self) -> list[RunDir]:
        """The run as its own trainings have it, and as those of its control do."""
        return [self, *filter(None, [self.control])]

    def label(self, seed: int) -> str:
        """A training in words."""
        return f"seed {seed}" if self.arm == "seed" else f"{self.arm} of seed {seed}"

    def train(self, seed: int) -> Path:
        return self.path / "train" / f"{self.arm}-{seed}"

    def adapter(self, seed: int) -> Path:
        """The result of a training: its adapter, or the model if all weights were trained."""
        return self.train(seed) / ("model" if self.config.model.full_finetuning else "adapter")

    def steps(self, seed: int) -> int:
        """The steps of a finished training: those asked for, or fewer if it was stopped (train.on_drift)."""
        stopped = training.read_stopped(self.train(seed))
        return stopped.step if stopped else self.config.train.steps

    def kept_steps(self, seed: int) -> list[int]:
        """The steps after which a finished training kept an adapter, ascending; its last step is always one."""
        last = self.steps(seed)
        return [*(step for step in self.config.kept_steps if step < last), last]

    def adapter_after(self, seed: int, step: int) -> Path:
        """The adapter saved after one of the kept steps."""
        if step == self.steps(seed):
            return self.adapter(seed)
        return self.train(seed) / "checkpoints" / f"checkpoint-{step}"

    def evaluated(self, seed: int) -> Path:
        """The adapter that the tuned evaluation uses: the last one, or the one that the learning curve chose.

        Raises HarnessError if the learning curve is needed and does not exist yet.
        """
        return self.adapter_after(seed, self.evaluated_step(seed))

    def evaluated_step(self, seed: int) -> int:
        """The step after which that adapter was saved. Raises as evaluated()."""
        last = self.config.train.checkpoint == "last"
        return self.steps(seed) if last else curve.read(self.curve(seed)).chosen

    def curve(self, seed: int) -> Path:
        return self.path / "curve" / f"{self.arm}-{seed}"

    def tried(self, prompt: str) -> Path:
        """The base's answers to the dev questions with another prompt."""
        return self.path / "elicit" / "dev" / prompt

    def tuned(self, seed: int) -> Path:
        return self._of_task(self.path / "tuned" / f"{self.arm}-{seed}")

    @property
    def drawn_from(self) -> list[Path]:
        """Every file that the report is made from, whether it exists or not."""
        evaluated, trained = (
            ("result.json", "proof.json", "samples.jsonl"),
            ("metrics.jsonl", "dropped_prompts.json", "stopped.json"),
        )
        found = [folder / name for folder in (self.base, self.again) for name in evaluated]
        found += [self.choice, self.elicited / "result.json"]
        for arm in self.arms:
            for seed in self.config.train.seeds:
                found += [arm.tuned(seed) / name for name in evaluated]
                found += [arm.train(seed) / name for name in (*trained, "completions.parquet")]
                found.append(arm.curve(seed) / curve.NAME)
        for each in self.further:
            sides = [each.base, *map(each.tuned, self.config.train.seeds)]
            found += [side / name for side in sides for name in ("result.json", "samples.jsonl")]
        return found

    @property
    def is_evaluated(self) -> bool:
        """Whether the base and every trained model were evaluated; the experiment's own, on every task."""
        tuned = [(each, each.config.train.seeds) for each in (*self.arms, *self.further)]
        sides = [each.base for each in (self, *self.further)]
        sides += [each.tuned(seed) for each, trained in tuned for seed in trained]
        return all((side / "result.json").exists() for side in sides)

    @property
    def _learned(self) -> bool:
        """Whether a training has left something that another one would go on from."""
        trained = [(arm, seed) for arm in self.arms for seed in self.config.train.seeds]
        return any(
            arm.adapter(seed).exists() or any(arm.train(seed).glob("checkpoints/checkpoint-*")) for arm, seed in trained
        )

    def read_manifest(self) -> Manifest:
        return manifest.read(self.manifest)

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """Read the manifest's sections, and write them at the end; stages that run side by side take turns."""
        with briefly(self.path):
            noted = read_json(self.manifest) if self.manifest.exists() else {}
            yield noted
            write_json(self.manifest, noted)

    def note(self, section: str, values: Any) -> None:
        """Add values to a section of the manifest, or replace its one dataclass (the caller has the run's lock)."""
        with self.changing() as noted:
            noted[section] = ({} if is_dataclass(values) else noted.get(section, {})) | plain(values)

    def check_seed(self, option: str, seed: int | None) -> None:
        """Raise HarnessError for a seed that is not one of train.seeds; None stands for the option left out."""
        seeds = self.config.train.seeds
        if seed is not None and seed not in seeds:
            raise HarnessError(f"{option}: {seed} is not one of this run's train.seeds ({', '.join(map(str, seeds))})")

    def pin_control(self) -> None:
        """Record the control's reward, which is not in the digest. Raises HarnessError if it was another."""
        if kind := self.config.rewards.control:
            self.pin({"control's reward": kind})

    def pin(self, inputs: dict[str, str]) -> None:
        """Record the content hashes of what the numbers depend on, or raise HarnessError naming one that has changed.

        The digest covers what the experiment file says; this covers what the files it names contain.
        """
        self.check_pinned(inputs)
        if not inputs.items() <= self.read_manifest().inputs.items():
            self.note("inputs", inputs)

    def check_pinned(self, inputs: dict[str, str]) -> None:
        """As pin, but writes nothing. A reward file may be corrected while nothing that was learned from it is kept."""
        pinned, learned = self.read_manifest().inputs, self._learned
        for name, value in inputs.items():
            if pinned.get(name, value) != value and (learned or not name.startswith("reward file ")):
                raise HarnessError(
                    f"{self.path}: the {name} changed since this run began ({pinned[name][:12]} then, {value[:12]} "
                    f"now); restore it, or start a new run: move this directory away, or set another name (name=...)"
                )


def open_run(target: str, overrides: list[str], results: Path, *, create: bool = True) -> RunDir:
    """The run that a command line names: an experiment file with overrides, or an existing run directory.

    With create=False nothing is written (for --dry-run). Raises HarnessError.
    """
    path = Path(target)
    if path.is_dir():
        if overrides:
            raise HarnessError(f"{path}: a run's settings are fixed; give overrides with the experiment file instead")
        return existing(path)
    if path.parent == Path() and (results / path / "config.yaml").is_file():
        return open_run(str(results / path), overrides, results)
    try:
        file = loading.find_experiment(target)
    except HarnessError:
        folder = results if path.parent == Path() else path.parent
        if not any(folder.glob(f"{escape(path.name)}*/config.yaml")):
            raise
        return open_run(str(find_run(target, results)), overrides, results)
    config = loading.load(file, overrides)
    path = results / config.run_name()
    try:
        str(path).encode()
    except UnicodeEncodeError:  # many of the libraries that write there cannot handle such a path
        raise HarnessError(f"--results: {str(results)!a} is not valid UTF-8; choose another path") from None
    run = RunDir(path, config)
    if run.settings.exists():
        existing(path)
    elif create:
        begin(run)
    return run


def begin(run: RunDir) -> None:
    """Make the run directory, with its settings."""
    with lock(run.path):  # several processes may begin it at once
        if not run.settings.exists():
            write_text(run.settings, run.config.to_yaml())


def is_report_alone(path: Path) -> bool:
    """Whether a folder has the report of a run but not the run, as those in results/reference."""
    needed = (path / "manifest.json", path / "base" / "result.json")
    return (path / "summary.json").is_file() and not any(file.exists() for file in needed)


def existing(path: Path) -> RunDir:
    """Open a run directory. Raises HarnessError unless its name was made from its configuration."""
    file = path / "config.yaml"
    if is_report_alone(path):
        raise HarnessError(
            f"{path}: only the report of a run, kept without its other files (no manifest.json); open its "
            f"report.html or report.md"
        )
    if not file.is_file():
        raise HarnessError(
            f"{path}: not a run directory (config.yaml is missing); harness ls FOLDER lists those in a folder"
        )
    config = loading.load(file, own=True)
    digest8 = path.resolve().name.rpartition("-")[2]
    if config.digest()[:8] != digest8:
        raise HarnessError(
            f"{path}: config.yaml has digest {config.digest()[:8]}, but the directory's name ends in {digest8}: the "
            f"file was edited, or another version wrote it; run the experiment file with your changes instead"
        )
    return RunDir(path, config)
