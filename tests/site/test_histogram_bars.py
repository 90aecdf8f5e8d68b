"""Native histograms on the query page: bars in tables and below graphs."""

from __future__ import annotations

import math

import pytest

from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.literal import parse_histogram
from rulepush.model.labels import Labels
from rulepush.promql import Engine, parse_expr
from rulepush.site.histogram_bars import BAR_HEIGHT, MAX_BARS, histogram_bars
from rulepush.site.query_results import MAX_SERIES, graph_result, table_result
from tests.rules.world import T0, M, World


def histogram(text: str) -> FloatHistogram:
    return parse_histogram("{{" + text + "}}")


def test_bars_stand_from_the_lowest_bucket_to_the_highest_as_high_as_their_counts() -> None:
    drawn = histogram_bars(histogram("schema:0 count:9 sum:1 z_bucket:1 z_bucket_w:0.5 buckets:[4 2] n_buckets:[2]"))
    assert drawn is not None
    texts = [bar.text for bar in drawn.bars]
    assert texts == ["[-1,-0.5):2", "[-0.5,0.5]:1", "(0.5,1]:4", "(1,2]:2"]
    assert [bar.x for bar in drawn.bars] == [0, 1, 2, 3]
    assert [bar.height for bar in drawn.bars] == [20.0, 10.0, 40.0, 20.0]
    assert all(bar.y + bar.height == BAR_HEIGHT for bar in drawn.bars)
    assert (drawn.width, drawn.buckets, drawn.lowest, drawn.highest) == (4, 4, -1.0, 2.0)


def test_empty_buckets_between_leave_one_bars_width() -> None:
    drawn = histogram_bars(histogram("schema:0 count:3 sum:1 buckets:[1 0 0 0 2]"))
    assert drawn is not None
    assert ([bar.x for bar in drawn.bars], drawn.width) == ([0, 2], 3)


def test_a_histogram_without_filled_buckets_has_no_bars() -> None:
    assert histogram_bars(histogram("schema:0 count:0 sum:0")) is None


def test_many_buckets_are_drawn_together() -> None:
    many = " ".join(["1"] * (2 * MAX_BARS + 1))
    drawn = histogram_bars(histogram(f"schema:3 count:161 sum:1 buckets:[{many}]"))
    assert drawn is not None
    assert len(drawn.bars) == 54  # three buckets each
    assert drawn.buckets == 2 * MAX_BARS + 1
    assert drawn.bars[0].text.endswith(":3")
    assert drawn.bars[-1].text.endswith(":2")


@pytest.mark.parametrize(("count", "height", "css"), [("-2", 20.0, "below"), ("NaN", 1.0, ""), ("Inf", 40.0, "")])
def test_counts_that_no_observation_gives_are_drawn(count: str, height: float, css: str) -> None:
    drawn = histogram_bars(histogram(f"schema:0 count:4 sum:1 buckets:[4 {count}]"))
    assert drawn is not None
    assert (drawn.bars[0].height, drawn.bars[1].height, drawn.bars[1].css) == (40.0, height, css)
    assert not math.isnan(drawn.bars[1].y)


def mixed() -> World:
    """h{i="0"} a float, the others histograms."""
    one = World("groups: []")
    one.put(0, 1.5, "h", i="0")
    for i in range(1, MAX_SERIES + 3):
        one.head.append_histogram(Labels.of(__name__="h", i=str(i)), T0 - M, histogram("count:1 sum:1 buckets:[1]"))
        one.head.append_histogram(Labels.of(__name__="h", i=str(i)), T0, histogram("count:3 sum:1 buckets:[1 2]"))
    return one


def test_a_table_has_bars_beside_the_text_of_histograms_only() -> None:
    one = mixed()
    rows = table_result(Engine().instant(parse_expr('h{i=~"[01]"}'), T0, one.head), T0).rows
    assert [(row.value, row.bars is None) for row in rows] == [
        ("1.5", True),
        ("{count:3, sum:1, (0.5,1]:1, (1,2]:2}", False),
    ]


def test_a_graph_has_the_newest_histogram_of_the_first_series() -> None:
    one = mixed()
    graph = graph_result(Engine().range(parse_expr("h"), T0 - M, T0, M, one.head), T0 - M, T0, M)
    assert [line.labels for line in graph.lines] == ['h{i="0"}']
    assert (graph.count, len(graph.newest), graph.with_histograms) == (1, MAX_SERIES, MAX_SERIES + 2)
    ts, row = graph.newest[0]
    assert (ts, row.labels, row.value) == (T0, 'h{i="1"}', "{count:3, sum:1, (0.5,1]:1, (1,2]:2}")
    assert row.bars is not None
