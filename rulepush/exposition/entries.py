"""What a body consists of: samples and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rulepush.model.labels import METRIC_NAME


class Format(Enum):
    """What a target answers. The value is the media type."""

    TEXT = "text/plain"
    OPENMETRICS = "application/openmetrics-text"
    PROTOBUF = "application/vnd.google.protobuf"
    """Lines of this format are those that `exposition.protobuf` and `exposition.custom_buckets`
    make of a body."""


@dataclass(frozen=True, slots=True)
class ParsedSample:
    """One line of values.

    `key`    the bytes of the line before the value and the one space that precedes it: equal keys are equal series
    `pairs`  label names and unescaped values as written, empty values included, the metric name under `__name__`
    `value`  NaN is Prometheus' normal NaN, never the stale marker
    `ts`     milliseconds, or None when the line has no timestamp
    `line`   1-based
    """

    key: bytes
    pairs: tuple[tuple[str, str], ...]
    value: float
    ts: int | None
    line: int

    @property
    def name(self) -> str:
        """The metric name."""
        return dict(self.pairs)[METRIC_NAME]


@dataclass(slots=True)
class FamilyMetadata:
    """What `# TYPE`, `# HELP` and `# UNIT` say of a metric family."""

    type: str = ""
    help: str = ""
    unit: str = ""


@dataclass(slots=True)
class Exposition:
    """A whole body, in its order."""

    samples: list[ParsedSample] = field(default_factory=list)
    metadata: dict[str, FamilyMetadata] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistogramScraping:
    """What a job makes of histograms. `native` takes native ones; `to_custom_buckets` makes native ones of classic
    ones; `classic_too` keeps what is classic of both. A native one has at most `bucket_limit` buckets, each at least
    `min_bucket_factor` times the one before it (0: no limit), and less resolution where it had more."""

    native: bool = False
    classic_too: bool = False
    to_custom_buckets: bool = False
    bucket_limit: int = 0
    min_bucket_factor: float = 0.0


CLASSIC_ONLY: Final = HistogramScraping()
