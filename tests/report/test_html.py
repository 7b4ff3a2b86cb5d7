"""Pages: what a model wrote stays text, one file is enough, and the policy stops what got past the escaping."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from harness.report import html
from harness.tasks.records import Tags
from harness.util.text import cell, one_line, visible
from tests.conftest import growth

HOSTILE = [
    "<script>document.title='pwned'</script>",
    "</pre></details></script></style><script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\"><svg onload=\"document.title='pwned'\">",
    "<a href=\"javascript:document.title='pwned'\">x</a> [x](javascript:alert(1)) {{ 7 * 7 }} {% raw %}",
    "]]><!-- --><!-- &lt;b&gt; <base href=//evil> <meta http-equiv=refresh content=0;url=//evil>",
]


class Tree(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text):
    tree = Tree(html.model_text(text, Tags()))
    assert tree.elements == [] and tree.text == text


def test_tags_are_marked_and_their_neighbours_are_escaped():
    found = html.model_text("<b><SOLUTION>1 < 2</SOLUTION>", Tags())
    assert found == "&lt;b&gt;<mark>&lt;SOLUTION&gt;</mark>1 &lt; 2<mark>&lt;/SOLUTION&gt;</mark>"
    assert "<mark>" not in html.model_text("<SOLUTION>")  # without an experiment's tags there are none
    other = Tags(solution_start="[[<i>", solution_end=".*")
    assert html.model_text("[[<i>5.*", other) == "<mark>[[&lt;i&gt;</mark>5<mark>.*</mark>"


@pytest.mark.parametrize(
    "character",
    ["\0", "\x1b", "\r", "\x85", "\u200b", "\u202e", "\u2066", "\u2028", "\ufeff", "\ud800", "\U000e0041", "\u034f",
     "\u115f", "\u17b4", "\u180b", "\u180f", "\u200c", "\u200d", "\u2800", "\u3164", "\ufdd0", "\ufe0f", "\uffa0",
     "\U0001d173", "\U0001fffe", "\U0010ffff", "\U000e0101"],
)  # fmt: skip
def test_what_cannot_be_seen_is_spelled_out(character):
    name = f"U+{ord(character):04X}"
    assert html.model_text(f"a{character}b") == f'a<span class="unseen">{name}</span>b'
    assert visible(f"a{character}b") == f"a⟨{name}⟩b"
    html.model_text(character).encode()


def test_what_is_text_in_any_script_stays_as_it_is():
    for text in ("line\n\tline", "семь", "שבע", "七", "é", "👩\u200d🔬", "❤\ufe0f", "می\u200cخواهم", "−5 × 3 ≥ −15"):
        assert html.model_text(text) == text == visible(text)


def test_a_joiner_is_text_only_behind_what_it_can_join():
    assert visible("👩\u200d\u200d\u200d") == "👩\u200d⟨U+200D⟩⟨U+200D⟩" and visible("1\ufe0f") == "1⟨U+FE0F⟩"


def test_a_run_of_one_unseen_character_is_one_mark():
    assert html.model_text("\u200b" * 3000) == '<span class="unseen">U+200B × 3,000</span>'
    two = '<span class="unseen">U+200B × 2</span><span class="unseen">U+202E</span>'
    assert html.model_text("\u200b\u200b\u202e") == two


def test_a_line_and_a_cell_hold_together():
    assert one_line("a\nb\x1b[2Jc|") == "a↵b⟨U+001B⟩[2Jc|"
    assert cell("a|b\n") == "a\\|b↵"


def test_what_a_template_prints_is_seen():
    template = html.environment().from_string("{{ text }}{{ ours }}{{ number }}")
    assert template.render(text="a\x1b\ud800", ours=Markup("<i>"), number=5) == "a⟨U+001B⟩⟨U+D800⟩<i>5"


def test_a_long_text_keeps_its_ends_and_says_what_is_left_out():
    shown = html.model_text("a" * html.HEAD + "b" * 95_000 + "c" * html.TAIL)
    assert shown.startswith("a" * html.HEAD + "<span") and shown.endswith("span>" + "c" * html.TAIL)
    assert "… 95,000 characters left out …" in shown and "b" not in Tree(shown).text.replace("characters", "")
    # Text that is left out takes no time: a text a hundred times as long is as fast.
    short, long = ("<" * length + "\0" * 100_000 for length in (100_000, 10_000_000))
    assert growth(html.model_text, short, long) < 25


def test_only_markup_of_ours_passes_a_template_unescaped():
    template = html.environment().from_string("{{ text }}{{ ours }}")
    assert template.render(text="<b>", ours=Markup("<i>")) == "&lt;b&gt;<i>"


def check_one_file(page: str) -> None:
    """No address that a browser would load, one stylesheet and one script, both allowed by hash alone."""
    tree = Tree(page)
    names = [name for name, _ in tree.elements]
    assert names.count("script") == names.count("style") == 1
    assert not {"img", "link", "iframe", "object", "embed", "base", "form", "video", "audio", "source"} & set(names)
    for _, attributes in tree.elements:
        assert not {"src", "srcset", "style", "background", "action"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert re.match(r"[\w./%#=+-]*$", attributes.get("href") or "") and ":" not in (attributes.get("href") or "")
    assert not re.search(r"url\(|@import|https?://", re.search("(?s)<style>.*?</style>", page)[0])
    (policy,) = [a["content"] for n, a in tree.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert policy.count("sha256-") == 2
    for tag in ("style", "script"):
        content = re.search(f"(?s)<{tag}>(.*?)</{tag}>", page)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
