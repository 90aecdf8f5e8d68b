"""Answers in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.labels import Labels
from rulepush.promql import Engine, parse_expr
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.results import StreamedBody, success_pieces
from tests.web.test_evaluator import START, STEP, evaluator, filled
from tests.web.test_query_api import get


def test_a_small_answer_is_sent_whole() -> None:
    answer = StreamedBody.of(["{", '"a":1', "}"], "")
    assert (answer.begun, answer.rest) == ('{"a":1}', None)
    assert answer.response().headers["content-length"] == "7"


def test_of_a_large_answer_only_the_beginning_is_made_at_once() -> None:
    made = []

    def pieces() -> Iterator[str]:
        for i in range(5000):
            made.append(i)
            yield "x" * 1000

    answer = StreamedBody.of(pieces(), "")
    assert len(made) < 1200
    assert answer.rest is not None
    rest = list(answer.rest)
    assert len(answer.begun) + sum(map(len, rest)) == 5_000_000
    assert max(map(len, rest)) < 70_000


def test_the_limit_cuts_series_and_says_so() -> None:
    whole = get("/query", {"query": "x"}).json()
    cut = get("/query", {"query": "x", "limit": "1"}).json()
    assert cut["data"]["result"] == whole["data"]["result"][:1]
    assert cut["warnings"] == ["results truncated due to limit"]
    ranged = {"query": "x", "start": "1700000000", "end": "1700000060", "step": "15", "limit": "1"}
    cut = get("/query_range", ranged).json()
    assert [s["metric"]["zone"] for s in cut["data"]["result"]] == ["a"]
    assert cut["warnings"] == ["results truncated due to limit"]


def test_special_values_and_labels_are_valid_json() -> None:
    data = get("/query", {"query": 'label_replace(vector(1/0), "a", "\\"\\\\\\n坏", "", "")'}).json()["data"]
    assert data["result"] == [{"metric": {"a": '"\\\n坏'}, "value": [1_700_000_060, "+Inf"]}]
    assert get("/query", {"query": "-1/0"}).json()["data"]["result"][1] == "-Inf"
    assert get("/query", {"query": "0/0"}).json()["data"]["result"][1] == "NaN"
    assert json.loads(get("/query", {"query": '"\\"q\\""'}).text)["data"]["result"][1] == '"q"'


def test_a_range_over_many_steps_is_streamed() -> None:
    asked = evaluator(filled(series=20))
    whole = asyncio.run(
        asked.range(parse_expr("x"), START, START + 20 * STEP, 40, lambda r, _: "".join(success_pieces(r, None, ["w"])))
    )
    answer = json.loads(whole)
    assert len(whole) > 1 << 20
    assert [len(s["values"]) for s in answer["data"]["result"]] == [7501] * 20
    assert answer["warnings"] == ["w"]


def histograms() -> Head:
    """`h` a histogram, then a float, then a histogram, 15 s apart; `f` a float."""
    head = Head(Demand.keep_all(600_000))
    labels = Labels.of(__name__="h", job="a")
    one = FloatHistogram(0, 3, 4.5, 0.001, 1, Buckets.from_spans([(1, 1), (1, 1)], [2, 0]))
    head.append_histogram(labels, START, one)
    head.append(labels, START + STEP, 7.5)
    head.append_histogram(labels, START + 2 * STEP, FloatHistogram())
    head.append(Labels.of(__name__="f"), START, 1.0)
    return head


FIRST = {"count": "3", "sum": "4.5", "buckets": [[3, "-0.001", "0.001", "1"], [0, "1", "2", "2"]]}


def test_a_histogram_of_an_instant_query_stands_where_a_value_would() -> None:
    result = Engine().instant(parse_expr('{__name__=~"h|f"}'), START, histograms())
    answer = json.loads("".join(success_pieces(result, None, [])))
    assert sorted(answer["data"]["result"], key=str) == [
        {"metric": {"__name__": "f"}, "value": [START / 1000, "1"]},
        {"metric": {"__name__": "h", "job": "a"}, "histogram": [START / 1000, FIRST]},
    ]


def test_floats_and_histograms_of_a_series_are_two_lists() -> None:
    result = Engine().range(parse_expr("h"), START, START + 2 * STEP, STEP, histograms())
    (series,) = json.loads("".join(success_pieces(result, None, [])))["data"]["result"]
    assert series == {
        "metric": {"__name__": "h", "job": "a"},
        "values": [[(START + STEP) / 1000, "7.5"]],
        "histograms": [[START / 1000, FIRST], [(START + 2 * STEP) / 1000, {"count": "0", "sum": "0"}]],
    }
    raw = Engine().instant(parse_expr("h[40s]"), START + 2 * STEP, histograms())
    assert json.loads("".join(success_pieces(raw, None, [])))["data"]["result"] == [series]


def test_a_series_of_histograms_alone_has_no_values() -> None:
    result = Engine().range(parse_expr("h"), START, START, STEP, histograms())
    (series,) = json.loads("".join(success_pieces(result, None, [])))["data"]["result"]
    assert series.keys() == {"metric", "histograms"}


def test_ten_annotations_are_shown_and_the_others_counted() -> None:
    head = Head(Demand.keep_all(1 << 50))
    for i in range(12):
        for t in (START - STEP, START):
            head.append(Labels.of(__name__=f"m{i}"), t, 1.0)
    asked = " or ".join(f"rate(m{i}[1m])" for i in range(12)), " or ".join(f"quantile({i + 2}, m0)" for i in range(11))
    for text, key, more in zip(asked, ("infos", "warnings"), ("2 more info", "1 more warning"), strict=True):
        result = Engine().instant(parse_expr(text), START, head)
        answer = json.loads("".join(success_pieces(result, None, ["w"])))
        notes = [note for note in answer[key] if note != "w"]
        assert (len(notes), notes[-1]) == (11, f"{more} annotations omitted")
        assert answer["warnings"][-1] == "w"
