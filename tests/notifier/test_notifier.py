"""Every alert to every Alertmanager; loops that come, stay and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager import PostOutcome, PostResponse
from rulepush.notifier.notifier import Destination, Notifier, SendSettings
from rulepush.notifier.wire import WireAlert
from rulepush.rules.alert import Alert, AlertState
from tests.fakes import FakeClock
from tests.notifier.test_sendloop import FakeStore

Play = Callable[["World"], Awaitable[None]]


class Receiver:
    """An Alertmanager; `up` says whether it answers."""

    def __init__(self, url: str):
        self.url = url
        self.up = True
        self.asked = 0
        self.got: list[WireAlert] = []

    async def post(self, alerts: Sequence[WireAlert]) -> PostResponse:
        self.asked += 1
        if not self.up:
            return PostResponse(PostOutcome.RETRY, "connection refused")
        self.got += alerts
        return PostResponse(PostOutcome.ACCEPTED)

    @property
    def names(self) -> list[str]:
        return [f"{a.labels.get('alertname')}{'-' if a.resolved else '+'}" for a in self.got]


def alert(name: str, *, resolved: bool = False, **labels: str) -> Alert:
    state = AlertState.INACTIVE if resolved else AlertState.FIRING
    ended = 2000 if resolved else None
    return Alert(Labels.of(alertname=name, **labels), (), state, 1000, 1.0, fired_at=1000, resolved_at=ended)


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore()
        self.active: list[Alert] = []
        sending = SendSettings("http://rulepush", Labels.of(site="hz1"))
        self.notifier = Notifier(self.clock, self.store, sending, lambda: self.active)
        self.a, self.b = Receiver("http://a"), Receiver("http://b")

    def sync(self, *receivers: Receiver, remove: bool = True) -> None:
        self.notifier.sync([Destination(r) for r in receivers], remove=remove)

    def send(self, *alerts: Alert) -> None:
        self.notifier.send(alerts, "up == 0", 5000)


def play(act: Play) -> World:
    async def main() -> World:
        world = World()
        running = asyncio.create_task(world.notifier.run())
        await asyncio.sleep(0)
        await act(world)
        await world.clock.settle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return world

    return asyncio.run(main())


def test_every_alertmanager_gets_every_alert_with_external_labels() -> None:
    async def act(world: World) -> None:
        world.sync(world.a, world.b)
        world.send(alert("A"), alert("B", site="own"))

    world = play(act)
    assert world.a.names == world.b.names == ["A+", "B+"]
    assert [a.labels.get("site") for a in world.a.got] == ["hz1", "own"]
    # Prometheus' link, and in it the alert by the labels that its rule gave it, without external ones.
    of_rule = fingerprint(alert("A").labels)
    assert world.a.got[0].generator_url == f"http://rulepush/graph?g0.expr=up+%3D%3D+0&g0.tab=1&alert={of_rule}"


def test_one_that_is_down_does_not_hold_up_the_other() -> None:
    async def act(world: World) -> None:
        world.a.up = False
        world.sync(world.a, world.b)
        world.send(alert("A"))
        await world.clock.settle()
        assert (world.a.names, world.b.names) == ([], ["A+"])
        world.send(alert("A", resolved=True))
        world.a.up = True
        await world.clock.advance(60)

    world = play(act)
    assert (world.a.names, world.b.names) == (["A-"], ["A+", "A-"])


def test_a_reload_keeps_the_outbox_of_a_url_that_stays_and_uses_its_new_connection() -> None:
    async def act(world: World) -> None:
        world.a.up = False
        world.sync(world.a)
        world.send(alert("A"))
        await world.clock.settle()
        again = Receiver("http://a")
        world.sync(again, world.b)
        await world.clock.advance(60)
        assert (again.names, world.a.names, world.b.names) == (["A+"], [], [])

    play(act)


def test_one_that_is_gone_gets_no_more_and_what_waited_for_it_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def act(world: World) -> None:
        world.a.up = False
        world.sync(world.a, world.b)
        world.send(alert("A"))
        await world.clock.settle()
        world.sync(world.b)
        world.a.up = True
        world.send(alert("B"))
        await world.clock.advance(60)

    world = play(act)
    assert (world.a.names, world.b.names) == ([], ["A+", "B+"])
    assert "Alertmanager removed while 1 alerts waited for it: url=http://a" in caplog.text


def test_one_that_comes_back_gets_the_resolutions_that_waited_but_for_what_fires_again() -> None:
    async def act(world: World) -> None:
        world.a.up = False
        world.sync(world.a)
        world.send(alert("Over", resolved=True), alert("Again", resolved=True), alert("Soon", resolved=True))
        await world.clock.settle()
        world.sync()
        pending = Alert(Labels.of(alertname="Soon"), (), AlertState.PENDING, 3000, 1.0)
        world.active = [alert("Again"), pending]
        world.send(alert("Again"))
        world.a.up = True
        world.sync(world.a)
        await world.clock.advance(60)

    world = play(act)
    assert world.a.names == ["Over-", "Soon-"]
    assert not world.store.kept


def test_as_long_as_a_discovery_may_still_name_it_nobody_is_removed() -> None:
    async def act(world: World) -> None:
        world.sync(world.a)
        world.sync(world.b, remove=False)
        world.send(alert("A"))

    world = play(act)
    assert world.a.names == world.b.names == ["A+"]


def test_alerts_are_relabelled_for_all_and_for_each() -> None:
    def drop_b(labels: Labels) -> Labels | None:
        return None if labels.get("alertname") == "B" else labels.with_({"all": "1"})

    def only_here(labels: Labels) -> Labels | None:
        return labels.with_({"here": "1"}) if labels.get("alertname") == "A" else None

    async def act(world: World) -> None:
        world.notifier.sending = SendSettings("", Labels(), drop_b)
        world.notifier.sync([Destination(world.a, only_here), Destination(world.b)])
        world.send(alert("A"), alert("B"), alert("C"))

    world = play(act)
    assert [str(a.labels) for a in world.a.got] == ['{alertname="A", all="1", here="1"}']
    assert [str(a.labels) for a in world.b.got] == ['{alertname="A", all="1"}', '{alertname="C", all="1"}']
    assert world.notifier.dropped_by_relabel == 1


def test_where_an_alert_goes_it_is_known_by_the_labels_after_all_relabelling() -> None:
    def no_q(labels: Labels) -> Labels | None:
        return labels.without(["q"])

    def only_here(labels: Labels) -> Labels | None:
        return labels.with_({"here": "1"}) if labels.get("alertname") == "A" else None

    async def act(world: World) -> None:
        world.notifier.sending = SendSettings("", Labels.of(site="x"), no_q)
        world.notifier.sync([Destination(world.a, only_here), Destination(world.b)])
        assert world.notifier.sent_as(alert("A", q="1")) == {
            "http://a": Labels.of(alertname="A", here="1", site="x"),
            "http://b": Labels.of(alertname="A", site="x"),
        }
        assert list(world.notifier.sent_as(alert("B"))) == ["http://b"]
        world.notifier.sending = SendSettings("", Labels(), lambda _: None)
        assert world.notifier.sent_as(alert("A")) == {}

    play(act)


def test_with_nobody_to_send_to_alerts_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def act(world: World) -> None:
        world.send(alert("A"), alert("B", resolved=True))

    play(act)
    logged = [r.getMessage() for r in caplog.records]
    assert [text.partition(" ")[0] for text in logged] == ["FIRING", "RESOLVED"]
    assert 'alertname="A"' in logged[0]


def test_the_end_is_not_slept_through() -> None:
    async def act(world: World) -> None:
        world.a.up = False
        world.sync(world.a)
        world.send(alert("A", resolved=True))
        await world.clock.advance(100)  # it pauses for half a minute by now
        asked = world.a.asked
        world.a.up = True
        await asyncio.wait_for(world.notifier.drain(), 60)  # no time passes on the fake clock
        assert world.a.asked == asked + 1

    world = play(act)
    assert world.a.names == ["A-"]
    assert not world.store.kept


def test_nothing_to_drain() -> None:
    async def act(world: World) -> None:
        world.sync(world.a, world.b)
        await asyncio.wait_for(world.notifier.drain(), 60)

    play(act)
