"""Charts: from series, thresholds and spans of time to what `chart.html` draws as inline SVG.

Times run over the whole width, in percent, so that a chart is as wide as its place and its texts keep their size, on a
phone too; heights are pixels. Colours are classes of the style sheet: the pages' policy allows no inline style.
Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.history.spans import SpanKind, StateSpan
from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.site.formats import short_number
from rulepush.site.scales import AxisTick, ValueScale, time_ticks, value_scale

WIDTH: Final = 1000  # of the drawing, in units that are stretched to the width of the page
HEIGHT: Final = 200  # pixels
COLOURS: Final = 10  # classes c0..c9
_COLUMNS: Final = 500  # of each, a series keeps the lowest and the highest point


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """A line: `times` are ms, ascending, `values` as many; NaN and infinite ones are gaps."""

    name: str
    times: Ints
    values: Floats


@dataclass(frozen=True, slots=True)
class ChartThreshold:
    """What the values are compared with: `name` is how a reader sees it, `> 5`. A line across where it is a number,
    else the series of what it was. `css` is a class of it."""

    name: str
    value: float | None = None
    series: ChartSeries | None = None
    css: str = ""


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """A line in the drawing: `path` is an SVG path, `points` the JSON of [[ms, value], ...], for the crosshair."""

    name: str
    css: str
    path: str
    points: str
    last: str


@dataclass(frozen=True, slots=True)
class DrawnSpan:
    """A rectangle over the whole height: `x` and `width` in units of the drawing."""

    kind: str
    x: float
    width: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DrawnThreshold:
    """A threshold: `y` (pixels) of a line across, or a path."""

    name: str
    y: float | None
    path: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class DrawnChart:
    """What the template draws. `x_ticks` have their place in percent, `y_ticks` theirs in pixels from the top; `start`
    and `end` are ms. `is_empty`: there is no value to show."""

    start: int
    end: int
    height: int
    lines: Sequence[DrawnLine]
    thresholds: Sequence[DrawnThreshold]
    spans: Sequence[DrawnSpan]
    x_ticks: Sequence[AxisTick]
    y_ticks: Sequence[AxisTick]
    is_empty: bool


def drawn_chart(
    series: Sequence[ChartSeries],
    start: int,
    end: int,
    step: int,
    *,
    thresholds: Sequence[ChartThreshold] = (),
    spans: Iterable[StateSpan] = (),
    height: int = HEIGHT,
) -> DrawnChart:
    """Draw series over `start`..`end` (ms); points that are more than one and a half `step` apart are not joined."""
    end = max(end, start + 1)
    compared = [t.series for t in thresholds if t.series is not None]
    scale = _scale([*series, *compared], [t.value for t in thresholds if t.value is not None])
    frame = _Drawing(start, end, step, scale, height)
    return DrawnChart(
        start,
        end,
        height,
        [frame.line(one, i) for i, one in enumerate(series)],
        [frame.threshold(one) for one in thresholds],
        drawn_spans(spans, start, end),
        [AxisTick(round(100 * t.at, 2), t.text) for t in time_ticks(start, end)],
        [AxisTick(round(height * (1 - t.at), 1), t.text) for t in scale.ticks],
        not any(len(_finite(one)[0]) for one in series),
    )


def drawn_spans(spans: Iterable[StateSpan], start: int, end: int) -> list[DrawnSpan]:
    """Spans as rectangles; what lies outside of `start`..`end` (ms) is cut off."""
    return [*_rectangles(((span.kind.value, span.start, span.end) for span in spans), start, end)]


def drawn_unseen(times: Iterable[tuple[int, int]], start: int, end: int) -> list[DrawnSpan]:
    """The times (from, to, in ms) of which nothing is known, in the same way: spans of the kind `unseen`."""
    return [*_rectangles((("unseen", since, until) for since, until in times), start, end)]


def _rectangles(spans: Iterable[tuple[str, int, int]], start: int, end: int) -> Iterator[DrawnSpan]:
    unit = WIDTH / max(1, end - start)
    for kind, begins, ends in spans:
        since, until = max(begins, start), min(ends, end)
        if until > since:
            x = round((since - start) * unit, 2)
            # A span that is shorter than a pixel is seen all the same, also at the end.
            width = max(1.5, round((until - since) * unit, 2))
            yield DrawnSpan(kind, min(x, WIDTH - width), width, begins, ends)


@dataclass(frozen=True, slots=True)
class DrawnStrip:
    """The states of an alert over some time, as a narrow strip: `spans` of states, and those `within` them, in which it
    was held or kept. `start` and `end` are ms."""

    start: int
    end: int
    spans: Sequence[DrawnSpan]
    within: Sequence[DrawnSpan]

    def total(self, kind: str) -> int:
        """For how long (ms) it was in the state of this name."""
        inside = [(max(span.start, self.start), min(span.end, self.end)) for span in self.spans if span.kind == kind]
        return sum(until - since for since, until in inside)


def drawn_strip(spans: Sequence[StateSpan], start: int, end: int) -> DrawnStrip:
    """The strip of one alert; `spans` as `state_spans` gives them."""
    states = (SpanKind.PENDING, SpanKind.FIRING)
    return DrawnStrip(
        start,
        end,
        drawn_spans((span for span in spans if span.kind in states), start, end),
        drawn_spans((span for span in spans if span.kind not in states), start, end),
    )


class _Drawing:
    def __init__(self, start: int, end: int, step: int, scale: ValueScale, height: int):
        self._start = start
        self._end = end
        self._step = step
        self._scale = scale
        self._height = height

    def line(self, series: ChartSeries, i: int) -> DrawnLine:
        times, values, _ = thinned = self._thinned(series)
        points = [[int(t), float(v)] for t, v in zip(times, values, strict=True)]
        last = f"{short_number(float(values[-1]))}" if len(values) else ""
        return DrawnLine(series.name, f"c{i % COLOURS}", self._path(*thinned), json.dumps(points), last)

    def threshold(self, one: ChartThreshold) -> DrawnThreshold:
        if one.value is not None and math.isfinite(one.value):
            y = round(self._height * (1 - self._scale.place(one.value)), 2)
            return DrawnThreshold(one.name, y, "", one.css)
        path = "" if one.series is None else self._path(*self._thinned(one.series))
        return DrawnThreshold(one.name, None, path, one.css)

    def _thinned(self, series: ChartSeries) -> tuple[Ints, Floats, Bools]:
        """The points within the time, at most two a column, and whether each is joined with the one before."""
        times, values = _finite(series)
        inside = (times >= self._start) & (times <= self._end)
        times, values = times[inside], values[inside]
        joined = np.zeros(len(times), np.bool_)
        if not len(times):
            return times, values, joined
        joined[1:] = np.diff(times) <= 1.5 * self._step
        if len(times) <= 2 * _COLUMNS:
            return times, values, joined
        columns = (times - self._start) * _COLUMNS // (self._end - self._start + 1)
        first = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
        keep: list[int] = []
        for a, b in zip(first.tolist(), [*first.tolist()[1:], len(times)], strict=True):
            part = values[a:b]
            keep += sorted({a + int(part.argmin()), a + int(part.argmax())})
        # Joined with the point kept before where no gap lies between.
        gaps = np.cumsum(~joined)
        kept = np.array(keep, np.int64)
        joined_kept = np.zeros(len(kept), np.bool_)
        joined_kept[1:] = gaps[kept[1:]] == gaps[kept[:-1]]
        return times[kept], values[kept], joined_kept

    def _path(self, times: Ints, values: Floats, joined: Bools) -> str:
        xs = (times - self._start) * (WIDTH / (self._end - self._start))
        ys = self._height * (1 - (values - self._scale.low) / (self._scale.high - self._scale.low))
        steps: list[str] = []
        if not len(times):
            return ""
        for x, y, on, follows in zip(
            xs.tolist(), ys.tolist(), joined.tolist(), [*joined.tolist()[1:], False], strict=True
        ):
            steps.append(f"{'L' if on else 'M'}{_short(x)} {_short(y)}")
            if not on and not follows:
                steps.append("h0.01")  # a point of its own: round line ends make a dot of it
        return "".join(steps)


def _scale(series: Iterable[ChartSeries], levels: Sequence[float]) -> ValueScale:
    parts = [values for _, values in map(_finite, series) if len(values)]
    numbers = [float(edge) for values in parts for edge in (values.min(), values.max())]
    numbers += [level for level in levels if math.isfinite(level)]
    return value_scale(min(numbers), max(numbers)) if numbers else value_scale(0.0, 1.0)


def _finite(series: ChartSeries) -> tuple[Ints, Floats]:
    good = np.isfinite(series.values)
    return series.times[good], series.values[good]


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
