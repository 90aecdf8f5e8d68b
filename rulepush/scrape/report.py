"""The series that a scrape reports of itself: `up` and its companions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rulepush.model.block import SampleBlock
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE
from rulepush.scrape.layout import Placement, TargetSeries
from rulepush.storage.head import Head

UP: Final = "up"
METRICS: Final = (
    UP,
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
# With extra_scrape_metrics.
EXTRA_METRICS: Final = ("scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes")


class ReportSeries:
    """Writes the report series of one target, those that a rule needs."""

    def __init__(self, head: Head, target: Labels, extra: bool = False):
        self._head = head
        names = METRICS + (EXTRA_METRICS if extra else ())
        self._series = [TargetSeries(target.with_({METRIC_NAME: name})) for name in names]
        self._labels = tuple(series.labels for series in self._series)
        self._epoch = -1
        self._placement = Placement(head, ())

    def write(self, ts: int, values: Sequence[float]) -> SampleBlock:
        """One value a metric, in the order of METRICS and EXTRA_METRICS. Returns them as a block."""
        if self._epoch != self._head.epoch:
            self._epoch = self._head.epoch
            self._placement = Placement(self._head, [(series, i) for i, series in enumerate(self._series)])
        given = np.array(values[: len(self._series)])
        self._placement.append(ts, given)
        return SampleBlock(self._labels, ts, given)

    def end(self, ts: int) -> SampleBlock:
        """Stale markers: the target goes away."""
        return self.write(ts, [STALE] * len(self._series))
