"""Charts: marks where their numbers are, round axes, words for every number, and nothing that is not escaped."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from harness.report import charts, wording
from harness.report.charts import Bar, Change, Curve, Mark, Row
from harness.stats.records import Estimate


def drawn(svg) -> ElementTree.Element:
    return ElementTree.fromstring(charts.as_file(svg))


def all_of(root: ElementTree.Element, tag: str, kind: str = "") -> list[ElementTree.Element]:
    found = root.iter(f"{{http://www.w3.org/2000/svg}}{tag}")
    return [each for each in found if kind in each.get("class", "").split() or not kind]


def test_a_forest_puts_every_mark_on_its_axis():
    marks = (Mark("base", 40.0, 30.0, 50.0, "40%"), Mark("tuned", 80.0, 70.0, 90.0, "80%"))
    root = drawn(charts.forest("rates", "Rates", [Row("Accuracy", marks)]))
    ticks = {t.text: float(t.get("x")) for t in all_of(root, "text", "middle")}
    assert list(ticks) == ["20", "40", "60", "80", "100"]  # 30 to 90, widened to round numbers
    (ring,) = [circle for circle in all_of(root, "circle") if circle.get("cy") != "10"]  # the other is the legend's
    assert float(ring.get("cx")) == pytest.approx(ticks["40"], abs=0.1)
    base, tuned = all_of(root, "line", "interval")
    assert float(base.get("x2")) == pytest.approx((ticks["40"] + ticks["60"]) / 2, abs=0.1)
    assert float(tuned.get("x1")) == pytest.approx((ticks["60"] + ticks["80"]) / 2, abs=0.1)


def test_an_axis_of_differences_holds_zero_and_one_of_rates_ends_at_100():
    root = drawn(charts.forest("d", "D", [Row("A", (Mark("difference", 6.0, 5.0, 7.0, "+6"),))], zero=True))
    ticks = {t.text: float(t.get("x")) for t in all_of(root, "text", "middle")}
    (zero,) = all_of(root, "line", "zero")
    assert float(zero.get("x1")) == ticks["0"]
    root = drawn(charts.forest("r", "R", [Row("A", (Mark("base", 100.0, 99.0, 100.0, "100%"),))]))
    assert all_of(root, "text", "middle")[-1].text == "100"


def test_a_waterfall_adds_up_also_downwards():
    parts = [Bar("mathematics", "M", -10.0, "-10"), Bar("format", "F", 30.0, "+30")]
    root = drawn(charts.waterfall("w", "W", parts, Bar("total", "S", 20.0, "+20")))
    ticks = {t.text: float(t.get("x")) for t in all_of(root, "text", "middle")}
    sides = [(float(r.get("x")), float(r.get("x")) + float(r.get("width"))) for r in all_of(root, "rect", "bar")]
    ends = [(ticks["−10"], ticks["0"]), (ticks["−10"], ticks["20"]), (ticks["0"], ticks["20"])]
    assert sides == [pytest.approx(end, abs=0.3) for end in ends]


def test_a_curve_goes_through_its_values_and_one_step_is_a_dot():
    root = drawn(charts.curve("c", "Reward", {"": Curve([1, 2, 3], [0.0, 4.0, 2.0], [0.0, 3.0, 1.0], [1.0, 5.0, 3.0])}))
    points = [tuple(map(float, p.split(","))) for p in all_of(root, "polyline")[0].get("points").split()]
    assert points[1][1] < points[2][1] < points[0][1]  # downwards is up
    assert len(all_of(root, "polygon")[0].get("points").split()) == 6
    assert "0 at step 1, 2 at step 3; lowest 0, highest 4" in all_of(root, "desc")[0].text
    alone = drawn(charts.curve("c", "Reward", {"": Curve([7], [1.0])}))
    assert len(all_of(alone, "circle")) == 1


def test_pointing_at_a_step_tells_the_values_of_every_curve():
    root = drawn(charts.curve("c", "C", {"": Curve([1, 2, 3], [0.0, 4.0, 2.0], [0.0, 3.0, 1.0], [1.0, 5.0, 3.0])}))
    assert [column[0].text for column in all_of(root, "rect", "column")] == [
        "step 1: 0 (0 to 1)", "step 2: 4 (3 to 5)", "step 3: 2 (1 to 3)",
    ]  # fmt: skip
    root = drawn(charts.curve("c", "C", {"seed 1": Curve([1, 2], [0.0, 4.0]), "seed 2": Curve([2, 3], [1.0, 2.0])}))
    columns = all_of(root, "rect", "column")
    assert [column[0].text for column in columns] == [
        "step 1: seed 1 0", "step 2: seed 1 4, seed 2 1", "step 3: seed 2 2",
    ]  # fmt: skip
    ends = [(float(column.get("x")), float(column.get("x")) + float(column.get("width"))) for column in columns]
    assert all(left[1] == pytest.approx(right[0], abs=0.2) for left, right in pairwise(ends))
    assert [text.text for text in all_of(root, "text", "tick")][:2] == ["seed 1", "seed 2"]
    long = drawn(charts.curve("c", "C", {"": Curve(range(1, 1001), [1.0] * 1000)}))
    assert len(all_of(long, "rect", "column")) <= charts.COLUMNS


def test_rates_stand_over_the_value_of_their_setting():
    def places(values):
        points = [(value, Mark("tuned", 50.0 + n, 40.0, 60.0, f"{50 + n}%")) for n, value in enumerate(values)]
        root = drawn(charts.against("a", "A", "lora.r", points, Mark("base", 30.0, 20.0, 40.0, "30%")))
        shown = {text.text: float(text.get("x")) for text in all_of(root, "text", "middle")}
        lines = [float(line.get("x1")) for line in all_of(root, "line", "interval")]
        assert lines == [pytest.approx(shown[f"{value:g}"], abs=0.1) for value in values]
        assert all_of(root, "rect", "column")[0][0].text == f"lora.r = {values[0]:g}: 50%"
        assert all_of(root, "desc")[0].text.endswith("base 30%")
        return lines

    first, second, third = places([2, 8, 32])  # far apart: equal factors are equal distances
    assert second - first == pytest.approx(third - second, abs=0.2)
    first, second, third = places([0, 10, 30])
    assert 2 * (second - first) == pytest.approx(third - second, abs=0.3)
    assert len(places([5])) == 1


def test_a_share_is_drawn_in_percent_on_an_axis_that_stays_between_0_and_100():
    for values, ends in (([0.0, 0.0], ("0%", "6%")), ([1.0, 0.99], ("94%", "100%")), ([0.2, 0.9], ("20%", "100%"))):
        root = drawn(charts.curve("c", "C", {"": Curve([1, 2], values)}, share=True))
        ticks = [text.text for text in all_of(root, "text", "end")][:-1]
        assert (ticks[0], ticks[-1]) == ends
    root = drawn(charts.curve("c", "C", {"": Curve([1, 2], [0.25, 1 / 3], [0.2, 0.3], [0.3, 0.5])}, share=True))
    assert [column[0].text for column in all_of(root, "rect", "column")] == [
        "step 1: 25% (20 to 30%)", "step 2: 33.3% (30 to 50%)",
    ]  # fmt: skip
    assert all_of(root, "desc")[0].text == "C: 25% at step 1, 33.3% at step 2; lowest 25%, highest 33.3%"


def test_constant_values_and_no_change_have_an_axis_all_the_same():
    for value in (0.0, 3.0, -2e6, 1e13, -3e15, 1e308):
        drawn(charts.curve("c", "C", {"": Curve([1, 2], [value, value])}))
    drawn(charts.forest("f", "F", [Row("A", (Mark("unclear", 0.0, 0.0, 0.0, "0"),))], zero=True))
    drawn(charts.waterfall("w", "W", [Bar("format", "F", 0.0, "0")], Bar("total", "S", 0.0, "0")))


def test_every_axis_between_round_numbers_has_its_ticks():
    """Differences of floats fall short of their decimals, as 0.9 - 0.6 = 0.29999999999999993 does of 0.3."""
    for step in (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0):
        for first in range(-40, 41):
            for parts in range(1, 31):
                scale = charts._span([first * step, first * step + parts * step], 1e-3)
                assert 2 <= len(scale.ticks) <= 8, (first, step, parts)


def test_every_chart_has_words_escapes_its_labels_and_sets_no_style_of_its_own():
    row = Row("<script>&", (Mark("difference", 1.0, 0.5, 2.0, '+1 "<b>"'),))
    svg = str(charts.forest("f", "<title>", [row], zero=True))
    assert "<script>" not in svg and "<b>" not in svg and svg.count("<title") == 1
    assert "style=" not in svg  # which the page's content security policy would drop
    words = all_of(drawn(svg), "desc")[0].text
    assert words == '<script>&: +1 "<b>"' and re.search('role="img" aria-labelledby="f-title f-desc"', svg)


def test_a_dumbbell_joins_base_and_tuned_on_an_axis_of_all_percents():
    rates = Mark("base", 40.0, 30.0, 50.0, "40%"), Mark("tuned", 80.0, 70.0, 90.0, "80%")
    changes = [Change("A", *rates, Mark(kind, 40.0, 20.0, 60.0, "+40")) for kind in ("difference", "unclear")]
    root = drawn(charts.dumbbell("d", "D", changes))
    ticks = {t.text: float(t.get("x")) for t in all_of(root, "text", "middle")}
    assert [*ticks][:: len(ticks) - 1] == ["0", "100"]
    bars = all_of(root, "line", "change")
    assert [(float(bar.get("x1")), float(bar.get("x2"))) for bar in bars] == [
        (pytest.approx(ticks["40"], abs=0.1), pytest.approx(ticks["80"], abs=0.1))
    ] * 2
    assert [bar.get("class") for bar in bars] == ["change difference", "change unclear"]
    base = all_of(root, "line", "range")[0]
    assert float(base.get("x2")) == pytest.approx((ticks["40"] + ticks["60"]) / 2, abs=0.1)
    assert "A: base 40%, tuned 80%, difference +40" in all_of(root, "desc")[0].text


@pytest.mark.parametrize(
    ("value", "text"),
    [(999.4, "999"), (999.7, "1,000"), (-0.0, "0"), (-5.0, "−5"), (12_345.6, "12,346"), (1e13, "1e+13")],
)
def test_numbers_are_written_as_a_reader_would(value, text):
    assert charts._number(value) == text


def test_unseen_characters_in_a_label_are_spelled_out():
    row = Row("a\u202eb", (Mark("difference", 1.0, 0.5, 2.0, "+1"),), "note\x1b")
    svg = str(charts.forest("f", "F", [row], zero=True))
    assert "a⟨U+202E⟩b" in svg and "note⟨U+001B⟩" in svg and not {"\u202e", "\x1b"} & set(svg)


def test_an_interval_that_ends_at_0_is_unclear():
    for low, high, series in ((0.0, 0.1, "unclear"), (-0.1, 0.0, "unclear"), (0.01, 0.1, "difference"),
                              (-0.1, -0.01, "difference"), (-0.1, 0.1, "unclear")):  # fmt: skip
        ends = {"value": (low + high) / 2, "low": low, "high": high}
        assert wording.difference_mark(Estimate(**ends)).series == series


def test_colours_have_the_contrast_that_eyes_need():
    """WCAG 2.2: contrast 4.5:1 for text, 3:1 for controls and shapes; with its formula of relative luminance."""
    light, dark = charts.style().split("@media")[:2]
    for part in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", part.partition("svg.chart")[0]))
        pairs = [(front, back, 4.5) for front in ("ink", "soft", "tuned", "gain", "loss", "doubt") for back in
                 ("paper", "card")] + [("tag-ink", "tag", 4.5), ("loss", "tint", 4.5)]  # fmt: skip
        shapes = ("edge", "base", "tuned", "math", "format", "gain-fill", "loss-fill", "doubt-fill")
        pairs += [(front, back, 3.0) for front in shapes for back in ("paper", "card")]
        for front, back, least in pairs:
            bright, dim = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= least, (front, back)


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
