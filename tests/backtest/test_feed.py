"""From recorded blocks to the samples in memory: what is remembered of series, and the state of targets."""

from __future__ import annotations

import pytest

from rulepush.backtest.feed import HeadFeed
from rulepush.histogram import FloatHistogram, stale_histogram
from rulepush.histogram.sample import HistogramSample, block_of_samples
from rulepush.model.block import block_of
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE, Sample, is_stale
from rulepush.promql import parse_selector
from rulepush.recorded.events import Origin, RecordedBlock
from rulepush.rules.context import TargetState
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from tests.backtest.world import T0, M, S


def feed_of(*metrics: str) -> tuple[HeadFeed, Head]:
    """A feed that keeps these metrics."""
    head = Head(Demand.of(ManualDemand.metric(name, 5 * M) for name in metrics))
    return HeadFeed(head, lambda _labels: False, insert_late=True), head


def came(source: str, ts: int, **values: float) -> RecordedBlock:
    """A scrape of a target of that name."""
    labels = {name: Labels({METRIC_NAME: name, "job": "j", "instance": source}) for name in values}
    return RecordedBlock(
        T0 + ts, Origin.SCRAPE, source, block_of([Sample(labels[n], T0 + ts, v) for n, v in values.items()])
    )


def put(feed: HeadFeed, recorded: RecordedBlock) -> None:
    """As a replay does."""
    plan = feed.plan(recorded)
    for position, target in plan.ups:
        feed.targets.scraped(target, float(recorded.block.values[position]))
    feed.append(plan, recorded)


def values(head: Head, metric: str) -> list[list[float]]:
    """The samples of each series of a metric."""
    found = head.select(parse_selector(metric), 0, 1 << 60)
    return [found.values[i, :n].tolist() for i, n in enumerate(found.counts.tolist())]


def test_only_what_is_wanted_is_kept_and_every_name_is_known() -> None:
    feed, head = feed_of("m")
    put(feed, came("x", 0, m=1, other=2))
    put(feed, came("y", 0, m=3))
    assert values(head, "m") == [[1], [3]]
    assert values(head, "other") == []
    assert feed.metric_names == {"m", "other"}


def test_a_series_that_is_in_a_block_twice_goes_in_order() -> None:
    feed, head = feed_of("m")
    labels = Labels({METRIC_NAME: "m"})
    put(feed, RecordedBlock(T0, Origin.PUSH, "", block_of([Sample(labels, T0, 1.0), Sample(labels, T0 + S, 2.0)])))
    assert values(head, "m") == [[1, 2]]


def test_the_same_tuple_of_series_is_looked_at_once() -> None:
    feed, _ = feed_of("m")
    first = came("x", 0, m=1)
    again = RecordedBlock(T0 + S, Origin.SCRAPE, "x", first.block)
    assert feed.plan(first) is feed.plan(again)
    assert feed.plan(came("x", 0, m=1)) is not feed.plan(first)  # equal, but another tuple


def test_a_source_that_is_gone_is_forgotten_and_known_again_when_it_is_back() -> None:
    feed, head = feed_of("m")
    gone, stays = came("x", 0, m=1), came("y", 0, m=2)
    before = feed.plan(gone), feed.plan(stays)
    feed.forget_unused()
    assert feed.plan(stays) is before[1]
    feed.forget_unused()
    assert feed.plan(gone) is not before[0]
    put(feed, gone)
    assert values(head, "m") == [[1]]


def test_targets_stand_as_their_last_up_says() -> None:
    feed, _ = feed_of("m")
    put(feed, came("x", 0, up=1))
    put(feed, came("y", 0, up=0))
    put(feed, came("z", 0, up=1))
    put(feed, came("z", 15 * S, up=STALE))
    states = feed.targets.states()
    found = [states.state("j", name) for name in ("x", "y", "z")]
    assert found == [TargetState.UP, TargetState.DOWN, TargetState.GONE]
    assert states.state("other", "x") is TargetState.UNKNOWN
    assert feed.targets.down(Labels.of(job="j", instance="y"))
    assert not feed.targets.down(Labels.of(job="j", instance="x"))
    assert feed.targets.down(Labels.of(job="j"))
    assert feed.targets.down(Labels())
    assert not feed.targets.down(Labels.of(job="k"))


@pytest.mark.parametrize("origin", [Origin.SCRAPE, Origin.REMOTE_WRITE])
def test_histograms_go_into_memory_as_what_they_are(origin: Origin) -> None:
    feed, head = feed_of("m")
    one, two = Labels({METRIC_NAME: "m", "i": "1"}), Labels({METRIC_NAME: "m", "i": "2"})
    for ts, last in ((T0, FloatHistogram(count=3, sum=2)), (T0 + S, stale_histogram())):
        samples = [Sample(one, ts, 1.0), HistogramSample(two, ts, 0.0, last)]
        put(feed, RecordedBlock(ts, origin, "x", block_of_samples(samples)))
    found = head.select(parse_selector("m"), 0, 1 << 60)
    assert found.boxes is not None
    assert found.values[0].tolist()[:2] == [1, 1]
    assert found.boxes.unbox(float(found.values[1, 0])) == FloatHistogram(count=3, sum=2)
    assert is_stale(float(found.values[1, 1]))
