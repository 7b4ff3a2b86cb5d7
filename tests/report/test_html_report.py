"""report.html: the same words and numbers as report.md, every question, and hostile answers that do nothing."""

from __future__ import annotations

import re

import pyarrow.parquet
import pytest

from harness.report import html_report, sections, summary, write
from harness.report.html import HEAD, TAIL
from harness.runs.manifest import Machine
from harness.util import files
from tests import constructed
from tests.browser import ask, dom, needs_browser
from tests.constructed import make_run, reported
from tests.report.test_html import HOSTILE, Tree, check_one_file

BASE = ["wrong"] * 30 + ["right"] * 50 + ["right, no format"] * 10 + ["nothing"] * 10
TUNED = ["right"] * 30 + ["right"] * 48 + ["wrong"] * 2 + ["right"] * 10 + ["nothing"] * 10


def drawn_items(page: str, outcome: str) -> int:
    return len(re.findall(f'class="item"(?: open)? data-outcome="{outcome}"', page))


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("page"), BASE, TUNED)


def test_the_page_says_what_the_markdown_says(run):
    page = run.page.read_text()
    check_one_file(page)
    said = words(Tree(page).text)
    assert words(summary.read(run.path).verdict.sentence) in said
    markdown = run.report.read_text().partition("\n## Gained")[0]
    for line in markdown.splitlines():
        for part in re.split(r"\s*\|\s*", line) if line.startswith("|") else [line]:
            if not part.startswith(("#", "![", "-")):
                assert words(part.strip("*")) in said, part


def test_the_page_is_the_same_every_time(run, tmp_path):
    again = reported(tmp_path, BASE, TUNED)
    assert run.page.read_bytes() == again.page.read_bytes()


def test_every_question_is_there_under_what_became_of_it(run):
    page = run.page.read_text()
    for outcome, count in (("gained", 30), ("lost", 2), ("wrong", 10), ("right", 58)):
        assert drawn_items(page, outcome) == count
        assert f"({count})</h3>" in page
    assert "Question 79: how much is 6 * 3?" in page and 'data-rules="phrase solution"' in page
    assert "answer <bdi>9</bdi> · rule solution · exact format · 20 tokens · ended by stop" in page


def test_runs_without_their_questions_texts_are_drawn_and_it_is_said(tmp_path):
    run = make_run(tmp_path, BASE, TUNED)
    for folder in (run.base, run.tuned(3407)):
        result = files.read_json(folder / "result.json")
        del result["questions"]
        files.write_json(folder / "result.json", result)
    write.write(run)
    page = run.page.read_text()
    assert "only their ids are known" in page and "Problem 000000000000004f" in page


def test_what_is_not_there_is_left_out(tmp_path):
    run = make_run(tmp_path, BASE, TUNED)
    (run.train(3407) / "metrics.jsonl").write_text("")
    write.write(run)
    page = run.page.read_text()
    assert 'id="curves"' not in page and 'id="rollouts"' not in page and 'id="training"' in page
    check_one_file(page)


def test_unchanged_questions_stop_where_the_page_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(html_report, "PAGE_BYTES", 60_000)
    page = reported(tmp_path, BASE, TUNED).page.read_text()
    shown = {outcome: drawn_items(page, outcome) for outcome in ("gained", "lost", "right")}
    assert (shown["gained"], shown["lost"]) == (30, 2) and 0 <= shown["right"] < 58
    assert f"The first {shown['right']} of 58 are in this page" in page or "None of 58 are in this page" in page


def test_a_question_with_several_samples_counts_once(tmp_path):
    run = make_run(tmp_path, ["right", "wrong"] * 20, ["right"] * 40, "eval.samples=2", "eval.temperature=1.0")
    for folder in (run.base, run.tuned(3407)):
        result, rows = files.read_json(folder / "result.json"), files.read_lines(folder / "samples.jsonl")
        for odd in range(1, 40, 2):  # the second of two samples of the question before
            for entry in (result["scores"][odd], rows[odd]):
                entry |= {"id": f"{odd - 1:016x}", "sample": 1}
        files.write_json(folder / "result.json", result)
        files.write_lines(folder / "samples.jsonl", rows)
    numbers = write.write(run)
    assert numbers.difference.accuracy.gained == 20
    assert "1 of 2 right" in run.page.read_text() and "Gained (20)" in run.page.read_text()
    assert "Gained (3 of 20)" in run.report.read_text()


def hostile(results, monkeypatch):
    """A run whose every wrong answer and every question is hostile."""
    for name, text in (("nothing", " ".join(HOSTILE) + "\u202e\0"), ("wrong", "<SOLUTION>" + "9" * 100_000)):
        monkeypatch.setitem(constructed.TEXTS, name, text)
    run = make_run(results, BASE, TUNED)
    for folder in (run.base, run.tuned(3407)):
        result = files.read_json(folder / "result.json")
        result["questions"] = dict.fromkeys(result["questions"], HOSTILE[0] + "y" * 3000)
        files.write_json(folder / "result.json", result)
    write.write(run)
    return run


def test_hostile_answers_are_text(tmp_path, monkeypatch):
    page = hostile(tmp_path, monkeypatch).page.read_text()
    check_one_file(page)
    tree = Tree(page)
    assert all(text in tree.text for text in HOSTILE)
    assert "U+202E" in tree.text and "\u202e" not in page
    assert f"{100_010 - HEAD - TAIL:,} characters left out" in tree.text


@needs_browser
def test_in_a_browser_nothing_runs_filters_work_and_360_pixels_are_enough(tmp_path, monkeypatch):
    run = hostile(tmp_path, monkeypatch)
    title = f"<title>{run.path.name}</title>"
    opened = dom(run.page.as_uri() + "#outcome=lost&rule=solution", tmp_path)
    assert title in opened and opened.count("<script>") == 1 and "<img" not in opened
    assert "2 of 100 questions shown" in opened
    # Text that got past all escaping would still be stopped by the policy.
    broken = tmp_path / "broken.html"
    broken.write_text(run.page.read_text().replace("<main>", f"<main>{HOSTILE[0]}{HOSTILE[2]}"))
    assert title in dom(broken.as_uri(), tmp_path)
    measured = "[page.document.documentElement.scrollWidth, page.getComputedStyle(page.document.body).backgroundColor]"
    light = ask(run.page, measured, tmp_path)
    dark = ask(run.page, measured, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert light == [360, "rgb(252, 252, 250)"] and dark == [360, "rgb(20, 23, 27)"]


def test_changed_questions_have_a_limit_too_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(html_report, "CHANGED_BYTES", 20_000)
    page = reported(tmp_path, BASE, TUNED).page.read_text()
    gained, lost = drawn_items(page, "gained"), drawn_items(page, "lost")
    assert 0 < gained < 30 and lost == 2  # what one kind takes is not taken from the other
    assert f"The first {gained} of 30 are in this page" in page and 'data-total="100"' in page


def test_text_that_cannot_be_seen_makes_no_page_that_cannot_be_opened(tmp_path, monkeypatch):
    """Alternating characters, which no run collapses: each of the 5,000 shown takes 35 bytes of markup or more."""
    monkeypatch.setitem(constructed.TEXTS, "wrong", "\u200b\u200c" * 3_000)
    monkeypatch.setitem(constructed.TEXTS, "nothing", "\u3164" * 6_000)
    page = reported(tmp_path, ["wrong"] * 150 + ["nothing"] * 50, ["right"] * 200).page
    assert page.stat().st_size < 2 * html_report.CHANGED_BYTES + html_report.PAGE_BYTES
    assert 0 < drawn_items(page.read_text(), "gained") < 200


def test_of_many_samples_the_first_few_are_drawn(tmp_path):
    many = [("right", "wrong", "wrong", "wrong", "wrong", "nothing")] * 30
    run = reported(tmp_path, many, [("right",) * 6] * 10 + many[10:], "eval.samples=6", "eval.temperature=1.0")
    page = run.page.read_text()
    assert page.count("The first 4 of 6 samples.") == 60 and "1 of 6 right" in page
    # 20 questions keep one right sample of six: neither gained nor lost, nor right or wrong.
    assert drawn_items(page, "partly") == 20 and "Unchanged, partly right (20)" in page


def test_the_first_newline_of_a_text_is_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(constructed.TEXTS, "nothing", "\nThe first line is empty.")
    page = reported(tmp_path, ["nothing"] * 30, ["right"] * 30).page.read_text()
    assert '<pre dir="auto">\n\nThe first line is empty.</pre>' in page  # HTML drops the newline after <pre>
    assert not re.search(r"<pre[^>]*>[^\n]", page)


def test_hostile_settings_golds_and_rollouts_are_text(tmp_path):
    run = make_run(tmp_path, BASE, TUNED, f"prompt.system={HOSTILE[0]}")
    for folder in (run.base, run.tuned(3407)):
        result = files.read_json(folder / "result.json")
        for score in result["scores"]:
            score["gold"] = HOSTILE[2]
        files.write_json(folder / "result.json", result)
    run.note("machine", Machine("Linux", 8, 8, HOSTILE[3] + "\u202e", 80.0))
    rows = [{"step": 1, "reward": reward, "gold": HOSTILE[4], "completion": f"reward {reward}"} for reward in (1, 3, 2)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), run.train(3407) / "completions.parquet")
    numbers = summary.read(reported(tmp_path / "other", BASE, TUNED).path)
    page = html_report.draw(run, numbers, sections.read(run, numbers)[1])
    check_one_file(page)
    tree = Tree(page)
    assert all(text in tree.text for text in (HOSTILE[0], HOSTILE[2], HOSTILE[4])) and "\u202e" not in page
    assert "⟨U+202E⟩" in tree.text
    titles = re.findall(r"Step 1, reward (\d), gold", tree.text)
    assert titles == ["3", "1"]  # the best, then the worst


def test_outcomes_lead_to_their_questions_without_a_script(run):
    page = run.page.read_text()
    for outcome in ("gained", "lost", "wrong", "right"):
        assert f'href="#outcome={outcome}"' in page and f'id="outcome={outcome}"' in page
    assert '<span id="keys" hidden>' in page


@needs_browser
def test_keys_walk_among_questions_alone_and_the_focus_is_not_under_the_bar(run, tmp_path):
    pressed = (
        "(() => { const d = page.document, press = (at, key) => at.dispatchEvent("
        "new page.KeyboardEvent('keydown', {key, bubbles: true}));\n"
        "const heads = [...d.querySelectorAll('.item:not([hidden]) summary')], found = [];\n"
        "for (const fold of d.querySelectorAll('details')) fold.open = false;\n"
        "press(d, 'j'); found.push(d.activeElement === d.body);\n"
        "heads[20].focus(); press(heads[20], 'j'); found.push(heads.indexOf(d.activeElement));\n"
        "press(heads[21], 'k'); found.push(heads.indexOf(d.activeElement)); page.scrollBy(0, 400); heads[12].focus();\n"
        "found.push(d.documentElement.style.getPropertyValue('--bar'));\n"
        "const bar = d.getElementById('filters').getBoundingClientRect();\n"
        "return [...found, heads[12].getBoundingClientRect().top >= bar.bottom]; })()"
    )
    body, after, back, bar, clear = ask(run.page, pressed, tmp_path, width=1000)
    assert (body, after, back, clear) == (True, 21, 20, True)
    assert int(bar.removesuffix("px")) > 40


@needs_browser
def test_the_search_finds_no_words_of_the_pages_own(run, tmp_path):
    typed = (
        "['exact format', 'ended by'].map((text) => { const field = page.document.querySelector('[name=text]');\n"
        "page.document.querySelector('[value=all]').checked = true; field.value = text;\n"
        "field.dispatchEvent(new page.Event('input', {bubbles: true}));\n"
        "return page.document.querySelector('output').textContent; })"
    )
    assert ask(run.page, typed, tmp_path) == ["0 of 100 questions shown"] * 2


@needs_browser
def test_typing_filters_and_the_address_remembers_it(run, tmp_path):
    typed = (
        "(() => { const field = page.document.querySelector('[name=text]'); field.value = 'QUESTION 7'; "
        "page.document.querySelector('[value=all]').checked = true; "
        "field.dispatchEvent(new page.Event('input', {bubbles: true})); "
        "return [page.document.querySelector('output').textContent, page.location.hash]; })()"
    )
    shown, address = ask(run.page, typed, tmp_path)
    assert shown == "11 of 100 questions shown"  # 7 and 70 to 79
    assert address == "#outcome=all&text=QUESTION+7"


def test_1319_long_answers_are_drawn_in_one_page(tmp_path, monkeypatch):
    """Every answer has 2,000 characters: all gained and lost ones are shown, and of the others as many as fit."""
    for name, text in constructed.TEXTS.items():
        monkeypatch.setitem(constructed.TEXTS, name, "Let me see. " * 160 + text)
    run = make_run(tmp_path, (BASE * 14)[:1319], (TUNED * 14)[:1319])
    numbers = write.write(run)
    assert 4_000_000 < run.page.stat().st_size < 5_000_000
    assert drawn_items(run.page.read_text(), "gained") == numbers.difference.accuracy.gained
