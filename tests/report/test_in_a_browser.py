"""report.html in Chromium: tabs, search, permalinks, marked words, hints, phones, and that nothing else runs."""

from __future__ import annotations

import pyarrow.parquet
import pytest

from harness.report import write
from harness.util import files
from tests import constructed
from tests.browser import AS_PRINTED, ask, dom, needs_browser, printed_pages
from tests.constructed import make_run, reported
from tests.report.test_html import HOSTILE
from tests.report.test_html_report import BASE, TUNED, hostile

pytestmark = needs_browser

SEEDS = {5: TUNED, 6: BASE, 7: ["wrong"] * 100}
TYPE = (
    "(name, value) => { const field = d.querySelector(`[name=${name}]`); field.value = value; "
    "field.dispatchEvent(new page.Event('input', {bubbles: true})); }"
)
SHOWN = "[...d.querySelectorAll('.item:not([hidden])')].map((item) => item.dataset.id)"
SAID = "d.querySelector('.found output').textContent"
NONE = "No question fits the search and the filters."
COUNTS = "[...d.querySelectorAll('#outcomes label:not([hidden])')].map((label) => label.textContent)"


def does(steps: str, result: str) -> str:
    """An expression that takes these steps, which may await `later()`, and then has this value."""
    return f"(async () => {{ const type = {TYPE}; {steps}; return {result}; }})()"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("page"), BASE, TUNED)


@pytest.fixture(scope="module")
def of_seeds(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("seeds"), BASE, SEEDS)


def test_hostile_texts_stay_text_nothing_runs_and_360_pixels_are_enough(tmp_path, monkeypatch):
    run = hostile(tmp_path, monkeypatch)
    title = f"<title>{run.path.name}</title>"
    opened = dom(run.page.as_uri() + "#outcome=lost&rule=solution", tmp_path)
    assert title in opened and opened.count("<script>") == 1 and "<img" not in opened
    assert "2 of 100 questions shown" in opened
    # Text that got past all escaping would still be stopped by the policy.
    broken = tmp_path / "broken.html"
    broken.write_text(run.page.read_text().replace("<main>", f"<main>{HOSTILE[0]}{HOSTILE[2]}"))
    assert title in dom(broken.as_uri(), tmp_path)
    opened = does(
        "for (const fold of d.querySelectorAll('details')) fold.open = true; await later()",
        "[d.documentElement.scrollWidth, page.getComputedStyle(d.body).backgroundColor, d.title, "
        "[...d.querySelectorAll('pre')].map((text) => text.textContent).find((text) => text.includes('<img src=x'))]",
    )
    light = ask(run.page, opened, tmp_path, at="#outcome=all")
    dark = ask(run.page, opened, tmp_path, "--blink-settings=preferredColorScheme=0", at="#outcome=all")
    assert (light[:3], dark[:3]) == (
        [360, "rgb(252, 252, 250)", run.path.name], [360, "rgb(20, 23, 27)", run.path.name]
    )  # fmt: skip
    assert all(text in light[3] for text in HOSTILE) and "⟨U+202E⟩⟨U+0000⟩" in light[3]


@pytest.mark.parametrize("tab", ["result", "questions", "training", "details"])
def test_no_tab_is_wider_than_a_phone(of_seeds, tmp_path, tab):
    measured = (
        "[d.documentElement.scrollWidth, [...d.querySelectorAll('.tab:not([hidden])')].map((tab) => tab.id), "
        "[...d.querySelectorAll('.answer > div')].every((cards) => cards.scrollWidth <= cards.clientWidth)]"
    )
    assert ask(of_seeds.page, measured, tmp_path, at=f"#{tab}") == [360, [tab], True]


def test_an_outcome_leads_to_its_questions_and_nothing_is_under_the_bars(run, tmp_path):
    steps = "d.querySelector('a[href=\"#outcome=lost\"]').click(); await later(); await later()"
    top = "(element) => element.getBoundingClientRect()"
    found = (
        f"[{SAID}, {SHOWN}.length, ({top})(d.querySelector('.tab:not([hidden]) h2')).top >= "
        f"({top})(d.querySelector('.tabs')).bottom, d.querySelector('.tabs [aria-current]').textContent]"
    )
    assert ask(run.page, does(steps, found), tmp_path, width=1000) == [
        "2 of 100 questions shown", 2, True, "Questions"
    ]  # fmt: skip


def test_a_heading_has_an_address_that_opens_its_tab_below_the_bar(run, tmp_path):
    found = (
        "[d.querySelector('.tabs [aria-current]').textContent, d.getElementById('completions').getBoundingClientRect()"
        ".top >= d.querySelector('.tabs').getBoundingClientRect().bottom]"
    )
    assert ask(run.page, found, tmp_path, at="#completions", width=1000) == ["Details", True]


def test_a_question_has_an_address_and_can_be_copied(of_seeds, tmp_path):
    one = f"{5:016x}"
    steps = (
        "const item = d.querySelector('.item[open]'), copied = []; const bar = d.getElementById('filters');\n"
        "Object.defineProperty(page.navigator, 'clipboard', {value: {writeText: async (text) => copied.push(text)}});\n"
        "item.querySelector('.actions button').click(); await later();"
    )
    found = (
        "[item.dataset.id, item.querySelector('.actions a').hash, [...item.querySelectorAll('h4')]"
        ".map((side) => side.textContent), item.getBoundingClientRect().top >= bar.getBoundingClientRect().bottom, "
        "item.getBoundingClientRect().top < 400, copied[0]]"
    )
    at, link, sides, clear, seen, copied = ask(
        of_seeds.page, does(steps, found), tmp_path, at=f"#q={one}&seed=7", width=1000
    )
    assert (at, link, clear, seen) == (one, f"#q={one}&seed=7", True, True)
    assert sides == ["base", "tuned, seed 7"]
    assert copied.startswith(f"**Question** {one}: Question 5: how much is 6 * 3?\n\n**Gold:** 18\n\n**Base** (wrong")
    assert "**Tuned (seed 7)**" in copied and constructed.TEXTS["wrong"] in copied


def test_typing_filters_the_address_remembers_it_and_the_chips_count(run, tmp_path):
    steps = "d.querySelector('[value=all]').checked = true; type('text', 'QUESTION 7')"
    found = f"[{SAID}, page.location.hash, {COUNTS}]"
    said, address, counts = ask(run.page, does(steps, found), tmp_path, at="#questions")
    assert said == "11 of 100 questions shown"  # 7 and 70 to 79
    assert address == "#outcome=all&text=QUESTION+7"
    assert counts == ["▲▼ changed 3", "▲ gained 1", "▼ lost 2", "✗ both wrong 0", "✓ both right 8", "all 11"]


def test_the_search_finds_no_words_of_the_pages_own(run, tmp_path):
    for text in ("exact format", "rule solution"):
        steps = f"d.querySelector('[value=all]').checked = true; type('text', '{text}')"
        assert ask(run.page, does(steps, SAID), tmp_path, at="#questions") == NONE


def test_what_is_found_elsewhere_is_one_click_away(run, tmp_path):
    steps = f"type('text', 'question 9'); const before = {SAID}; d.querySelector('[name=all]').click()"
    found = f"[before, {SAID}, {SHOWN}.length]"
    asked = ask(run.page, does(steps, found), tmp_path, at="#outcome=lost")
    assert asked == ["0 in lost, 11 in all →", "11 of 100 questions shown", 11]


def test_a_search_that_finds_nothing_can_be_cleared_and_the_filters_close_as_a_menu_does(run, tmp_path):
    steps = (
        f"type('text', 'zzz'); const before = {SAID}; d.querySelector('[name=all]').click();\n"
        "const facets = d.getElementById('facets'), open = []; const look = () => open.push(facets.open);\n"
        "facets.open = true; facets.querySelector('label').click(); look();\n"
        "d.dispatchEvent(new page.KeyboardEvent('keydown', {key: 'Escape', bubbles: true})); look();\n"
        "facets.open = true; d.querySelector('h1').click(); look()"
    )
    found = f"[before, {SAID}, d.querySelector('[name=all]').hidden, ...open]"
    asked = ask(run.page, does(steps, found), tmp_path, at="#outcome=all")
    assert asked == [NONE, "100 of 100 questions shown", True, True, False, False]


def test_facets_and_orders(tmp_path, monkeypatch):
    monkeypatch.setitem(constructed.TEXTS, "wrong", "<SOLUTION>9</SOLUTION>")
    base, tuned = ["right, no format", "wrong", "wrong", "right"], ["right", "right, cut", "nothing", "wrong"]
    run = make_run(tmp_path, base * 10, tuned * 10)
    result = files.read_json(run.tuned(3407) / "result.json")
    for number, score in enumerate(result["scores"]):
        score["tokens"] = 100 - number
    files.write_json(run.tuned(3407) / "result.json", result)
    write.write(run)
    for asked, numbers in {
        "format=gained": range(0, 40, 4),
        "cut=tuned": range(1, 40, 4),
        "tuned=no+number+in+the+text": range(2, 40, 4),
        "base=correct&outcome=lost": range(3, 40, 4),
        "tokens=50+to+99&outcome=all&sort=longest": range(1, 40),
        "tokens=100+to+199": [0],
        "outcome=all&sort=shortest": range(39, -1, -1),
        "outcome=lost&sort=shrank": range(39, 0, -4),
    }.items():
        found = ask(run.page, SHOWN, tmp_path, at=f"#{asked}")
        assert found == [f"{number:016x}" for number in numbers], asked


def test_a_seed_has_its_own_outcomes_and_a_question_shows_those_of_all(of_seeds, tmp_path):
    steps = (
        "d.querySelector('[name=seed][value=\"7\"]').click(); d.querySelector('[value=all]').click();\n"
        "d.querySelector('.item').open = true; await later()"
    )
    found = (
        f"[{COUNTS}, [...d.querySelector('.item .seeds').children].map((each) => each.textContent), page.location.hash]"
    )
    counts, seeds, address = ask(of_seeds.page, does(steps, found), tmp_path, at="#questions")
    assert counts == ["▲▼ changed 60", "▲ gained 0", "▼ lost 60", "✗ both wrong 40", "✓ both right 0", "all 100"]
    assert seeds == ["seed 5 ✓ both right 18", "seed 6 ✓ both right 18", "seed 7 ▼ lost 9"]
    assert address == "#outcome=all&seed=7"


def test_words_that_differ_are_marked_and_so_is_the_number_that_decided(run, tmp_path):
    steps = "d.querySelector('[name=diff]').click(); d.querySelector('.item').open = true; await later()"
    texts = "(name) => [...d.querySelectorAll(`.item pre ${name}`)].map((each) => each.textContent)"
    found = f"[({texts})('del'), ({texts})('ins'), ({texts})('.decided'), ({texts})('.tag').length]"
    deleted, inserted, decided, tags = ask(run.page, does(steps, found), tmp_path, at="#outcome=gained")
    assert deleted == ["+", "9", "9"] and inserted == ["*", "18", "18"]
    assert decided == ["9", "18"] and tags == 8


def test_the_longest_common_subsequence_of_words_stays_unmarked(run, tmp_path):
    def marks(before: str, after: str) -> list[list[str]]:
        texts = f"[{before!r}, {after!r}]"
        return f"page.eval('difference')(...{texts}).map((marks, of) => marks.map(([a, b]) => {texts}[of].slice(a, b)))"

    cases = {
        ("a b c d", "a x c d"): [["b"], ["x"]],
        ("", "new words"): [[], ["new words"]],
        ("the same", "the same"): [[], []],
        ("a b c", "c"): [["a b"], []],
        ("x a y a", "a a"): [["x", "y"], []],
    }
    asked = "[" + ", ".join(marks(*texts) for texts in cases) + "]"
    page = tmp_path / "open.html"
    page.write_text(run.page.read_text().replace("script-src '", "script-src 'unsafe-eval' '"))
    assert ask(page, asked, tmp_path) == list(cases.values())


def test_keys_walk_among_questions_alone_and_the_focus_is_not_under_the_bars(run, tmp_path):
    steps = (
        "const press = (at, key) => at.dispatchEvent(new page.KeyboardEvent('keydown', {key, bubbles: true}));\n"
        "const heads = [...d.querySelectorAll('.item:not([hidden]) summary')], found = [];\n"
        "press(d.querySelector('[name=text]'), 'j'); found.push(d.activeElement === d.body);\n"
        "press(d.body, 'j'); found.push(heads.indexOf(d.activeElement)); heads[20].focus();\n"
        "press(heads[20], 'j'); found.push(heads.indexOf(d.activeElement));\n"
        "press(heads[21], 'k'); found.push(heads.indexOf(d.activeElement)); page.scrollBy(0, 400); heads[12].focus();\n"
        "const bar = d.getElementById('filters').getBoundingClientRect()"
    )
    found = "[...found, heads[12].getBoundingClientRect().top >= bar.bottom, bar.top > 0]"
    assert ask(run.page, does(steps, found), tmp_path, at="#outcome=all", width=1000) == [
        True, 0, 21, 20, True, True
    ]  # fmt: skip


@pytest.mark.parametrize("width", [360, 1000])
def test_the_outline_of_a_question_with_the_focus_is_not_cut(run, tmp_path, width):
    """What is drawn outside a row, which is contained, is not seen."""
    steps = (
        "const head = d.querySelectorAll('.item:not([hidden]) summary')[3];\n"
        "d.dispatchEvent(new page.KeyboardEvent('keydown', {key: 'j', bubbles: true})); head.focus(); await later();\n"
        "const look = page.getComputedStyle(head), inner = head.getBoundingClientRect();\n"
        "const outer = head.parentNode.getBoundingClientRect();\n"
        "const reach = parseFloat(look.outlineWidth) + parseFloat(look.outlineOffset)"
    )
    found = (
        "[head.matches(':focus-visible'), reach, Math.min(inner.left - outer.left, outer.right - inner.right, "
        "inner.top - outer.top, outer.bottom - inner.bottom), outer.left >= 0 && outer.right <= page.innerWidth]"
    )
    focused, reach, room, seen = ask(run.page, does(steps, found), tmp_path, at="#outcome=all", width=width)
    assert focused and seen and 0 < reach <= room


def test_a_word_says_what_it_means_where_it_is_pointed_at_or_focused(run, tmp_path):
    steps = (
        "const word = d.querySelector('.term'), hint = d.getElementById('hint'), found = [hint.hidden];\n"
        "word.focus(); await later(); found.push(hint.textContent);\n"
        "word.blur(); await later(); found.push(hint.hidden)"
    )
    hidden, said, again = ask(run.page, does(steps, "found"), tmp_path)
    assert hidden and again and said.startswith("A right final answer in any format")


def test_a_report_of_many_questions_prints_on_a_few_sheets(tmp_path):
    run = reported(tmp_path, BASE * 10, {seed: outcomes * 10 for seed, outcomes in SEEDS.items()})
    assert 2 <= printed_pages(run.page.as_uri(), tmp_path) <= 4


def test_whatever_tab_is_open_the_result_is_printed_and_what_is_not_is_said(run, tmp_path):
    found = (
        "[[...d.querySelectorAll('.tab')].filter((tab) => tab.offsetHeight).map((tab) => tab.id), "
        "d.querySelector('.printed').offsetHeight > 0, d.querySelector('.printed').textContent]"
    )
    shown, told, words = ask(run.page, does(AS_PRINTED, found), tmp_path, at="#training", width=700)
    assert (shown, told) == (["result"], True) and words.startswith(
        "Printed: the Result tab. Not printed: the questions"
    )
    assert not ask(run.page, "d.querySelector('.printed').offsetHeight", tmp_path)
    pages = [printed_pages(run.page.as_uri() + at, tmp_path) for at in ("", "#training")]
    assert pages[0] == pages[1] >= 2


@pytest.mark.parametrize("at", ["#result", "#training", "#details"])
def test_on_a_phone_a_table_is_cards_or_scrolls_in_its_own_box(of_seeds, tmp_path, at):
    found = (
        "[...d.querySelectorAll('.tab:not([hidden]) .scroll')].filter((box) => box.offsetHeight).map((box) => "
        "[box.getBoundingClientRect().right <= 360, box.scrollWidth <= box.clientWidth || "
        "page.getComputedStyle(box).overflowX === 'auto'])"
    )
    boxes = ask(of_seeds.page, does("", found), tmp_path, at=at)
    assert all(each == [True, True] for each in boxes) and (boxes or at == "#training")
    cards = (
        "[...d.querySelectorAll('.tab:not([hidden]) .cards')].map((t) => t.scrollWidth <= t.parentElement.clientWidth)"
    )
    assert all(ask(of_seeds.page, cards, tmp_path, at=at))


def test_on_a_phone_each_card_names_its_tables_first_column_and_no_interval_is_broken(of_seeds, tmp_path):
    found = (
        "[page.getComputedStyle(d.querySelector('#training-seeds tbody th'), '::before').content, "
        "[...d.querySelectorAll('.scroll .cards .interval')].every((each) => each.getClientRects().length <= 1)]"
    )
    assert ask(of_seeds.page, found, tmp_path) == ['"training"', True]


@pytest.mark.parametrize("several", [False, True])
def test_on_a_phone_no_interval_of_the_first_screen_and_no_count_is_broken(run, of_seeds, tmp_path, several):
    lines = (
        "(element) => { const range = d.createRange(); range.selectNodeContents(element); "
        "return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size; }"
    )
    found = (
        "[[...d.querySelectorAll('.answer .cards td')].every((cell) => cell.offsetHeight && "
        f"[...cell.childNodes].filter((node) => node.textContent.trim()).every((node) => ({lines})(node) === 1)), "
        "[...d.querySelectorAll('.tab:not([hidden]) .counts')].every((each) => each.getClientRects().length === 1), "
        "[...d.querySelectorAll('.answer .cards, .tabs')].every((e) => e.scrollWidth <= e.clientWidth), "
        "d.documentElement.scrollWidth]"
    )
    page = (of_seeds if several else run).page
    assert ask(page, found, tmp_path) == [True, True, True, 360]


def test_answers_are_whole_on_a_phone(run, tmp_path):
    found = "[...d.querySelectorAll('.item .answers')].every((e) => e.offsetHeight && e.scrollWidth <= e.clientWidth)"
    assert ask(run.page, found, tmp_path, at="#outcome=all")


def test_a_page_of_a_loss_begins_with_the_questions_lost(tmp_path):
    run = reported(tmp_path, TUNED, BASE)
    opened = f"[{COUNTS}, {SHOWN}[0]]"
    counts, first = ask(run.page, opened, tmp_path, at="#questions")
    assert counts[1].startswith("▼ lost") and counts[2].startswith("▲ gained")
    lost = ask(run.page, f"{SHOWN}[0]", tmp_path, at="#outcome=lost")
    assert first == lost
    text = run.report.read_text(encoding="utf-8")
    assert "## Gained" not in text or text.index("## Lost") < text.index("## Gained")


def test_a_word_of_a_table_or_a_sentence_is_explained(run, tmp_path):
    found = (
        "[[...d.querySelectorAll('#words tbody th')].map((e) => e.textContent), "
        "[...d.querySelectorAll('#training-seeds .term, #completions .term, section .term')].length > 0]"
    )
    words, marked = ask(run.page, found, tmp_path, at="#words")
    assert {"marked", "exact format", "tutorial", "robust", "zeroed", "own change"} <= set(words) and marked


def test_what_can_be_cited_can_be_copied(run, tmp_path):
    steps = (
        "const copied = [];\n"
        "Object.defineProperty(page.navigator, 'clipboard', {value: {writeText: async (text) => copied.push(text)}});\n"
        "for (const button of d.querySelectorAll('#cite button')) { button.click(); await later(); }"
    )
    markdown, latex, bibtex, command = ask(run.page, does(steps, "copied"), tmp_path)
    assert markdown.startswith(f"**{run.path.name}**: Accuracy rose by 28.0 points, and the format")
    assert "| Accuracy | 60.0% [" in markdown and command.endswith("python -m harness.run config.yaml")
    assert r"Accuracy & 60.0\% [" in latex and latex.endswith(r"\end{tabular}")
    assert bibtex.startswith(f"@misc{{{run.path.name},\n  author = {{{{The GRPO harness authors}}}},")
    assert f"title = {{{{{run.path.name}: Accuracy rose by" in bibtex


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two trainings whose metrics and rollouts are those of a real one in kind."""
    run = make_run(tmp_path_factory.mktemp("trained"), BASE, {5: TUNED, 6: TUNED})
    for seed in (5, 6):
        rows = [
            {"step": step, "reward": step / seed, "rollout/accuracy": 0.5, "kl": step / 100, "entropy": 0.4}
            | {"profiles_disagree/format": 0.0, "profiles_disagree/answer": 0.0}
            | {"grad_norm": 1.0, "clip_ratio/region_mean": 0.0, "groups/equal_rewards": 0.25}
            for step in (1, 2, 3)
        ]
        files.write_lines(run.train(seed) / "metrics.jsonl", rows)
        kept = [
            {"step": step, "problem_id": f"{step}", "question": f"Question of step {step}", "gold": "18", "tokens": 7}
            | {"completion": f"{HOSTILE[2]} {part}", "reward": part and step + part}
            | {"reward_numbers": part, "reward_tags": None}
            for step in (1, 3)
            for part in (-0.5, None, 0.25)
        ]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(kept), run.train(seed) / "completions.parquet")
    write.write(run)
    return run


def test_every_rollout_is_shown_by_step_with_the_parts_of_its_reward(trained, tmp_path):
    steps = (
        "const place = d.getElementById('kept-rollouts'), seen = [];\n"
        "const texts = (name) => [...place.querySelectorAll(name)].map((each) => each.textContent);\n"
        "const look = () => seen.push([...texts('h3, .question'), texts('.rollout .meta'), texts('pre')]);\n"
        "look(); place.querySelector('button').click(); look()"
    )
    last, first = ask(trained.page, does(steps, "seen"), tmp_path, at="#training")
    assert last == [
        "Step 3",
        "Question of step 3",
        [
            "reward 3.25 (+0.38 to the mean) · numbers 0.25 · tags none · 7 tokens",
            "reward 2.5 (−0.38 to the mean) · numbers −0.5 · tags none · 7 tokens",
            "no reward · numbers none · tags none · 7 tokens",
        ],
        [f"{HOSTILE[2]} {part}" for part in ("0.25", "-0.5", "None")],
    ]
    assert first[:2] == ["Step 1", "Question of step 1"]


def test_a_curve_tells_its_values_to_a_pointer_and_to_the_arrow_keys(trained, tmp_path):
    steps = (
        "const chart = d.querySelector('svg[aria-labelledby^=reward-]'), hint = d.getElementById('hint'), seen = [];\n"
        "const look = () => seen.push(hint.hidden ? null : hint.textContent);\n"
        "const at = (target, event) => { target.dispatchEvent(event); look(); };\n"
        "at(chart.querySelectorAll('.column')[1], new page.MouseEvent('mouseover', {bubbles: true}));\n"
        "at(chart, new page.MouseEvent('mouseout', {bubbles: true})); chart.focus();\n"
        "const key = (key) => at(chart, new page.KeyboardEvent('keydown', {key, bubbles: true}));\n"
        "key('ArrowRight'); key('ArrowRight'); key('ArrowLeft'); chart.blur(); await later()"
    )
    seen = ask(trained.page, does(steps, "[...seen, hint.hidden]"), tmp_path, at="#training")
    two = "step 2: seed 5 0.4, seed 6 0.333"
    assert seen == [two, None, "step 1: seed 5 0.2, seed 6 0.167", two, "step 1: seed 5 0.2, seed 6 0.167", True]


def test_every_metric_of_the_steps_has_its_curve_or_is_said_to_be_0(trained, tmp_path):
    found = "[...d.querySelectorAll('#training svg title')].filter((e) => e.id).map((e) => e.textContent)"
    assert ask(trained.page, found, tmp_path, at="#training") == [
        "Mean reward", "Accuracy of the rollouts", "Groups of equal rewards",
        "KL divergence from the base, nats", "Entropy of a token, nats", "Gradient norm",
    ]  # fmt: skip
    assert "0 at every step: Tokens whose ratio is clipped." in trained.page.read_text()
