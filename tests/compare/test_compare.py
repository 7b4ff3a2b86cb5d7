"""The comparison: a table for each comparable group, every format, and what is skipped or refused."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import shutil
import termios

import pytest

from harness.compare import __main__ as compare_command
from harness.compare import formats
from harness.compare import groups as run_groups
from harness.compare import pairs as run_pairs
from harness.report import write
from harness.stats import intervals
from harness.util import files
from harness.util.errors import HarnessError
from tests.conftest import environment, harness, refused, started
from tests.constructed import make_run, reported

BASE = ["right"] * 60 + ["wrong"] * 40


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = tmp_path_factory.mktemp("compare")
    return {
        "seed 1": reported(results, BASE, ["right"] * 80 + ["wrong"] * 20, "train.seeds=[1]").path,
        "seed 2": reported(results, BASE, ["right"] * 75 + ["wrong"] * 25, "train.seeds=[2]").path,
        "rank 4": reported(results, BASE, BASE, "lora.r=4").path,
        "prompt": reported(results, BASE, BASE, "prompt.system=Think.", prompts="f" * 64).path,
    }


def compare(*arguments):
    return harness("compare", *arguments)


def test_comparable_runs_share_one_table(runs):
    done = compare(runs["seed 1"], runs["seed 2"], runs["rank 4"])
    assert done.returncode == 0 and "groups" not in done.stdout
    assert done.stdout.count("tuned accuracy") == 1
    for name in ("seed 1", "seed 2", "rank 4"):
        assert runs[name].name in done.stdout
    assert "+20.0" in done.stdout and "not detected" in done.stdout
    assert f"{runs['seed 1'].name}: lora.r=8, train.seeds=[1]" in done.stdout


def test_what_was_measured_is_said_once_for_runs_that_share_it(runs, tmp_path):
    """Model, training and questions; what the runs differ in is in the lines after it."""
    done = harness("compare", runs["seed 1"], runs["rank 4"], "--format", "md")
    measured = "Measured: tiny; 60 steps of 64 completions; tiny test, 100 questions."
    assert f"- {measured}\n- Demo: the gain is by construction." in done.stdout
    page = tmp_path / "compare.html"
    assert harness("compare", runs["seed 1"], runs["rank 4"], "--out", page).returncode == 0
    assert measured in page.read_text()


def test_a_run_with_another_prompt_stands_apart_and_the_field_is_named(runs):
    done = compare(*runs.values())
    assert done.returncode == 0
    assert "2 groups that cannot be compared" in done.stdout and "they differ in: prompts" in done.stdout
    assert done.stdout.count("tuned accuracy") == 2
    refused(compare("--strict", *runs.values()), "they differ in prompts")


def test_the_other_formats_hold_the_same_numbers(runs):
    markdown = compare(*runs.values(), "--format", "md").stdout
    assert markdown.count("| run |") == 2 and "80.0% [71.1, 86.7]" in markdown
    rows = list(csv.DictReader(io.StringIO(compare(*runs.values(), "--format", "csv").stdout)))
    assert [row["group"] for row in rows] == ["1", "1", "1", "2"]
    assert float(rows[0]["difference_accuracy_value"]) == pytest.approx(0.2) and rows[0]["verdict"] == "detected"
    assert float(rows[0]["tuned_accuracy_bootstrap_low"]) == 0.72
    parsed = json.loads(compare(*runs.values(), "--format", "json").stdout)
    assert parsed["parted_by"] == ["prompts"] and len(parsed["groups"]) == 2
    assert parsed["groups"][0]["runs"][0]["tuned"]["accuracy"]["value"] == 0.8


def test_under_the_table_stands_each_run_minus_each(runs, tmp_path):
    three = [runs[name] for name in ("seed 1", "seed 2", "rank 4")]
    names = [run.name for run in three]
    printed = compare(*three).stdout
    assert "Run minus run, on the same questions (p corrected for 3 comparisons)" in printed
    assert "runs that differ in their seed alone show what retraining does" in printed
    tango = intervals.tango(0, 5, 100)
    low, high = (f"{100 * end:+.1f}" for end in (tango.low, tango.high))
    markdown = compare(*three, "--format", "md").stdout
    # 0 and 5 of 100 questions changed: the exact p is 2 / 2^5 = 0.0625, so that a report would call it borderline.
    assert f"| {names[1]} | {names[0]} | -5.0 [{low}, {high}] | 0 | 5 | 0.031 | borderline loss |" in markdown
    (group,) = json.loads(compare(*three, "--format", "json").stdout)["groups"]
    found = {(each["run"], each["minus"]): each for each in group["differences"]}
    assert list(found) == [(names[1], names[0]), (names[2], names[0]), (names[2], names[1])]
    worst = found[names[2], names[0]]
    assert (worst["value"], worst["gained"], worst["lost"], worst["n"]) == (pytest.approx(-0.2), 0, 20, 100)
    assert worst["holm_p"] == pytest.approx(3 * worst["p"]) and worst["verdict"] == "detected"
    assert "Run minus run" not in compare(three[0]).stdout


def test_a_p_that_the_correction_lifts_over_the_level_detects_nothing(tmp_path):
    # 8 gained and 1 lost: mid-p 0.0215, of six comparisons 0.129.
    sides = {1: BASE, 2: ["right"] * 59 + ["wrong"] + ["right"] * 8 + ["wrong"] * 32, 3: BASE, 4: BASE}
    made = [reported(tmp_path, BASE, tuned, f"train.seeds=[{seed}]").path for seed, tuned in sides.items()]
    printed = compare(*made, "--format", "md").stdout
    assert printed.count("| 8 | 1 | 0.13 | not detected (corrected) |") == 1
    assert "| 8 | 1 | 0.021 | detected gain |" in compare(*made[:2], "--format", "md").stdout


def test_who_is_not_among_the_differences_is_named(runs, tmp_path, monkeypatch, capsys):
    silent = shutil.copytree(runs["seed 2"], tmp_path / runs["seed 2"].name)
    shutil.rmtree(silent / "tuned")
    several = reported(tmp_path, BASE, {4: BASE, 5: BASE}).path
    printed = compare(runs["seed 1"], runs["rank 4"], silent, several).stdout
    assert f"Not paired, because their answers are missing: {silent.name}." in printed
    assert f"Not paired, because one training is not paired with several: {several.name}." in printed
    assert "(p corrected for 1 comparison)" in printed
    for limit, said in (
        ("LISTED", "use --format json or --out compare.html"),
        ("LARGEST", "use --format json"),
    ):
        monkeypatch.setattr(run_pairs, limit, 0)
        assert compare_command.main([str(runs["seed 1"]), str(runs["rank 4"])]) == 0
        assert f"2 runs are too many to show all differences here; {said}." in capsys.readouterr().out


def test_the_bootstrap_stands_in_for_wilson_on_request(runs):
    assert "80.0% [71.1, 86.7]" in compare(runs["seed 1"], "--format", "md").stdout
    bootstrap = compare(runs["seed 1"], "--format", "md", "--intervals", "bootstrap").stdout
    assert "80.0% [72.0, 88.0]" in bootstrap  # binomial(100, .8): the .025 and .975 quantiles are 72 and 88


def test_a_run_of_several_seeds_stands_with_their_mean(runs, tmp_path):
    tuned = {seed: ["right"] * right + ["wrong"] * (100 - right) for seed, right in ((4, 72), (5, 75), (6, 78))}
    several = reported(tmp_path, BASE, tuned).path
    markdown = compare(runs["seed 1"], several, "--format", "md").stdout
    assert markdown.count("| run |") == 1 and "| +15.0 [" in markdown and "| 12 / 15 / 18 | 0 / 0 / 0 | 0." in markdown
    one, three = csv.DictReader(io.StringIO(compare(runs["seed 1"], several, "--format", "csv").stdout))
    assert (one["seeds"], one["difference_accuracy_gained"]) == ("1", "20")
    assert one["difference_accuracy_p"] == one["difference_accuracy_mid_p"]
    assert (three["seeds"], three["difference_accuracy_gained"], three["difference_accuracy_mid_p"]) == ("3", "", "")
    assert float(three["difference_accuracy_p"]) < 0.05 and float(three["difference_accuracy_value"]) == 0.15
    assert "12 / 15 / 18" in compare(runs["seed 1"], several).stdout
    parsed = json.loads(compare(several, "--format", "json").stdout)
    assert len(parsed["groups"][0]["runs"][0]["seeds"]) == 3


def test_runs_that_name_one_reward_file_and_had_two_are_told_apart(tmp_path):
    made = [reported(tmp_path, BASE, BASE, f"train.seeds=[{seed}]") for seed in (1, 2)]
    for run, reward, data in zip(made, ("a" * 64, "b" * 64), ("c" * 64, "d" * 64), strict=True):
        run.pin({"reward file own.py": reward, "data": data, "base weights": "e" * 64})
    printed = compare(*(run.path for run in made)).stdout
    settings = "train.seeds=[1], data.content=cccccccc, rewards.content=aaaaaaaa"
    assert f"{made[0].path.name}: {settings}" in printed and "rewards.content=bbbbbbbb" in printed


def test_settings_are_spelled_as_in_an_experiment_file(tmp_path):
    changed = ("train.micro_batch=8", "train.micro_batch=null")
    made = [reported(tmp_path, BASE, BASE, each).path for each in changed]
    assert all(f": {each}" in compare(*made).stdout for each in changed)
    assert run_groups.spelled([{"name": "check_answer", "weight": 0.5}]) == "[{name: check_answer, weight: 0.5}]"
    assert [run_groups.spelled(each) for each in (True, 5e-06, "plain")] == ["true", "5.0e-06", "plain"]


def test_runs_of_other_bases_stand_apart(runs, tmp_path):
    made = []
    for rank, weights in ((8, "a"), (4, "a"), (2, "b")):
        run = make_run(tmp_path, BASE, BASE, f"lora.r={rank}")
        run.pin({"base weights": weights * 64})
        write.write(run)
        made.append(run.path)
    done = compare(*made)
    assert "2 groups that cannot be compared" in done.stdout and "they differ in: base weights" in done.stdout
    assert "base weights aaaaaaaa (tiny)" in done.stdout
    refused(compare("--strict", *made), "they differ in base weights")
    assert "groups" not in compare("--strict", *made[:2]).stdout


@pytest.mark.parametrize(
    ("width", "left_out"), [(200, ""), (100, "n, gained, lost."), (80, ", gained, lost, base accuracy.")]
)
def test_a_narrow_terminal_keeps_verdict_and_p(runs, width, left_out):
    """In a real terminal of this width, where lines that are too long would be wrapped."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    variables = {name: value for name, value in environment().items() if name != "COLUMNS"}
    with started("compare", runs["seed 1"], runs["seed 2"], env=variables | {"TERM": "xterm"}, stdout=theirs):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's end
            while chunk := os.read(ours, 4096):
                shown += chunk
    os.close(ours)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()
    header, rows = next((line, lines[at + 2 :]) for at, line in enumerate(lines) if "mid-p" in line)
    assert header.split()[-1] == "verdict" and "tuned accuracy" in " ".join(header.split())
    assert rows[0].startswith(f" {runs['seed 1'].name} ") and "< 0.0001" in rows[0]
    assert rows[0].rstrip().endswith("detected gain") and len(rows[0]) <= width
    said = " ".join(" ".join(lines).split())  # sentences are broken between words
    assert ("A wider terminal" in said) == bool(left_out) and f"{left_out} Accuracy in percent and " in said


def test_what_comes_with_a_results_folder_is_not_worth_a_line(runs):
    results = runs["seed 1"].parent
    (results / "README.md").touch()
    (results / "reference").mkdir()
    done = compare(*sorted(results.iterdir()))
    assert done.returncode == 0 and not done.stderr and runs["rank 4"].name in done.stdout
    refused(compare(results / "README.md"), "none of the arguments is a finished run")


def test_what_is_no_run_is_skipped_with_a_line(runs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    done = compare(runs["seed 1"], tmp_path / "notes.txt", tmp_path)
    assert done.returncode == 0 and done.stderr.count("skipped /") == 2 and "not a run directory" in done.stderr
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "summary.json").write_text("[]")
    (foreign / "report.md").write_text("")
    edited = tmp_path / runs["seed 1"].name
    shutil.copytree(runs["seed 1"], edited)
    (edited / "config.yaml").write_text((edited / "config.yaml").read_text().replace("steps: 60", "steps: 61"))
    done = compare(runs["seed 2"], foreign, edited)
    assert done.returncode == 0 and runs["seed 2"].name in done.stdout
    assert (
        "foreign/summary.json: its content: found [], expected an object" in done.stderr
        and "the directory's name ends in" in done.stderr
    )
    refused_all = compare(tmp_path)
    assert refused_all.returncode == 2 and "none of the arguments is a finished run" in refused_all.stderr


def test_a_run_counts_once_however_often_it_is_given(runs, tmp_path):
    link = tmp_path / "again"
    link.symlink_to(runs["seed 1"])
    done = compare(runs["seed 1"], runs["seed 2"], link, runs["seed 1"], "--format", "csv")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3
    assert done.stderr.count("given twice") == 2


def without(path):
    """A change of a summary: the field at this path is missing."""

    def change(numbers):
        *parents, name = path.split(".")
        for parent in parents:
            numbers = numbers[parent]
        del numbers[name]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("difference.format.mid_p"), "difference.format.mid_p is missing (damaged, or written by another"),
        (without("verdict.direction"), "verdict.direction is missing"),
        (without("truncation"), "truncation is missing"),
        (lambda numbers: numbers.update(conditions=None), "conditions: found None, expected an object"),
        (lambda numbers: numbers["base"].update(strict=None), "base.strict: found None, expected an object"),
        (lambda numbers: numbers.update(n="many"), "n: found 'many', expected a valid integer"),
    ],
)
def test_a_summary_of_another_version_is_skipped_with_a_line(runs, tmp_path, capsys, change, said):
    older = shutil.copytree(runs["seed 1"], tmp_path / runs["seed 1"].name)
    numbers = files.read_json(older / "summary.json")
    change(numbers)
    files.write_json(older / "summary.json", numbers)
    assert compare_command.main([str(older), str(runs["seed 2"]), "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith(f"skipped {older / 'summary.json'}: {said}")
    assert err.endswith(f"; python -m harness.report {older} writes it again\n")
    assert runs["seed 2"].name in out and len(out.splitlines()) == 2
    with pytest.raises(HarnessError, match="none of the arguments is a finished run"):
        compare_command.main([str(older)])


def test_a_run_whose_manifest_is_damaged_is_skipped_by_name(runs, tmp_path):
    damaged = tmp_path / runs["seed 1"].name
    shutil.copytree(runs["seed 1"], damaged)
    files.write_json(damaged / "manifest.json", {"inputs": {"data": None}})
    done = compare(damaged, runs["seed 2"])
    assert done.returncode == 0 and done.stderr.count("\n") == 1
    assert f"skipped {damaged}/manifest.json: inputs.data: found None, expected a valid string" in done.stderr


def test_settings_and_names_cannot_act_on_a_terminal_or_break_a_list(tmp_path):
    hostile = "One\nTwo \x1b[2J | \u202e \ud800"
    made = [reported(tmp_path, BASE, BASE).path]
    run = reported(tmp_path, BASE, BASE, "lora.r=4")
    path = tmp_path / f"a|\x1b{run.path.name}"
    run.path.rename(path)
    made.append(path)
    loaded = run_groups.load(made)
    for each in loaded:
        each.settings["prompt.system"] = hostile + each.name
    for form in ("table", "md", "csv", "json", "html"):
        with contextlib.redirect_stdout(io.StringIO()) as written:
            formats.show(run_groups.comparable(loaded), form, "wilson", tmp_path)
        text = written.getvalue()
        assert text.encode() and not {"\x1b", "\u202e", "\ud800"} & set(text), form
        if form == "md":
            assert "prompt.system=One↵Two ⟨U+001B⟩[2J | ⟨U+202E⟩ ⟨U+D800⟩" in text and "| a\\|⟨U+001B⟩" in text
        if form == "json":
            assert json.loads(text)["groups"][0]["runs"][0]["settings"]["prompt.system"].startswith(hostile)


def test_an_ending_that_names_no_format_is_refused(runs, tmp_path):
    for name in ("all.htm", "all"):
        refused(compare(runs["seed 1"], "--out", tmp_path / name), "does not end in one of .txt, .md, .csv")
        assert not (tmp_path / name).exists()
    assert compare(runs["seed 1"], "--out", tmp_path / "all", "--format", "csv").returncode == 0
