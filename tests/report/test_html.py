"""Pages: what a model wrote stays text, one file is enough, and the policy stops what got past the escaping."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from markupsafe import Markup

from harness.report import html
from harness.util.text import cell, one_line

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


def test_a_line_and_a_cell_hold_together():
    assert one_line("a\nb\x1b[2Jc|") == "a↵b⟨U+001B⟩[2Jc|"
    assert cell("a|b\n") == "a\\|b↵"


def test_what_a_template_prints_is_seen():
    template = html.environment().from_string("{{ text }}{{ ours }}{{ number }}")
    assert template.render(text="a\x1b\ud800", ours=Markup("<i>"), number=5) == "a⟨U+001B⟩⟨U+D800⟩<i>5"


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
