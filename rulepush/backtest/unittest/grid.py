"""Samples on the grid of a unit test: raw samples come when they come, promtool wants one for each step.

A sample goes to the first step that is not before it, so that each evaluation sees what it saw. Of several on their way
to one step the newest counts, which is right for a counter as for a gauge. Where none is new a gap stays, for a gap is
what a stale series, `for` and the look-back go by.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rulepush.histogram import FloatHistogram
from rulepush.histogram.text import histogram_literal
from rulepush.model.labels import Labels
from rulepush.model.sample import is_stale

_LONG_ENOUGH = 3  # values in a row that are written as one

Cell = float | FloatHistogram
Cells = Mapping[int, Cell]
"""The value at each step of the grid that has one."""
RawSeries = Mapping[Labels, Sequence[tuple[int, Cell]]]
"""(time in ms, value) of the samples of each series, ascending."""


@dataclass(frozen=True, slots=True)
class UnitTestGrid:
    """Steps at start, start + step, ... up to `end` (ms); evaluations at each `interval_ms` of them."""

    start: int
    end: int
    interval_ms: int
    step_ms: int

    @property
    def count(self) -> int:
        """Steps."""
        return (self.end - self.start) // self.step_ms + 1

    def cells(self, samples: Sequence[tuple[int, Cell]]) -> Cells:
        """What the steps see of one series. What lies before the start comes to its first step, if it is not a whole
        interval old."""
        found: dict[int, Cell] = {}
        for ts, value in samples:
            step = -((self.start - ts) // self.step_ms)
            if step < 0 and self.start - ts < self.interval_ms:
                step = 0
            if 0 <= step < self.count:
                found[step] = value
        return found


def step_for(series: RawSeries, interval_ms: int) -> int:
    """A step that divides the interval and is about the time between two samples of the fastest series."""
    spacings = [float(np.median(np.diff([ts for ts, _ in s]))) for s in series.values() if len(s) > 2]
    fastest = min((s for s in spacings if s > 0), default=float(interval_ms))
    for parts in range(max(1, round(interval_ms / fastest)), 1, -1):
        if interval_ms % parts == 0:
            return interval_ms // parts
    return interval_ms


def notation(cells: Cells) -> str:
    """Cells as promtool reads them: `1+0x5 _x3 stale`."""
    words = []
    at, last = 0, max(cells, default=-1)
    while at <= last:
        if at not in cells:
            gap = next(i for i in range(at, last + 1) if i in cells) - at
            words.append("_" if gap == 1 else f"_x{gap}")
            at += gap
            continue
        cell = cells[at]
        if isinstance(cell, FloatHistogram) or is_stale(cell):
            words.append(histogram_literal(cell) if isinstance(cell, FloatHistogram) else "stale")
            at += 1
            continue
        count, step = _run(cells, at, cell)
        value = number(cell)
        words.append(f"{value}{'' if step < 0 else '+'}{number(step)}x{count - 1}" if count >= _LONG_ENOUGH else value)
        at += count if count >= _LONG_ENOUGH else 1
    return " ".join(words)


def _run(cells: Cells, at: int, first: float) -> tuple[int, float]:
    """How many values from `at` on are each `step` more than the one before, added up as promtool does: bit by bit."""
    second = cells.get(at + 1)
    if second is None or isinstance(second, FloatHistogram) or is_stale(second):
        return 1, 0.0
    step = second - first if math.isfinite(first) else 0.0
    if not math.isfinite(step):
        return 1, 0.0
    return sum(1 for _ in _same(cells, at, first, step)), step or 0.0


def _same(cells: Cells, at: int, value: float, step: float) -> Iterator[None]:
    while not isinstance(cell := cells.get(at), FloatHistogram) and cell is not None and _bits(cell) == _bits(value):
        yield
        value += step
        at += 1


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def number(value: float) -> str:
    """A float as PromQL reads it, with all its digits."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")
