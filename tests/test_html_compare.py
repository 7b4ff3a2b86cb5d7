"""The comparison's page: the table's numbers, run minus run, settings, links, and sorting in a browser."""

from __future__ import annotations

import shutil
import time

import pytest

from harness import compare, html_compare, pairwise, rundir, stats
from harness.errors import HarnessError
from tests import constructed
from tests.browser import ask, needs_browser
from tests.conftest import harness, refused
from tests.constructed import reported
from tests.test_html import Tree, check_one_file

BASE = ["right"] * 60 + ["wrong"] * 40


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    results = tmp_path_factory.mktemp("page")
    tuned = {seed: ["right"] * right + ["wrong"] * (100 - right) for seed, right in ((1, 80), (2, 65), (3, 95))}
    made = [reported(results, BASE, outcomes, f"train.seeds=[{seed}]").path for seed, outcomes in tuned.items()]
    return [*made, reported(results, BASE, BASE, "prompt.system=Think <hard>.", prompts="f" * 64).path]


def drawn(paths, folder):
    return compare.page(compare.groups(compare.load(paths)), "wilson", folder)


def scores_of(path, seeds):
    return html_compare.tuned_scores(path, seeds)[1]


def test_the_page_holds_the_tables_numbers_and_keeps_groups_apart(runs):
    page = drawn(runs, runs[0].parent)
    check_one_file(page)
    assert "▲ detected" in page and "▼ detected" not in page
    assert "train.seeds" in page and "seeds [2]" in page  # what sets a run apart stands beside its name
    assert page == drawn(runs, runs[0].parent)
    said = Tree(page).text
    assert (
        "4 runs compared" in said
        and "2 with a rise of accuracy detected, 1 borderline, 1 with no difference detected" in said
    )
    assert "2 groups that cannot be compared with each other; they differ in: prompts." in said
    for row in (compare.row(each, "wilson") for each in compare.load(runs)):
        name, *values = row.values()
        assert name in said and all(value.replace("-", "−") in said for value in values)


def test_run_minus_run_is_paired_and_corrected_for_all_pairs(runs):
    said = " ".join(Tree(drawn(runs, runs[0].parent)).text.split())
    scores = {path.name: scores_of(path, [seed]) for seed, path in enumerate(runs[:3], 1)}
    for pair in pairwise.compare_all(scores):
        d = pair.difference
        text = f"{100 * d.estimate:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}] ◆ p {stats.spell_p(pair.holm_p)}"
        assert text.replace("-", "−") in said
    assert "Holm-corrected for 3 comparisons" in said
    assert "There is one run in this group" in said


def test_a_single_training_is_not_paired_with_several(runs, tmp_path):
    seeds = {seed: ["right"] * right + ["wrong"] * (100 - right) for seed, right in ((4, 72), (5, 75), (6, 78))}
    several = reported(tmp_path, BASE, seeds).path
    page = drawn([*runs[:2], several], tmp_path)
    check_one_file(page)
    assert "Holm-corrected for 1 comparison;" in page and f"For that reason not here: {several.name}." in page
    assert "12 / 15 / 18" in page and 'data-key="15"' in page and "(t)" in page
    assert "a run of one training seed is not paired with one of several" in drawn([runs[0], several], tmp_path)
    other = reported(tmp_path, BASE, dict.fromkeys(seeds, BASE), "lora.r=4").path
    scores = [scores_of(path, list(seeds)) for path in (several, other)]
    d = pairwise.compare_all({"several": scores[0], "other": scores[1]})[0].difference
    text = f"{100 * d.estimate:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]".replace("-", "−")
    assert text in drawn([several, other], tmp_path)


def test_scores_are_means_over_the_samples_of_a_question_a_row_for_each_seed(tmp_path):
    made = constructed.result(["right", "wrong", "wrong, no format"])
    made["scores"][1]["id"] = made["scores"][0]["id"]
    for seed in (5, 6):
        rundir.write_json(tmp_path / f"tuned/seed-{seed}/result.json", made)
    assert scores_of(tmp_path, [5]).tolist() == [0.5, 0.0]
    assert scores_of(tmp_path, [5, 6]).tolist() == [[0.5, 0.0], [0.5, 0.0]]
    with pytest.raises(HarnessError, match="missing"):
        html_compare.tuned_scores(tmp_path, [7])


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
    monkeypatch.setattr("harness.html_compare.LARGEST_MATRIX", 2)
    assert "3 runs are too many for a matrix" in drawn(runs[:3], runs[0].parent)


def test_out_writes_any_format_and_its_ending_names_the_format(runs, tmp_path):
    began = time.perf_counter()
    done = harness("compare", *runs, "--out", tmp_path / "all.html")
    assert done.returncode == 0 and done.stdout == f"Written: {tmp_path / 'all.html'}\n"
    assert time.perf_counter() - began < 5  # half a second on idle cores; the tests share theirs
    page = (tmp_path / "all.html").read_text()
    assert page.startswith("<!doctype html>")
    assert harness("compare", *runs, "--format", "html", cwd=tmp_path).stdout == page
    for name, start in (("t.csv", "group,run,n,"), ("t.md", "2 groups"), ("t.json", "{"), ("t.txt", "2 groups")):
        assert harness("compare", *runs, "--out", tmp_path / name).returncode == 0
        assert (tmp_path / name).read_text().startswith(start)
    refused(harness("compare", *runs, "--out", tmp_path), "is a directory")


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
