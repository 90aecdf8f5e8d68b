"""Who keeps floats only gets no histogram as a float."""

from __future__ import annotations

from rulepush.histogram import FloatHistogram
from rulepush.histogram.sample import HistogramSample, floats_of_samples
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample

A, B = Labels.of(__name__="a"), Labels.of(__name__="b")


def test_samples_without_the_histograms_among_them() -> None:
    both = [HistogramSample(A, 5, 0.0, FloatHistogram()), Sample(B, 5, 2.0)]
    assert floats_of_samples(both) == both[1:]
    assert floats_of_samples(both[1:]) == both[1:]
