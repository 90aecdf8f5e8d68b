"""Who keeps floats only gets no histogram as a float."""

from __future__ import annotations

import numpy as np

from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.sample import HistogramBlock, HistogramSample, floats_of_block, floats_of_samples
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample

A, B = Labels.of(__name__="a"), Labels.of(__name__="b")


def test_a_block_without_its_histograms() -> None:
    block = HistogramBlock((A, B), 5, np.array([0.0, 2.0]), (FloatHistogram(), None))
    assert list(floats_of_block(block).samples()) == [Sample(B, 5, 2.0)]
    timed = HistogramBlock((A, B), np.array([5, 6]), np.array([0.0, 2.0]), (FloatHistogram(), None))
    assert list(floats_of_block(timed).samples()) == [Sample(B, 6, 2.0)]
    plain = SampleBlock((A,), 5, np.array([1.0]))
    assert floats_of_block(plain) is plain


def test_samples_without_the_histograms_among_them() -> None:
    both = [HistogramSample(A, 5, 0.0, FloatHistogram()), Sample(B, 5, 2.0)]
    assert floats_of_samples(both) == both[1:]
    assert floats_of_samples(both[1:]) == both[1:]
