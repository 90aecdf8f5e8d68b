"""What a failed body reports; tests/e2e/test_failing_scrapes_vs_prometheus.py has a real Prometheus beside it."""

from __future__ import annotations

from collections.abc import Mapping

from rulepush.histogram.errors import BucketLimitError, HistogramError, InvalidHistogram
from rulepush.scrape.failed import LIMIT_EXCEEDED, FailedBody

WRONG, TOO_MANY = InvalidHistogram("wrong"), BucketLimitError("too many buckets")


def body(*keys: bytes, limit: int = 0, faults: Mapping[int, HistogramError] | None = None) -> FailedBody:
    """`b""` was dropped; `known` is no new series."""
    found = FailedBody(limit, faults or {}, b"known".__eq__)
    for key in keys:
        found.parsed()
        if key:
            found.kept(key)
        if found.ended:
            break
    return found


def counts(found: FailedBody) -> tuple[int, int, int, str]:
    return found.scraped, found.post_relabel, found.added, found.error


def test_a_histogram_that_cannot_be_stored_ends_the_body_and_is_scraped_but_not_kept() -> None:
    assert counts(body(b"a", b"h", b"z", faults={1: WRONG})) == (2, 1, 1, "wrong")


def test_one_that_is_dropped_does_no_harm() -> None:
    assert counts(body(b"a", b"", b"z", faults={1: WRONG})) == (3, 2, 2, "")


def test_too_many_buckets_fail_the_body_and_all_is_counted() -> None:
    found = body(b"a", b"h", b"z", faults={1: TOO_MANY})
    assert counts(found) == (3, 3, 1, "too many buckets")
    assert found.fresh == {b"a", b"z"}  # z was stored, so that it is no new series later


def test_histograms_count_for_the_sample_limit_and_what_is_beyond_it_is_not_looked_at() -> None:
    found = body(b"a", b"h", b"i", b"z", limit=2, faults={2: WRONG})
    assert counts(found) == (4, 4, 2, LIMIT_EXCEEDED)
    assert found.fresh == {b"a", b"h"}


def test_a_histogram_over_its_bucket_limit_does_not_count_for_the_sample_limit() -> None:
    assert counts(body(b"a", b"h", b"z", limit=2, faults={1: TOO_MANY})) == (3, 3, 1, "too many buckets")


def test_known_series_and_duplicates_are_not_new() -> None:
    assert counts(body(b"known", b"a", b"a", b"b", limit=2)) == (4, 4, 1, LIMIT_EXCEEDED)
    assert counts(body(b"known", b"a", b"a", limit=2)) == (3, 3, 1, "")
