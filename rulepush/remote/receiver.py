"""From the body of a remote write request to samples. Pure: nothing is stored here.

Sources: the remote write specifications 1.0 and 2.0, and storage/remote/write_handler.go of Prometheus 3, whose
statuses and texts are kept where it has them. As there, only the series with invalid labels is left out: senders do not
retry what was answered with 400, so refusing the request would lose the valid series.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from rulepush.errors import RemoteWriteError
from rulepush.exposition.type_and_unit import with_type_and_unit
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import METRIC_NAME, Labels, quote_label_value, quote_name
from rulepush.model.sample import Sample
from rulepush.remote.histograms import read_histogram
from rulepush.remote.messages import METRIC_TYPES, RequestV2, WriteRequest, parse_message, text_of
from rulepush.remote.snappy import decompress

_SURROGATE: Final = re.compile("[\udc80-\udcff]")
_MEDIA_TYPE: Final = "application/x-protobuf"


class Protocol(Enum):
    """The protobuf message of a request, named as in the `proto` parameter of the content type."""

    V1 = "prometheus.WriteRequest"
    V2 = "io.prometheus.write.v2.Request"


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """Limits of one request. More is answered with 413, where possible before decoding."""

    max_body_bytes: int = 8 << 20  # as sent, compressed
    max_decoded_bytes: int = 32 << 20  # as Prometheus 3
    max_series: int = 100_000
    max_samples: int = 500_000
    max_labels: int = 256  # of one series


@dataclass(frozen=True, slots=True)
class MetricMetadata:
    """The metadata that a sender sent for a metric family. `type` is the exposition formats' name of it."""

    family: str
    type: str
    help: str
    unit: str


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """One decoded request.

    `samples`     in the order of the request; values bit for bit, so that stale markers survive; native histograms
                  are HistogramSample
    `rejected`    why each series was left out; the other series are to be written all the same
    `rejected_samples`  how many samples were left out with them
    `histograms`  how many of the samples are native histograms
    `exemplars`   exemplars, which are dropped
    `starts`      start timestamps (ms) by the number of the sample, where they are read
    """

    protocol: Protocol
    samples: tuple[Sample, ...]
    rejected: tuple[str, ...]
    histograms: int
    exemplars: int
    metadata: tuple[MetricMetadata, ...]
    rejected_samples: int = 0
    starts: Mapping[int, int] = field(default_factory=dict)


def decode(
    body: bytes,
    content_type: str,
    content_encoding: str,
    limits: WriteLimits,
    *,
    type_and_unit_labels: bool = False,
    starts: bool = False,
) -> WriteBatch:
    """Decode a request's body; the headers are "" when absent, which means 1.0 and snappy. With `type_and_unit_labels`
    the series of a 2.0 request get them from its metadata; with `starts` its start timestamps are read.

    The version header is not read, as in Prometheus: the content type decides.
    Raises RemoteWriteError with 400, 413 or 415.
    """
    protocol = protocol_of(content_type)
    if content_encoding.lower() not in ("", "snappy"):
        raise RemoteWriteError(
            415, f"{content_encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )
    if len(body) > limits.max_body_bytes:
        raise RemoteWriteError(413, f"the body is larger than the limit of {limits.max_body_bytes} bytes")
    data = decompress(body, limits.max_decoded_bytes)
    if protocol is Protocol.V1:
        return _decode_v1(parse_message(WriteRequest, data), limits)
    return _decode_v2(parse_message(RequestV2, data), limits, type_and_unit_labels, starts)


def protocol_of(content_type: str) -> Protocol:
    """The message that a Content-Type announces; "" is 1.0. Raises RemoteWriteError 415."""
    text = content_type.strip() or _MEDIA_TYPE
    media_type, *parameters = text.split(";")
    if media_type.strip() != _MEDIA_TYPE:
        raise RemoteWriteError(
            415, f"expected {_MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        )
    for parameter in parameters:
        name, equals, value = parameter.strip().partition("=")
        if not equals or "=" in value:
            raise RemoteWriteError(
                415,
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, "
                f"got {parameter} in {content_type} content-type",
            )
        if name == "proto":
            try:
                return Protocol(value)
            except ValueError:
                known = ", ".join(p.value for p in Protocol)
                raise RemoteWriteError(
                    415,
                    f"got {content_type} content type; unknown remote write protobuf message {value}, "
                    f"supported: {known}",
                ) from None
    return Protocol.V1


def go_labels(pairs: Iterable[tuple[str, str]]) -> str:
    """Labels as Go's labels.String prints them in error texts: `{__name__="up", job="nacos"}`."""
    return _shown("{" + ", ".join(f"{quote_name(n)}={quote_label_value(v)}" for n, v in pairs) + "}")


class _BatchBuilder:
    """Collects the series of a request, of either version."""

    def __init__(self, limits: WriteLimits, *, refuse_invalid: bool, starts: bool = False):
        """`refuse_invalid`: a histogram that contradicts itself refuses the whole request, as in 1.0."""
        self._limits = limits
        self._refuse_invalid = refuse_invalid
        self._samples: list[Sample] = []
        self._reads_starts = starts
        self._starts: dict[int, int] = {}
        self._rejected: list[str] = []
        self._rejected_samples = self._histograms = self._exemplars = 0

    def reject(self, series: Any, reason: str) -> None:
        """Leave a series out."""
        self._rejected.append(reason)
        self._rejected_samples += len(series.samples) + len(series.histograms)

    def add(self, series: Any, pairs: Sequence[tuple[str, str]]) -> None:
        """Add a series. Raises RemoteWriteError 413."""
        histograms = len(series.histograms)
        found = len(series.samples) + histograms
        if len(self._samples) + found > self._limits.max_samples:
            raise RemoteWriteError(413, f"the request holds more than {self._limits.max_samples} samples")
        if found:
            labels = Labels(pairs)
            if self._reads_starts:
                first = len(self._samples)
                self._starts |= {i: s.start_timestamp for i, s in enumerate(series.samples, first) if s.start_timestamp}
            self._samples.extend(Sample(labels, s.timestamp, s.value) for s in series.samples)
            if histograms:  # protobuf takes as long to find nothing in a field as to find three samples
                for message in series.histograms:
                    self._add_histogram(labels, message)
        self._exemplars += len(series.exemplars)

    def _add_histogram(self, labels: Labels, message: Any) -> None:
        try:
            histogram = read_histogram(message)
        except RemoteWriteError as e:
            if self._refuse_invalid:
                raise
            self._rejected.append(f"{e} for series {go_labels(labels)}")
            self._rejected_samples += 1
            return
        if self._reads_starts and message.start_timestamp:
            self._starts[len(self._samples)] = message.start_timestamp
        self._samples.append(HistogramSample(labels, message.timestamp, 0.0, histogram))
        self._histograms += 1

    def build(self, protocol: Protocol, metadata: Iterable[MetricMetadata]) -> WriteBatch:
        """The whole request."""
        return WriteBatch(
            protocol,
            tuple(self._samples),
            tuple(self._rejected),
            self._histograms,
            self._exemplars,
            tuple(metadata),
            self._rejected_samples,
            self._starts,
        )


def _decode_v1(request: Any, limits: WriteLimits) -> WriteBatch:
    _check_series(len(request.timeseries), limits)
    builder = _BatchBuilder(limits, refuse_invalid=True)
    for series in request.timeseries:
        pairs = [(text_of(label.name), text_of(label.value)) for label in series.labels]
        reason = _problem(pairs, limits)
        if reason is not None:
            builder.reject(series, reason)
        else:
            builder.add(series, pairs)
    metadata = (
        MetricMetadata(_shown(m.metric_family_name), _metric_type(m.type), _shown(m.help), _shown(m.unit))
        for m in request.metadata
    )
    return builder.build(Protocol.V1, metadata)


def _decode_v2(request: Any, limits: WriteLimits, type_and_unit_labels: bool, starts: bool) -> WriteBatch:
    _check_series(len(request.timeseries), limits)
    symbols = tuple(map(text_of, request.symbols))
    texts = symbols or ("",)
    builder = _BatchBuilder(limits, refuse_invalid=False, starts=starts)
    metadata: dict[str, MetricMetadata] = {}
    for series in request.timeseries:
        refs = tuple(series.labels_refs)
        try:
            pairs = _resolve(refs, symbols)
        except ValueError as e:
            builder.reject(series, f"parsing labels for series [{' '.join(map(str, refs))}]: {e}")
            continue
        if type_and_unit_labels and _tells(series, texts):
            about = series.metadata
            pairs = list(with_type_and_unit(pairs, _metric_type(about.type), texts[about.unit_ref], both=True))
        reason = _problem(pairs, limits)
        if reason is None and not series.samples and not series.histograms:
            reason = f"TimeSeries must contain at least one sample or histogram for series {go_labels(sorted(pairs))}"
        if reason is not None:
            builder.reject(series, reason)
            continue
        builder.add(series, pairs)
        if series.HasField("metadata"):
            about = series.metadata
            family = dict(pairs)[METRIC_NAME]
            if family not in metadata and _tells(series, texts):
                metadata[family] = MetricMetadata(
                    family, _metric_type(about.type), _shown(texts[about.help_ref]), _shown(texts[about.unit_ref])
                )
    return builder.build(Protocol.V2, metadata.values())


def _tells(series: Any, texts: Sequence[str]) -> bool:
    """Whether a series has metadata whose texts are there."""
    about = series.metadata
    return bool(series.HasField("metadata")) and max(about.help_ref, about.unit_ref) < len(texts)


def _check_series(count: int, limits: WriteLimits) -> None:
    if count > limits.max_series:
        raise RemoteWriteError(413, f"the request holds {count} series, more than the limit of {limits.max_series}")


def _problem(pairs: Sequence[tuple[str, str]], limits: WriteLimits) -> str | None:
    """Why these labels are invalid, in Prometheus' words; None when they are valid."""
    if len(pairs) > limits.max_labels:
        return f"a series has {len(pairs)} labels, more than the limit of {limits.max_labels}"
    names = {name for name, _ in pairs}
    bad = any(not n or (not v and n == METRIC_NAME) for n, v in pairs)
    if METRIC_NAME not in names or bad or not _is_utf8(pairs):
        return f"invalid metric name or labels, got {go_labels(sorted(pairs))}"
    if len(names) < len(pairs):
        ordered = sorted(name for name, _ in pairs)
        twice = next(a for a, b in pairwise(ordered) if a == b)
        return f"invalid labels for series, labels {go_labels(sorted(pairs))}, duplicated label {twice}"
    return None


def _is_utf8(pairs: Sequence[tuple[str, str]]) -> bool:
    texts = "".join([text for pair in pairs for text in pair])
    return texts.isascii() or not _SURROGATE.search(texts)


def _shown(text: str | bytes) -> str:
    """A text as it can be printed: bytes that are not UTF-8 as Go's %q has them."""
    return text_of(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _resolve(refs: Sequence[int], symbols: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs that these references into the symbol table stand for. Raises ValueError in Prometheus' words."""
    if len(refs) % 2:
        raise ValueError(f"invalid labelRefs length {len(refs)}")
    for i, ref in enumerate(refs):
        if ref >= len(symbols):
            kind = "value" if i % 2 else "name"
            raise ValueError(f"labelRefs {i // 2 * 2} ({kind}) = {ref} outside of symbols table (size {len(symbols)})")
    return [(symbols[refs[i]], symbols[refs[i + 1]]) for i in range(0, len(refs), 2)]


def _metric_type(number: int) -> str:
    return METRIC_TYPES[number] if 0 <= number < len(METRIC_TYPES) else METRIC_TYPES[0]
