"""Samples that are histograms, beside the float samples of `model.sample` and `model.block`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rulepush.histogram.boxes import Boxes
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram


@dataclass(frozen=True, slots=True)
class HistogramSample(Sample):
    """One histogram of one series at one time. `value` is 0, as Prometheus has it where only a float counts."""

    histogram: FloatHistogram


@dataclass(frozen=True, slots=True, eq=False)
class HistogramBlock(SampleBlock):
    """A block some samples of which are histograms: `histograms` n of them, None where a sample is a float."""

    histograms: tuple[FloatHistogram | None, ...]

    def samples(self) -> Iterator[Sample]:
        """One by one."""
        rows = zip(self.series, self.times(), self.values.tolist(), self.histograms, strict=True)
        for labels, ts, value, histogram in rows:
            yield Sample(labels, ts, value) if histogram is None else HistogramSample(labels, ts, 0.0, histogram)


def sample_of(boxes: Boxes | None, labels: Labels, ts: int, value: float) -> Sample:
    """The sample that `value` is in a column; `boxes` has its histograms."""
    histogram = None if boxes is None else boxes.unbox(value)
    return Sample(labels, ts, value) if histogram is None else HistogramSample(labels, ts, 0.0, histogram)


def floats_of_block(block: SampleBlock) -> SampleBlock:
    """The block without its histograms."""
    if not isinstance(block, HistogramBlock):
        return block
    plain = [i for i, histogram in enumerate(block.histograms) if histogram is None]
    ts = block.ts if isinstance(block.ts, int) else block.ts[plain]
    return SampleBlock(tuple(block.series[i] for i in plain), ts, block.values[np.array(plain, np.intp)])


def floats_of_samples(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples that are floats."""
    plain = [sample for sample in samples if type(sample) is not HistogramSample]
    return samples if len(plain) == len(samples) else plain
