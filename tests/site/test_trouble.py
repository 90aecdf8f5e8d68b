"""What is wrong now: from the state of each part to a line of the bar."""

from __future__ import annotations

from typing import Any

from rulepush.delivery import DeliveryStatus, HeartbeatState, HeartbeatStatus, ReceiverKind, Refusal
from rulepush.site.language import Language
from rulepush.site.trouble import (
    Trouble,
    TroubleKind,
    configuration_troubles,
    delivery_troubles,
    heartbeat_troubles,
    overload_troubles,
    recording_troubles,
    storage_troubles,
)

NOW = 1_700_000_000_000


def sending(**state: Any) -> DeliveryStatus:
    """To one Alertmanager."""
    return DeliveryStatus(**{"kind": ReceiverKind.ALERTMANAGER, "name": "http://am", **state})


def said(trouble: Trouble) -> str:
    return Language.ENGLISH.say(trouble.words)


def test_an_alertmanager_that_takes_alerts_is_no_trouble() -> None:
    busy = sending(waiting=3, waiting_since=NOW - 2_000)
    assert list(delivery_troubles([sending(), busy], NOW)) == []


def test_an_alertmanager_that_cannot_be_reached_is_named_with_its_error() -> None:
    away = sending(
        name="http://b",
        last_error="connection refused",
        failing_since=NOW - 720_000,
        waiting=205,
        waiting_since=NOW - 700_000,
    )
    (trouble,) = delivery_troubles([sending(), away], NOW)
    assert said(trouble) == "Alerts do not reach http://b, 205 wait"
    assert (trouble.kind, trouble.since, trouble.detail) == (TroubleKind.DELIVERY, NOW - 720_000, "connection refused")


def test_an_alertmanager_that_never_answers_is_trouble_before_it_times_out() -> None:
    (trouble,) = delivery_troubles([sending(waiting=2, waiting_since=NOW - 31_000)], NOW)
    assert said(trouble) == "Alerts wait for http://am, which does not answer: 2"
    assert trouble.since == NOW - 31_000


def test_refused_alerts_are_trouble_until_five_minutes_after_the_last() -> None:
    def troubles(last_at: int) -> list[Trouble]:
        last = Refusal(last_at, "{}", "HTTP status 400: bad label")
        state = sending(refusals=(last,), refusing=205, refusing_since=NOW - 900_000)
        return list(delivery_troubles([state], NOW))

    (trouble,) = troubles(NOW - 299_000)
    assert said(trouble) == "http://am refuses alerts, 205 so far"
    assert (trouble.since, trouble.detail) == (NOW - 900_000, "HTTP status 400: bad label")
    assert troubles(NOW - 300_000) == []


def test_a_receiver_of_samples_that_is_away_or_refuses_them_is_named() -> None:
    kind = ReceiverKind.REMOTE_WRITE
    away = sending(kind=kind, name="central", failing_since=NOW - 9_000, last_error="no answer")
    bad = sending(kind=kind, name="far", refusals=(Refusal(NOW - 1_000, "9 samples", "HTTP status 400"),))
    first, second = delivery_troubles([away, sending(kind=kind, name="fine"), bad], NOW)
    assert (said(first), first.since, first.detail) == ("Samples do not reach central", NOW - 9_000, "no answer")
    assert (said(second), second.detail) == ("Samples are not accepted by far", "HTTP status 400")
    (slow,) = delivery_troubles([sending(kind=kind, name="slow", waiting_since=NOW - 31_000)], NOW)
    assert said(slow) == "Samples wait for slow, which does not answer"


def test_an_alertmanager_that_refuses_one_after_the_other_does_answer() -> None:
    last = Refusal(NOW - 1_000, "{}", "HTTP status 400")
    slow = sending(waiting=306, waiting_since=NOW - 60_000, refusals=(last,), refusing=310, refusing_since=NOW - 60_000)
    assert [said(trouble) for trouble in delivery_troubles([slow], NOW)] == ["http://am refuses alerts, 310 so far"]


def test_a_heartbeat_that_does_not_come_is_trouble_and_one_that_starts_is_none() -> None:
    def beat(state: HeartbeatState) -> HeartbeatStatus:
        return HeartbeatStatus("hc", "https://hc-ping.com", 60_000, state, since=NOW - 5_000, reason="why")

    found = list(heartbeat_troubles(map(beat, HeartbeatState)))
    assert [said(trouble) for trouble in found] == ["The heartbeat hc is withheld", "The heartbeat hc is not received"]
    assert {(t.since, t.detail, t.link) for t in found} == {(NOW - 5_000, "why", "/delivery")}


def test_a_failed_reload_is_trouble_with_its_reason() -> None:
    assert list(configuration_troubles("", 0)) == []
    (trouble,) = configuration_troubles("prometheus.yml:3: no such key", NOW)
    assert (trouble.kind, trouble.since) == (TroubleKind.CONFIGURATION, NOW)
    assert trouble.detail == "prometheus.yml:3: no such key"


def test_overload_is_trouble_with_its_measure() -> None:
    assert list(overload_troubles("")) == []
    (trouble,) = overload_troubles("3 left out")
    assert (trouble.kind, trouble.detail, trouble.link) == (TroubleKind.OVERLOAD, "3 left out", "/targets")


def test_a_recording_that_has_stopped_is_trouble_with_its_reason() -> None:
    assert list(recording_troubles("", None)) == []
    (trouble,) = recording_troubles("no space left", NOW)
    assert (trouble.kind, trouble.since, trouble.detail) == (TroubleKind.RECORDING, NOW, "no space left")
    assert said(trouble) == "Recording has stopped, alerting goes on"
    assert Language.CHINESE.say(trouble.words) == "录制已停止，告警照常运行"


def test_a_receiver_of_samples_that_is_called_by_a_hash_is_known_by_its_address() -> None:
    away = sending(kind=ReceiverKind.REMOTE_WRITE, name="ffba49", address="http://vm:8428", failing_since=NOW - 9_000)
    (trouble,) = delivery_troubles([away], NOW)
    assert said(trouble) == "Samples do not reach ffba49 (http://vm:8428)"


def test_the_password_in_the_address_of_an_alertmanager_is_not_said() -> None:
    at = sending(name="http://u:hunter2@am:9093/x", address="http://am:9093/x", failing_since=NOW - 9_000, waiting=3)
    (trouble,) = delivery_troubles([at], NOW)
    assert said(trouble) == "Alerts do not reach http://am:9093/x, 3 wait"


def test_a_directory_that_cannot_be_written_is_trouble() -> None:
    assert list(storage_troubles("/s", True)) == []
    (trouble,) = storage_troubles("/s", False)
    assert (trouble.kind, trouble.link) == (TroubleKind.STORAGE, "/status")
