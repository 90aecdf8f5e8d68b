"""Bodies as lines of `Format.PROTOBUF`, with native histograms beside them: what translators of bodies make."""

from __future__ import annotations

from dataclasses import dataclass, field

from rulepush.exposition.entries import HistogramScraping
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.resolution import limit_buckets, limit_schema, schema_of_bucket_factor
from rulepush.histogram.validate import validate_histogram


@dataclass(slots=True)
class StartTimestamps:
    """Of the lines of a body, by what stands before the value: when their series began (ms); of native histograms the
    histogram, too."""

    at: dict[bytes, int] = field(default_factory=dict)
    histograms: dict[bytes, FloatHistogram] = field(default_factory=dict)


@dataclass(slots=True)
class TranslatedBody:
    """`text` ends with a newline where there are lines; with an `error` it is what stands before that. `histograms`
    are the native ones, by the number of their sample, from 0; the value of its line means nothing. `faults` says of
    others why they cannot be stored: the body fails for one that is not dropped."""

    text: bytes = b""
    histograms: dict[int, FloatHistogram] = field(default_factory=dict)
    faults: dict[int, HistogramError] = field(default_factory=dict)
    starts: StartTimestamps = field(default_factory=StartTimestamps)
    error: str = ""

    def put(self, number: int, histogram: FloatHistogram, scraping: HistogramScraping, *, integer: bool) -> None:
        """The sample `number` is a histogram, whose counts were integers or not."""
        try:
            self.histograms[number] = as_scraped(histogram, scraping, integer=integer)
        except HistogramError as e:
            self.faults[number] = e.with_traceback(None)


def as_scraped(histogram: FloatHistogram, scraping: HistogramScraping, *, integer: bool = False) -> FloatHistogram:
    """A histogram as the appenders of a scrape leave it (scrape/target.go), and the head takes it. `integer`: its
    counts were integers. Raises HistogramError."""
    schema = schema_of_bucket_factor(scraping.min_bucket_factor)
    limited = limit_buckets(limit_schema(histogram, schema), scraping.bucket_limit)
    validate_histogram(limited, integer=integer)
    return limited
