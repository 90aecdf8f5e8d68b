from __future__ import annotations

import numpy as np

from rulepush.model.labels import Labels
from rulepush.scrape.layout import Placement, TargetSeries
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

T0 = 1_700_000_000_000


def test_values_go_to_the_series_that_are_there_now() -> None:
    head = Head(Demand.keep_all(300_000))
    a, b, c = (TargetSeries(Labels.of(__name__="m", x=x)) for x in "abc")
    ts = T0
    placement = Placement(head, [(a, 0), (b, 1)])

    def append(*values: float) -> None:
        nonlocal ts
        ts += 1000
        assert placement.append(ts, np.array(values)) == (0, 0)

    append(1, 2)
    placement.discard(b)
    append(3, 4)
    placement.add(c, 1)
    append(5, 6)
    placement.discard(a)
    placement.add(a, 2)
    append(7, 8, 9)
    for series in (a, c):
        placement.discard(series)
    append(0, 0, 0)
    table = head.wanted_table("m")
    _, values, counts = table.columns()
    kept = {labels.get("x"): values[i, : counts[i]].tolist() for i, labels in enumerate(table.labels)}
    assert kept == {"a": [1, 3, 5, 9], "b": [2], "c": [6, 8]}
