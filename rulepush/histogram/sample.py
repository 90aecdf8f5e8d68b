"""Samples that are histograms, beside the float samples of `model.sample` and `model.block`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.block import SampleBlock
from rulepush.model.sample import Sample


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


def floats_of(block: SampleBlock) -> SampleBlock:
    """The block without its histograms, for who keeps floats only."""
    if not isinstance(block, HistogramBlock):
        return block
    kept = [i for i, histogram in enumerate(block.histograms) if histogram is None]
    ts = block.ts if isinstance(block.ts, int) else block.ts[kept]
    return SampleBlock(tuple(block.series[i] for i in kept), ts, block.values[kept])


def floats_among(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples that are no histograms."""
    if not any(type(sample) is HistogramSample for sample in samples):
        return samples
    return [sample for sample in samples if type(sample) is not HistogramSample]
