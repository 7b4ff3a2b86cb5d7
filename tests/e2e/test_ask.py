"""Questions to both models: the evaluation's answers, repeatable sampling, and the line about the format."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.console import Console

from harness.ask import answers as ask_answers
from harness.ask.__main__ import main as ask
from harness.models import prompts, trained
from harness.models.base_and_tuned import Sides
from harness.models.engine import Request, Sampling
from harness.models.hf_engine import TransformersEngine
from harness.runs import directory
from harness.tasks.records import Completion, Tags
from harness.util import console, files
from harness.util.errors import HarnessError
from tests.conftest import HANG, harness, refused, started
from tests.export.test_export import full_run

WORK, END, OPEN, CLOSE = "<start_working_out>", "<end_working_out>", "<SOLUTION>", "</SOLUTION>"
QUESTION = "Tom has 4 pens and buys 7 more pens. How many pens does Tom have now?"


def answers(printed: str, side: str) -> list[str]:
    """The text of one model after each question, from the output to a pipe."""
    ends = {"base": "\n--- tuned\n", "tuned": "\nbase: "}
    return [part.partition(ends[side])[0] for part in printed.split(f"--- {side}\n")[1:]]


@pytest.mark.parametrize(
    ("text", "reason", "expected"),
    [
        (f"{WORK}6*3{END}{OPEN}18{CLOSE}", "stop", "format held; answer 18; 9 tokens, ended its turn"),
        ("It is 18.", "stop", f"format broken ({WORK} is missing); answer 18; 9 tokens, ended its turn"),
        (f"{WORK}6*3{END}{OPEN}18{CLOSE}{CLOSE}", "stop", f"format broken ({CLOSE} occurs 2 times); answer 18"),
        (f"{OPEN}18{CLOSE}{WORK}6*3{END}", "stop", "format broken (the tags are not in order); answer 18"),
        (f"So: {WORK}6*3{END}{OPEN}18{CLOSE}", "stop", "format broken (a block is empty, or there is text around"),
        (f"{WORK}6*3{END}{OPEN}?{CLOSE}", "stop", "format held; no answer (no number in the solution block)"),
        (f"{WORK}6*3", "length", "format broken (cut at the token limit); answer 3; 9 tokens, cut at the token limit"),
    ],
)
def test_what_is_said_of_an_answer(text, reason, expected):
    assert ask_answers.verdict(Completion(0, 0, text, reason, 9, 0.1), Tags()).startswith(expected)


def test_greedy_answers_are_those_of_the_evaluation(finished):
    wanted, asked = {"base": [], "tuned": []}, []
    result = files.read_json(finished / "base/result.json")
    for side, folder in (("base", finished / "base"), ("tuned", finished / "tuned/seed-3407")):
        rows = {row["id"]: row["text"] for row in files.read_lines(folder / "samples.jsonl")}
        wanted[side] = [rows[each] for each in list(result["questions"])[:3]]
    asked = list(result["questions"].values())[:3]
    done = harness("ask", finished, "--greedy", *asked, cold=True)
    assert done.returncode == 0, done.stderr
    assert {side: answers(done.stdout, side) for side in wanted} == wanted
    assert done.stdout.count("\nbase: format ") == done.stdout.count("\ntuned: format ") == 3


def test_questions_come_a_line_each_and_a_seed_repeats_its_answers(finished, monkeypatch, capfd):
    def said(*options: str, lines: bytes = f"{QUESTION}\n\n  \n{QUESTION}\n".encode()) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
        assert ask([str(finished), *options]) == 0
        return answers(capfd.readouterr().out, "base")

    first = said()
    assert len(first) == 2 and first == said() and first[0] != first[1]  # asked again, it is sampled with another seed
    assert first != said("--seed", "1")
    assert len(set(said("--greedy"))) == 1
    assert len(said(lines=b"no UTF-8: \xff\xfe\n")) == 1
    assert said(lines=b"\xef\xbb\xbf" + QUESTION.encode()) == first[:1]  # as some editors begin a file
    for nothing in (io.TextIOWrapper(io.BytesIO(b"\n \n")), None):  # None: closed
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(HarnessError, match="no question"):
            ask([str(finished)])


def test_a_person_is_asked_line_by_line_and_a_question_too_long_ends_nothing(finished):
    terminal, other = os.openpty()
    settings = termios.tcgetattr(other)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(other, termios.TCSANOW, settings)
    process = started(
        "ask", finished, "--greedy", "--max-new-tokens", "16",
        stdin=other, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.write(terminal, f"{'7 ' * 1500}\n{QUESTION}\n".encode() + b"\x04")
    out, err = process.communicate(timeout=HANG)
    os.close(terminal)
    os.close(other)
    assert process.returncode == 0, err
    assert "One question on each" in out and "which leaves 0 for its answer" in out and len(answers(out, "tuned")) == 1


def test_a_terminal_shows_both_whole_and_nothing_in_them_acts(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(console, "_console", Console(file=screen, force_terminal=True, width=60, height=10))
    long = "\n".join(f"line {number}" for number in range(30))
    with console.side_by_side(("base", "tuned")) as update:
        update([long, ""])
        update([long, "[bold]no markup[/bold] [/]"])
    end = screen.getvalue().rpartition("base")[2]
    assert [f"line {number}" in end for number in range(30)] == [True] * 30
    assert "[bold]no markup[/bold] [/]" in end


def test_all_weights_trained_answer_as_that_model_does(tmp_path):
    found = full_run(tmp_path / "results")
    sides = Sides(found)
    ids = sides.prompt(QUESTION, 20)
    greedy = Sampling(20, 0.0, 1.0, 0, 0.0, sides.stop_ids)
    pieces: list[str] = []
    completion = sides.answer("tuned", ids, greedy, 0, pieces.append)
    engine = TransformersEngine(found.model, prompts.load_tokenizer(found.base), "fp32", 1)
    ((expected,),) = engine.generate([Request(0, 0, ids, 0)], greedy, None, ())
    assert completion.text == expected.text == "".join(pieces)


def test_an_adapter_that_does_not_fit_is_refused(finished, tmp_path):
    from harness.models.lora import adapter_weights, save_copy

    found = trained.find(directory.existing(finished), None)
    strange = {k.replace(".layers.1.", ".layers.7."): weight for k, weight in adapter_weights(found.path).items()}
    other = save_copy(found.path, strange, tmp_path / "strange")
    with pytest.raises(HarnessError, match="7 of the adapter's modules do not match tiny"):
        Sides(trained.Trained(found.run, found.seed, found.base, other))


def test_with_a_base_alone_the_missing_stage_is_named(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / finished.name))
    shutil.rmtree(run / "train")
    refused(harness("ask", run, QUESTION), "its training is not finished", "python -m harness.run")
    refused(harness("ask", tmp_path, QUESTION), "not a run directory")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--temperature", "nan"], "--temperature: found 'nan', allowed: 0"),
        (["--greedy", "--temperature", "1"], "not allowed with"),
        (["--top-p", "0"], "allowed: above 0, to 1"),
        (["--top-k", "-1"], "allowed: a whole number from 0"),
        (["--max-new-tokens", "0"], "allowed: a whole number from 1"),
        (["--train-seed", "5"], "not one of this run's train.seeds"),
        (["--max-new-tokens", "1024"], "of the model's 1024 tokens"),
    ],
)
def test_impossible_wishes_are_one_line(finished, options, says):
    with pytest.raises(HarnessError, match=says):
        ask([str(finished), QUESTION, *options])
