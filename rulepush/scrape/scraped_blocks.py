"""ScrapedBlocks: what one scrape wrote, as it is passed on."""

from __future__ import annotations

import numpy as np

from rulepush.histogram.sample import HistogramBlock
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels


class ScrapedBlocks:
    """Collects the blocks of a scrape in the order in which they went into the head; then comes the report.

    Body and report become one block. Its series are the same tuple as long as those of the body are.
    """

    def __init__(self) -> None:
        self._parts: list[SampleBlock] = []
        self._body: tuple[Labels, ...] = ()
        self._report: tuple[Labels, ...] = ()
        self._both: tuple[Labels, ...] = ()

    def add(self, block: SampleBlock) -> None:
        """One more of this scrape."""
        self._parts.append(block)

    def take(self, report: SampleBlock) -> list[SampleBlock]:
        """All of this scrape, and begin anew."""
        parts, self._parts = self._parts, []
        if not parts or not isinstance(parts[0].ts, int) or parts[0].ts != report.ts:
            return [*parts, report]
        body, *others = parts
        if others and not all(frozenset(report.series).isdisjoint(other.series) for other in others):
            return [*parts, report]  # a target that exposes `up` itself: the order decides which of them counts
        if self._body is not body.series or self._report is not report.series:
            self._body, self._report = body.series, report.series
            self._both = (*body.series, *report.series)
        values = np.concatenate((body.values, report.values))
        if isinstance(body, HistogramBlock):
            floats = (None,) * len(report)
            return [HistogramBlock(self._both, report.ts, values, (*body.histograms, *floats)), *others]
        return [SampleBlock(self._both, report.ts, values), *others]
