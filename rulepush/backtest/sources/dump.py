"""The texts in which samples with their times are kept in a file, line by line:

promtool tsdb dump             `{__name__="up", job="a"} 1 1700000000000`     cmd/promtool/tsdb.go, formatSeriesSet
promtool tsdb dump-openmetrics `up{job="a"} 1 1700000000.000`, then `# EOF`   formatSeriesSetOpenMetrics
OpenMetrics                    the same, with metadata and exemplars, in any order of times
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

import numpy as np

from rulepush.backtest.sources.columns import SeriesNumbers
from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.errors import ExpositionError, SampleSourceError
from rulepush.exposition import Format, declared_type, parse_line
from rulepush.exposition.literals import to_ms
from rulepush.model.arrays import Floats, Ints
from rulepush.model.labels import Labels
from rulepush.promql.testscript.series import parse_series

_UNWANTED: Final = -1
_KEYS_REMEMBERED: Final = 1 << 20
_DUMPED_NAME: Final = b'__name__="'
_LATEST_S: Final = 1e11  # a time in seconds beyond the year 5000 is one in milliseconds
_SHOWN: Final = 120

Columns = tuple[Ints, Ints, Floats]
"""The number of the series, the time (ms) and the value of each of n samples."""


class DumpReader:
    """Reads the lines of one file, `at_once` samples at a time. `problems` is what was left out of it.

    None of the texts tells a stale marker from a number that is NaN. A stale marker never comes twice in a row, so the
    NaNs of a series that has two in a row are numbers, `numeric` has these series; all others are taken as markers.
    """

    def __init__(self, file: str, series: SeriesNumbers, needed: NeededSeries, at_once: int):
        self.file = file
        self.problems: list[str] = []
        self.numeric: set[int] = set()
        self.nans = 0
        self._series = series
        self._needed = needed
        self._at_once = at_once
        self._keys: dict[bytes, int] = {}
        self._after_nan: set[int] = set()
        self._family_type = ""
        self._ended = False
        self._text = False  # there was a line that is not of a dump
        self._native = 0
        self._line = 0

    def read(self, lines: Iterable[bytes]) -> Iterator[Columns]:
        """The samples that are wanted, in chunks, in the order of the file. Raises SampleSourceError."""
        numbers: list[int] = []
        times: list[int] = []
        values: list[float] = []
        last_key, number, dumped = b"", _UNWANTED, False
        for line in lines:
            self._line += 1
            if line[:1] == b"#" or line[:1] == b"\n":
                self._comment(line)
                continue
            if self._ended:
                self._fail("there is more after # EOF")
            rest, _, ts_text = line.rpartition(b" ")
            key, _, value_text = rest.rpartition(b" ")
            if not line.endswith(b"\n"):
                self.problems.append(f"{self.file}:{self._line}: it ends in the middle of a line, which is left out")
                break
            if key != last_key or not key:
                known = self._keys.get(key)
                if known is None:
                    known = self._new(key, line)
                    if known is None:  # not a usual line
                        self._unusual(line, numbers, times, values)
                        continue
                last_key, number = key, known
                dumped = _is_dumped(key)
            if number < 0:
                continue
            try:
                value = float(value_text)
                ts = int(ts_text) if dumped else self._ms(float(ts_text))
            except (ValueError, OverflowError):
                self._unusual(line, numbers, times, values)
                continue
            if value != value:
                self._saw_nan(number)
            elif self._after_nan:
                self._after_nan.discard(number)
            numbers.append(number)
            times.append(ts)
            values.append(value)
            if len(numbers) >= self._at_once:
                yield _columns(numbers, times, values)
                numbers, times, values = [], [], []
        if numbers:
            yield _columns(numbers, times, values)
        self._finish()

    def _finish(self) -> None:
        if self._text and not self._ended:
            self.problems.append(f"{self.file} does not end with # EOF: it may be cut off")
        if self._native:
            self.problems.append(
                f"{self.file}: {self._native} native histograms are left out: of a dump only floats are read"
            )
        if self.nans:
            numeric = f", those of {len(self.numeric)} series with two in a row as numbers" if self.numeric else ""
            self.problems.append(
                f"{self.file} does not tell stale markers from NaN: {self.nans} NaNs are taken as the end of their "
                f"series{numeric}"
            )

    def _comment(self, line: bytes) -> None:
        if line.strip() == b"# EOF":
            self._ended = True
        elif line.startswith(b"# TYPE "):
            try:
                self._family_type = declared_type(line.rstrip(b"\n"), Format.OPENMETRICS) or ""
            except ExpositionError as e:
                self._fail(e.message)

    def _new(self, key: bytes, line: bytes) -> int | None:
        """The number of a series that is seen for the first time; None when the line has another form."""
        if b" # {" in line and not _is_dumped(key):
            return None
        try:
            if _is_dumped(key):
                labels = parse_series(key.decode("utf-8")).labels
            else:
                self._text = True
                parsed = parse_line(key + b" 0", Format.OPENMETRICS, self._family_type)
                if parsed is None:
                    return None
                labels = Labels(parsed.pairs)
        except (ExpositionError, ValueError):
            return None
        number = self._numbered(labels)
        if len(self._keys) >= _KEYS_REMEMBERED:
            self._keys.clear()
        self._keys[key] = number
        return number

    def _numbered(self, labels: Labels) -> int:
        return self._series.number(labels) if self._needed.wants(labels) else _UNWANTED

    def _unusual(self, line: bytes, numbers: list[int], times: list[int], values: list[float]) -> None:
        """A line with an exemplar, of a native histogram, or a wrong one."""
        text = line.rstrip(b"\n")
        if _is_dumped(text[: text.find(b"}") + 1]):
            if text.rpartition(b" ")[0].endswith(b"}"):
                self._native += 1
                return
            self._fail(f"not a line of `promtool tsdb dump`: {_shown(text)}")
        try:
            parsed = parse_line(text, Format.OPENMETRICS, self._family_type)
        except ExpositionError as e:
            self._fail(f"neither OpenMetrics nor a line of `promtool tsdb dump`: {e.message}")
        if parsed is None:
            return
        if parsed.ts is None:
            self._fail(f"the sample has no timestamp, so it cannot be placed in time: {_shown(text)}")
        self._text = True
        number = self._numbered(Labels(parsed.pairs))
        if number >= 0:
            self._ms(parsed.ts / 1000)
            if math.isnan(parsed.value):
                self._saw_nan(number)
            numbers.append(number)
            times.append(parsed.ts)
            values.append(parsed.value)

    def _ms(self, seconds: float) -> int:
        if not abs(seconds) < _LATEST_S:
            self._fail(
                "the timestamp is not in seconds, as in OpenMetrics; the text format with milliseconds is not read"
            )
        return to_ms(seconds)

    def _saw_nan(self, number: int) -> None:
        self.nans += 1
        if number in self._after_nan:
            self.numeric.add(number)
        self._after_nan.add(number)

    def _fail(self, message: str) -> NoReturn:
        raise SampleSourceError(f"{self.file}:{self._line}: {message}")


def _is_dumped(key: bytes) -> bool:
    """Whether a series is written as by `promtool tsdb dump`: its name is one of the labels."""
    return key[:1] == b"{" and _DUMPED_NAME in key


def _shown(line: bytes) -> str:
    text = line[:_SHOWN].decode(errors="replace")
    return repr(text) + ("…" if len(line) > _SHOWN else "")


def _columns(numbers: list[int], times: list[int], values: list[float]) -> Columns:
    return np.array(numbers, np.int64), np.array(times, np.int64), np.array(values, np.float64)
