"""What is wrong now: from the state of each part to a line of the bar."""

from __future__ import annotations

from dataclasses import dataclass

from rulepush.notifier.sendloop import Refusals
from rulepush.site.language import Language
from rulepush.site.trouble import (
    Trouble,
    TroubleKind,
    configuration_troubles,
    delivery_troubles,
    overload_troubles,
    sample_troubles,
)

NOW = 1_700_000_000_000


@dataclass
class FakeSending:
    """Alerts to one Alertmanager."""

    url: str = "http://am"
    last_error: str = ""
    failing_since: int | None = None
    waiting: int = 0
    oldest_waiting: int | None = None
    refusals: Refusals | None = None


@dataclass
class FakeReceiver:
    name: str
    last_error: str = ""


def said(trouble: Trouble) -> str:
    return Language.ENGLISH.say(trouble.words)


def test_an_alertmanager_that_takes_alerts_is_no_trouble() -> None:
    busy = FakeSending(waiting=3, oldest_waiting=NOW - 2_000)
    assert list(delivery_troubles([FakeSending(), busy], NOW)) == []


def test_an_alertmanager_that_cannot_be_reached_is_named_with_its_error() -> None:
    away = FakeSending("http://b", "connection refused", NOW - 720_000, 205, NOW - 700_000)
    (trouble,) = delivery_troubles([FakeSending(), away], NOW)
    assert said(trouble) == "Alerts do not reach http://b, 205 wait"
    assert (trouble.kind, trouble.since, trouble.detail) == (TroubleKind.DELIVERY, NOW - 720_000, "connection refused")


def test_an_alertmanager_that_never_answers_is_trouble_before_it_times_out() -> None:
    (trouble,) = delivery_troubles([FakeSending(waiting=2, oldest_waiting=NOW - 31_000)], NOW)
    assert said(trouble) == "Alerts wait for http://am, which does not answer: 2"
    assert trouble.since == NOW - 31_000


def test_refused_alerts_are_trouble_until_five_minutes_after_the_last() -> None:
    def troubles(last_at: int) -> list[Trouble]:
        refused = Refusals(NOW - 900_000, last_at, 205, "HTTP status 400: bad label")
        return list(delivery_troubles([FakeSending(refusals=refused)], NOW))

    (trouble,) = troubles(NOW - 299_000)
    assert said(trouble) == "http://am refuses alerts, 205 so far"
    assert (trouble.since, trouble.detail) == (NOW - 900_000, "HTTP status 400: bad label")
    assert troubles(NOW - 300_000) == []


def test_an_alertmanager_that_refuses_one_after_the_other_does_answer() -> None:
    refused = Refusals(NOW - 60_000, NOW - 1_000, 310, "HTTP status 400")
    slow = FakeSending(waiting=306, oldest_waiting=NOW - 60_000, refusals=refused)
    assert [said(trouble) for trouble in delivery_troubles([slow], NOW)] == ["http://am refuses alerts, 310 so far"]


def test_a_receiver_that_refuses_samples_is_named() -> None:
    (trouble,) = sample_troubles([FakeReceiver("central", "HTTP status 500"), FakeReceiver("other")])
    assert said(trouble) == "Samples are not accepted by central"
    assert trouble.detail == "HTTP status 500"


def test_a_failed_reload_is_trouble_with_its_reason() -> None:
    assert list(configuration_troubles("", 0)) == []
    (trouble,) = configuration_troubles("prometheus.yml:3: no such key", NOW)
    assert (trouble.kind, trouble.since) == (TroubleKind.CONFIGURATION, NOW)
    assert trouble.detail == "prometheus.yml:3: no such key"


def test_overload_is_trouble_with_its_measure() -> None:
    assert list(overload_troubles("")) == []
    (trouble,) = overload_troubles("3 left out")
    assert (trouble.kind, trouble.detail, trouble.link) == (TroubleKind.OVERLOAD, "3 left out", "/targets")
