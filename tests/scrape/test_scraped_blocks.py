from __future__ import annotations

import numpy as np

from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, is_stale
from rulepush.scrape.scraped_blocks import ScrapedBlocks

T = 1_700_000_000_000


def block(*names: str, ts: int = T, value: float = 1.0) -> SampleBlock:
    return SampleBlock(tuple(Labels({"__name__": n}) for n in names), ts, np.full(len(names), value))


def names(blocks: list[SampleBlock]) -> list[list[str]]:
    return [[("stale " if is_stale(s.value) else "") + s.labels.name for s in b.samples()] for b in blocks]


BODY, REPORT = block("a", "b"), block("up", "scrape_duration_seconds")


def test_body_and_report_are_one_block_whose_series_stay_the_same_tuple() -> None:
    blocks = ScrapedBlocks()
    taken = []
    for ts in (T, T + 1000):
        blocks.add(SampleBlock(BODY.series, ts, BODY.values * 2))
        taken += blocks.take(SampleBlock(REPORT.series, ts, REPORT.values))
    assert names(taken) == [["a", "b", "up", "scrape_duration_seconds"]] * 2
    assert taken[0].series is taken[1].series
    assert (taken[1].ts, taken[1].values.tolist()) == (T + 1000, [2.0, 2.0, 1.0, 1.0])


def test_another_body_makes_another_tuple() -> None:
    blocks = ScrapedBlocks()
    blocks.add(BODY)
    blocks.take(REPORT)
    blocks.add(block("a", "c"))
    assert names(blocks.take(REPORT)) == [["a", "c", "up", "scrape_duration_seconds"]]


def test_stale_markers_follow() -> None:
    blocks = ScrapedBlocks()
    blocks.add(BODY)
    blocks.add(block("gone", value=STALE))
    assert names(blocks.take(REPORT)) == [["a", "b", "up", "scrape_duration_seconds"], ["stale gone"]]
    assert names(blocks.take(REPORT)) == [["up", "scrape_duration_seconds"]]  # nothing is left of it


def test_where_a_target_exposes_what_is_reported_the_order_is_that_in_which_it_was_written() -> None:
    blocks = ScrapedBlocks()
    blocks.add(BODY)
    blocks.add(block("up", value=STALE))
    assert names(blocks.take(REPORT)) == [["a", "b"], ["stale up"], ["up", "scrape_duration_seconds"]]


def test_samples_with_times_of_their_own_stay_apart() -> None:
    blocks = ScrapedBlocks()
    timed = SampleBlock(BODY.series, np.array([T - 1, T - 2]), BODY.values)
    blocks.add(timed)
    assert blocks.take(REPORT) == [timed, REPORT]
