from __future__ import annotations

import numpy as np

from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample, is_stale
from rulepush.service.remembered import remembered
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

T = 1_700_000_000_000
MINUTE = 60_000


def filled() -> Head:
    head = Head(Demand.keep_all(3_600_000))
    for name, n, count in (("a", "1", 3), ("a", "2", 2), ("b", "1", 1)):
        for k in range(count):
            head.append(Labels({"__name__": name, "n": n}), T + k * MINUTE, float(k))
    head.append(Labels({"__name__": "b", "n": "1"}), T + MINUTE, STALE)
    return head


def shown(head: Head, after: int, *written: str) -> list[tuple[str, int, float | str]]:
    found: list[Sample] = [s for block in remembered(head, after, T, written) for s in block.samples()]
    return [
        (f"{s.labels.name}{s.labels.get('n')}", (s.ts - T) // MINUTE, "stale" if is_stale(s.value) else s.value)
        for s in found
    ]


def test_all_samples_are_given_in_the_order_of_time_within_each_series() -> None:
    assert shown(filled(), 0) == [
        ("a1", 0, 0.0),
        ("a2", 0, 0.0),
        ("a1", 1, 1.0),
        ("a2", 1, 1.0),
        ("a1", 2, 2.0),
        ("b1", 0, 0.0),
        ("b1", 1, "stale"),
    ]


def test_what_is_not_later_and_what_rules_write_is_left_out() -> None:
    assert shown(filled(), T + MINUTE) == [("a1", 2, 2.0)]
    assert shown(filled(), T, "a") == [("b1", 1, "stale")]
    assert shown(filled(), T + 5 * MINUTE) == []


def test_what_is_given_stays_as_it_is_when_more_comes() -> None:
    head = filled()
    blocks = list(remembered(head, T + MINUTE, T, ()))
    for k in range(3, 40):
        head.append(Labels({"__name__": "a", "n": "1"}), T + k * MINUTE, float(k))
    assert [(b.times(), np.asarray(b.values).tolist()) for b in blocks] == [([T + 2 * MINUTE], [2.0])]


def test_of_very_many_samples_those_of_the_last_minutes_are_given() -> None:
    blocks = remembered(filled(), 0, T + 6 * MINUTE, (), many=6)
    assert [s.ts - T for block in blocks for s in block.samples()] == [2 * MINUTE]
    assert len(list(remembered(filled(), 0, T + 6 * MINUTE, (), many=7))) == 5
