"""What Alertmanager's webhook sends, and what it never would."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.relay.notification import NotificationError, parse_notification
from tests.relay.fake_robot import NOW, alert, body, notification


def test_times_and_states_are_read() -> None:
    n = notification([alert(), alert(instance="b", resolved=True)])
    assert [a.firing for a in n.alerts] == [True, False]
    assert n.alerts[0].starts_at == NOW - 300_000
    assert n.alerts[0].ends_at is None
    assert n.alerts[1].ends_at == NOW - 60_000
    assert n.status == "firing"
    assert n.only(n.resolved).status == "resolved"


def test_nanoseconds_and_offsets_are_taken() -> None:
    one = {**alert(), "startsAt": "2023-11-15T06:13:20.123456789+08:00"}
    assert notification([one]).alerts[0].starts_at == NOW + 123


def test_a_newer_notification_keeps_what_only_the_older_one_told() -> None:
    older = notification([alert(instance="a"), alert(instance="b", resolved=True)])
    newer = notification([alert(instance="a", resolved=True), alert(instance="c")])
    merged = older.updated_by(newer)
    assert [(a.label("instance"), a.firing) for a in merged.alerts] == [("a", False), ("c", True), ("b", False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "expected a JSON object"),
        (b"{}", 'no list "alerts"'),
        (b'{"alerts": 5}', 'no list "alerts"'),
        (b'{"alerts": [1]}', r"alerts\[0\]: expected an object"),
        (b'{"alerts": [{"labels": {"a": 1}}]}', "labels: expected an object of texts"),
        (b'{"alerts": [{"startsAt": "yesterday"}]}', "startsAt: 'yesterday' is not an RFC 3339 time"),
        (b'{"alerts": [], "receiver": 5}', "receiver: expected a text"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON|expected"),
    ],
)
def test_other_bodies_are_refused_with_a_reason(text: bytes, message: str) -> None:
    with pytest.raises(NotificationError, match=message):
        parse_notification(text)


def test_unknown_keys_and_missing_ones_do_not_matter() -> None:
    n = parse_notification(b'{"alerts": [{"labels": {"a": "b"}, "future": 1}], "future": {}}')
    assert n.alerts[0].label("a") == "b"
    assert n.external_url == ""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["alerts", "labels", "startsAt", "status", "receiver"]), inner, max_size=3)
    ),
)


@given(_JSON)
def test_no_json_raises_anything_else(data: object) -> None:
    try:
        parse_notification(json.dumps(data).encode())
    except NotificationError:
        return


def test_lone_surrogates_are_replaced() -> None:
    n = parse_notification(body([alert(instance="\ud800")]))
    assert n.alerts[0].label("instance") == "?"
