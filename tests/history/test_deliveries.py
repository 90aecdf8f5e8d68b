"""What became of alerts at the Alertmanagers."""

from __future__ import annotations

import asyncio

import httpx

from rulepush.history.deliveries import MAX_DELIVERIES, Deliveries, Outcome, SentAlert, dump_delivery, load_delivery
from rulepush.history.history import AlertHistory
from rulepush.history.store import SCHEMA
from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager import Alertmanager
from rulepush.notifier.notifier import Destination, Notifier, SendSettings
from rulepush.notifier.store import SCHEMA as UNDELIVERED
from rulepush.notifier.store import SqliteUndelivered
from rulepush.relabel.relabel import Action, RelabelConfig, relabel
from rulepush.rules.alert import pending
from rulepush.service.alert_history import attempt_recorder
from rulepush.storage.database import Database
from tests.fakes import FakeClock
from tests.history.telling import AM, T0, tried

FIRING = SentAlert("f", T0, False)


def test_the_first_and_the_last_acceptance_and_the_tries_are_kept() -> None:
    deliveries = Deliveries()
    for at, outcome, status, words in (
        (0, Outcome.FAILED, 0, "not reached"),
        (1, Outcome.FAILED, 503, "failed with 503"),
        (2, Outcome.ACCEPTED, 200, ""),
        (60_000, Outcome.ACCEPTED, 200, ""),
    ):
        deliveries.attempted(tried(at, outcome, status, words), [FIRING])
    (one,) = deliveries.of("f")
    assert (one.tries, one.acceptances, one.failures) == (4, 2, 2)
    assert (one.began_at, one.accepted_at, one.confirmed_at) == (T0, T0 + 2, T0 + 60_000)
    assert (one.status, one.outcome, one.words) == (200, "accepted", "")
    assert (one.failed_at, one.failure) == (T0 + 1, "failed with 503")


def test_the_end_of_an_alert_and_each_alertmanager_have_a_delivery_of_their_own() -> None:
    deliveries = Deliveries()
    deliveries.attempted(tried(0), [FIRING])
    deliveries.attempted(tried(1), [SentAlert("f", T0, True)])
    deliveries.attempted(tried(2, Outcome.FAILED, url="http://b"), [FIRING])
    assert [(d.url, d.resolved) for d in deliveries.of("f")] == [(AM, False), (AM, True), ("http://b", False)]
    assert deliveries.of("g") == []


def test_an_alert_that_fires_anew_begins_anew() -> None:
    deliveries = Deliveries()
    deliveries.attempted(tried(0, Outcome.FAILED), [FIRING])
    deliveries.attempted(tried(9), [SentAlert("f", T0 + 9, False)])
    (one,) = deliveries.of("f")
    assert (one.tries, one.failures, one.began_at) == (1, 0, T0 + 9)


def test_that_an_alert_was_accepted_once_more_is_written_now_and_then_only() -> None:
    deliveries = Deliveries()
    written = []
    for minute in range(25):
        deliveries.attempted(tried(minute * 60_000), [FIRING])
        written += [(minute, d.tries) for d in deliveries.take_changed()]
    assert written == [(0, 1), (10, 11), (20, 21)]
    deliveries.attempted(tried(25 * 60_000, Outcome.FAILED, 500), [FIRING])
    assert len(deliveries.take_changed()) == 1


def test_what_was_not_written_is_given_again() -> None:
    deliveries = Deliveries()
    deliveries.attempted(tried(0), [FIRING])
    first = deliveries.take_changed()
    assert deliveries.take_changed() == []
    deliveries.give_back(first)
    assert deliveries.take_changed() == first


def test_those_tried_longest_ago_make_room() -> None:
    deliveries = Deliveries()
    deliveries.attempted(tried(0), [SentAlert(str(i), T0, False) for i in range(MAX_DELIVERIES)])
    deliveries.attempted(tried(1), [SentAlert("0", T0, False)])
    deliveries.attempted(tried(2), [SentAlert("new", T0, False)])
    assert len(deliveries.all()) == MAX_DELIVERIES
    assert len(deliveries.of("0")) == 1
    assert deliveries.of("1") == []


def test_a_delivery_is_written_and_read_again() -> None:
    deliveries = Deliveries()
    deliveries.attempted(tried(0, Outcome.REFUSED, 400, "start time must be before end time"), [FIRING])
    (one,) = deliveries.of("f")
    assert load_delivery(dump_delivery(one)) == one
    assert one.as_json()["outcome"] == "refused"


def test_the_notifier_tells_what_each_alertmanager_answered_whatever_relabelling_made_of_the_alert() -> None:
    """From an alert of a rule to the history, with Alertmanager's answers: the first attempt fails."""
    clock, answers = FakeClock(T0), iter((503, 200, 200))
    history = AlertHistory(Database(None, SCHEMA, any_thread=True), clock)

    async def live() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(next(answers), text="busy"))
        async with httpx.AsyncClient(transport=transport) as client:
            store = SqliteUndelivered(Database(None, UNDELIVERED))
            drop = RelabelConfig(action=Action.LABEL_DROP, regex="replica")
            notifier = Notifier(
                clock,
                store,
                SendSettings("http://x", Labels.of(cluster="c"), lambda labels: relabel(labels, (drop,))),
                on_attempt=attempt_recorder(history, clock),
            )
            notifier.sync([Destination(Alertmanager(client, AM, 5))])
            running = asyncio.create_task(notifier.run())
            alert = pending(Labels.of(alertname="A", replica="1"), (), 1.0, T0).fire(T0).sent(T0, 60_000)
            notifier.send([alert], "m > 1", T0)
            await clock.advance(5)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(live())
    (one,) = history.deliveries(fingerprint(Labels.of(alertname="A", replica="1")))
    assert (one.tries, one.failures, one.status, one.outcome) == (2, 1, 200, "accepted")
    assert one.failure == "failed with 503 Service Unavailable: busy"


def test_of_a_batch_that_is_refused_only_the_alert_that_is_at_fault_counts_as_refused() -> None:
    clock = FakeClock(T0)
    history = AlertHistory(Database(None, SCHEMA, any_thread=True), clock)
    good, bad = (pending(Labels.of(alertname=name), (), 1.0, T0).fire(T0).sent(T0, 60_000) for name in "AB")

    async def live() -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(400 if b'"B"' in request.content else 200, text="bad label")

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            store = SqliteUndelivered(Database(None, UNDELIVERED))
            settings = SendSettings("http://x", Labels())
            notifier = Notifier(clock, store, settings, on_attempt=attempt_recorder(history, clock))
            notifier.sync([Destination(Alertmanager(client, AM, 5))])
            running = asyncio.create_task(notifier.run())
            notifier.send([good, bad], "m > 1", T0)
            await clock.advance(5)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(live())
    ((first,), (second,)) = (history.deliveries(fingerprint(alert.labels)) for alert in (good, bad))
    assert (first.outcome, first.tries, first.failures) == ("accepted", 1, 0)
    assert (second.outcome, second.tries, second.status) == ("refused", 1, 400)
    assert "bad label" in second.words
