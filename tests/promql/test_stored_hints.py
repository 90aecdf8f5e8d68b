"""A rate believes the counter reset hints of the storage: it is what comparing all histograms gives."""

from __future__ import annotations

import random

import numpy as np
import pytest

from rulepush.histogram.boxes import Boxes
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.labels import Labels
from rulepush.promql import Engine, parse_expr
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

T0 = 1_700_000_000_000
LABELS = Labels.of(__name__="h")


def histograms(chance: random.Random, count: int) -> list[FloatHistogram]:
    """Counters that are reset now and then, change their resolution, their zero bucket, and which buckets they have."""
    schema, threshold, counts, zero = 2, 0.0, {3: 4, 5: 1}, 0
    made = []
    for _ in range(count):
        match chance.randrange(12):
            case 0:
                counts, zero = {3: 1}, 0
            case 1:
                schema = chance.choice((1, 2))
            case 2:
                threshold = chance.choice((0.0, 0.5, 1.0))
            case 3:
                counts = {**counts, chance.randrange(1, 9): 1}
            case 4:
                counts.pop(chance.choice(list(counts)), None)
                counts = counts or {3: 1}
        counts = {index: n + chance.randrange(3) for index, n in sorted(counts.items())}
        buckets = Buckets.of(np.array(list(counts)), np.array(list(counts.values()), np.float64))
        total = float(zero + sum(counts.values()))
        made.append(FloatHistogram(schema, total, total / 2, threshold, float(zero), buckets))
    return made


@pytest.mark.parametrize("function", ["rate", "increase", "irate", "resets", "histogram_count(increase", "sum(rate"])
def test_hints_of_scrapes_change_no_result(function: str) -> None:
    text = f"{function}(h[1m])" + ")" * function.count("(")
    for seed in range(25):
        chance = random.Random(seed)
        scraped, bare = Head(Demand.keep_all(300_000)), Head(Demand.keep_all(300_000))
        for i, h in enumerate(histograms(chance, 30)):
            ts, boxes = T0 + i * 2_000, Boxes()
            table = scraped.wanted_table("h")
            rows = slice(table.row(LABELS), table.row(LABELS) + 1)
            scraped.append_rows(table, rows, ts, np.array([boxes.box(h)]), boxes)
            table = bare.wanted_table("h")
            table.append(table.row(LABELS), ts, table.held_boxes().box(h))
        engine, query = Engine(monotonic=lambda: 0.0), parse_expr(text)
        found, expected = (engine.instant(query, T0 + 58_500, head.querier()) for head in (scraped, bare))
        assert len(expected.samples()) == 1
        assert [str(s) for s in found.samples()] == [str(s) for s in expected.samples()], seed
