"""Charts as SVG: intervals, changes and their parts, curves over steps. Numbers in, markup out, in milliseconds.

Without a plotting library, because a page needs few bytes, text as text, and colours that follow the reader's light or
dark setting: shapes have classes, and templates/chart.css colours them, in a page and in a file of its own. Shape or
words also show what colour shows. Every number drawn is in the chart's <desc>.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby, pairwise
from pathlib import Path

from markupsafe import Markup

from harness.util.text import shown

WIDTH = 400  # of every chart, in its own units; a phone shows it a little smaller than it is drawn
LINE = 21  # between two marks of a row, and the height of a line of text
BAR = 46  # between two bars
ABOVE, BELOW = 3, 22  # the height of a label, from the top of its row: no line goes through it
FAR = 8  # times the smallest value of a setting, from which on its axis is logarithmic
LINES = 4  # curves that are drawn differently
COLUMNS = 120  # steps of a curve whose values can be pointed at
LABEL = 40  # characters of a row's label
LARGEST = 1e300  # the largest end of an axis: a longer span would overflow
LONGEST_WRITTEN = 1e9  # larger numbers are written as powers
SERIES = {  # their names in the legend
    "base": "base",
    "tuned": "tuned",
    "difference": "0 lies outside the interval",
    "unclear": "0 lies inside the interval",
}


@dataclass(frozen=True)
class Mark:
    """One estimate with its interval, in the axis' units."""

    series: str  # a key of SERIES
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Row:
    label: str
    marks: tuple[Mark, ...]
    note: str = ""  # next to the label


@dataclass(frozen=True)
class Change:
    """A rate before and after, in percent, and the difference in points."""

    label: str
    base: Mark
    tuned: Mark
    difference: Mark


@dataclass(frozen=True)
class Curve:
    """A value for each step; with a band around it if low and high are given."""

    steps: Sequence[float]
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Bar:
    """A part of a change, or the whole of it, in the axis' units."""

    kind: str  # "mathematics", "readability", "format" or "total": the colour
    label: str
    value: float
    text: str


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high` onto the chart's x or y from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        step = _step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def forest(name: str, title: str, rows: Sequence[Row], *, zero: bool = False, pitch: int = 1) -> Markup:
    """Estimates with intervals, row by row; with `zero` a line marks no difference, else the axis is percent.

    A row has the height of at least `pitch` marks, so that charts side by side can be aligned. The axis spans what
    is drawn, widened to round numbers, so it need not begin at 0.
    """
    ends = [end for row in rows for mark in row.marks for end in (mark.low, mark.high)]
    scale = _span([*ends, 0.0], 4.0) if zero else _span(ends, 20.0, 0.0, 100.0)
    longest = max(len(mark.text) for row in rows for mark in row.marks)
    scale = Scale(scale.low, scale.high, 10, WIDTH - 14 - 6.9 * longest)
    heights = [LINE * (1 + max(pitch, len(row.marks))) + 6 for row in rows]
    bottom = LINE + sum(heights)
    parts = [_legend([series for series in SERIES if any(m.series == series for row in rows for m in row.marks)])]
    parts += _vertical_axis(scale, LINE + 4, bottom)
    for row, top, height in zip(rows, accumulate(heights, initial=LINE), heights, strict=False):
        label = _clipped(row.label, LABEL)
        if zero:
            parts.append(_upright("zero", scale(0), top + BELOW, top + height + ABOVE))
        parts.append(_text("label", 10, top + 16, label))
        if row.note:
            parts.append(_text("tick end", WIDTH - 6, top + 16, _clipped(row.note, LABEL + 8 - len(label))))
        for number, mark in enumerate(row.marks, 1):
            parts += _mark(mark, scale, top + 16 + LINE * number - 4)
    described = "; ".join(f"{row.label}: " + ", ".join(_spoken(mark) for mark in row.marks) for row in rows)
    return _svg(name, title, described, bottom + 24, parts)


def dumbbell(name: str, title: str, changes: Sequence[Change]) -> Markup:
    """Rates before and after, joined, on an axis from 0 to 100, with their intervals; the differences at the right.

    The bar that joins them is drawn through if 0 lies outside the difference's interval, else dotted.
    """
    scale, height = Scale(0, 100, 10, WIDTH - 14), 2 * LINE + 8
    bottom = LINE + height * len(changes)
    parts = [_legend(["base", "tuned"]), *_vertical_axis(scale, LINE + 4, bottom)]
    for number, each in enumerate(changes):
        top = LINE + height * number
        y = top + 34.0
        parts += [_text("label", 10, top + 17, each.label), _text("value", WIDTH - 6, top + 17, each.difference.text)]
        for side in (each.base, each.tuned):
            parts.append(
                _tag('<line class="range {0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/>', side.series,
                     scale(side.low), scale(side.high), y)
            )  # fmt: skip
        joined = '<line class="change {0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/>'
        parts.append(_tag(joined, each.difference.series, scale(each.base.value), scale(each.tuned.value), y))
        parts += [_shape("tuned", scale(each.tuned.value), y), _shape("base open", scale(each.base.value), y)]
    described = "; ".join(
        f"{each.label}: {_spoken(each.base)}, {_spoken(each.tuned)}, difference {each.difference.text}"
        for each in changes
    )
    return _svg(name, title, described, bottom + 24, parts)


def against(name: str, title: str, setting: str, points: Sequence[tuple[float, Mark]], base: Mark) -> Markup:
    """Rates in percent against a setting, with their intervals; the base's rate is a line across.

    The setting's axis is logarithmic if its values lie far apart and above 0. A column over a value tells its rates.
    """
    at = sorted({value for value, _ in points})
    far = at[0] > 0 and at[-1] / at[0] >= FAR
    place = math.log10 if far else float
    low, high = place(at[0]), place(at[-1])
    room = 0.06 * (high - low) or 0.5
    across = Scale(low - room, high + room, 44, WIDTH - 12)
    ends = [end for _, mark in points for end in (mark.low, mark.high)]
    reach = _span([*ends, base.value], 4.0, 0.0, 100.0)
    up = Scale(reach.low, reach.high, 160, 30)
    parts = [_text("label", 10, 16, title)]
    for tick in up.ticks:
        parts.append(_tag('<line class="grid" x1="44" x2="{0}" y1="{1}" y2="{1}"/>', WIDTH - 12, up(tick)))
        parts.append(_text("tick end", 38, up(tick) + 4, _number(tick)))
    parts.append(_tag('<line class="zero" x1="44" x2="{0}" y1="{1}" y2="{1}"/>', WIDTH - 12, up(base.value)))
    parts.append(_text("tick end", WIDTH - 14, up(base.value) - 4, "base"))
    for value, mark in points:
        x = across(place(value))
        line = '<line class="interval {0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>'
        parts += [_tag(line, mark.series, x, up(mark.low), up(mark.high)), _shape(mark.series, x, up(mark.value))]
    told = {value: ", ".join(mark.text for of, mark in points if of == value) for value in at}
    for value in at:
        x = across(place(value))
        parts.append(_text("tick middle", x, 178, f"{value:g}"))
        column = '<rect class="column" x="{}" y="30" width="16" height="130"><title>{}</title></rect>'
        parts.append(_tag(column, x - 8, f"{setting} = {value:g}: {told[value]}"))
    parts.append(_text("tick end", WIDTH - 12, 194, _clipped(setting, LABEL)))
    described = "; ".join([*(f"{setting} {value:g}: {told[value]}" for value in at), f"base {base.text}"])
    return _svg(name, title, described, 200, parts)


def waterfall(name: str, title: str, parts: Sequence[Bar], total: Bar) -> Markup:
    """Parts that add up to a total; each bar begins where the one before it ended."""
    sums = list(accumulate((part.value for part in parts), initial=0.0))
    reach = _span([*sums, total.value], 4.0)
    scale = Scale(reach.low, reach.high, 10, WIDTH - 14)
    bars = [(part, *ends) for part, ends in zip(parts, pairwise(sums), strict=True)]
    bottom = BAR * (len(bars) + 1)
    drawn = _vertical_axis(scale, 4, bottom)
    for number, (bar, start, end) in enumerate([*bars, (total, 0.0, total.value)]):
        y = BAR * number
        left, right = sorted((scale(start), scale(end)))
        shape = '<rect class="bar {}" x="{}" y="{}" width="{}" height="15"/>'
        drawn.append(_upright("zero", scale(0), y + BELOW, y + BAR + ABOVE))
        drawn.append(_text("label", 10, y + 17, bar.label))
        drawn.append(_text("value", WIDTH - 6, y + 17, bar.text))
        drawn.append(_tag(shape, bar.kind, left, y + 24, max(right - left, 1.0)))
        if 0 < number < len(bars):
            drawn += [
                _upright("join", scale(start), y - 22, y + ABOVE),
                _upright("join", scale(start), y + BELOW, y + 39),
            ]
    described = "; ".join(f"{bar.label} {bar.text}" for bar in (*parts, total))
    return _svg(name, title, described, bottom + 24, drawn)


def curve(name: str, title: str, lines: Mapping[str, Curve], *, share: bool = False) -> Markup:
    """A curve over the training's steps, or one for each name; a single step is a dot.

    A curve that is alone is drawn with its band. `share`: the values lie between 0 and 1, drawn in percent. Over
    every step lies a column with the values as its title, which a browser shows where it is pointed at.
    """
    alone, unit = len(lines) == 1, "%" if share else ""
    drawn = {label: data if alone else Curve(data.steps, data.values) for label, data in lines.items()}
    if share:
        drawn = {label: _in_percent(data) for label, data in drawn.items()}
    ends = [end for data in drawn.values() for end in (*data.low, *data.high, *data.values)]
    reach = _span(ends, 10.0, 0.0, 100.0) if share else _span(ends, 1e-3)
    steps = sorted({step for data in drawn.values() for step in data.steps})
    top = 30 if alone else 48
    across = Scale(steps[0], max(steps[-1], steps[0] + 1), 44, WIDTH - 12)
    up = Scale(reach.low, reach.high, top + 130, top)
    parts = [_text("label", 10, 16, title), *([] if alone else _names(enumerate(drawn)))]
    for tick in up.ticks:
        parts.append(_tag('<line class="grid" x1="44" x2="{0}" y1="{1}" y2="{1}"/>', WIDTH - 12, up(tick)))
        parts.append(_text("tick end", 38, up(tick) + 4, _number(tick) + unit))
    for tick in across.ticks:
        if tick == int(tick):
            parts.append(_text("tick middle", across(tick), top + 148, _number(tick)))
    for number, data in enumerate(drawn.values()):
        parts += _line(data, number, across, up)
    parts += _columns(drawn, steps, across, top, unit)
    parts.append(_text("tick end", WIDTH - 12, top + 164, "step"))
    described = "; ".join(f"{label or title}: {_course(data, unit)}" for label, data in drawn.items())
    return _svg(name, title, described, top + 170, parts)


def pass_at_k(
    name: str,
    title: str,
    base: Sequence[float],
    tuned: Sequence[float],
    band: Sequence[tuple[float, float] | tuple[None, None]],
) -> Markup:
    """Two panels over k = 1, 2, …: base and tuned in percent; tuned minus base in points with its band, and 0.

    band: its ends at each k; None where there is none, which leaves a gap.
    """
    ks, difference = list(range(1, len(base) + 1)), [t - b for b, t in zip(base, tuned, strict=True)]
    across = Scale(1, max(len(ks), 2), 44, WIDTH - 12)
    reach = _span([*base, *tuned], 10.0, 0.0, 100.0)
    ends = [end for pair in band for end in pair if end is not None]
    around = _span([*ends, *difference, 0.0], 4.0)
    upper, lower = Scale(reach.low, reach.high, 150, 48), Scale(around.low, around.high, 292, 190)
    parts = [_text("label", 10, 16, "Questions solved, %"), *_names([(0, "tuned"), (3, "base")])]
    parts.append(_text("label", 10, 178, "Tuned minus base, points"))
    for panel in (upper, lower):
        for tick in panel.ticks:
            parts.append(_tag('<line class="grid" x1="44" x2="{0}" y1="{1}" y2="{1}"/>', WIDTH - 12, panel(tick)))
            parts.append(_text("tick end", 38, panel(tick) + 4, _number(tick)))
    parts.append(_tag('<line class="zero" x1="44" x2="{0}" y1="{1}" y2="{1}"/>', WIDTH - 12, lower(0)))
    for number, values in ((0, tuned), (3, base)):
        parts += _line(Curve(ks, values), number, across, upper)
    for _, run in groupby(zip(ks, difference, band, strict=True), lambda each: each[2][0] is None):
        at, values, pairs = zip(*run, strict=True)
        low, high = zip(*pairs, strict=True)
        parts += _line(Curve(at, values) if low[0] is None else Curve(at, values, low, high), 0, across, lower)
    for tick in across.ticks:
        if tick == int(tick):
            parts.append(_text("tick middle", across(tick), 310, _number(tick)))
    told = {k: f"k = {k}: base {_number(b)}, tuned {_number(t)}" for k, b, t in zip(ks, base, tuned, strict=True)}
    for k, d, (low, high) in zip(ks, difference, band, strict=True):
        told[k] += f", difference {_number(d)}" + ("" if low is None else f" ({_number(low)} to {_number(high)})")
    for k in ks:
        column = '<rect class="column" x="{}" y="48" width="8" height="244"><title>{}</title></rect>'
        parts.append(_tag(column, across(k) - 4, told[k]))
    parts.append(_text("tick end", WIDTH - 12, 326, "answers a question, k"))
    return _svg(name, title, "; ".join(told[k] for k in ks), 332, parts)


def _line(data: Curve, number: int, across: Scale, up: Scale) -> Iterator[Markup]:
    points = [(across(step), up(value)) for step, value in zip(data.steps, data.values, strict=True)]
    if data.low:
        edge = [(across(s), up(v)) for s, v in zip(data.steps, data.high, strict=True)]
        edge += [(across(s), up(v)) for s, v in reversed(list(zip(data.steps, data.low, strict=True)))]
        yield _tag('<polygon class="band" points="{}"/>', _points(edge))
    kind = f"curve n{number % LINES}"
    yield _tag('<polyline class="{}" points="{}"/>', kind, _points(points))
    if len(points) == 1:
        yield _tag('<circle class="dot" cx="{}" cy="{}" r="4"/>', *points[0])


def _names(labels: Iterable[tuple[int, str]]) -> Iterator[Markup]:
    """The legend of several curves: how each is drawn, and its name."""
    x = 12.0
    for number, label in labels:
        stroke = '<line class="curve n{0}" x1="{1}" x2="{2}" y1="30" y2="30"/>'
        yield _tag(stroke, number % LINES, x, x + 20)
        yield _text("tick", x + 25, 34, label)
        x += 40 + 6.6 * len(label)


def _in_percent(data: Curve) -> Curve:
    return Curve(data.steps, *([100 * value for value in each] for each in (data.values, data.low, data.high)))


def _columns(lines: Mapping[str, Curve], steps: list[float], across: Scale, top: float, unit: str) -> Iterator[Markup]:
    """An unseen column over every step, or over every second, third, … of very many, whose title has the values."""
    shown = steps[:: -(-len(steps) // COLUMNS)]
    places = [across(step) for step in shown]
    edges = [across.start, *((x + y) / 2 for x, y in pairwise(places)), across.end]
    told: dict[float, list[str]] = {step: [] for step in shown}
    for label, data in lines.items():
        bands = zip(data.low, data.high, strict=True) if data.low else [None] * len(data.values)
        for step, value, band in zip(data.steps, data.values, bands, strict=True):
            if step in told:
                between = f" ({_number(band[0])} to {_number(band[1])}{unit})" if band else ""
                told[step].append(f"{label} {_number(value)}{unit}{between}".strip())
    for step, (left, right) in zip(shown, pairwise(edges), strict=True):
        column = '<rect class="column" x="{}" y="{}" width="{}" height="130"><title>{}</title></rect>'
        yield _tag(column, left, top, right - left, f"step {_number(step)}: {', '.join(told[step])}")


def _course(data: Curve, unit: str) -> str:
    first, last, low, high = (
        _number(value) + unit for value in (data.values[0], data.values[-1], min(data.values), max(data.values))
    )
    steps = _number(data.steps[0]), _number(data.steps[-1])
    return f"{first} at step {steps[0]}, {last} at step {steps[1]}; lowest {low}, highest {high}"


@cache
def style() -> str:
    """The colours and type of every chart, for a page's stylesheet."""
    return (Path(__file__).parent / "templates" / "chart.css").read_text(encoding="utf-8")


def as_file(svg: Markup) -> str:
    """The chart as a file of its own, with its colours included."""
    opening, end, rest = str(svg).partition(">")
    return f'{opening} width="{WIDTH * 1.5:g}" xmlns="http://www.w3.org/2000/svg"{end}<style>{style()}</style>{rest}\n'


def in_light(file: str) -> str:
    """The text of such a file with its light colours written out, for renderers without CSS variables."""
    colours = dict(re.findall(r"--([\w-]+): ([^;]+);", style().partition("@media")[0]))
    return re.sub(r"var\(--([\w-]+)\)", lambda match: colours[match[1]], file)


# --- the pieces ----------------------------------------------------------------------------------------------


def _tag(template: str, *values: object) -> Markup:
    """Markup with escaped values; coordinates to a tenth, so that equal charts are equal bytes."""
    return Markup(template).format(*(_coordinate(v) if isinstance(v, float) else shown(v) for v in values))


def _coordinate(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{_coordinate(x)},{_coordinate(y)}" for x, y in points)


def _upright(kind: str, x: float, top: float, bottom: float) -> Markup:
    return _tag('<line class="{0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>', kind, x, top, bottom)


def _text(kind: str, x: float, y: float, text: str) -> Markup:
    return _tag('<text class="{}" x="{}" y="{}">{}</text>', kind, x, y, text)


def _svg(name: str, title: str, described: str, height: float, parts: list[Markup]) -> Markup:
    opening = _tag(
        '<svg class="chart" viewBox="0 0 {0} {1}" role="img" aria-labelledby="{2}-title {2}-desc">',
        WIDTH, height, name,
    )  # fmt: skip
    words = _tag('<title id="{0}-title">{1}</title><desc id="{0}-desc">{2}</desc>', name, title, described)
    return opening + words + Markup("").join(parts) + Markup("</svg>")


def _legend(series: list[str]) -> Markup:
    x, parts = 16.0, []
    for each in series:
        parts += [_shape(each, x, 10), _text("tick", x + 10, 14, SERIES[each])]
        x += 34 + 6.3 * len(SERIES[each])
    return Markup("").join(parts)


def _vertical_axis(scale: Scale, top: float, bottom: float) -> list[Markup]:
    parts = []
    for tick in scale.ticks:
        parts.append(_tag('<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>', scale(tick), top, bottom))
        parts.append(_text("tick middle", scale(tick), bottom + 16, _number(tick)))
    return parts


def _mark(mark: Mark, scale: Scale, y: float) -> list[Markup]:
    ends = scale(mark.low), scale(mark.high)
    return [
        _tag('<line class="interval {0}" x1="{1}" x2="{2}" y1="{3}" y2="{3}"/>', mark.series, *ends, y),
        _shape(mark.series, scale(mark.value), y),
        _text("value", WIDTH - 6, y + 4, mark.text),
    ]


def _shape(series: str, x: float, y: float) -> Markup:
    """A ring for the base and for "unclear", a diamond for the others, so that they differ without colour too."""
    if series in ("base", "base open", "unclear"):
        return _tag('<circle class="point {}" cx="{}" cy="{}" r="4.5"/>', series, x, y)
    corners = _points([(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)])
    return _tag('<polygon class="point {}" points="{}"/>', series, corners)


def _spoken(mark: Mark) -> str:
    return f"{mark.series} {mark.text}" if mark.series in ("base", "tuned") else mark.text


def _clipped(text: str, most: int) -> str:
    """The text cut to at most so many characters, its beginning and its end."""
    half = most // 2
    return text if len(text) <= most else f"{text[: half - 1]}…{text[-half:]}"


def _span(values: Sequence[float], least: float, floor: float = -math.inf, ceiling: float = math.inf) -> Scale:
    """An axis around the values, at least `least` long, with round numbers at its ends; drawn from 0 to 1."""
    low, high = (min(max(end, -LARGEST), LARGEST) for end in (min(values), max(values)))
    least = max(least, 1e-9 * max(abs(low), abs(high)))  # less would be lost in rounding
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    step = _step(high - low)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Scale(max(low, floor), min(high, ceiling), 0, 1)


def _step(span: float) -> float:
    """The distance of ticks: 1, 2 or 5 times a power of ten, three to six of them on the axis."""
    power = 10.0 ** math.floor(math.log10(span / 3))
    # A span of 0.9 - 0.6 is a little less than 0.3, and still three steps of 0.1.
    return next(factor * power for factor in (5, 2, 1) if span / (factor * power) >= 3 - 1e-9)


def _number(value: float) -> str:
    # From 999.5 on, three digits would be written as a power; + 0.0 removes the sign of a zero.
    text = f"{value:,.0f}" if 999.5 <= abs(value) < LONGEST_WRITTEN else f"{value + 0.0:.3g}"
    return text.replace("-", "−")
