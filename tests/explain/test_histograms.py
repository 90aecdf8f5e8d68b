"""Native histograms in an explanation: as their text, never as a number."""

from __future__ import annotations

import json
import math

import numpy as np

from rulepush.explain import ReasonKind
from rulepush.explain.text import explanation_text
from rulepush.explain.wire import explanation_json, explanation_of
from rulepush.histogram import Buckets, FloatHistogram
from rulepush.model.labels import Labels
from tests.explain.explaining import alert, explained, node
from tests.rules.world import T0, World

HISTOGRAM = FloatHistogram(schema=0, count=3.0, sum=4.5, positive=Buckets.of(np.array([1, 2]), np.array([1.0, 2.0])))
TEXT = "{count:3, sum:4.5, (1,2]:1, (2,4]:2}"


def over(expr: str) -> World:
    made = World(alert(expr))
    made.put(0, 1.0, "h", instance="b")
    made.head.append_histogram(Labels.of(__name__="h", instance="a"), T0, HISTOGRAM)
    made.tick(0)
    return made


def test_a_histogram_is_shown_as_its_text() -> None:
    text = explanation_text(explained(over("histogram_count(h) > 5")))
    assert f'{{instance="a"}} = {TEXT}' in text.replace("\n" + " " * 15, " ")
    assert '{instance="b"} = 1' in text
    assert "NaN" not in text


def test_a_histogram_is_sent_as_its_text_and_read_back() -> None:
    found = explained(over("histogram_count(h) > 5"))
    rows = node(found, "h").rows
    assert {row.labels.get("instance"): row.text for row in rows} == {"a": TEXT, "b": "1"}
    data = json.loads(json.dumps(explanation_json(found), allow_nan=False))
    (leaf,) = [n for n in _nodes(data["tree"]) if n["head"] == "h"]
    rows_sent = leaf["rows"]
    assert isinstance(rows_sent, list)
    assert sorted(rows_sent, key=lambda row: str(row["labels"]["instance"])) == [
        {"labels": {"__name__": "h", "instance": "a"}, "histogram": TEXT},
        {"labels": {"__name__": "h", "instance": "b"}, "value": "1"},
    ]
    again = node(explanation_of(data), "h").rows
    assert [(row.labels, row.text) for row in again] == [(row.labels, row.text) for row in rows]
    assert explanation_json(explanation_of(data)) == data


def _nodes(tree: dict[str, object]) -> list[dict[str, object]]:
    parts = tree["parts"]
    assert isinstance(parts, list)
    return [tree, *(found for part in parts for found in _nodes(part))]


def test_a_comparison_with_a_number_counts_floats_only() -> None:
    """As Prometheus leaves histograms out of it: they are not dropped because they are NaN."""
    compared = node(explained(over("h > 5")), "> 5")
    assert [(row.labels.get("instance"), row.value) for row in compared.missed] == [("b", 1.0)]
    assert compared.dropped == 1
    assert ReasonKind.NAN not in [reason.kind for reason in compared.reasons]
    assert not any(math.isnan(row.value) for row in compared.missed)
