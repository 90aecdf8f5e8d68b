"""MixedRange: the samples of one series in a range, some of them native histograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.resets import detect_reset
from rulepush.promql.functions.registry import AnnotationSink
from rulepush.promql.vectors import histogram_notes as words

Sampled = float | FloatHistogram


@dataclass(frozen=True, slots=True)
class MixedRange:
    """The samples of one series in (start, end] (ms), ascending by time; of extended ranges some around it too.

    `times` ms; `samples` floats and at least one histogram; `name` the metric's; `arg` the node that is spoken of;
    `seconds` the length of the range
    """

    times: list[int]
    samples: list[Sampled]
    start: int
    end: int
    name: str
    arg: Any
    notes: AnnotationSink
    seconds: float

    @property
    def floats(self) -> list[float]:
        """Those that are floats."""
        return [s for s in self.samples if not isinstance(s, FloatHistogram)]

    @property
    def histograms(self) -> list[FloatHistogram]:
        """Those that are histograms."""
        return [s for s in self.samples if isinstance(s, FloatHistogram)]

    def mixed(self) -> bool:
        """Whether there are floats too: then it is said, and the function has no result."""
        if not self.floats:
            return False
        self.notes.warn(words.mixed_floats_and_histograms(self.name), self.arg)
        return True


def was_reset(before: Sampled, after: Sampled) -> bool:
    """Whether a counter was reset between two samples, as far as they tell: a change of kind is a reset."""
    if isinstance(before, FloatHistogram) and isinstance(after, FloatHistogram):
        return detect_reset(after, before)
    if isinstance(before, FloatHistogram) or isinstance(after, FloatHistogram):
        return True
    return after < before
