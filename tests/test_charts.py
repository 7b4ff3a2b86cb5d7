"""Charts: marks where their numbers are, round axes, words for every number, and nothing that is not escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from harness import charts
from harness.charts import Bar, Curve, Mark, Row


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
    root = drawn(charts.curve("c", "Reward", Curve([1, 2, 3], [0.0, 4.0, 2.0], [0.0, 3.0, 1.0], [1.0, 5.0, 3.0])))
    points = [tuple(map(float, p.split(","))) for p in all_of(root, "polyline")[0].get("points").split()]
    assert points[1][1] < points[2][1] < points[0][1]  # downwards is up
    assert len(all_of(root, "polygon")[0].get("points").split()) == 6
    assert "0 at step 1, 2 at step 3; lowest 0, highest 4" in all_of(root, "desc")[0].text
    alone = drawn(charts.curve("c", "Reward", Curve([7], [1.0])))
    assert len(all_of(alone, "circle")) == 1


def test_constant_values_and_no_change_have_an_axis_all_the_same():
    for value in (0.0, 3.0, -2e6):
        drawn(charts.curve("c", "C", Curve([1, 2], [value, value])))
    drawn(charts.forest("f", "F", [Row("A", (Mark("unclear", 0.0, 0.0, 0.0, "0"),))], zero=True))
    drawn(charts.waterfall("w", "W", [Bar("format", "F", 0.0, "0")], Bar("total", "S", 0.0, "0")))


def test_every_chart_has_words_escapes_its_labels_and_sets_no_style_of_its_own():
    row = Row("<script>&", (Mark("difference", 1.0, 0.5, 2.0, '+1 "<b>"'),))
    svg = str(charts.forest("f", "<title>", [row], zero=True))
    assert "<script>" not in svg and "<b>" not in svg and svg.count("<title") == 1
    assert "style=" not in svg  # which the page's content security policy would drop
    words = all_of(drawn(svg), "desc")[0].text
    assert words == '<script>&: +1 "<b>"' and re.search('role="img" aria-labelledby="f-title f-desc"', svg)


def test_shares_are_as_wide_as_their_counts():
    root = drawn(charts.strip("s", "S", {"gained": 30, "lost": 0, "right": 10}))
    assert [float(r.get("width")) for r in all_of(root, "rect", "share")] == [300.0, 100.0]
