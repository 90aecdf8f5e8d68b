"""A protobuf body as lines of text, which is what scrapes keep what they know of a target by (scrape/cache.py).

Names, order and texts of bounds are those of Prometheus' parser (model/textparse/protobufparse.go): each metric of a
histogram or summary gives `_count`, `_sum`, then its buckets or quantiles. The lines are those of the text format
0.0.4, but that TYPE may say `gaugehistogram` and a UNIT line counts: see TranslatedParser. Native histograms have
lines, too, whose values stand beside them.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, Final

from rulepush.errors import ProtobufError
from rulepush.exposition.entries import CLASSIC_ONLY, HistogramScraping
from rulepush.exposition.protobuf.delimited import each_family, read_metric
from rulepush.exposition.protobuf.messages import VALUE_FIELDS
from rulepush.exposition.protobuf.native import is_fractional, is_native, native_histogram
from rulepush.exposition.translated import TranslatedBody
from rulepush.gotext.goquote import go_quote
from rulepush.histogram.classic import custom_histogram
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.model.floats import format_float_openmetrics
from rulepush.model.labels import is_legacy_label_name, is_legacy_metric_name
from rulepush.slices import at_once

_TYPES: Final = ("counter", "gauge", "summary", "untyped", "histogram", "gaugehistogram")
_SUMMARY: Final = 2
_STARTED: Final = (0, 2, 4, 5)  # the types that have a start timestamp
_GAUGE_HISTOGRAM: Final = 5
_LINES_PER_SLICE: Final = 200  # about a millisecond
_MAX_TEXT_BYTES: Final = 256 << 20  # a bucket of two bytes becomes a line with all labels
_INFINITE: Final = 'le="+Inf"'


def translated(body: bytes, scraping: HistogramScraping = CLASSIC_ONLY, max_lines: int = 1 << 22) -> TranslatedBody:
    """The whole body."""
    return at_once(BodyTranslator(body, scraping, max_lines).work())


class BodyTranslator:
    """Translates in slices of about a millisecond."""

    def __init__(self, body: bytes, scraping: HistogramScraping, max_lines: int, *, starts: bool = False):
        """`max_lines` bounds what comes of it: more is an error. With `starts` start timestamps are read."""
        self._result = TranslatedBody()
        self._body = body
        self._scraping = scraping
        self._max_lines = max_lines
        self._lines: list[str] = []
        self._samples = 0
        self._reads_starts = starts
        self._start = 0  # ms, of the metric that is being read; 0 when it says none
        self._size = 0
        self._has_unit = False  # whether the last UNIT line named one
        self._pairs: dict[tuple[bytes, bytes], str] = {}

    def work(self) -> Generator[None, None, TranslatedBody]:
        """The slices; the result is what the generator returns."""
        done = 0
        try:
            for family in each_family(self._body):
                if not family.metric:
                    continue
                name = self._head(family)
                for raw in family.metric:
                    self._metric(name, family.type, read_metric(raw))
                    if len(self._lines) - done > _LINES_PER_SLICE:
                        done = len(self._lines)
                        yield
        except ProtobufError as e:
            self._result.error = str(e)
        self._lines.append("")
        self._result.text = "\n".join(self._lines).encode()
        return self._result

    def _head(self, family: Any) -> str:
        """The name of a family; its HELP, UNIT and TYPE become lines."""
        try:
            name = str(family.name, "utf-8")
        except UnicodeDecodeError:
            name = ""
        if not name:
            raise ProtobufError(f"invalid metric name: {family.name.decode('utf-8', 'replace')}")
        try:
            help_text = str(family.help, "utf-8")
        except UnicodeDecodeError:
            shown = family.help.decode("utf-8", "replace")
            raise ProtobufError(f"invalid help for metric {go_quote(name)}: {shown}") from None
        if not 0 <= family.type < len(_TYPES):
            raise ProtobufError(f"unknown metric type for metric {go_quote(name)}: {family.type}")
        shown_name = name if is_legacy_metric_name(name) else _quoted(name)
        if help_text:
            self._add(f"# HELP {shown_name} " + help_text.replace("\\", r"\\").replace("\n", r"\n"))
        if family.unit or self._has_unit:  # a UNIT line holds until the next
            self._has_unit = bool(family.unit)
            self._add(f"# UNIT {shown_name} {family.unit.decode('utf-8', 'replace')}".replace("\n", " "))
        self._add(f"# TYPE {shown_name} {_TYPES[family.type]}")
        return name

    def _metric(self, name: str, kind: int, metric: Any) -> None:
        texts = self._labels(metric)
        time = f" {max(metric.timestamp_ms, 0)}" if metric.timestamp_ms else ""  # before 1970 is too old in any case
        value = getattr(metric, VALUE_FIELDS[kind])
        self._start = 0
        if self._reads_starts and kind in _STARTED and value.HasField("created_timestamp"):
            self._start = value.created_timestamp.seconds * 1000 + value.created_timestamp.nanos // 1_000_000
        if kind < _SUMMARY or kind == _TYPES.index("untyped"):
            self._sample(name, texts, repr(value.value), time)
        elif kind == _SUMMARY:
            self._compound(name, texts, float(value.sample_count), value.sample_sum, time)
            for quantile in value.quantile:
                bound = f'quantile="{format_float_openmetrics(quantile.quantile)}"'
                self._sample(name, [*texts, bound], repr(quantile.value), time)
        else:
            self._histogram(name, texts, value, kind == _GAUGE_HISTOGRAM, time)

    def _histogram(self, name: str, texts: list[str], message: Any, gauge: bool, time: str) -> None:
        if self._scraping.native and is_native(message):
            try:
                histogram = native_histogram(message, gauge=gauge)
            except ProtobufError as e:
                raise ProtobufError(f"histogram {go_quote(name)}: {e}") from None
            except HistogramError as e:
                self._result.faults[self._samples] = e.with_traceback(None)
                self._sample(name, texts, "0", time)
            else:
                self._native(name, texts, histogram, time, integer=not is_fractional(message))
            if not (self._scraping.classic_too and message.bucket):
                return
        elif self._scraping.to_custom_buckets and not self._scraping.classic_too:
            self._native(name, texts, _custom(message, gauge), time)
            return
        self._classic(name, texts, message, time)
        if self._scraping.to_custom_buckets and not (self._scraping.native and is_native(message)):
            self._native(name, texts, _custom(message, gauge), time)

    def _native(
        self, name: str, texts: list[str], histogram: FloatHistogram, time: str, *, integer: bool = False
    ) -> None:
        self._result.put(self._samples, histogram, self._scraping, integer=integer)
        self._sample(name, texts, "0", time)

    def _classic(self, name: str, texts: list[str], message: Any, time: str) -> None:
        count = message.sample_count_float or float(message.sample_count)
        self._compound(name, texts, count, message.sample_sum, time)
        bounded = False
        for bucket in message.bucket:
            bound = bucket.upper_bound
            number = bucket.cumulative_count_float or float(bucket.cumulative_count)
            text = f'le="{format_float_openmetrics(bound)}"'
            self._sample(name + "_bucket", [*texts, text], repr(number), time)
            if bound == math.inf:  # what follows is left out, as there
                bounded = True
                break
        if not bounded:
            self._sample(name + "_bucket", [*texts, _INFINITE], repr(count), time)

    def _compound(self, name: str, texts: list[str], count: float, total: float, time: str) -> None:
        self._sample(name + "_count", texts, repr(count), time)
        self._sample(name + "_sum", texts, repr(total), time)

    def _labels(self, metric: Any) -> list[str]:
        texts = []
        for label in metric.label:
            key = (label.name, label.value)
            known = self._pairs.get(key)
            if known is None:
                known = self._pairs[key] = _pair_text(*key)
            texts.append(known)
        return texts

    def _sample(self, name: str, texts: list[str], value: str, time: str) -> None:
        series = _series(name, texts)
        if self._start:
            key = series.encode()
            self._result.starts.at[key] = self._start
            if self._samples in self._result.histograms:
                self._result.starts.histograms[key] = self._result.histograms[self._samples]
        self._samples += 1
        self._add(f"{series} {value}{time}")

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        if len(self._lines) > self._max_lines or self._size > _MAX_TEXT_BYTES:
            raise ProtobufError("body size limit exceeded: too many series, or too long ones")


def _custom(message: Any, gauge: bool) -> FloatHistogram:
    """A classic histogram as a native one with custom buckets. Raises ProtobufError."""
    buckets = [(b.upper_bound, b.cumulative_count_float or float(b.cumulative_count)) for b in message.bucket]
    try:
        made = custom_histogram(buckets, message.sample_count_float or float(message.sample_count), message.sample_sum)
    except HistogramError as e:
        raise ProtobufError(str(e)) from None
    return made.with_hint(CounterResetHint.GAUGE) if gauge else made


def _pair_text(raw_name: bytes, raw_value: bytes) -> str:
    """A label's name and value as text."""
    try:
        name = raw_name.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name:
        raise ProtobufError(f"invalid label name: {raw_name.decode('utf-8', 'replace')}")
    try:
        value = raw_value.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtobufError(f"invalid label value: {raw_value.decode('utf-8', 'replace')}") from None
    shown = name if is_legacy_label_name(name) else _quoted(name)
    return f"{shown}={_quoted(value)}"


def _series(name: str, texts: list[str]) -> str:
    if not is_legacy_metric_name(name):
        return "{" + ",".join([_quoted(name), *texts]) + "}"
    return f"{name}{{{','.join(texts)}}}" if texts else name


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") + '"'
