"""Applies a decoded remote write request to the head, and makes the answer that Prometheus would give.

1.0 has no partial write: the first sample that the head refuses fails the request, and nothing is stored; series
with invalid labels are left out, logged and counted, and the answer is still 204. 2.0 stores what it can, answers 400
with every reason, and counts in headers what was written.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rulepush.errors import RemoteWriteError
from rulepush.histogram.sample import HistogramSample
from rulepush.model.floats import format_float_g
from rulepush.model.sample import Sample
from rulepush.remote.receiver import MetricMetadata, Protocol, WriteBatch, WriteLimits, decode, go_labels
from rulepush.storage.head import Head
from rulepush.storage.table import MAX_AHEAD_MS, AppendOutcome

log = logging.getLogger("rulepush.remote")

MAX_BEHIND_MS: Final = 3600_000  # Prometheus: half a head block behind the newest sample
_TOO_OLD: Final = "too old sample"  # Prometheus: storage.ErrTooOldSample
_MAX_REASONS: Final = 20  # of a 2.0 answer; the rest is counted


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    """The response. `text` is empty on success."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ReceiverStats:
    """Counters since the start."""

    requests: int = 0
    refused_requests: int = 0
    samples: int = 0  # written, or accepted though no rule wants them
    unwanted_samples: int = 0
    refused_samples: int = 0
    histograms: int = 0
    exemplars: int = 0


class RemoteWriteReceiver:
    """Takes requests one at a time; everything but `decode` must run on the event loop, where the head lives."""

    def __init__(
        self,
        head: Head,
        limits: WriteLimits = WriteLimits(),  # noqa: B008 - frozen
        on_metadata: Callable[[Sequence[MetricMetadata]], None] | None = None,
        on_samples: Callable[[Sequence[Sample]], None] | None = None,
        out_of_order_window_ms: Callable[[], int] = lambda: 0,
        *,
        type_and_unit_labels: bool = False,
        zero_at_start: bool = False,
    ):
        """`out_of_order_window_ms`: a sample older than the newest of its series is accepted when it is at most this
        much older than the newest of all; 0 refuses it, as Prometheus does.

        `on_samples` gets the samples that were accepted, needed by a rule or not: they are sent on by remote write
        as those of Prometheus' receiver are, which go through its WAL. With `type_and_unit_labels` series get
        these from the metadata of a 2.0 request; with `zero_at_start` a zero is put at the start timestamp of a sample
        of a 2.0 request, as scrapes do (scrape/zeros.py)."""
        self._zero_at_start = zero_at_start
        self._type_and_unit_labels = type_and_unit_labels
        self.limits = limits
        self.counts = ReceiverStats()
        self._head = head
        self._newest = 0  # of all samples stored here, ms
        self._on_metadata = on_metadata
        self._on_samples = on_samples
        self._window_ms = out_of_order_window_ms

    def decode(self, body: bytes, content_type: str, content_encoding: str) -> WriteBatch | WriteAnswer:
        """The samples of a body, or the answer that refuses it. Touches no state, so it may run in a thread."""
        try:
            return decode(
                body,
                content_type,
                content_encoding,
                self.limits,
                type_and_unit_labels=self._type_and_unit_labels,
                starts=self._zero_at_start,
            )
        except RemoteWriteError as e:
            return WriteAnswer(e.status, str(e))

    def apply(self, decoded: WriteBatch | WriteAnswer, now: int) -> WriteAnswer:
        """Store what was decoded and return the answer. `now` in ms bounds how far ahead a sample may lie."""
        self.counts.requests += 1
        if isinstance(decoded, WriteAnswer):
            answer = decoded
        else:
            self._note(decoded)
            if decoded.protocol is Protocol.V1:
                answer = self._apply_v1(decoded, now)
            else:
                answer = self._apply_v2(decoded, now)
        if answer.status >= 400:
            self.counts.refused_requests += 1
            log.warning("remote write request refused: status=%d err=%s", answer.status, answer.text.partition("\n")[0])
        return answer

    def _apply_v1(self, batch: WriteBatch, now: int) -> WriteAnswer:
        if batch.rejected:
            count, first = len(batch.rejected), batch.rejected[0]
            log.warning("remote write: series with invalid labels are left out: series=%d first=%s", count, first)
        samples, window = batch.samples, self._window_ms()
        for sample in samples:
            reason = self._out_of_bounds(sample, now, window) or self._foresee(sample, window)
            if reason is not None:
                self.counts.refused_samples += len(samples)
                return WriteAnswer(400, reason)
        # Conflicts within one request only show here; Prometheus drops such samples silently, too.
        self._pass_on([sample for sample in samples if self._store(sample, window) is None])
        return WriteAnswer(204)

    def _apply_v2(self, batch: WriteBatch, now: int) -> WriteAnswer:
        reasons = list(batch.rejected)
        written: list[Sample] = []
        passed: list[Sample] = []
        window, starts = self._window_ms(), batch.starts
        for number, sample in enumerate(batch.samples):
            if starts and number in starts:
                passed += self._put_zero(sample, starts[number])
            reason = self._out_of_bounds(sample, now, window) or self._store(sample, window)
            if reason is None:
                written.append(sample)
                passed.append(sample)
            else:
                reasons.append(f"{reason} for series {go_labels(sample.labels)}")
        self._pass_on(passed)
        self.counts.refused_samples += len(batch.samples) - len(written)
        histograms = sum(isinstance(sample, HistogramSample) for sample in written) if batch.histograms else 0
        headers = {
            "X-Prometheus-Remote-Write-Samples-Written": str(len(written) - histograms),
            "X-Prometheus-Remote-Write-Histograms-Written": str(histograms),
            "X-Prometheus-Remote-Write-Exemplars-Written": "0",
        }
        if not reasons:
            return WriteAnswer(204, "", headers)
        text = "\n".join(reasons[:_MAX_REASONS])
        if len(reasons) > _MAX_REASONS:
            text += f"\n... and {len(reasons) - _MAX_REASONS} more"
        return WriteAnswer(400, text, headers)

    def _put_zero(self, sample: Sample, start: int) -> Sequence[Sample]:
        """The zero at the start timestamp of a sample, when it was stored: it must be newer than the series is."""
        if not self._newest - MAX_BEHIND_MS <= start < sample.ts:
            return ()
        if isinstance(sample, HistogramSample):
            empty = sample.histogram.at_start()
            zero: Sample = HistogramSample(sample.labels, start, 0.0, empty)
            outcome = self._head.append_histogram(sample.labels, start, empty)
        else:
            zero = Sample(sample.labels, start, 0.0)
            outcome = self._head.append(sample.labels, start, 0.0)
        return (zero,) if outcome is AppendOutcome.KEPT else ()

    def _foresee(self, sample: Sample, window: int) -> str | None:
        """Why the head would refuse this sample now, without appending it; None when it would accept it."""
        table = self._head.table_for(sample.labels)
        row = None if table is None else table.find(sample.labels)
        if table is None or row is None:
            return None
        newest = int(table.newest()[row])
        if sample.ts > newest:
            return None
        if sample.ts < newest:
            return self._too_late(sample, window)
        _, values, counts = table.columns()
        last = int(counts[row]) - 1
        held = None if table.boxes is None or last < 0 else table.boxes.unbox(float(values[row, last]))
        if isinstance(sample, HistogramSample) or held is not None:
            same = isinstance(sample, HistogramSample) and held is not None and held.equals(sample.histogram)
            return None if same or last < 0 else AppendOutcome.DUPLICATE.value
        if last < 0 or values[row, last].tobytes() == struct.pack("=d", sample.value):
            return None
        return _duplicate(sample, float(values[row, last]))

    def _out_of_bounds(self, sample: Sample, now: int, window: int) -> str | None:
        """Prometheus' text for a sample too old or too far ahead."""
        if sample.ts > now + MAX_AHEAD_MS:
            return "out of bounds: timestamp is too far in the future"
        if sample.ts < self._newest - max(MAX_BEHIND_MS, window):
            return _TOO_OLD if window else "out of bounds"
        return None

    def _too_late(self, sample: Sample, window: int) -> str | None:
        """Why a sample before the newest of its series is refused; None when the window lets it in."""
        if window == 0:
            return AppendOutcome.OUT_OF_ORDER.value
        return None if sample.ts >= self._newest - window else _TOO_OLD

    def _store(self, sample: Sample, window: int) -> str | None:
        """Append a sample to the head. Returns why it was refused, None when it was accepted."""
        if window:
            late = self._foresee(sample, window)
            if late is not None:
                return late
        if isinstance(sample, HistogramSample):
            outcome = self._head.append_histogram(sample.labels, sample.ts, sample.histogram, in_order=not window)
        elif window:
            outcome = self._head.insert(sample.labels, sample.ts, sample.value)
        else:
            outcome = self._head.append(sample.labels, sample.ts, sample.value)
        if outcome is AppendOutcome.NOT_WANTED:
            self.counts.unwanted_samples += 1
        elif outcome is AppendOutcome.DUPLICATE:
            return self._foresee(sample, window)  # None for a late one: Prometheus drops it silently
        elif not outcome:
            return str(outcome.value)
        self.counts.samples += 1
        self._newest = max(self._newest, sample.ts)
        return None

    def _pass_on(self, written: Sequence[Sample]) -> None:
        if self._on_samples is not None:
            self._on_samples(written)

    def _note(self, batch: WriteBatch) -> None:
        self.counts.histograms += batch.histograms
        self.counts.exemplars += batch.exemplars
        self.counts.refused_samples += batch.rejected_samples
        if batch.metadata and self._on_metadata is not None:
            self._on_metadata(batch.metadata)


def _duplicate(sample: Sample, existing: float) -> str:
    """Prometheus' text for a second value at one timestamp (storage/interface.go, since 3.0)."""
    old, new = format_float_g(existing), format_float_g(sample.value)
    text = f"{AppendOutcome.DUPLICATE.value} {sample.ts}; overrides not allowed: existing {old}, new value {new}"
    return text if sample.ts else AppendOutcome.DUPLICATE.value
