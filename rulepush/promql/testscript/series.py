"""Series descriptions: `up{job="a"} 0+1x5 _ stale`. Source: Prometheus promql/parser, ParseSeriesDesc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain, repeat
from typing import Final

from rulepush.histogram.errors import HistogramError
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.literal import HistogramRun, parse_histogram_item
from rulepush.model.durations import parse_duration
from rulepush.model.floats import parse_float
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE
from rulepush.promql.syntax.strings import unquote


class Gap(Enum):
    """A place in a sequence that holds no float."""

    OMITTED = "_"


@dataclass(frozen=True, slots=True)
class NativeCell:
    """A native histogram. `hint_set`: whether its counter reset hint was written, and so is to be compared."""

    histogram: FloatHistogram
    hint_set: bool


Cell = float | Gap | NativeCell

MAX_TIMES: Final = (1 << 64) - 1  # Go's uint64
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
_SPACE: Final = re.compile(r"[ \t]*")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
_START_TIMES: Final = "@st"
_NUMBER: Final = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF]|[nN][aA][nN]"
_ITEM: Final = re.compile(rf"(?P<value>_|stale|[+-]?(?:{_NUMBER}))(?P<step>[+-](?:{_NUMBER}))?(?:x(?P<times>[0-9]+))?")
_DURATION: Final = r"(?:[0-9]+(?:ms|[smhdwy]))+|0"
_DURATIONS: Final = re.compile(
    rf"(?:(?P<gap>_)|(?P<sign>[+-]?)(?P<first>{_DURATION})(?:(?P<step_sign>[+-])(?P<step>{_DURATION}))?)"
    r"(?:x(?P<times>[0-9]+))?"
)


@dataclass(frozen=True, slots=True)
class Run:
    """`count` cells that one word of a line stands for: `first`, then each `step` more than the one before. Not spelled
    out, because `0x10000000` is written where a hundred are compared."""

    first: Cell
    count: int
    step: float = 0.0

    def cells(self) -> Iterator[Cell]:
        """Each cell in turn."""
        cell = self.first
        if self.step and isinstance(cell, float):
            for _ in range(self.count):
                yield cell
                cell += self.step
        else:
            yield from repeat(cell, self.count)


@dataclass(frozen=True, slots=True)
class NativeRun:
    """The same of native histograms."""

    histograms: HistogramRun

    @property
    def count(self) -> int:
        """How many cells there are."""
        return self.histograms.count

    def cells(self) -> Iterator[Cell]:
        """Each cell in turn."""
        return (NativeCell(h, self.histograms.hint_set) for h in self.histograms.cells())


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """One line. `start_times`: whether it gives the start timestamps (`@st`) of the samples of another line."""

    labels: Labels
    runs: tuple[Run | NativeRun, ...]
    start_times: bool = False

    @property
    def count(self) -> int:
        """How many cells there are."""
        return sum(run.count for run in self.runs)

    def cells(self) -> Iterator[Cell]:
        """Each cell in turn. The values of a run are added up one by one, as Prometheus does: a product would round
        differently."""
        return chain.from_iterable(run.cells() for run in self.runs)


def parse_series(text: str) -> SeriesLine:
    """Raises ValueError."""
    labels, at = _parse_metric(text)
    start_times = text.startswith(_START_TIMES, at)
    rest = text[at + len(_START_TIMES) if start_times else at :]
    if start_times:
        return SeriesLine(labels, tuple(_start_runs(rest)), True)
    return SeriesLine(labels, tuple(_runs(rest)))


def _parse_metric(text: str) -> tuple[Labels, int]:
    """(labels, where they end)."""
    pairs: list[tuple[str, str]] = []
    name = _NAME.match(text)
    at = name.end() if name else 0
    if name:
        pairs.append((METRIC_NAME, name.group()))
    at = _skip(text, at)
    if text.startswith("{", at) and not text.startswith("{{", at):
        at = _skip(text, at + 1)
        while not text.startswith("}", at):
            at = _pair(text, at, pairs)
            at = _skip(text, at)
            if text.startswith(",", at):
                at = _skip(text, at + 1)
            elif not text.startswith("}", at):
                raise ValueError(f"unexpected {text[at : at + 10]!r} in label set, expected ',' or '}}'")
        at += 1
    elif not name:
        raise ValueError(f"no series in {text!r}")
    return Labels(pairs), at


def _pair(text: str, at: int, pairs: list[tuple[str, str]]) -> int:
    """One `name="value"`, or a quoted metric name; returns where it ends."""
    if quoted := _STRING.match(text, at):
        label, at = unquote(quoted.group()), _skip(text, quoted.end())
        if not text.startswith("=", at):
            pairs.append((METRIC_NAME, label))
            return at
    elif bare := _NAME.match(text, at):
        label, at = bare.group(), _skip(text, bare.end())
    else:
        raise ValueError(f"unexpected {text[at : at + 10]!r} in label set")
    if not text.startswith("=", at):
        raise ValueError(f"unexpected {text[at : at + 10]!r} in label set, expected '='")
    at = _skip(text, at + 1)
    value = _STRING.match(text, at)
    if not value:
        raise ValueError(f"unexpected {text[at : at + 10]!r} in label set, expected string")
    pairs.append((label, unquote(value.group())))
    return value.end()


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _runs(text: str) -> Iterator[Run | NativeRun]:
    at = 0
    while (at := _skip(text, at)) < len(text):
        if text.startswith("{{", at):
            try:
                histograms, at = parse_histogram_item(text, at)
            except HistogramError as e:
                raise ValueError(str(e)) from None
            yield NativeRun(histograms)
        elif item := _ITEM.match(text, at):
            yield _floats(item)
            at = item.end()
        else:
            raise ValueError(f"unexpected {text[at : at + 20]!r} in series values")
        if at < len(text) and text[at] not in " \t":
            raise ValueError(f"unexpected {text[at : at + 20]!r} in series values")


def _repeated(cell: Cell, times: str | None, step: float = 0.0) -> Run:
    """`1x3` is one value and three more."""
    return Run(cell, _times(times) + 1 if times else 1, step)


def _times(text: str) -> int:
    """Raises ValueError."""
    times = int(text) if len(text) <= 20 else MAX_TIMES + 1
    if times > MAX_TIMES:
        raise ValueError(f"invalid repetition in series values: {text}: value out of range")
    return times


def _floats(item: re.Match[str]) -> Run:
    value, step, times = item.group("value", "step", "times")
    if value == "_":
        if step:
            raise ValueError(f"unexpected {item.group()!r} in series values")
        return Run(Gap.OMITTED, _times(times) if times else 1)
    if value == "stale":
        return _repeated(STALE, times)
    if step is None:
        return _repeated(parse_float(value), times)
    if times is None:
        raise ValueError(f"unexpected {item.group()!r} in series values, expected 'x'")
    return _repeated(parse_float(value), times, parse_float(step))


def _start_runs(text: str) -> Iterator[Run]:
    """Milliseconds from each sample's own time."""
    for word in text.split():
        match = _DURATIONS.fullmatch(word)
        if match is None:
            raise ValueError(f"unexpected {word!r} in start timestamps")
        gap, sign, first, step_sign, step, times = match.group("gap", "sign", "first", "step_sign", "step", "times")
        if gap:
            yield Run(Gap.OMITTED, _times(times or "1"))
        else:
            yield _repeated(_ms(sign, first), times, _ms(step_sign, step) if step else 0.0)


def _ms(sign: str | None, text: str) -> float:
    return float(parse_duration(text)) * (-1 if sign == "-" else 1) if text != "0" else 0.0
