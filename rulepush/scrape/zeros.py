"""Zeros at the start of counters (Prometheus' feature `created-timestamp-zero-ingestion`).

Source: prometheus scrape/scrape.go and tsdb/head_append.go (AppendSTZeroSample, AppendHistogramSTZeroSample): a sample
of 0 at the start timestamp that the target says, where that is newer than the newest sample of the series. So an
increase is seen from the first scrape on, and a restart between two scrapes is, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from rulepush.histogram.sample import HistogramBlock
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.storage.head import Head
from rulepush.storage.table import AppendOutcome

if TYPE_CHECKING:
    from rulepush.exposition.translated import StartTimestamps
    from rulepush.histogram.histogram import FloatHistogram

_MAX_AGE_MS: Final = 3_600_000  # what is older, the head of a Prometheus refuses: half of its chunk range


class ZeroSamples:
    """Of one target. While no start changes, a scrape costs one comparison."""

    def __init__(self, head: Head, sink: Callable[[SampleBlock], None] | None):
        self._head = head
        self._sink = sink
        self._put: Mapping[bytes, int] = {}
        self._newest = 0  # ms, of the last scrape

    def put(self, starts: StartTimestamps, labels_of: Callable[[bytes], Labels | None], ts: int) -> None:
        """Before the samples of a scrape at `ts` are written. `labels_of` a line is None where nothing keeps it."""
        before, self._put = self._put, starts.at
        newest, self._newest = self._newest, ts
        if starts.at == before:
            return
        for key, start in starts.at.items():
            if before.get(key) == start or not ts - _MAX_AGE_MS <= start < ts:
                continue
            labels = labels_of(key)
            if labels is not None:
                self._put_one(labels, start, starts.histograms.get(key), newest)

    def _put_one(self, labels: Labels, start: int, of: FloatHistogram | None, newest: int) -> None:
        block = SampleBlock((labels,), start, np.zeros(1))
        if of is None:
            outcome = self._head.append(labels, start, 0.0)
        else:
            zero = of.at_start()
            outcome = self._head.append_histogram(labels, start, zero)
            block = HistogramBlock((labels,), start, np.zeros(1), (zero,))
        here = start > newest if outcome is AppendOutcome.NOT_WANTED else outcome is AppendOutcome.KEPT
        if here and self._sink is not None:
            self._sink(block)
