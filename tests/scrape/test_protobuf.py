"""Targets that answer protobuf. tests/e2e/test_protobuf_vs_prometheus.py compares with a real Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import httpx

from rulepush.exposition import FamilyMetadata, Format
from rulepush.exposition.entries import HistogramScraping
from rulepush.exposition.protobuf.translate import translated
from rulepush.histogram.boxes import Boxes
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import Sample, is_stale
from rulepush.scrape.bodies import TargetBodies
from rulepush.scrape.body_histograms import BodyHistograms
from rulepush.scrape.cache import Ingested, ScrapeCache
from rulepush.scrape.job import Job
from rulepush.scrape.sample_labels import SampleRules
from rulepush.scrape.target import Target, TargetHealth, TargetStatus
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests import delimited_families as wire
from tests.scrape.finding import found
from tests.scrape.test_pool import JOB, World, hosts, play

T0 = 1_700_000_000_000
ANY = Matcher("__name__", MatchOp.REGEX, ".+")
NATIVE = HistogramScraping(native=True)
Value = float | str | FloatHistogram


def classic(*metrics: tuple[str, float]) -> bytes:
    values = [wire.histogram(n, n / 2, [(1, n - 1)]) for _, n in metrics]
    return wire.family(
        "h",
        wire.HISTOGRAM,
        *(wire.metric(wire.HISTOGRAM, value, [("p", path)]) for (path, _), value in zip(metrics, values, strict=True)),
    )


def native(*metrics: tuple[str, int], ts: int | None = None, name: str = "n") -> bytes:
    """Native histograms of one bucket, with these counts."""
    return wire.family(
        name,
        wire.HISTOGRAM,
        *(
            wire.metric(wire.HISTOGRAM, wire.histogram(n, n, schema=0, positive=([(1, 1)], [n])), [("p", path)], ts)
            for path, n in metrics
        ),
    )


def of(count: int) -> FloatHistogram:
    return FloatHistogram(schema=0, count=count, sum=count, positive=Buckets.at(1, [count]))


class Scraped:
    """A head and one target's cache, given protobuf bodies in turn."""

    def __init__(self, rules: SampleRules | None = None):
        self.head = Head(Demand.keep_all(300_000))
        self.sunk: list[Sample] = []
        self.cache = ScrapeCache(
            self.head, Labels.of(job="j"), rules or SampleRules(), sink=lambda b: self.sunk.extend(b.samples())
        )
        self.ts = T0

    def take(self, body: bytes) -> Ingested:
        self.ts += 1000
        made = translated(body, NATIVE)
        assert made.error == ""
        histograms = BodyHistograms(made.histograms) if made.histograms else None
        return self.cache.ingest(made.text, Format.PROTOBUF, self.ts, histograms)

    def rows(self) -> dict[str, list[Value]]:
        s = self.head.select([ANY], 0, 2**62)
        return {
            str(labels.without(("job",))): [self._value(v, s.boxes) for v in s.values[i, : s.counts[i]].tolist()]
            for i, labels in enumerate(s.index.labels)
        }

    def _value(self, value: float, boxes: Boxes | None) -> Value:
        unboxed = boxes.unbox(value) if boxes is not None else None
        if unboxed is not None:
            return unboxed.with_hint(CounterResetHint.UNKNOWN)
        return "stale" if is_stale(value) else value

    def passed(self) -> list[tuple[str, Value]]:
        """What the sink got since the last call."""
        samples, self.sunk[:] = list(self.sunk), []
        return [(str(s.labels.without(("job",))), shown(s)) for s in samples]


def shown(sample: Sample) -> Value:
    if isinstance(sample, HistogramSample):
        return sample.histogram
    return "stale" if is_stale(sample.value) else sample.value


def test_a_histogram_that_is_known_costs_no_new_series() -> None:
    s = Scraped()
    assert s.take(classic(("/", 3))).added == 5 - 1
    assert s.take(classic(("/", 5))).added == 0
    assert s.rows() == {
        'h_count{p="/"}': [3, 5],
        'h_sum{p="/"}': [1.5, 2.5],
        'h_bucket{le="1.0", p="/"}': [2, 4],
        'h_bucket{le="+Inf", p="/"}': [3, 5],
    }


def test_native_histograms_are_kept_among_floats() -> None:
    s = Scraped()
    for n in (1, 2, 3):  # parsed, known, known again
        counts = s.take(wire.gauge("a", n) + native(("x", n), ("y", 10 * n)) + wire.gauge("b", -n)).counts
        assert (counts.scraped, counts.wanted) == (4, 4)
        assert s.passed() == [("a", n), ('n{p="x"}', of(n)), ('n{p="y"}', of(10 * n)), ("b", -n)]
    assert s.rows() == {
        "a": [1, 2, 3],
        'n{p="x"}': [of(1), of(2), of(3)],
        'n{p="y"}': [of(10), of(20), of(30)],
        "b": [-1, -2, -3],
    }


def test_series_of_histograms_come_and_go() -> None:
    s = Scraped()
    s.take(native(("x", 1), ("y", 1)) + wire.gauge("a", 1))
    s.take(native(("x", 2), ("y", 2)) + wire.gauge("a", 2))
    s.take(native(("x", 3)) + wire.gauge("a", 3))
    s.take(native(("x", 4), ("z", 4), ("y", 4)) + wire.gauge("a", 4))
    assert s.rows() == {
        'n{p="x"}': [of(1), of(2), of(3), of(4)],
        'n{p="y"}': [of(1), of(2), "stale", of(4)],
        'n{p="z"}': [of(4)],
        "a": [1, 2, 3, 4],
    }
    s.cache.end(s.ts + 1000)
    assert [values[-1] for values in s.rows().values()] == ["stale"] * 4


def test_a_series_may_change_between_float_and_histogram() -> None:
    s = Scraped()
    s.take(wire.gauge("n", 1, [("p", "x")]))
    s.take(native(("x", 2)))
    s.take(wire.gauge("n", 3, [("p", "x")]))
    assert s.rows() == {'n{p="x"}': [1, of(2), 3]}


def test_a_histogram_with_a_time_of_its_own() -> None:
    s = Scraped()
    s.take(native(("x", 1), ts=T0 + 5))
    s.take(native(("x", 2), ts=T0 + 6))
    assert s.rows() == {'n{p="x"}': [of(1), of(2)]}
    assert [(sample.ts, shown(sample)) for sample in s.sunk] == [(T0 + 5, of(1)), (T0 + 6, of(2))]


def test_a_histogram_counts_as_one_sample_for_the_limit() -> None:
    s = Scraped(SampleRules(sample_limit=2))
    assert s.take(native(("x", 1), ("y", 1))).error == ""
    assert s.take(native(("x", 1), ("y", 1), ("z", 1))).error == "sample limit exceeded"


# --- through HTTP


def answer(body: bytes) -> httpx.Response:
    return httpx.Response(200, content=body, headers={"Content-Type": wire.CONTENT_TYPE})


def job(histograms: HistogramScraping) -> Job:
    return replace(JOB, defaults=replace(JOB.defaults, histograms=histograms))


def scrape_job(world: World, histograms: HistogramScraping = NATIVE) -> None:
    world.pools.put(job(histograms), world.client)
    found(world.pools, "j", hosts("t"))


def status_of(world: World) -> TargetStatus:
    pool = world.pools.get("j")
    assert pool is not None
    ((_, status),) = pool.targets
    return status


def test_a_target_that_answers_protobuf_is_scraped() -> None:
    received: list[list[tuple[str, Value]]] = []
    bodies = TargetBodies()

    def on_scrape(
        target: Target, blocks: Sequence[SampleBlock], metadata: Callable[[], Mapping[str, FamilyMetadata]]
    ) -> None:
        assert metadata() == {"a": FamilyMetadata("gauge", "of a", "s"), "n": FamilyMetadata("histogram")}
        received.append([(s.labels.name, shown(s)) for block in blocks for s in block.samples()])

    w = World(on_scrape, bodies=bodies)

    async def act() -> None:
        body = wire.gauge("a", math.inf, help_="of a", unit="s") + native(("x", 1))
        scrape_job(w)
        w.bodies["t"] = answer(body)
        await w.clock.advance(5)
        status = status_of(w)
        assert (status.health, status.body_bytes, status.samples_scraped) == (TargetHealth.UP, len(body), 2)
        pool = w.pools.get("j")
        assert pool is not None
        (scraper,) = pool.scrapers
        kept = bodies.get(scraper)
        assert kept is not None
        assert kept.content.splitlines()[-1] == b'n{p="x"} 0'
        w.bodies["t"] = answer(body[:-1])
        await w.clock.advance(10)
        assert (status.health, status.last_error) == (TargetHealth.DOWN, "unexpected EOF")

    play(w, act)
    assert w.values("a") == [math.inf, "stale"]
    assert w.values("up") == [1.0, 0.0]
    assert received[0][:2] == [("a", math.inf), ("n", of(1))]
    assert ("n", "stale") in received[1]


def test_without_native_histograms_the_classic_series_are_scraped() -> None:
    w = World()

    async def act() -> None:
        scrape_job(w, HistogramScraping())
        w.bodies["t"] = answer(native(("x", 3)))
        await w.clock.advance(5)

    play(w, act)
    assert w.values("n") == []
    assert w.values("n_bucket", le="+Inf") == w.values("n_count") == [3.0]


def test_one_target_of_a_job_may_have_its_native_histograms_scraped() -> None:
    w = World()

    async def act() -> None:
        w.pools.put(job(HistogramScraping()), w.client)
        native_too = {"__scrape_native_histograms__": "true"}
        found(w.pools, "j", [*hosts("plain"), *(host.with_(native_too) for host in hosts("special"))])
        w.bodies["plain"] = w.bodies["special"] = answer(native(("x", 3)))
        await w.clock.advance(10)

    play(w, act)
    assert w.values("n", instance="plain") == w.values("n_count", instance="special") == []
    assert w.values("n_count", instance="plain") == [3.0]
    assert len(w.values("n", instance="special")) == 1


def test_what_a_body_becomes_is_bounded_by_the_body_size_limit() -> None:
    w = World()

    async def act() -> None:
        many = wire.whole(1, 5) + wire.field(3, b"") * 100_001
        w.pools.put(replace(JOB, body_size_limit=1 << 20), w.client)
        found(w.pools, "j", hosts("t"))
        w.bodies["t"] = answer(wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, many)))
        await w.clock.advance(5)
        assert status_of(w).last_error == "body size limit exceeded: too many series, or too long ones"

    play(w, act)


def test_classic_histograms_of_a_text_become_native_ones() -> None:
    w = World()

    async def act() -> None:
        scrape_job(w, HistogramScraping(to_custom_buckets=True))
        w.bodies["t"] = '# TYPE h histogram\nh_bucket{le="1"} 2\nh_sum 3\nh_count 3\n'
        await w.clock.advance(5)

    play(w, act)
    s = w.head.select([Matcher("__name__", MatchOp.EQUAL, "h")], 0, 2**62)
    assert s.boxes is not None
    held = s.boxes.unbox(float(s.values[0, 0]))
    assert held is not None
    assert (held.custom_values, held.count) == ((1.0,), 3)
    assert w.values("h_count") == []
