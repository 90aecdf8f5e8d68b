"""Explanations over the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rulepush.explain import Reason, ReasonKind
from rulepush.explain.wire import explanation_json, explanation_of
from tests.explain.explaining import explained, world


def sent() -> Any:
    """What a client reads of an explanation with a miss, a scalar and NaN."""
    samples = [("heap", {"instance": "a"}, 1.0), ("heap", {"instance": "b"}, float("nan"))]
    found = explained(world("heap > scalar(heap) and heap > 5", *samples, more="for: 5m"))
    return json.loads(json.dumps(explanation_json(found), allow_nan=False))


def test_what_was_sent_reads_back_to_the_same() -> None:
    data = sent()
    assert explanation_json(explanation_of(data)) == data
    assert explanation_of(data).for_ms == 300_000


def test_a_reason_that_a_newer_server_words_otherwise_is_shown_in_its_words() -> None:
    data = sent()
    data["summary"] = [
        {"kind": "new-kind", "message": "something new", "values": {}, "suggestion": "Do this."},
        {"kind": "result", "message": "5 elements", "values": {"count": "5"}},
        {"kind": "result", "message": "5 elements", "values": {"other": "5"}},
    ]
    summary = explanation_of(data).summary
    assert [r.message for r in summary] == ["something new", "5 elements", "5 elements"]
    assert summary[0] == Reason(ReasonKind.FOUND, (("message", "something new"),), "Do this.")


@pytest.mark.parametrize("key", ["name", "tree", "alerts", "time", "summary"])
def test_something_else_is_refused(key: str) -> None:
    data = sent()
    del data[key]
    with pytest.raises(ValueError, match=f"not an explanation: KeyError: '{key}'"):
        explanation_of(data)


def test_a_tree_of_another_kind_is_refused() -> None:
    data = sent()
    data["tree"] = [1]
    with pytest.raises(ValueError, match="not an explanation: TypeError"):
        explanation_of(data)
