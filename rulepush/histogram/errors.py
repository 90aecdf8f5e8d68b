"""What operations on histograms refuse. The texts are Prometheus' own (model/histogram/generic.go)."""

from __future__ import annotations

from rulepush.model.errors import RulepushError


class HistogramError(RulepushError):
    """Root of the errors about native histograms."""


class InvalidHistogram(HistogramError):
    """A histogram that contradicts itself; also a literal or a classic histogram that cannot be read as one."""


class IncompatibleSchemas(HistogramError):
    """An operation on exponential and custom buckets together."""

    def __init__(self) -> None:
        super().__init__(
            "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
        )


class BucketLimitError(HistogramError):
    """More buckets than allowed, even with the least resolution."""
