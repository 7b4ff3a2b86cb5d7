"""Data in a page: it comes out as it went in, takes little room, and what cannot be seen is spelled out."""

from __future__ import annotations

import random
import re

import pytest

from harness.report.page.packed import HEAD, TAIL, fitting, pack, readable, unpack
from harness.util.text import visible
from tests.conftest import growth
from tests.report.test_html import HOSTILE


def test_what_is_packed_comes_out_and_no_text_in_it_is_markup():
    record = {"texts": HOSTILE, "none": None, "numbers": [1, 2.5, True], "其他": "</template>"}
    packed = pack(record)
    assert unpack(packed) == record and packed == pack(record)
    assert re.fullmatch("[A-Za-z0-9+/=]+", packed)


def test_as_much_is_kept_as_fits_when_packed():
    rng = random.Random(1)
    noise = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=2000)) for _ in range(200)]
    kept = fitting(noise, 100_000)
    assert kept == noise[: len(kept)] and 0 < len(kept) < len(noise)
    assert 60_000 < len(pack(kept)) * 3 / 4 < 105_000
    assert len(fitting(["a" * 79_998] * 100, 100_000)) == 10  # it takes no room in the file, but memory in a browser
    assert fitting([], 10) == fitting(["a" * 100], 1) == []


@pytest.mark.parametrize(
    "character",
    ["\0", "\x1b", "\r", "\x85", "\u200b", "\u202e", "\u2066", "\u2028", "\ufeff", "\ud800", "\U000e0041", "\u034f",
     "\u115f", "\u17b4", "\u180b", "\u180f", "\u200c", "\u200d", "\u2800", "\u3164", "\ufdd0", "\ufe0f", "\uffa0",
     "\U0001d173", "\U0001fffe", "\U0010ffff", "\U000e0101"],
)  # fmt: skip
def test_what_cannot_be_seen_is_spelled_out(character):
    assert readable(f"a{character}b") == f"a⟨U+{ord(character):04X}⟩b" == visible(f"a{character}b")
    pack(readable(character))


def test_what_is_text_in_any_script_stays_as_it_is():
    for text in ("line\n\tline", "семь", "שבע", "七", "é", "👩\u200d🔬", "❤\ufe0f", "می\u200cخواهم", "−5 × 3 ≥ −15"):
        assert readable(text) == text == visible(text)


def test_a_joiner_is_text_only_behind_what_it_can_join():
    assert visible("👩\u200d\u200d\u200d") == "👩\u200d⟨U+200D⟩⟨U+200D⟩" and visible("1\ufe0f") == "1⟨U+FE0F⟩"


def test_a_run_of_one_unseen_character_is_named_once():
    assert readable("\u200b" * 3000) == "⟨U+200B × 3,000⟩"
    assert readable("\u200b\u200b\u202e") == "⟨U+200B × 2⟩⟨U+202E⟩"


def test_a_long_text_keeps_its_ends_and_says_what_is_left_out():
    shown = readable("a" * HEAD + "b" * 95_000 + "c" * TAIL)
    assert shown == "a" * HEAD + "\n⟨… 95,000 characters left out …⟩\n" + "c" * TAIL
    # Text that is left out takes no time: a text a hundred times as long is as fast.
    short, long = ("<" * length + "\0" * 100_000 for length in (100_000, 10_000_000))
    assert growth(readable, short, long) < 25
