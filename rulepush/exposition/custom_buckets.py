"""Text bodies whose classic histograms become native ones with custom buckets (convert_classic_histograms_to_nhcb).

Source: prometheus model/textparse/nhcbparse.go (NHCBParser). The samples of a histogram must follow each other and its
TYPE line; one that contradicts itself is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator
from typing import Final

from rulepush.errors import ExpositionError
from rulepush.exposition.entries import Exposition, Format, HistogramScraping, ParsedSample
from rulepush.exposition.literals import to_ms
from rulepush.exposition.openmetrics import OpenMetricsParser
from rulepush.exposition.text import TextParser
from rulepush.exposition.translated import StartTimestamps, TranslatedBody
from rulepush.exposition.write import series_text
from rulepush.histogram.classic import custom_histogram
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.validate import validate_histogram
from rulepush.model.floats import parse_float
from rulepush.model.labels import METRIC_NAME
from rulepush.slices import at_once

_STARTED_TYPES: Final = ("counter", "summary", "histogram")
_SUFFIXES: Final = ("_bucket", "_count", "_sum")
_UNIT_COMMENT: Final = re.compile(rb"#[ \t]*UNIT[ \t]")
_ENTRIES_PER_SLICE: Final = 100  # about a millisecond
_Pairs = tuple[tuple[str, str], ...]


def custom_bucket_body(body: bytes, fmt: Format, scraping: HistogramScraping) -> TranslatedBody:
    """The whole body."""
    return at_once(CustomBucketTranslator(body, fmt, scraping).work())


class CustomBucketTranslator:
    """Translates a text in slices of about a millisecond."""

    def __init__(self, body: bytes, fmt: Format, scraping: HistogramScraping, *, starts: bool = False):
        """With `starts` the `_created` lines of OpenMetrics are start timestamps, and no samples."""
        self._parser = OpenMetricsParser(body) if fmt is Format.OPENMETRICS else TextParser(body)
        self._is_text = fmt is Format.TEXT  # where UNIT says nothing
        self._scraping = scraping
        self._result = TranslatedBody()
        self._lines: list[bytes] = []
        self._samples = 0
        self._collecting: _ClassicHistogram | None = None
        self._starts = _CreatedLines() if starts and fmt is Format.OPENMETRICS else None

    def work(self) -> Generator[None, None, TranslatedBody]:
        """The slices; the result is what the generator returns."""
        parser, found, count = self._parser, Exposition(), 0
        try:
            while True:
                begin = parser.pos
                more = parser.next(found)
                if not more:
                    break
                if found.samples:
                    self._sample(found.samples.pop())
                else:
                    self._emit()
                    line = parser.body[begin : parser.pos].strip(b" \t\n")
                    if not (self._is_text and _UNIT_COMMENT.match(line)):
                        self._lines.append(line)
                count += 1
                if not count % _ENTRIES_PER_SLICE:
                    yield
            self._emit()
            if self._starts is not None:
                self._starts.resolve(self._result.starts)
        except ExpositionError as e:
            self._result.error = str(e)
        self._lines.append(b"")
        self._result.text = b"\n".join(self._lines)
        return self._result

    def _sample(self, sample: ParsedSample) -> None:
        if self._starts is not None and self._starts.read(sample, self._parser):
            return
        part = self._part_of(sample)
        if self._collecting is not None and (part is None or part != self._collecting.key):
            self._emit()
        if part is not None:
            if self._collecting is None:
                self._collecting = _ClassicHistogram(part, sample.ts)
            self._collecting.add(sample)
            if not self._scraping.classic_too:
                return
        self._add(sample.key, repr(sample.value), sample.ts)

    def _part_of(self, sample: ParsedSample) -> _Pairs | None:
        """The histogram that a sample is a part of: its labels with the name of the family, sorted; None for none."""
        parser = self._parser
        if not self._scraping.to_custom_buckets:
            return None
        labels = dict(sample.pairs)
        name = labels[METRIC_NAME]
        suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
        if parser.family_type != "histogram" or not suffix or name.removesuffix(suffix) != parser.family_name:
            return None
        if suffix == "_bucket" and _bound(labels.pop("le", "")) is None:
            return None
        return tuple(sorted({**labels, METRIC_NAME: parser.family_name}.items()))

    def _emit(self) -> None:
        """The histogram that was collected, if any, becomes a line."""
        collected, self._collecting = self._collecting, None
        if collected is None:
            return
        try:
            histogram = custom_histogram(collected.buckets, collected.count, collected.total)
            validate_histogram(histogram)
        except HistogramError:
            return
        self._result.put(self._samples, histogram, self._scraping, integer=False)
        key = series_text(collected.key).encode()
        if self._starts is not None:
            self._starts.started[key] = self._starts.whose(dict(collected.key), dict(collected.key)[METRIC_NAME])
            self._result.starts.histograms[key] = histogram
        self._add(key, "0", collected.ts)

    def _add(self, key: bytes, value: str, ts: int | None) -> None:
        self._samples += 1
        time = "" if ts is None else f" {max(ts, 0)}"  # before 1970 is too old in any case
        self._lines.append(key + f" {value}{time}".encode())


class _CreatedLines:
    """Which series began when, from the `_created` lines of a body (model/textparse/openmetricsparse.go,
    StartTimestamp)."""

    def __init__(self) -> None:
        self.started: dict[bytes, _Pairs] = {}  # by the line of a sample, whose start it has
        self._created: dict[_Pairs, int] = {}

    def read(self, sample: ParsedSample, parser: OpenMetricsParser | TextParser) -> bool:
        """Whether a sample is such a line; of others it is noted what they belong to."""
        if parser.family_type not in _STARTED_TYPES:
            return False
        labels = dict(sample.pairs)
        name, family = labels[METRIC_NAME], parser.family_name
        if name == f"{family}_created":
            self._created[self.whose(labels, family)] = to_ms(sample.value) if math.isfinite(sample.value) else 0
            return True
        if name.startswith(family):
            self.started[sample.key] = self.whose(labels, family)
        return False

    @staticmethod
    def whose(labels: dict[str, str], family: str) -> _Pairs:
        """The metric that a sample is a part of."""
        kept = {name: text for name, text in labels.items() if name not in ("le", "quantile")}
        return tuple(sorted({**kept, METRIC_NAME: family}.items()))

    def resolve(self, starts: StartTimestamps) -> None:
        """At the end of the body: the lines of which it is known."""
        for key, whose in self.started.items():
            at = self._created.get(whose, 0)
            if at:
                starts.at[key] = at


class _ClassicHistogram:
    """What was collected of one."""

    def __init__(self, key: _Pairs, ts: int | None):
        self.key = key
        self.ts = ts
        self.buckets: list[tuple[float, float]] = []
        self.count: float | None = None
        self.total = 0.0

    def add(self, sample: ParsedSample) -> None:
        labels = dict(sample.pairs)
        name = labels[METRIC_NAME]
        bound = _bound(labels.get("le", "")) if name.endswith("_bucket") else None
        if bound is not None:
            self.buckets.append((bound, sample.value))
        elif name.endswith("_count"):
            self.count = sample.value
        else:
            self.total = sample.value


def _bound(text: str) -> float | None:
    try:
        bound = parse_float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
