"""A native histogram as templates see it: Go's *histogram.FloatHistogram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rulepush.gotext.values import FLOAT64, GoKind, GoObject, GoSlice, GoType
from rulepush.histogram.sample import HistogramSample
from rulepush.model.sample import Sample

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

_TYPE: Final = GoType("*histogram.FloatHistogram", GoKind.POINTER, GoType("histogram.FloatHistogram", GoKind.STRUCT))
_FLOATS: Final = GoType("[]float64", GoKind.SLICE, FLOAT64)


class TemplateHistogram(GoObject):
    """Prints as `{count:3, sum:4.5, (1,2]:3}`. Its fields without the spans."""

    TYPE = _TYPE

    def __init__(self, histogram: FloatHistogram):
        self._histogram = histogram

    def go_string(self) -> str:
        from rulepush.histogram.text import format_histogram  # only where there are histograms

        return format_histogram(self._histogram)

    def fields(self) -> Mapping[str, object]:
        h = self._histogram
        return {
            "CounterResetHint": int(h.counter_reset_hint),
            "Schema": h.schema,
            "ZeroThreshold": float(h.zero_threshold),
            "ZeroCount": float(h.zero_count),
            "Count": float(h.count),
            "Sum": float(h.sum),
            "PositiveBuckets": GoSlice(h.positive.counts.tolist(), _FLOATS),
            "NegativeBuckets": GoSlice(h.negative.counts.tolist(), _FLOATS),
            "CustomValues": GoSlice(list(h.custom_values), _FLOATS),
        }


def template_value(sample: Sample) -> float | TemplateHistogram:
    """`.Value` of an element."""
    return TemplateHistogram(sample.histogram) if isinstance(sample, HistogramSample) else sample.value
