"""The comparison's page: the table's numbers, run minus run, settings, links, and sorting in a browser."""

from __future__ import annotations

import dataclasses
import re
import shutil

import pytest

from harness.compare import conditions, findings, formats
from harness.compare import groups as run_groups
from harness.compare import page as compare_page
from harness.compare import pairs as run_pairs
from harness.config import meanings
from harness.report.page import packed
from harness.stats import finding
from harness.util import files
from harness.util.errors import HarnessError
from tests import constructed
from tests.browser import AS_PRINTED, ask, needs_browser
from tests.conftest import harness, refused
from tests.constructed import reported
from tests.report.test_html import HOSTILE, Tree, check_one_file

BASE = ["right"] * 60 + ["wrong"] * 40


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = tmp_path_factory.mktemp("page")
    tuned = {seed: ["right"] * right + ["wrong"] * (100 - right) for seed, right in ((1, 80), (2, 65), (3, 95))}
    made = [reported(results, BASE, outcomes, f"train.seeds=[{seed}]").path for seed, outcomes in tuned.items()]
    return [*made, reported(results, BASE, BASE, "prompt.system=Think <hard>.", prompts="f" * 64).path]


def drawn(paths, folder):
    return formats.page(run_groups.comparable(run_groups.load(paths)), "wilson", folder)


def scores_of(path, seeds):
    return run_pairs.tuned_scores(path, seeds)[1]


def test_the_page_holds_the_tables_numbers_and_keeps_groups_apart(runs):
    page = drawn(runs, runs[0].parent)
    check_one_file(page)
    assert "▲ detected" in page and "▼ detected" not in page
    assert "train.seeds = [2]</a>" in page  # how a run differs is shown next to its name
    assert page == drawn(runs, runs[0].parent)
    said = Tree(page).text
    assert (
        "4 runs compared" in said
        and "2 with a rise of accuracy detected, 1 borderline, 1 with no difference detected" in said
    )
    assert "2 groups that cannot be compared with each other; they differ in: prompts." in said
    for row in (run_groups.row(each, "wilson") for each in run_groups.load(runs)):
        name, *values = row.values()
        assert name in said and all(value.replace("-", "−") in said for value in values)


def test_run_minus_run_is_paired_and_corrected_for_all_pairs(runs):
    said = " ".join(Tree(drawn(runs, runs[0].parent)).text.split())
    scores = {path.name: scores_of(path, [seed]) for seed, path in enumerate(runs[:3], 1)}
    for pair in run_pairs.compare_all(scores):
        d = pair.difference
        text = f"{100 * d.estimate:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}] ◆ p {finding.spell_p(pair.holm_p)}"
        assert text.replace("-", "−") in said
    assert "Holm-corrected for 3 comparisons" in said
    assert "There is one run in this group" in said


def test_a_single_training_is_not_paired_with_several(runs, tmp_path):
    seeds = {seed: ["right"] * right + ["wrong"] * (100 - right) for seed, right in ((4, 72), (5, 75), (6, 78))}
    several = reported(tmp_path, BASE, seeds).path
    page = drawn([*runs[:2], several], tmp_path)
    check_one_file(page)
    assert (
        "Holm-corrected for 1 comparison;" in page
        and f"because one training is not paired with several: {several.name}." in page
    )
    assert (
        "1 of 3 runs is not in the comparison of run with run, because" in page
        and "; 1 of 3 runs left out</h1>" in page
    )
    assert "12 / 15 / 18" in page and 'data-key="15"' in page
    assert "a run of one training seed is not paired with one of several" in drawn([runs[0], several], tmp_path)
    other = reported(tmp_path, BASE, dict.fromkeys(seeds, BASE), "lora.r=4").path
    scores = [scores_of(path, list(seeds)) for path in (several, other)]
    d = run_pairs.compare_all({"several": scores[0], "other": scores[1]})[0].difference
    text = f"{100 * d.estimate:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]".replace("-", "−")
    assert text in drawn([several, other], tmp_path)


def test_scores_are_means_over_the_samples_of_a_question_a_row_for_each_seed(tmp_path):
    made = constructed.result(["right", "wrong", "wrong, no format"])
    made["scores"][1]["id"] = made["scores"][0]["id"]
    for seed in (5, 6):
        files.write_json(tmp_path / f"tuned/seed-{seed}/result.json", made)
    assert scores_of(tmp_path, [5]).tolist() == [0.5, 0.0]
    assert scores_of(tmp_path, [5, 6]).tolist() == [[0.5, 0.0], [0.5, 0.0]]
    with pytest.raises(HarnessError, match="missing"):
        run_pairs.tuned_scores(tmp_path, [7])


def test_settings_that_differ_and_conditions_that_are_shared_are_listed(runs):
    page = drawn(runs[:3], runs[0].parent)
    rows = [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in re.findall("<tr>.*?</tr>", page, re.DOTALL)]
    assert {
        "train.seeds [1] [2] [3]", "longest answer, tokens 72", "seed of the answers none",
        "how a token is drawn min_p 0, temperature 0, top_k 0, top_p 1",
    } <= set(rows)  # fmt: skip
    assert 'title="of data order and rollouts; one training for each seed">train.seeds</abbr>' in page


def test_every_condition_and_setting_has_words(runs):
    (run,) = run_groups.load(runs[:1])
    assert conditions.WORDS.keys() == run.conditions.keys()
    assert not [named for named in conditions.WORDS.values() if "_" in named.words or not named.meaning]
    assert run.settings.keys() <= meanings.by_key().keys() | run_groups.HASHES.keys()


def test_links_lead_to_the_reports_from_where_the_page_lies(runs, tmp_path):
    results = runs[0].parent
    assert f'href="{runs[0].name}/report.html"' in drawn(runs, results)
    assert f'href="../../{results.name}/{runs[0].name}/report.html"' in drawn(runs, results.parent / "a/b")
    lonely = tmp_path / runs[0].name
    shutil.copytree(runs[0], lonely)
    (lonely / "report.html").unlink()
    shutil.rmtree(lonely / "tuned")
    page = drawn([lonely, runs[1]], tmp_path)
    assert f'href="{lonely.name}' not in page and "Fewer than two of these runs still have their answers" in page


def test_a_page_for_a_crowd_leaves_the_matrix_out(runs, monkeypatch):
    monkeypatch.setattr("harness.compare.pairs.LARGEST", 2)
    assert "3 runs are too many for a matrix" in drawn(runs[:3], runs[0].parent)


def test_out_writes_any_format_and_its_ending_names_the_format(runs, tmp_path):
    done = harness("compare", *runs, "--out", tmp_path / "all.html")
    assert done.returncode == 0 and done.stdout == f"Written: {tmp_path / 'all.html'}\n"
    page = (tmp_path / "all.html").read_text()
    assert page.startswith("<!doctype html>")
    assert harness("compare", *runs, "--format", "html", cwd=tmp_path).stdout == page
    for name, start in (("t.csv", "group,run,n,"), ("t.md", "2 groups"), ("t.json", "{"), ("t.txt", "2 groups")):
        assert harness("compare", *runs, "--out", tmp_path / name).returncode == 0
        assert (tmp_path / name).read_text().startswith(start)
    refused(harness("compare", *runs, "--out", tmp_path), "is a directory")


def test_the_charts_draw_the_intervals_of_the_table(runs):
    groups = run_groups.comparable(run_groups.load(runs[:1]))
    wilson, bootstrap = (formats.page(groups, intervals, runs[0].parent) for intervals in ("wilson", "bootstrap"))
    # 80 of 100: Wilson 71.1 to 86.7, and of binomial(100, .8) the .025 and .975 quantiles, 72 and 88.
    for page, text, other in ((wilson, "80.0% [71.1, 86.7]", "[72.0"), (bootstrap, "80.0% [72.0, 88.0]", "[71.1")):
        assert Tree(page).text.count(text) == 3 and other not in page  # the table, the mark, the chart's description
    assert "intervals (exact percentile bootstrap)" in bootstrap and "by exact percentile bootstrap" in bootstrap


def test_hostile_settings_and_notes_are_text_and_links_lead_nowhere_else(tmp_path):
    made = []
    for rank, text in ((4, HOSTILE[1]), (2, HOSTILE[2])):
        run = reported(tmp_path, BASE, BASE, f"lora.r={rank}")
        path = tmp_path / f"javascript:a?b#c {rank}-{run.path.name}"
        run.path.rename(path)
        (loaded,) = run_groups.load([path])
        loaded.settings["prompt.system"] = text
        made.append(dataclasses.replace(loaded, conditions={"engine": HOSTILE[0]}))
    page = formats.page(run_groups.comparable(made), "wilson", tmp_path)
    check_one_file(page)
    tree = Tree(page)
    assert all(text in tree.text for text in (HOSTILE[0], HOSTILE[1], HOSTILE[2]))
    hrefs = [attributes["href"] for _, attributes in tree.elements if "href" in attributes]
    assert len(hrefs) == 2 and all(href.startswith("javascript%3Aa%3Fb%23c%20") for href in hrefs)


def copied(path, folder, change=None):
    """The run elsewhere; `change` edits its result, None leaves the answers out."""
    target = folder / path.name
    shutil.copytree(path, target)
    (file,) = target.glob("tuned/*/result.json")
    result = files.read_json(file)
    if change:
        change(result)
        files.write_json(file, result)
    else:
        file.unlink()
    return target


def test_runs_without_answers_or_about_other_questions_are_left_out_by_name(runs, tmp_path):
    without = copied(runs[0], tmp_path / "a")
    damaged = copied(runs[0], tmp_path / "b", lambda result: result.pop("scores"))
    fewer = copied(runs[0], tmp_path / "c", lambda result: result["scores"].pop())
    other = copied(runs[0], tmp_path / "d", lambda result: result["scores"][3].update(id="another"))
    for path in (without, damaged):
        page = drawn([*runs[1:3], path], tmp_path)
        assert (
            f"1 of 3 runs is not in the comparison of run with run, because their answers are missing: {path.name}."
            in page
        )
        assert "Holm-corrected for 1 comparison;" in page
    for path in (fewer, other):
        page = drawn([*runs[1:3], path], tmp_path)
        assert f"because they answered other questions than most: {path.name}." in page
        assert "Holm-corrected for 1 comparison;" in page


def test_a_run_without_answers_takes_no_place_in_the_matrix(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.compare.pairs.LARGEST", 2)
    page = drawn([copied(runs[0], tmp_path), *runs[1:3]], tmp_path)
    assert "Holm-corrected for 1 comparison;" in page and "too many" not in page


def test_pairs_join_on_the_question_whatever_the_order(runs, tmp_path):
    turned = copied(runs[0], tmp_path, lambda result: result["scores"].reverse())
    ids, scores = run_pairs.tuned_scores(turned, [1])
    assert ids == tuple(sorted(ids)) and scores.tolist() == [1.0] * 80 + [0.0] * 20


def test_a_cell_is_marked_by_the_corrected_p(tmp_path):
    # Of 100 questions the second run gains 8 and loses 1: mid-p 2 (1 + 9/2) / 2^9 = 0.0215. Of four runs'
    # six comparisons it is the smallest, and Holm makes it 6 * 0.0215 = 0.129: no longer detected.
    right = {1: [0] * 60 + [1] * 40, 2: [0] * 52 + [1] * 47 + [0]}
    right |= {3: right[1], 4: right[1]}
    texts = {seed: ["right" if each else "wrong" for each in values] for seed, values in right.items()}
    made = [reported(tmp_path, BASE, texts[seed], f"train.seeds=[{seed}]").path for seed in texts]
    cells = [matrix_of(made[:2]).cells[1, 0], matrix_of(made).cells[1, 0]]
    assert [(cell.detected, cell.p) for cell in cells] == [(True, "0.021"), (False, "0.13")]


def test_a_cell_that_a_report_would_call_borderline_is_not_marked(tmp_path):
    # 7 gained and 1 lost: mid-p 0.039, exact p 0.070.
    sides = {1: ["wrong"] * 60 + ["right"] * 40, 2: ["right"] * 7 + ["wrong"] * 53 + ["right"] * 39 + ["wrong"]}
    made = [reported(tmp_path, BASE, sides[seed], f"train.seeds=[{seed}]").path for seed in sides]
    cell = matrix_of(made).cells[1, 0]
    assert (cell.p, cell.detected) == ("0.039", False)


def matrix_of(paths):
    (group,) = run_groups.comparable(run_groups.load(paths))
    return compare_page.matrix(compare_page.Section(group, [], {}, {}, {}))


def test_columns_are_sorted_by_their_own_numbers(runs):
    (run,) = run_groups.load(runs[:1])
    keys = compare_page._sort_keys(run, "lora.r = 8")
    assert set(keys) == set(compare_page.ORDER) == set(run_groups.COLUMNS)
    name, n, base, tuned, change, gained, lost, p, strict, form, kind = keys.values()
    assert (name, n, base, tuned, gained, lost, kind) == ("lora.r = 8", 100, 0.6, 0.8, 20, 0, "detected")
    assert change == pytest.approx(0.2) and p < 0.001 and strict == pytest.approx(0.2) and form == 0


@needs_browser
def test_a_header_sorts_by_its_numbers_and_says_so(runs, tmp_path):
    page = tmp_path / "all.html"
    page.write_text(drawn(runs[:3], tmp_path))
    clicked = (
        "(() => { const table = page.document.querySelector('.sortable'); const found = [];\n"
        "const header = table.tHead.rows[0].cells[2]; for (const turn of [1, 2]) { header.firstChild.click();\n"
        "found.push([header.ariaSort, ...[...table.tBodies[0].rows].map((row) => row.cells[2].textContent)]); }\n"
        "return [...found, page.document.documentElement.scrollWidth]; })()"
    )
    up, down, width = ask(page, clicked, tmp_path)
    assert up[0] == "ascending" and [float(text.split()[0]) for text in up[1:]] == [5.0, 20.0, 35.0]
    assert down == ["descending", *reversed(up[1:])]
    assert width == 360


@needs_browser
def test_printed_tables_have_their_heads_and_the_questions_are_said_to_be_missing(sweep, tmp_path):
    page = tmp_path / "all.html"
    page.write_text(drawn(sweep, tmp_path))
    found = (
        "[[...d.querySelectorAll('.sortable thead th button')].filter((e) => e.offsetWidth).length, "
        "d.querySelector('.across').offsetHeight, d.querySelector('.printed').offsetHeight > 0]"
    )
    asked = f"(async () => {{ {AS_PRINTED} return {found}; }})()"
    assert ask(page, asked, tmp_path, width=700) == [len(run_groups.COLUMNS), 0, True]


@needs_browser
def test_the_verdict_is_in_sight_whatever_a_run_is_called(sweep, tmp_path):
    moved = []
    for path in sweep[:2]:
        moved.append(tmp_path / f"{'a-name-without-an-end-' * 4}{path.name}")
        shutil.copytree(path, moved[-1])
    page = tmp_path / "all.html"
    page.write_text(drawn([*moved, *sweep[2:]], tmp_path))
    box = "d.querySelector('.sortable').parentElement.getBoundingClientRect().right"
    cells = "[...d.querySelectorAll('.sortable tr')].map((row) => row.cells[1].getBoundingClientRect().right)"
    assert ask(page, f"Math.max(...{cells}) <= {box}", tmp_path, width=1440)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Runs of four ranks: 2, 4 and 16 answer 60, 80 and 95 of 100 questions right, 64 none of the base's."""
    results = tmp_path_factory.mktemp("sweep")
    tuned = {2: 60, 4: 80, 16: 95}
    made = {rank: ["right"] * right + ["wrong"] * (100 - right) for rank, right in tuned.items()}
    made[64] = ["wrong"] * 60 + ["right"] * 40
    return [reported(results, BASE, outcomes, f"lora.r={rank}").path for rank, outcomes in made.items()]


def test_runs_are_called_by_what_differs_and_the_title_says_what_was_found(sweep):
    page = drawn(sweep, sweep[0].parent)
    check_one_file(page)
    assert "<h1>lora.r = 16 is more accurate than each of the other 3 runs</h1>" in page
    assert all(f">lora.r = {rank}</a><br> " in page and f"<td>{rank}" not in page for rank in (2, 4, 16, 64))
    assert "minus that of lora.r = 4, in points" in page


def test_the_same_settings_are_told_apart_by_name(sweep, tmp_path):
    elsewhere = tmp_path / sweep[0].name
    shutil.copytree(sweep[0], elsewhere)
    labels = [label for section in sections_of([sweep[0], elsewhere]) for label in section.labels]
    assert labels == [sweep[0].name] * 2


def test_runs_whose_differences_are_too_long_for_a_label_are_called_by_name(tmp_path):
    paths = [
        reported(tmp_path, ["right"] * 30, ["right"] * 30, f"rewards.functions={functions}").path
        for functions in ("[check_answer, check_numbers, format_exact]", "[check_answer, format_approximate]")
    ]
    (section,) = sections_of(paths)
    assert section.labels == [path.name for path in paths]


def sections_of(paths):
    parted = run_groups.comparable(run_groups.load(paths))
    return [
        compare_page.Section(
            group, [], {}, {}, {key: [str(r.settings[key]) for r in group] for key in run_groups.differing(group)}
        )
        for group in parted
    ]


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ((80, 65), "A is 15.0 points more accurate than B"),
        ((65, 80), "B is 15.0 points more accurate than A"),
        ((65, 66), "No difference in accuracy is detected between A and B"),
        ((65, 66, 64), "No two of 3 runs are detected to differ in accuracy"),
        ((65, 80, 64), "B is more accurate than each of the other 2 runs"),
        ((80, 65, 81), "2 of 3 pairs of runs differ in accuracy, most of all C and B, by 16.0 points"),
    ],
)
def test_the_title_speaks_of_detected_pairs_alone(tmp_path, right, said):
    made = [
        reported(tmp_path, BASE, ["right"] * count + ["wrong"] * (100 - count), f"train.seeds=[{seed}]").path
        for seed, count in enumerate(right)
    ]
    (group,) = run_groups.comparable(run_groups.load(made))
    found = findings.of(run_pairs.of(group, 20), "ABC"[: len(right)])
    assert found.sentence == said
    # A run is only called better than one that it beats, or than all others.
    assert (
        found.better is None
        or right[found.better] > max([*right, 0] if found.worse is None else [right[found.worse]]) - 1
    )


def test_nothing_is_found_where_nothing_is_paired(runs):
    (group,) = run_groups.comparable(run_groups.load(runs[:1]))
    assert findings.of(run_pairs.of(group, 20), ["A"]) is None
    assert "<h1>1 run</h1>" in drawn(runs[:1], runs[0].parent)


def test_rates_are_drawn_against_a_setting_that_is_a_number(sweep, runs):
    page = drawn(sweep, sweep[0].parent)
    for title in ("Accuracy by lora.r, %", "Strict accuracy by lora.r, %", "Format by lora.r, %"):
        assert f">{title}</title>" in page
    assert "<title>lora.r = 16: 95.0% [88.8, 97.8]</title>" in page
    page = drawn(runs[:3], runs[0].parent)
    assert " by train.seeds" not in page and "No rates are drawn" not in page  # lists are no numbers


def test_rates_are_not_drawn_against_one_of_several_settings_that_differ(tmp_path):
    paths = [
        reported(tmp_path, BASE, BASE, f"lora.r={rank}", f"train.learning_rate={rate}").path
        for rank, rate in ((2, 1e-4), (4, 1e-4), (4, 2e-4))
    ]
    page = drawn(paths, tmp_path)
    assert " by lora.r, %" not in page and " by train.learning_rate, %" not in page
    assert "No rates are drawn against a setting, because 2 settings differ between these runs: " in page
    assert " by lora.r, %" in drawn(paths[:2], tmp_path)


@needs_browser
def test_the_questions_say_what_their_marks_mean_and_whose_texts_are_shown(tmp_path):
    seeds = {5: ["right"] * 80 + ["wrong"] * 20, 6: ["right"] * 70 + ["wrong"] * 30}
    paths = [
        reported(tmp_path, BASE, tuned, f"lora.r={rank}").path
        for rank, tuned in ((2, seeds), (4, dict.fromkeys(seeds, BASE)))
    ]
    page = tmp_path / "all.html"
    page.write_text(drawn(paths, tmp_path))
    steps = "const item = d.querySelector('.item'); item.open = true; await later();"
    told = (
        "[d.querySelector('.across > .meta').textContent, [...item.querySelectorAll('h4')].map((e) => e.textContent), "
        "d.documentElement.scrollWidth]"
    )
    legend, sides, width = ask(page, f"(async () => {{ {steps} return {told}; }})()", tmp_path)
    assert legend.startswith(
        "Marks: ✓ right · ✗ wrong · ◐ right in some of its answers · in this order: base, lora.r = 2, lora.r = 4. "
        "Of lora.r = 2, lora.r = 4 the answers of all training seeds count, and the text shown is that of the first "
        "seed."
    )
    assert sides == ["base", "lora.r = 2, seed 5", "lora.r = 4, seed 5"] and width == 360


def across_of(page, number=1):
    return packed.unpack(re.search(f'<template id="across-{number}">([^<]*)</template>', page)[1])


def test_every_question_has_the_answers_of_all_runs_and_those_that_differ_come_first(sweep, monkeypatch):
    data = across_of(drawn(sweep, sweep[0].parent))
    assert (data["runs"], data["total"]) == ([f"lora.r = {rank}" for rank in (2, 4, 16, 64)], 100)
    by_id = {item["id"]: [side["right"] for side in item["sides"]] for item in data["items"]}
    assert by_id[f"{0:016x}"] == [1, 1, 1, 1, 0] and by_id[f"{70:016x}"] == [0, 0, 1, 1, 1]
    assert len(by_id) == 100
    first, *_ = [[side["right"] for side in item["sides"]] for item in data["items"]]
    assert first == [0, 0, 0, 1, 1]  # the title says that the run of rank 16 is better than each of the others
    assert data["seeds"] == [[3407]] * 4
    monkeypatch.setattr(compare_page, "ROOM", 5_000)
    fewer = across_of(drawn(sweep, sweep[0].parent))
    assert fewer["total"] == 100 and 0 < len(fewer["items"]) < 100
    assert all(len({side["right"] for side in item["sides"][1:]}) > 1 for item in fewer["items"])


def test_a_run_without_completions_has_no_part_in_the_questions(sweep, tmp_path):
    without = tmp_path / sweep[3].name
    shutil.copytree(sweep[3], without)
    (log,) = without.glob("tuned/*/samples.jsonl")
    log.unlink()
    assert across_of(drawn([*sweep[:2], without], tmp_path))["runs"] == ["lora.r = 2", "lora.r = 4"]
    assert "across-1" not in drawn([sweep[0], without], tmp_path)


@needs_browser
def test_a_baseline_is_chosen_and_a_question_found_by_who_has_it_right(sweep, tmp_path):
    page = tmp_path / "all.html"
    page.write_text(drawn(sweep, tmp_path))
    chosen = (
        "(async () => { const choose = (field, value) => { field.value = value; "
        "field.dispatchEvent(new page.Event('input', {bubbles: true})); }, found = [];\n"
        "choose(d.querySelector('.baseline select'), '2');\n"
        "found.push([...d.querySelectorAll('.baselines figure:not([hidden]) figcaption')].map((e) => e.textContent));\n"
        "const [base, two, four, sixteen] = d.querySelectorAll('.standings select');\n"
        "choose(two, 'right'); choose(sixteen, 'wrong'); found.push(d.querySelector('.found output').textContent);\n"
        "choose(two, 'wrong'); choose(sixteen, 'right'); found.push(d.querySelector('.found output').textContent);\n"
        "choose(d.querySelector('[type=search]'), 'question 77:'); const item = d.querySelector('.item');\n"
        "item.open = true; await later(); found.push([...item.querySelectorAll('h4')].map((e) => e.textContent));\n"
        "return [...found, item.querySelectorAll('pre').length, d.documentElement.scrollWidth]; })()"
    )
    baseline, none, some, sides, texts, width = ask(page, chosen, tmp_path)
    assert baseline == ["Tuned accuracy minus that of lora.r = 16, in points, with 95% intervals"]
    assert none == "0 of 100 questions: lora.r = 2 right, lora.r = 16 wrong"
    assert some == "35 of 100 questions: lora.r = 2 wrong, lora.r = 16 right"
    assert sides == ["base", *(f"lora.r = {rank}" for rank in (2, 4, 16, 64))] and (texts, width) == (5, 360)


@needs_browser
def test_on_a_screen_the_table_of_runs_with_seeds_is_whole(tmp_path):
    """Three counts a cell make it wide: 1,319 questions, all of which change."""
    seeds = {5: ["right"] * 1319, 6: ["wrong"] * 1319, 7: ["right"] * 1319}
    made = [reported(tmp_path, ["wrong"] * 1319, seeds, f"lora.r={rank}").path for rank in (8, 4)]
    page = tmp_path / "compare.html"
    page.write_text(drawn(made, tmp_path), encoding="utf-8")
    whole = "[...d.querySelectorAll('.sortable')].every((t) => t.scrollWidth <= t.parentElement.clientWidth)"
    assert ask(page, whole, tmp_path, "--window-size=1500,900", width=1440)
