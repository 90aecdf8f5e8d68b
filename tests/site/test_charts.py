"""Charts: scales, lines, gaps, bands, and what a reader gets of them."""

from __future__ import annotations

import json
import math
import re
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest

from rulepush.history.spans import SpanKind, StateSpan
from rulepush.site.charts import ChartSeries, ChartThreshold, DrawnChart, drawn_chart, drawn_strip
from rulepush.site.environment import templates
from rulepush.site.framed import FramedPage
from rulepush.site.language import Language
from rulepush.site.scales import DAY, HOUR, MINUTE, SECOND, tick_text, time_ticks, value_scale

T0 = 1_700_000_000_000 // DAY * DAY  # midnight


def series(*values: float, step: int = MINUTE, name: str = "m", times: list[int] | None = None) -> ChartSeries:
    at = times if times is not None else [i * step for i in range(len(values))]
    return ChartSeries(name, T0 + np.array(at, np.int64), np.array(values, np.float64))


# --- scales


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, ["0", "50", "100"]),
        (3, 97, ["0", "50", "100"]),
        (0.001, 0.0093, ["0", "0.005", "0.01"]),
        (1e9, 3.9e9, ["0", "1G", "2G", "3G", "4G"]),
        (1000, 1003, ["1k", "1.001k", "1.002k", "1.003k"]),
        (-5, 5, ["-5", "0", "5"]),
        (-8, -7.9, ["-8", "-7.95", "-7.9"]),
        (7, 7, ["0", "5", "10", "15"]),
        (0, 0, ["-1", "-0.5", "0", "0.5", "1"]),
        (-3, -3, ["-6", "-4", "-2", "0"]),
    ],
)
def test_the_ticks_of_values_are_round_and_tell_them_apart(low: float, high: float, ticks: list[str]) -> None:
    scale = value_scale(low, high)
    assert [t.text for t in scale.ticks] == ticks
    assert scale.low <= low <= high <= scale.high
    assert (scale.ticks[0].at, scale.ticks[-1].at) == (0, 1)


@pytest.mark.parametrize("low", [-1e300, -1e12, -0.1, 0, 1e-9, 1, 1e15])
@pytest.mark.parametrize("spread", [0, 1e-9, 0.3, 7, 1e14, 1e300])
def test_every_spread_of_values_has_a_scale_of_a_few_ticks(low: float, spread: float) -> None:
    scale = value_scale(low, low + spread)
    assert 2 <= len(scale.ticks) <= 12
    assert scale.low < scale.high


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(0, 1, "0"), (1500, 500, "1.5k"), (0.25, 0.05, "0.25"), (2e15, 1e15, "2e+15"), (1e-9, 1e-10, "1e-09")],
)
def test_a_tick_is_short(value: float, step: float, text: str) -> None:
    assert tick_text(value, step) == text


@pytest.mark.parametrize(
    ("start", "span", "texts"),
    [
        (13 * HOUR + 7 * MINUTE, HOUR, ["13:10", "13:20", "13:30", "13:40", "13:50", "14:00"]),
        (13 * HOUR, 30 * SECOND, ["13:00:00", "13:00:10", "13:00:20", "13:00:30"]),
        (22 * HOUR, 4 * HOUR, ["22:00", "23:00", "11-15", "01:00", "02:00"]),
        (HOUR, 15 * DAY, ["11-16", "11-23"]),
    ],
)
def test_the_ticks_of_times_are_round_and_midnight_says_the_day(start: int, span: int, texts: list[str]) -> None:
    got = [t.text for t in time_ticks(T0 + start, T0 + start + span)]
    assert got == texts


def test_there_are_never_many_ticks_of_time() -> None:
    for span in (0, 1, 999, MINUTE, 7 * HOUR, 40 * DAY, 5_000 * DAY):
        assert len(time_ticks(T0, T0 + span)) <= 7


# --- lines


def drawn(*lines: ChartSeries, start: int = 0, end: int = 10 * MINUTE, **more: object) -> DrawnChart:
    return drawn_chart(lines, T0 + start, T0 + end, MINUTE, **more)  # type: ignore[arg-type]


def test_a_line_runs_from_the_left_to_the_right_and_up_is_more() -> None:
    (line,) = drawn(series(0, 50, 100), end=2 * MINUTE).lines
    assert line.path == "M0 200L500 100L1000 0"
    assert json.loads(line.points) == [[T0, 0], [T0 + MINUTE, 50], [T0 + 2 * MINUTE, 100]]
    assert (line.name, line.css, line.last) == ("m", "c0", "100")


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_what_has_no_value_is_a_gap(missing: float) -> None:
    (line,) = drawn(series(0, missing, 100, 100), end=4 * MINUTE).lines
    assert line.path == "M0 200h0.01M500 0L750 0"


def test_points_that_are_far_from_each_other_are_not_joined() -> None:
    (line,) = drawn(series(0, 100, 100, times=[0, 2 * MINUTE, 3 * MINUTE]), end=4 * MINUTE).lines
    assert line.path.count("M") == 2


def test_many_points_are_thinned_to_the_lowest_and_the_highest_of_each_column() -> None:
    values = np.sin(np.arange(11_000.0))
    values[7_777] = 99.0
    values[3_000:3_100] = math.nan
    whole = ChartSeries("m", T0 + np.arange(11_000, dtype=np.int64) * SECOND, values)
    (line,) = drawn_chart([whole], T0, T0 + 11_000 * SECOND, SECOND).lines
    points = json.loads(line.points)
    assert len(points) <= 1_000
    assert [T0 + 7_777 * SECOND, 99.0] in points
    assert line.path.count("M") == 2  # the gap is still there, and no other
    assert [t for t, _ in points] == sorted(t for t, _ in points)


def test_what_lies_outside_of_the_time_is_left_out() -> None:
    (line,) = drawn(series(1, 2, 3, 4), start=MINUTE, end=2 * MINUTE).lines
    assert [v for _, v in json.loads(line.points)] == [2, 3]


def test_lines_have_colours_of_their_own_again_and_again() -> None:
    chart = drawn(*[series(1, name=str(i)) for i in range(12)])
    assert [line.css for line in chart.lines] == [f"c{i % 10}" for i in range(12)]


def test_a_chart_without_values_says_so() -> None:
    assert drawn(series(math.nan)).is_empty
    assert drawn().is_empty
    assert not drawn(series(1)).is_empty


def test_a_threshold_is_on_the_scale_although_no_value_comes_near() -> None:
    chart = drawn(series(1, 2), thresholds=[ChartThreshold("> 80", 80.0)])
    (threshold,) = chart.thresholds
    assert (threshold.name, threshold.y) == ("> 80", 0.0)
    assert chart.y_ticks[-1].text == "80"


def test_a_threshold_that_changes_is_a_line_of_its_own() -> None:
    chart = drawn(series(1, 2), thresholds=[ChartThreshold("> n", None, series(2, 4))], end=MINUTE)
    assert (chart.thresholds[0].y, chart.thresholds[0].path) == (None, "M0 100L1000 0")


def test_spans_are_cut_to_the_time_and_always_seen() -> None:
    spans = [
        StateSpan(T0 - HOUR, T0 + MINUTE, SpanKind.FIRING),
        StateSpan(T0 + 5 * MINUTE, T0 + 5 * MINUTE + 1, SpanKind.PENDING),
        StateSpan(T0 + HOUR, T0 + 2 * HOUR, SpanKind.FIRING),
    ]
    assert [(s.kind, s.x, s.width) for s in drawn(spans=spans).spans] == [("firing", 0, 100), ("pending", 500, 1.5)]
    last = StateSpan(T0 + 10 * MINUTE - 1, T0 + 10 * MINUTE, SpanKind.FIRING)
    assert [(s.x, s.width) for s in drawn(spans=[last]).spans] == [(998.5, 1.5)]


# --- what the reader gets


def page(language: Language = Language.ENGLISH) -> FramedPage:
    return FramedPage("t", "/alerts", "/", "", language, "", T0, (), (), "/s.css", "/s.js")


def html(call: str, language: Language = Language.ENGLISH, **values: object) -> str:
    source = '{% from "chart.html" import chart, strip with context %}' + call
    return templates().from_string(source).render(page=page(language), **values)


def figure(chart: DrawnChart, title: str = "Value", description: str = "of m") -> ElementTree.Element:
    text = html("{{ chart(drawn, 'v', title, description) }}", drawn=chart, title=title, description=description)
    return ElementTree.fromstring(text.strip())


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [e for e in root.iter() if name in e.get("class", "").split()]


CHART = drawn(
    series(1, 7, 9),
    series(2, 3, name='q="<script>alert(1)</script>"'),
    thresholds=[ChartThreshold("> 5", 5.0)],
    spans=[
        StateSpan(T0 + MINUTE, T0 + 2 * MINUTE, SpanKind.PENDING),
        StateSpan(T0 + 2 * MINUTE, T0 + HOUR, SpanKind.FIRING),
        StateSpan(T0 + 3 * MINUTE, T0 + 4 * MINUTE, SpanKind.HELD),
    ],
)


def test_a_screen_reader_gets_a_title_and_a_description() -> None:
    root = figure(CHART)
    svg = root.find("svg")
    assert svg is not None
    assert (svg.get("role"), svg.get("aria-labelledby")) == ("img", "v-title v-desc")
    named = {e.get("id"): e.text for e in svg.iter() if e.get("id")}
    assert named == {"v-title": "Value", "v-desc": "of m"}


def test_a_chart_has_its_lines_bands_threshold_and_ticks() -> None:
    root = figure(CHART)
    assert [e.get("class") for e in of_class(root, "band")] == ["band pending", "band firing", "band held"]
    assert next(e.findtext("title") for e in of_class(root, "band")) == "pending, 11-14 00:01:00 - 11-14 00:02:00, 1m"
    assert len(of_class(root, "line")) == 2
    assert [e.text for e in of_class(root, "threshold") if e.tag == "text"] == ["> 5"]
    assert {e.text for e in of_class(root, "tick")} >= {"0", "5", "00:02", "00:10"}
    (plot,) = {e.get("viewBox") for e in of_class(root, "plot")}
    assert plot == "0 0 1000 200"


def test_a_chart_needs_no_inline_style() -> None:
    text = html("{{ chart(drawn, 'v', 't', 'd') }}", drawn=CHART)
    assert "style" not in text


def test_names_are_escaped() -> None:
    text = html("{{ chart(drawn, 'v', title, 'd') }}", drawn=CHART, title="<b>")
    assert "<script>" not in text
    assert "<b>" not in re.sub(r"<b>\d", "", text)
    assert 'q="<script>alert(1)</script>"' in unescape(text)


def test_the_legend_names_the_lines_where_there_are_several() -> None:
    assert [li.findtext("span") for li in figure(CHART).iter("li")] == ["m", 'q="<script>alert(1)</script>"']
    assert list(figure(drawn(series(1))).iter("li")) == []


def test_a_strip_says_in_words_what_it_shows() -> None:
    spans = [
        StateSpan(T0 + HOUR, T0 + 2 * HOUR, SpanKind.PENDING),
        StateSpan(T0 + 2 * HOUR, T0 + 5 * HOUR, SpanKind.FIRING),
        StateSpan(T0 + 3 * HOUR, T0 + 4 * HOUR, SpanKind.HELD),
    ]
    root = ElementTree.fromstring(html("{{ strip(s) }}", s=drawn_strip(spans, T0, T0 + 24 * HOUR)).strip())
    assert " ".join((root.findtext("title") or "").split()) == "The last 1d: firing for 3h, pending for 1h"
    assert [e.get("class") for e in of_class(root, "band")] == ["band pending", "band firing", "band held"]
    empty = html("{{ strip(s) }}", Language.CHINESE, s=drawn_strip([], T0, T0 + HOUR))
    assert "最近 1小时：" in empty
    assert "没有待触发，也没有触发" in empty
