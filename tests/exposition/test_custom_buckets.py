"""Classic histograms of texts as native ones. tests/e2e/test_protobuf_vs_prometheus.py compares with a Prometheus."""

from __future__ import annotations

import math

import pytest

from rulepush.exposition import Format, parse_body
from rulepush.exposition.custom_buckets import CustomBucketTranslator
from rulepush.exposition.entries import FamilyMetadata, HistogramScraping
from rulepush.exposition.translated import TranslatedBody
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.errors import BucketLimitError
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.slices import at_once

ALONE = HistogramScraping(to_custom_buckets=True)
BOTH = HistogramScraping(to_custom_buckets=True, classic_too=True)
TEXT = b"""# HELP h of h
# TYPE h histogram
h_bucket{le="1",a="b"} 1
h_bucket{le="+Inf",a="b"} 3
h_sum{a="b"} 2.5
h_count{a="b"} 3
# TYPE g gauge
g 1
"""
EXPECTED = FloatHistogram(
    schema=CUSTOM_SCHEMA, count=3, sum=2.5, positive=Buckets.from_spans([(0, 2)], [1, 2]), custom_values=(1.0,)
)


def made(body: bytes, scraping: HistogramScraping = ALONE, fmt: Format = Format.TEXT) -> TranslatedBody:
    return at_once(CustomBucketTranslator(body, fmt, scraping).work())


def lines(done: TranslatedBody) -> list[str]:
    found = parse_body(done.text, Format.PROTOBUF).samples
    return [f"{s.key.decode()} {s.value:g}" + (f" {s.ts}" if s.ts is not None else "") for s in found]


def test_a_histogram_takes_the_place_of_its_series() -> None:
    done = made(TEXT)
    assert lines(done) == ['h{a="b"} 0', "g 1"]
    assert done.histograms == {0: EXPECTED}
    metadata = parse_body(done.text, Format.PROTOBUF).metadata
    assert metadata == {"h": FamilyMetadata("histogram", "of h"), "g": FamilyMetadata("gauge")}


def test_it_follows_its_series_where_those_are_kept() -> None:
    done = made(TEXT, BOTH)
    assert lines(done)[-2:] == ['h{a="b"} 0', "g 1"]
    assert len(lines(done)) == 6
    assert done.histograms == {4: EXPECTED}


def test_openmetrics_with_times_and_exemplars() -> None:
    body = b"""# TYPE h histogram
h_bucket{le="1.0"} 1 123.456 # {trace_id="x"} 0.5
h_bucket{le="+Inf"} 3 123.456
h_sum 2.5 123.456
h_count 3 123.456
# TYPE s stateset
s{s="a"} 1 123.456
# EOF
"""
    done = made(body, fmt=Format.OPENMETRICS)
    assert lines(done) == ["h 0 123456", 's{s="a"} 1 123456']
    assert done.histograms == {0: EXPECTED}


@pytest.mark.parametrize(
    "body",
    [
        b'# TYPE h gauge\nh_bucket{le="1"} 1\n',
        b'# TYPE other histogram\nh_bucket{le="1"} 1\n',
        b'# TYPE h histogram\nh_bucket{le="x"} 1\n',
        b"# TYPE h histogram\nh_bucket 1\n",
        b"# TYPE h histogram\nh 1\n",
    ],
)
def test_what_is_no_part_of_a_histogram_stays(body: bytes) -> None:
    done = made(body)
    assert done.histograms == {}
    assert done.text == body.replace(b" 1\n", b" 1.0\n")


def test_one_that_contradicts_itself_is_left_out() -> None:
    done = made(b'# TYPE h histogram\nh_bucket{le="1"} 5\nh_bucket{le="2"} 4\nh_count 5\nh_sum 1\ng 1\n')
    assert (lines(done), done.histograms) == (["g 1"], {})


def test_one_with_too_many_buckets_fails_the_scrape() -> None:
    limited = HistogramScraping(to_custom_buckets=True, bucket_limit=1)
    found = made(TEXT, limited)
    assert isinstance(found.faults.pop(0), BucketLimitError)
    assert (found.faults, found.error) == ({}, "")
    assert b"\ng 1" in found.text  # what follows still counts
    assert made(TEXT, HistogramScraping(to_custom_buckets=True, bucket_limit=2)).faults == {}


def test_an_error_says_its_line_and_leaves_what_stands_before() -> None:
    done = made(b"a NaN\nb x\n")
    assert done.error.startswith("line 2: ")
    (sample,) = parse_body(done.text, Format.PROTOBUF).samples
    assert math.isnan(sample.value)


def test_each_label_set_is_a_histogram_of_its_own() -> None:
    other = TEXT.replace(b'a="b"', b'a="c"').replace(b"} 3\n", b"} 4\n").partition(b"# TYPE h histogram\n")[2]
    done = made(TEXT.partition(b"# TYPE g")[0] + other)
    assert lines(done) == ['h{a="b"} 0', 'h{a="c"} 0', "g 1"]
    assert [h.count for h in done.histograms.values()] == [3, 4]
