"""Zeros at the start of counters; tests/e2e/test_start_timestamps_vs_prometheus.py has a real Prometheus beside it."""

from __future__ import annotations

from rulepush.exposition import Format
from rulepush.exposition.custom_buckets import CustomBucketTranslator
from rulepush.exposition.entries import HistogramScraping
from rulepush.exposition.protobuf.translate import BodyTranslator
from rulepush.exposition.translated import StartTimestamps, TranslatedBody
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.slices import at_once
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from tests import delimited_families as wire

T = 1_700_000_000_000
KEEP_ALL = Demand.keep_all(7_200_000)


class Scraped:
    def __init__(self, demand: Demand = KEEP_ALL) -> None:
        self.head = Head(demand)
        self.sunk: list[tuple[str, int, float]] = []
        self.cache = ScrapeCache(self.head, Labels.of(job="j"), SampleRules(), sink=self._sink)
        self.ts = T

    def _sink(self, block: SampleBlock) -> None:
        self.sunk += [(s.labels.name, s.ts - T, s.value) for s in block.samples()]

    def take(self, body: bytes, **starts: int) -> None:
        """Names are those of series; the times count from T."""
        given = StartTimestamps({name.encode(): T + at for name, at in starts.items()})
        begun = self.cache.begin(body, Format.TEXT, self.ts, None, given)
        if not hasattr(begun, "counts"):
            assert self.cache.finish(begun, at_once(self.cache.read(begun)), self.ts) is not None
        self.ts += 10_000

    def samples(self, name: str) -> list[tuple[int, float]]:
        s = self.head.select([Matcher("__name__", MatchOp.EQUAL, name)], 0, 2**62)
        return [(int(s.times[0, i]) - T, float(s.values[0, i])) for i in range(int(s.counts[0]))]


def test_a_zero_is_put_where_the_counter_says_that_it_began() -> None:
    s = Scraped()
    s.take(b"a 5\nb 1\n", a=-2_000)
    s.take(b"a 6\nb 1\n", a=-2_000)
    assert s.samples("a") == [(-2_000, 0), (0, 5), (10_000, 6)]
    assert s.samples("b") == [(0, 1), (10_000, 1)]
    assert s.sunk[:2] == [("a", -2_000, 0), ("a", 0, 5)]
    assert ("a", -2_000, 0.0) not in s.sunk[2:]


def test_a_restart_between_two_scrapes_is_seen_in_every_way_that_a_body_is_read() -> None:
    s = Scraped()
    s.take(b"a 5\n", a=-2_000)
    s.take(b"a 5\n", a=7_000)  # the same lines
    s.take(b"a 5\nb 2\nc 3\n", a=7_000, b=18_000, c=18_000)  # new lines
    s.take(b"a 5\nb 2\nc 3\nd 4\n", a=7_000, b=18_000, c=18_000, d=29_000)  # one more
    assert s.samples("a") == [(-2_000, 0), (0, 5), (7_000, 0), (10_000, 5), (20_000, 5), (30_000, 5)]
    assert s.samples("b") == [(18_000, 0), (20_000, 2), (30_000, 2)]
    assert s.samples("d") == [(29_000, 0), (30_000, 4)]


def test_a_start_that_is_old_ahead_or_before_the_newest_sample_is_left_out() -> None:
    s = Scraped()
    s.take(b"a 5\nb 1\nc 1\n", a=-3_600_001, b=0, c=1)
    s.take(b"a 5\nb 1\nc 1\n", a=-1, b=0, c=10_000)
    assert s.samples("a") == s.samples("a")[-2:] == [(0, 5), (10_000, 5)]
    assert s.samples("b") == s.samples("c") == [(0, 1), (10_000, 1)]


def test_what_no_rule_needs_is_passed_on_with_its_zeros_once() -> None:
    s = Scraped(Demand.of([ManualDemand((Matcher("__name__", MatchOp.EQUAL, "b"),), 1000)]))
    for start in (-2_000, -2_000, -1_000, 25_000):
        s.take(b"a 5\n", a=start)
    assert [(at, value) for name, at, value in s.sunk if name == "a" and value == 0] == [(-2_000, 0), (25_000, 0)]


def test_a_body_that_fails_has_no_zeros() -> None:
    head = Head(KEEP_ALL)
    cache = ScrapeCache(head, Labels.of(job="j"), SampleRules(sample_limit=1))
    begun = cache.begin(b"a 1\nb 1\n", Format.TEXT, T, None, StartTimestamps({b"a": T - 5}))
    assert not hasattr(begun, "counts")
    done = cache.finish(begun, at_once(cache.read(begun)), T)
    assert done is not None
    assert done.error
    assert not len(head.select([Matcher("__name__", MatchOp.EQUAL, "a")], 0, 2**62).index)


def test_a_histogram_gets_an_empty_one_of_its_layout() -> None:
    found: list[SampleBlock] = []
    cache = ScrapeCache(Head(KEEP_ALL), Labels.of(job="j"), SampleRules(), sink=found.append)
    value = wire.histogram(3, 2, schema=2, zero=(0.5, 1), positive=([(0, 1)], [2]), created=False)
    created = value + wire.field(15, wire.whole(1, T // 1000 - 2))
    body = wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, created))
    made = at_once(BodyTranslator(body, HistogramScraping(native=True), 100, starts=True).work())
    assert made.starts.at == {b"h": T - 2_000}
    begun = cache.begin(made.text, Format.PROTOBUF, T, None, made.starts)
    assert not hasattr(begun, "counts")
    cache.finish(begun, at_once(cache.read(begun)), T)
    (zero,) = found[0].samples()
    assert isinstance(zero, HistogramSample)
    assert (zero.ts, zero.histogram) == (
        T - 2_000,
        FloatHistogram(schema=2, zero_threshold=0.5, counter_reset_hint=CounterResetHint.RESET),
    )


def openmetrics(text: bytes, scraping: HistogramScraping, *, starts: bool = True) -> TranslatedBody:
    return at_once(CustomBucketTranslator(text, Format.OPENMETRICS, scraping, starts=starts).work())


TEXT = b"""# TYPE n counter
n_total{p="x"} 5
n_created{p="x"} 1.5
n_total{p="y"} 5
# TYPE c histogram
c_bucket{le="1"} 1
c_bucket{le="+Inf"} 4
c_count 4
c_sum 3
c_created 2
# TYPE g gauge
g_created 7
# EOF
"""


def test_created_lines_of_openmetrics_are_no_samples() -> None:
    made = openmetrics(TEXT, HistogramScraping())
    assert made.starts.at == {
        b'n_total{p="x"}': 1500,
        b'c_bucket{le="1"}': 2000,
        b'c_bucket{le="+Inf"}': 2000,
        b"c_count": 2000,
        b"c_sum": 2000,
    }
    assert [line for line in made.text.splitlines() if b"created" in line] == [b"g_created 7.0"]
    assert made.histograms == {}
    assert b"n_created" in openmetrics(TEXT, HistogramScraping(), starts=False).text


def test_histograms_with_custom_buckets_have_the_start_of_the_classic_one() -> None:
    made = openmetrics(TEXT, HistogramScraping(to_custom_buckets=True))
    assert made.starts.at[b"c"] == 2000
    assert made.starts.histograms[b"c"].custom_values == (1.0,)
