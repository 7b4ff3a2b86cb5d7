"""The elicited base: a prompt is chosen on dev, and test is asked with it once, after the choice is on disk."""

from __future__ import annotations

import json
import shutil

import pytest

from harness.runs import directory, seals
from harness.runs.comparable import read_choice
from harness.tasks.benchmarks import gsm8k
from harness.tasks.dataset import Source
from harness.tasks.elicitation import promptings
from harness.util import files
from tests.conftest import SMALL, copied, harness, refused

# A system text that the tiny model cannot follow, so that another prompt is better on dev.
FOREIGN = (
    *SMALL,
    "prompt.system=one two three four five six seven 1 2 3 4 5 6 7 8 9",
    "eval.limit=12",
    "eval.elicit=24",
    "data.dev=30",
)


def evaluated(results, *overrides):
    return harness("evaluate", "quickstart", *FOREIGN, *overrides, "--side", "elicit", "--results", results)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    results = tmp_path_factory.mktemp("foreign")
    done = evaluated(results)
    assert done.returncode == 0, done.stderr
    (run,) = results.glob("quickstart-*")
    return directory.existing(run)


def log_lines(run):
    return (run.path / "log.txt").read_text().splitlines()


def test_the_prompt_is_the_best_on_dev_and_the_first_of_equals(foreign):
    choice = read_choice(foreign)
    assert [each.name for each in choice.tried] == ["own", "steps", "question", "examples"]
    counts = [each.correct for each in choice.tried]
    assert choice.chosen == choice.tried[counts.index(max(counts))].name != "own"
    assert {each.completions for each in choice.tried} == {24}
    for each in choice.tried:
        result = files.read_json(foreign.tried(each.name) / "result.json")
        assert sum(score["correct"] for score in result["scores"]) == each.correct
        assert result["conditions"]["split"] == "dev"
        assert result["conditions"]["max_new_tokens"] == choice.max_new_tokens


def test_test_is_asked_once_after_the_choice_is_on_disk(foreign):
    """By the log, and by the files: what the answers to test questions were made from, and where any are."""
    chosen = read_choice(foreign).chosen
    lines = log_lines(foreign)
    (choice,) = [number for number, line in enumerate(lines) if "chosen before test" in line]
    asked = [number for number, line in enumerate(lines) if "completions in" in line]
    dev = [number for number in asked if "prompt on dev" in lines[number]]
    (test,) = set(asked) - set(dev)
    assert len(dev) == 4 and max(dev) < choice < test
    assert f"elicited base ({chosen}) evaluation: 12 completions in" in lines[test]

    seal = foreign.read_manifest().seals["elicit/test/result.json"]
    assert seal.made_from["elicit/choice.json"] == files.file_hash(foreign.choice)
    data = gsm8k.load(Source("tiny", dev=30))
    test_ids = {problem.id for problem in data.test}
    answered = {file: {row["id"] for row in files.read_lines(file)} for file in foreign.path.rglob("samples.jsonl")}
    holding = [file for file, ids in answered.items() if ids & test_ids]
    assert holding == [foreign.elicited / "samples.jsonl"]
    shared = {
        file: {row["id"] for row in files.read_lines(file)} for file in foreign.shared_bases.rglob("samples.jsonl")
    }
    assert sum(bool(ids & test_ids) for ids in shared.values()) == 1  # where completions are kept by content


def test_the_same_again_generates_nothing_and_changes_nothing(foreign, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(foreign.path.parent, results)
    run = directory.existing(results / foreign.path.name)
    before = {file: file.read_bytes() for file in (run.path / "elicit").rglob("*.json*")}
    for lost in (run.elicited / "result.json", run.tried("steps") / "result.json"):  # as if killed before it
        lost.unlink()
    run.choice.unlink()
    done = evaluated(results)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("none generated") == 5
    assert {file: file.read_bytes() for file in before} == before


def test_another_number_of_questions_is_refused(foreign, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(foreign.path.parent, results)
    config = results / foreign.path.name / "config.yaml"
    config.write_text(config.read_text().replace("elicit: 24", "elicit: 16"))
    says = ("eval.elicit: the prompt was chosen on 24 dev questions", "set eval.elicit=24")
    refused(harness("run", config.parent), *says)
    refused(harness("evaluate", config.parent, "--side", "elicit"), *says)


def test_a_finished_run_gets_its_elicited_base_without_training(finished, tmp_path):
    results = copied(finished, tmp_path)
    before = json.loads((finished / "summary.json").read_text())
    done = harness("run", "quickstart", *SMALL, "eval.elicit=12", "--results", results)
    assert done.returncode == 0, done.stderr
    assert "training: done already." in done.stdout and "Report:" in done.stdout
    run = directory.existing(results / finished.name)
    after = json.loads(run.summary.read_text())
    found = after.pop("elicited")
    assert after == before  # it adds numbers and changes none
    assert found["choice"]["chosen"] == "own"
    assert found["training"]["value"] == before["difference"]["accuracy"]["value"]
    assert "completions exist already, none generated" in done.stdout  # the base's own
    again = harness("run", "quickstart", *SMALL, "eval.elicit=12", "--results", results)
    assert "complete, nothing to do" in again.stdout
    file = run.tried("question") / "result.json"
    file.write_text(file.read_text().replace('"correct": false', '"correct": true', 1))
    mended = harness("run", "quickstart", *SMALL, "eval.elicit=12", "--results", results)
    assert "has changed since it was written; it is made again" in mended.stdout
    assert json.loads(run.summary.read_text())["elicited"] == found
    assert file.exists() and not any(seals.broken(run))


def test_worked_examples_are_turns_of_training_problems_without_annotations():
    train = gsm8k.load(Source("tiny", dev=8)).train
    (way,) = [way for way in promptings("", train) if way.name == "examples"]
    chat = way.chat("How many?")
    assert [message["role"] for message in chat] == ["user", "assistant"] * 4 + ["user"]
    assert chat[-1]["content"] == "How many?" and chat[0]["content"] == train[0].question
    assert "<<" in train[0].solution and "<<" not in chat[1]["content"]
    assert chat[1]["content"].endswith(f"#### {train[0].gold}")


def test_impossible_elicitations_are_refused(tmp_path):
    place = ("--results", tmp_path)
    refused(harness("run", "quickstart", "eval.elicit=500", *place), "eval.elicit", "which has", "raise data.dev")
    refused(harness("run", "quickstart", "eval.elicit=8", "eval.split=dev", *place), "cannot be judged on dev")
    refused(harness("run", "quickstart", "eval.elicit=-1", *place), "eval.elicit")
    parts = ("--side", "elicit", "--part", "1/2")
    refused(harness("evaluate", "quickstart", "eval.elicit=8", *parts, *place), "--part", "leave it out")
