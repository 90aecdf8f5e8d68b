"""`/api/v1/alerts/history`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rulepush.history.deliveries import AlertDelivery, Outcome, SentAlert
from rulepush.history.history import AlertHistory
from rulepush.history.rows import HistoryFilter
from rulepush.history.store import SCHEMA
from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.rules.transition import ChangeReason, RuleRef, Transition
from rulepush.service.app import App
from rulepush.storage.database import Database
from rulepush.web.history import HistoryApi
from tests.fakes import FakeClock
from tests.faults.inside import Inside
from tests.history.telling import AM, LABELS, T0, moved, tried
from tests.service.test_app import play
from tests.web.asking import ask

OTHER = Labels.of(alertname="B", severity="warn", text="<script>")
FINGERPRINT = fingerprint(LABELS)


async def inline(work: Any, *args: Any) -> Any:
    return work(*args)


def got(query: str = "", status: int = 200) -> Any:
    """The answer to a query; the history has two alerts and a failed rule."""
    history = AlertHistory(Database(None, SCHEMA, any_thread=True), FakeClock(T0), offload=inline)
    history.record(
        [
            moved(0, "inactive", "pending", detail="fires after 5m"),
            moved(1000, labels=OTHER, rule=RuleRef("r.yml", "h", "B"), value=None),
            moved(2000, "ok", "err", labels=EMPTY_LABELS, reason=ChangeReason.EVALUATION_FAILED, value=None),
        ]
    )
    asyncio.run(history.write())
    history.attempted(tried(3000, Outcome.FAILED, 503, "failed with 503"), [SentAlert(FINGERPRINT, T0, False)])
    answer = ask(HistoryApi(history, inline).routes(), "GET", f"/api/v1/alerts/history{query}")
    assert answer.status_code == status
    return answer.json()


def names(answer: Any) -> list[str]:
    return [one["rule"] for one in answer["data"]["transitions"]]


def test_the_shape_of_a_transition() -> None:
    assert got()["data"]["transitions"][-1] == {
        "timestamp": "2023-11-14T22:13:20Z",
        "fingerprint": FINGERPRINT,
        "labels": {"alertname": "A", "severity": "page"},
        "file": "r.yml",
        "group": "g",
        "rule": "A",
        "from": "inactive",
        "to": "pending",
        "reason": "condition_true",
        "description": "the condition became true: fires after 5m",
        "value": "1",
    }


def test_a_change_of_a_rule_has_no_labels() -> None:
    first = got()["data"]["transitions"][0]
    assert (first["labels"], first["fingerprint"], first["to"], first["value"]) == ({}, "", "err", None)


@pytest.mark.parametrize(
    ("query", "rules"),
    [
        ("", ["A", "B", "A"]),
        ("?alertname=B", ["B"]),
        ("?rule_group=g&rule_name=A", ["A", "A"]),
        ("?file=other.yml", []),
        ('?match[]={severity="warn"}', ["B"]),
        ('?match[]={severity="warn"}&match[]={severity="page"}', ["B", "A"]),
        (f"?fingerprint={FINGERPRINT.upper()}", ["A"]),
        ("?start=1700000001&end=1700000001.5", ["B"]),
        ("?end=2023-11-14T22:13:20Z", ["A"]),
        ("?limit=1", ["A"]),
    ],
)
def test_filters(query: str, rules: list[str]) -> None:
    assert names(got(query)) == rules


def test_an_answer_that_the_limit_cuts_says_so() -> None:
    assert got("?limit=2")["warnings"] == ["results truncated due to limit"]
    assert "warnings" not in got("?limit=3")


def test_of_one_alert_it_says_what_each_alertmanager_answered() -> None:
    assert "deliveries" not in got()["data"]
    assert got(f"?fingerprint={FINGERPRINT}")["data"]["deliveries"] == [
        {
            "alertmanager": AM,
            "state": "firing",
            "startsAt": "2023-11-14T22:13:20Z",
            "tries": 1,
            "acceptedAt": None,
            "lastAcceptedAt": None,
            "outcome": "failed",
            "status": 503,
            "answer": "failed with 503",
            "failures": 1,
            "lastFailureAt": "2023-11-14T22:13:23Z",
            "lastFailure": "failed with 503",
        }
    ]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?start=x", "invalid time value for 'start'"),
        ("?start=2&end=1", "end timestamp must not be before start time"),
        ("?fingerprint=xyz", '"xyz" is not a fingerprint: 16 hexadecimal digits'),
        ("?limit=-1", "limit must be non-negative"),
        ("?limit=10001", "at most 10,000 are returned at once"),
        ("?match[]={", "parse error"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused(query: str, error: str) -> None:
    answer = got(query, 400)
    assert (answer["status"], answer["errorType"]) == ("error", "bad_data")
    assert error in answer["error"]


def test_a_running_rulepush_tells_the_life_of_an_alert_and_its_delivery(tmp_path: Path) -> None:
    told: list[Any] = []

    async def look(inside: Inside, app: App) -> None:
        await inside.clock.advance(40)
        inside.network.metrics["a"] = "m 1\n"
        await inside.clock.advance(40)
        answer = await app.resources.history.find(HistoryFilter())
        told.extend(answer.found)
        (labels,) = {one.labels for one in answer.found}
        told.append(app.resources.history.deliveries(fingerprint(labels)))

    play(tmp_path, look)
    *transitions, deliveries = told
    assert [(one.was, one.now, one.reason.value, one.value) for one in transitions] == [
        ("firing", "inactive", "condition_false", 1.0),
        ("inactive", "firing", "condition_true", 99.0),
    ]
    assert [(d.url, d.resolved, d.status, d.outcome) for d in deliveries] == [
        (f"http://{host}/api/v2/alerts", resolved, 200, "accepted")
        for host in ("am1", "am2")
        for resolved in (False, True)
    ]


def test_a_restart_keeps_the_history_and_is_told_in_it(tmp_path: Path) -> None:
    inside = Inside(tmp_path, "{alert: Hot, expr: m > 50}", targets=("a",))
    inside.options = replace(inside.options, storage_path=tmp_path / "state")
    inside.network.metrics["a"] = "m 99\n"

    async def live() -> tuple[Sequence[Transition], Sequence[AlertDelivery]]:
        async with inside.running():
            await inside.clock.advance(40)
        async with inside.running() as app:
            await inside.clock.advance(1)
            found = (await app.resources.history.find(HistoryFilter())).found
            return found, app.resources.history.deliveries(fingerprint(found[0].labels))

    transitions, deliveries = asyncio.run(live())
    assert [(one.was, one.now, one.reason.value) for one in transitions] == [
        ("firing", "firing", "restored"),
        ("inactive", "firing", "condition_true"),
    ]
    assert [(d.resolved, d.outcome) for d in deliveries] == [(False, "accepted")] * 2
    assert (tmp_path / "state" / "history.db").exists()
