"""The comparison's page: the table's numbers, run minus run, settings, links, and sorting in a browser."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from harness.compare import formats
from harness.compare import groups as run_groups
from harness.compare import page as compare_page
from harness.compare import pairs as run_pairs
from harness.stats import finding
from harness.util import files
from harness.util.errors import HarnessError
from tests import constructed
from tests.browser import ask, needs_browser
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
    assert "train.seeds" in page and "seeds [2]" in page  # how a run differs is shown next to its name
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
    assert "Holm-corrected for 1 comparison;" in page and f"Left out for that reason: {several.name}." in page
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
    assert '<th scope="row">train.seeds</th><td class="long">[1]</td><td class="long">[2]</td>' in page
    assert '<th scope="row">max_new_tokens</th><td class="long">72</td>' in page


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
        assert page.count(text) == 3 and other not in page  # the table, the mark, the chart's description
    assert "intervals (bootstrap)" in bootstrap and "by exact percentile bootstrap" in bootstrap


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
        assert f"Left out because their answers are missing: {path.name}." in page
        assert "Holm-corrected for 1 comparison;" in page
    for path in (fewer, other):
        page = drawn([*runs[1:3], path], tmp_path)
        assert f"Left out because they answered other questions than most: {path.name}." in page
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
    name, n, base, tuned, change, gained, lost, p, strict, form, kind = compare_page._sort_keys(run)
    assert (name, n, base, tuned, gained, lost, kind) == (runs[0].name, 100, 0.6, 0.8, 20, 0, "detected")
    assert change == pytest.approx(0.2) and p < 0.001 and strict == pytest.approx(0.2) and form == 0


@needs_browser
def test_a_header_sorts_by_its_numbers_and_says_so(runs, tmp_path):
    page = tmp_path / "all.html"
    page.write_text(drawn(runs[:3], tmp_path))
    clicked = (
        "(() => { const table = page.document.querySelector('.sortable'); const found = [];\n"
        "const header = table.tHead.rows[0].cells[4]; for (const turn of [1, 2]) { header.firstChild.click();\n"
        "found.push([header.ariaSort, ...[...table.tBodies[0].rows].map((row) => row.cells[4].textContent)]); }\n"
        "return [...found, page.document.documentElement.scrollWidth]; })()"
    )
    up, down, width = ask(page, clicked, tmp_path)
    assert up[0] == "ascending" and [float(text.split()[0]) for text in up[1:]] == [5.0, 20.0, 35.0]
    assert down == ["descending", *reversed(up[1:])]
    assert width == 360
