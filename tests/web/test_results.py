"""Answers in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from rulepush.promql import parse_expr
from rulepush.web.results import StreamedBody, success_pieces
from tests.web.test_evaluator import START, STEP, evaluator, filled
from tests.web.test_query_api import get


def test_a_small_answer_is_sent_whole() -> None:
    answer = StreamedBody.of(["{", '"a":1', "}"])
    assert (answer.begun, answer.rest) == ('{"a":1}', None)
    assert answer.response().headers["content-length"] == "7"


def test_of_a_large_answer_only_the_beginning_is_made_at_once() -> None:
    made = []

    def pieces() -> Iterator[str]:
        for i in range(5000):
            made.append(i)
            yield "x" * 1000

    answer = StreamedBody.of(pieces())
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
