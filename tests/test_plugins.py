"""A new benchmark, engine and tracker: one file and one registration each, run through the commands."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from harness.config.plugins import BACKENDS, ENGINES, TRACKERS
from harness.evaluate import __main__ as evaluate_command
from harness.report import __main__ as report_command
from harness.report import summary
from harness.run.__main__ import main as run_main
from harness.runs.results import read_evaluation
from harness.tasks.registry import TASKS
from harness.track import __main__ as track_command
from harness.train import __main__ as train_command
from harness.util import files
from harness.util.errors import HarnessError
from tests.conftest import SMALL

TASK = '''
from harness.tasks.dataset import Data, problem_id
from harness.tasks.records import Problem, Score
from harness.tasks.selftest import SelfTest
from harness.tasks.task import Task


class Yes(Task):
    """Is a number even? A right answer holds the word."""

    name = "parity"
    scorer = "parity 1"

    def load(self, source):
        texts = [(f"Is {n} an even number?", "no" if n % 2 else "yes") for n in range(12)]
        problems = tuple(Problem(problem_id(question), question, gold) for question, gold in texts)
        return Data((), (), problems, 0, "parity")

    def score(self, text, gold, *, finish_reason, tags):
        right = gold in text.lower() and finish_reason == "stop"
        return Score(gold if right else None, "word", right, False, False, False, right, "word")

    def selftest(self, golds, tags):
        return SelfTest(len(list(golds)), 0, 0, ())


TASK = Yes()
'''
ENGINE = '''
from harness.models.engine import EngineKind
from harness.tasks.records import Completion


class Echo:
    """Answers every prompt with the number of its tokens."""

    def generate(self, requests, sampling, adapter, done):
        for r in requests:
            if (r.index, r.sample) not in done:
                yield [Completion(r.index, r.sample, f"<SOLUTION>{len(r.ids)}</SOLUTION>", "stop", 3, 0.0)]


class EchoKind(EngineKind):
    def refusals(self, config):
        if config.eval.samples > 1:
            yield "eval.samples: echo says the same every time; set 1"

    def version(self, section, work):
        return "echo engine 1"

    def start(self, section, checkpoint, tokenizer, work):
        return Echo()


ENGINE = EchoKind()
'''
TRACKER = """
import json

from harness.track.tracker import TrackerKind


class Lines:
    url = None

    def __init__(self, file):
        self.file = file
        self.file.parent.mkdir(exist_ok=True)

    def show(self, shown):
        with self.file.open("a") as stream:
            stream.write(json.dumps({"step": shown.step} | shown.numbers) + "\\n")

    def finish(self, state):
        with self.file.open("a") as stream:
            stream.write(state + "\\n")


class LinesKind(TrackerKind):
    title = "Lines"

    def where(self, run, mode, identity):
        return f"in {self._file(run, identity)}"

    def open(self, run, mode, identity):
        return Lines(self._file(run, identity))

    def _file(self, run, identity):
        return run.tracked / f"{identity}.txt"


TRACKER = LinesKind()
"""
QUICK = [*SMALL, "eval.limit=8", "train.steps=1"]


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Writes a module and registers its object, for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    added = []

    def register(registry, name: str, source: str, attribute: str) -> None:
        (tmp_path / f"toy_{name}.py").write_text(source)
        registry.register(name, f"toy_{name}:{attribute}")
        added.append((registry, name))

    yield register
    for registry, name in added:
        registry.unregister(name)
        sys.modules.pop(f"toy_{name}", None)


def test_a_benchmark_of_ones_own_goes_through_the_whole_loop(tmp_path, registered, capsys):
    registered(TASKS, "parity", TASK, "TASK")
    arguments = ["exp/quickstart.yaml", *QUICK, "eval.tasks=[parity]", "--results", str(tmp_path / "results")]
    assert run_main([*arguments, "--dry-run"]) == 0
    assert "parity, 0 train, 0 dev, 12 test problems" in capsys.readouterr().out
    assert evaluate_command.main([*arguments, "--side", "base"]) == 0
    assert train_command.main(arguments) == 0
    assert evaluate_command.main([*arguments, "--side", "tuned"]) == 0
    (run,) = (tmp_path / "results").glob("quickstart-*")
    assert report_command.main([str(run)]) == 0
    base = read_evaluation(run / "base")
    assert base.conditions.scorer == "parity 1" and {score.gold for score in base.scores} == {"yes", "no"}
    found = summary.read(run)
    assert found.n == 8 and found.panel.scorers == ()


def test_an_engine_of_ones_own_answers_and_refuses(tmp_path, registered):
    registered(ENGINES, "echo", ENGINE, "ENGINE")
    arguments = ["exp/quickstart.yaml", *QUICK, "eval.engine=echo", "--results", str(tmp_path / "results")]
    assert evaluate_command.main([*arguments, "--side", "base"]) == 0
    (run,) = (tmp_path / "results").glob("quickstart-*")
    base = read_evaluation(run / "base")
    assert base.conditions.engine == "echo engine 1" and all(int(score.answer) > 10 for score in base.scores)
    with pytest.raises(HarnessError, match=r"eval\.samples: echo says the same every time; set 1"):
        run_main([*arguments, "eval.samples=2", "eval.temperature=1.0"])


def test_a_tracker_of_ones_own_is_shown_a_run(finished, tmp_path, registered, capsys):
    registered(TRACKERS, "lines", TRACKER, "TRACKER")
    copy = Path(shutil.copytree(finished, tmp_path / finished.name))
    settings = copy / "config.yaml"
    files.write_text(settings, settings.read_text().replace("tracker: swanlab", "tracker: lines"))
    assert track_command.main([str(copy)]) == 0
    (file,) = (copy / "lines").glob("*.txt")
    assert f"Lines: in {file}" in capsys.readouterr().out
    lines = file.read_text().splitlines()
    assert lines[-1] == "success" and any('"base/accuracy"' in line for line in lines)


@pytest.mark.parametrize(
    ("setting", "registry"),
    [("eval.engine", ENGINES), ("train.backend", BACKENDS), ("track.tracker", TRACKERS), ("eval.tasks", TASKS)],
)
def test_a_name_that_is_not_registered_is_refused_with_those_that_are(setting, registry):
    value = "[nosuch]" if setting == "eval.tasks" else "nosuch"
    with pytest.raises(HarnessError, match=rf"command line: {setting}.*: found 'nosuch', allowed: ") as refused:
        run_main(["exp/quickstart.yaml", f"{setting}={value}"])
    assert all(repr(name) in str(refused.value) for name in registry.names())


def test_a_name_that_is_taken_cannot_be_registered_again():
    with pytest.raises(ValueError, match="'vllm' is registered already"):
        ENGINES.register("vllm", "elsewhere:ENGINE")
