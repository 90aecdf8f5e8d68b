"""Samples that are histograms, beside the float samples of `model.sample` and `model.block`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rulepush.histogram.boxes import Boxes, boxed_numbers
from rulepush.model.arrays import Floats, Ints
from rulepush.model.block import SampleBlock, block_of
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram


@dataclass(frozen=True, slots=True)
class HistogramSample(Sample):
    """One histogram of one series at one time. `value` is 0, as Prometheus has it where only a float counts. `doubt`
    says what is not certain of one that an engine elsewhere has shown (`from_json`), "" when nothing is."""

    histogram: FloatHistogram
    doubt: str = ""


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


def block_of_samples(samples: Sequence[Sample]) -> SampleBlock:
    """`block_of` of samples some of which may be histograms."""
    block = block_of(samples)
    histograms = tuple([s.histogram if isinstance(s, HistogramSample) else None for s in samples])
    if not any(h is not None for h in histograms):
        return block
    return HistogramBlock(block.series, block.ts, block.values, histograms)


def boxed_values(block: HistogramBlock) -> tuple[Floats, Boxes]:
    """The values of a block with a box for each histogram, numbered from 0 on in their order, and a stale marker for a
    stale one: as a column of a table has them."""
    values = block.values.copy()
    at = [i for i, h in enumerate(block.histograms) if h is not None and not h.is_stale]
    values[[i for i, h in enumerate(block.histograms) if h is not None and h.is_stale]] = STALE
    boxes = Boxes(h for h in block.histograms if h is not None and not h.is_stale)
    values[at] = boxed_numbers(np.arange(len(at)))
    return values, boxes


def unboxed_block(series: tuple[Labels, ...], ts: int | Ints, values: Floats, boxes: Boxes) -> HistogramBlock:
    """The inverse: `boxes` has the histograms among the values. Raises IndexError for a box that it does not have."""
    histograms = tuple(map(boxes.unbox, values.tolist()))
    floats = np.where([h is None for h in histograms], values, 0.0)
    return HistogramBlock(series, ts, floats, histograms)


def floats_of_samples(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples that are floats."""
    plain = [sample for sample in samples if type(sample) is not HistogramSample]
    return samples if len(plain) == len(samples) else plain
