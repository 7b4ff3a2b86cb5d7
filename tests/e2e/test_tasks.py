"""Several tasks in one run: their folders, the run's own numbers, resuming, mending, scoring again, parts, refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evaluate import elicitation, evaluation
from harness.models import registry
from harness.report import summary
from harness.runs import directory, seals
from harness.runs.results import read_evaluation
from harness.tasks.tiny import problems as tiny_problems
from harness.util.errors import HarnessError
from tests.conftest import SMALL, harness, made_once, refused

TASKS = ("gsm_symbolic_p2", "gsm_plus")
SMALLER = [*SMALL, "eval.limit=16", "train.steps=2", "train.save_steps=2"]
SEED = 3407


def benchmarks(folder: Path) -> Path:
    """Files in the schema of two benchmarks, with questions that the embedded model answers."""
    rows = list(tiny_problems.rows("test", 24))
    folder.mkdir(exist_ok=True)
    symbolic = [{"id": i // 4, "instance": i % 4, **row} for i, row in enumerate(rows)]
    plus = []
    for i, row in enumerate(rows):
        answer = row["answer"].rpartition("####")[2].strip() if i % 4 else "None"
        kind = "numerical substitution" if i % 4 else "critical thinking"
        made = {"question": row["question"], "solution": row["answer"], "seed_question": f"seed {i // 4}"}
        plus.append(made | {"answer": answer, "perturbation_type": kind})
    for name, each in (("gsm_symbolic_p2", symbolic), ("gsm_plus_testmini", plus)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each))
    return folder


ONE = ["exp/quickstart.yaml", *SMALLER]
SEVERAL = [*ONE, f"eval.tasks=[gsm8k, {', '.join(TASKS)}]", "data.benchmarks=benchmarks"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a run on one task, copied to one/, to which two tasks were added then."""

    def make(folder: Path) -> None:
        folder.mkdir()
        benchmarks(folder / "benchmarks")
        for name, given in (("one", ONE), ("several", SEVERAL)):
            done = harness("run", *given, cwd=folder)
            assert done.returncode == 0, done.stderr
            (folder / f"{name}.txt").write_text(done.stdout)
            if name == "one":
                shutil.copytree(folder / "results", folder / "one")
                shutil.rmtree(folder / "results/.base")  # as in a copied run: its own base is there all the same

    return made_once(tmp_path_factory, "tasks", make)


def copied(place: Path, to: Path) -> Path:
    """The run on three tasks in a copy of the working directory."""
    for name in ("results", "benchmarks"):
        shutil.copytree(place / name, to / name)
    return to / "results" / runs(place)[0].name


def runs(place: Path) -> tuple[Path, Path]:
    """The run on three tasks, and the same when it had one."""
    (several,), (one,) = ((place / folder).glob("quickstart-*") for folder in ("results", "one"))
    return several, one


def outcomes(run: Path) -> Iterator[Path]:
    for side in ("base", f"tuned/seed-{SEED}"):
        for task in TASKS:
            yield run / side / "tasks" / task / "result.json"


def test_each_further_task_has_its_folder_and_the_first_keeps_its_numbers(place):
    several, one = runs(place)
    assert several.name == one.name
    for side in ("base", f"tuned/seed-{SEED}"):
        assert (several / side / "result.json").read_bytes() == (one / side / "result.json").read_bytes()
    own, shared = summary.read(several), summary.read(one)
    assert (own.base, own.difference, own.verdict, own.n) == (shared.base, shared.difference, shared.verdict, 16)
    assert "transfer" not in json.loads((one / "summary.json").read_text())
    for file in outcomes(several):
        found = read_evaluation(file)
        assert len(found.scores) == 16 and found.questions and len(found.benchmark.clusters) == 16
    assert any(score.correct for score in read_evaluation(several / "base/tasks/gsm_plus").scores)
    assert read_evaluation(several / "base/tasks/gsm_plus").benchmark.left_out == {
        "critical thinking: the answer is not a number": 6
    }


def test_tasks_are_added_to_a_finished_run_in_one_engine_start_each_and_without_training(place):
    said = (place / "several.txt").read_text()
    assert said.count("Start of the engine") == 2  # of base and tuned
    assert "[2/4] training: done already." in said and "Adapter proof" not in said
    assert "base, gsm_plus evaluation: 16 completions" in said and "\nbase evaluation: done already." in said
    assert "tuned (seed 3407) evaluation: all 16 completions exist already, none generated." in said
    assert "gsm_plus: 6 of 24 questions are left out: critical thinking: the answer is not a number." in said


@pytest.mark.parametrize("added", [SEVERAL[-2:], ["eval.elicit=4"]], ids=["tasks", "elicit"])
def test_what_another_engine_would_answer_is_refused_before_any_work(place, tmp_path, monkeypatch, added):
    shutil.copytree(place / "one", tmp_path / "results")
    shutil.copytree(place / "benchmarks", tmp_path / "benchmarks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "version", lambda section, work: "engine of tomorrow")
    run = directory.open_run(ONE[0], [*SMALLER, *added], Path("results"))
    before = held(run)
    says = r"were evaluated under different conditions \(engine: .*tomorrow.*use the versions of then, "
    with pytest.raises(HarnessError, match=says):
        elicitation.elicit(run) if "elicit" in added[0] else evaluation.evaluate(run, "base")
    assert held(run) == before and run.report in before


def held(run: directory.RunDir) -> dict[Path, bytes]:
    """The run's files but for the manifest, which notes the attempt."""
    return {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file() and file != run.manifest}


def test_the_report_has_a_row_for_each_task(place):
    several, _ = runs(place)
    found = summary.read(several).transfer
    assert [task.name for task in found.tasks] == ["gsm8k", *TASKS]
    first, symbolic, plus = found.tasks
    assert first.verdict is None and symbolic.verdict and plus.against.p_holm >= plus.against.p
    assert symbolic.gain.clusters <= 6 and [kind.kind for kind in plus.kinds] == ["numerical substitution"]
    report, page = (several / "report.md").read_text(), (several / "report.html").read_text()
    for text in (found.sentence, "gsm_plus: 6 published questions are left out", "made from GSM8K&#39;s test"):
        assert text in report.replace("'", "&#39;") and text in page
    assert "## Other tasks" in report and (several / "plots/tasks.svg").exists()
    assert "![Gain by task" in report and report.index(found.sentence) < report.index("## How to read this")


def test_a_task_is_resumed_mended_and_scored_again(place, tmp_path):
    several = copied(place, tmp_path)
    before = {file: file.read_bytes() for file in (*outcomes(several), several / "summary.json")}
    (several / "base/tasks/gsm_plus/result.json").unlink()
    log = several / f"tuned/seed-{SEED}/tasks/gsm_symbolic_p2/samples.jsonl"
    log.write_text(log.read_text().replace('"tokens": ', '"tokens": 1', 1))
    assert not seals.whole(directory.existing(several))
    done = harness("run", several, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "base, gsm_plus evaluation: all 16 completions exist already, none generated." in done.stdout
    assert f"{log}: has changed since it was written; it is made again." in done.stdout
    assert {file: file.read_bytes() for file in before} == before
    done = harness("rescore", several, cwd=tmp_path)
    assert done.returncode == 0 and f"tuned (seed {SEED}), gsm_plus: none of 16 verdicts changed." in done.stdout
    assert {file: file.read_bytes() for file in before} == before


def test_parts_of_an_evaluation_give_the_same_bytes(place, tmp_path):
    several, _ = runs(place)
    for part in ("1/2", "2/2"):
        done = harness("evaluate", *SEVERAL, "--side", "base", "--part", part, "--results", tmp_path, cwd=place)
        assert done.returncode == 0, done.stderr
    (made,) = tmp_path.glob("quickstart-*")
    for task in TASKS:
        file = f"base/tasks/{task}/result.json"
        assert (made / file).read_bytes() == (several / file).read_bytes()


def test_changed_questions_are_refused(place, tmp_path):
    several = copied(place, tmp_path)
    file = tmp_path / "benchmarks/gsm_plus_testmini.jsonl"
    file.write_text(file.read_text().replace("How many", "How very many"))
    refused(harness("run", several, cwd=tmp_path), "the questions of gsm_plus changed since this run began")


def test_lm_evals_own_task_asks_a_further_task(place, tmp_path):
    pytest.importorskip("lm_eval")
    several = copied(place, tmp_path)
    how = ("--task", "gsm_plus", "--our-prompt", "--limit", "4")
    done = harness("crosscheck", several, *how, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = (several / "crosscheck/gsm_plus-our-prompt-first-4/crosscheck.md").read_text()
    assert "lm-eval's gsm_plus_mini and our evaluation: 4 questions" in said
    assert "of its 8 prompts 8 are ours token for token, and of its completions 8 are ours" in said
    refused(harness("crosscheck", several, "--task", "svamp", cwd=tmp_path), "--task: svamp is none of this run's")
    refused(harness("crosscheck", several, "--task", "gsm_symbolic_p2", cwd=tmp_path), "has no crosscheck, only gsm8k")


def test_the_plan_names_the_tasks(place):
    done = harness("run", *SEVERAL, "--dry-run", "--results", "elsewhere", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "Also gsm_plus: 16 questions in " in done.stdout and "6 left out: critical thinking" in done.stdout
    assert "What can be detected is of gsm8k alone; hours are of all tasks, at the mean completion." in done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["eval.tasks=[gsm8k, svamp, svamp]"], "eval.tasks: a task is given twice"),
        (
            ["eval.tasks=[gsm8k, svamp]", "data.benchmarks=nowhere"],
            "data.benchmarks: nowhere/svamp.jsonl cannot be read",
        ),
        (["eval.tasks=[gsm8k, svam]"], "eval.tasks.1: found 'svam', allowed: 'gsm8k', 'gsm_plus'"),
        (["eval.tasks=[]"], "eval.tasks: found []"),
        (["eval.tasks=[svamp]", "eval.curve=true"], "eval.curve: the dev split is one of data's questions, and svamp"),
        (["eval.tasks=[gsm_plus, gsm8k]"], "eval.tasks: questions of gsm_plus were made from one another"),
        (["eval.tasks=[svamp]", "eval.split=dev"], "eval.split: the dev split is one of data's questions"),
        (
            ["eval.tasks=[gsm8k, gsm_plus]", "model.full_finetuning=true", "train.backend=trl"],
            "eval.tasks: full finetuning is scored on one task",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(settings, message, tmp_path):
    refused(harness("run", *ONE, *settings, "--results", tmp_path), message)
    assert not list(tmp_path.iterdir())
