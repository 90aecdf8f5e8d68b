"""Following the test alert through Alertmanagers that behave as no real one does on demand.

The fake answers as Alertmanager 0.33 does: api/v2/openapi.yaml (alerts, alerts/groups, status), notify/notify.go
(metrics).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from rulepush.clock import Timer
from rulepush.config import load_config
from rulepush.deliverytest.follow import DeliveryTest
from rulepush.deliverytest.plan import DeliveryPlan
from rulepush.deliverytest.steps import Step, StepState
from rulepush.livecheck.fetch import environment
from rulepush.model.timestamps import parse_rfc3339

ROUTE = "route: {receiver: ops, group_by: [alertname], group_wait: 30s, group_interval: 5m}\n"
WEBHOOK = ROUTE + "receivers: [{name: ops, webhook_configs: [{send_resolved: true, url: <secret>}]}]\n"


class _FastClock:
    """A Clock whose sleeps take no time: the time moves by what is slept."""

    def __init__(self) -> None:
        self._ms = 1_700_000_000_000.0

    def now(self) -> int:
        return int(self._ms)

    def monotonic(self) -> float:
        return self._ms / 1000

    async def sleep(self, seconds: float) -> None:
        self._ms += seconds * 1000
        await asyncio.sleep(0)

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        raise NotImplementedError


@dataclass
class _Alertmanager:
    """One server. `sends_after` (s): when it counts a notification after it took an alert, None for never."""

    clock: _FastClock
    sends_after: float | None = 30.0
    peers: tuple[str, ...] = ()
    original: str = WEBHOOK
    lists: bool = True
    metrics_status: int = 200
    refuse: Callable[[dict[str, Any]], bool] = lambda alert: False
    posted: list[dict[str, Any]] = field(default_factory=list)
    took_at: list[int] = field(default_factory=list)

    def resolved(self, alert: dict[str, Any]) -> bool:
        return parse_rfc3339(alert["endsAt"]) <= self.clock.now()

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            [alert] = json.loads(request.content)
            self.posted.append(alert)
            if self.refuse(alert):
                return httpx.Response(500, text="out of order")
            self.took_at.append(self.clock.now())
            return httpx.Response(200)
        if path == "/metrics":
            return httpx.Response(self.metrics_status, text=self._metrics())
        if path.endswith("/status"):
            cluster = {"status": "ready" if self.peers else "disabled", "peers": [{"name": n} for n in self.peers]}
            version = {"version": "0.33.0"}
            return httpx.Response(
                200, json={"cluster": cluster, "config": {"original": self.original}, "versionInfo": version}
            )
        alerts = [self._listed(alert) for alert in self.posted[-1:] if self.lists]
        if path.endswith("/groups"):
            return httpx.Response(200, json=[{"alerts": alerts, "labels": {}, "receiver": {"name": "ops"}}])
        return httpx.Response(200, json=alerts)

    def _metrics(self) -> str:
        wait = self.sends_after
        sent = 0 if wait is None else sum(at + wait * 1000 <= self.clock.now() for at in self.took_at)
        return (
            f'alertmanager_notification_requests_total{{integration="webhook"}} {7 + sent}\n'
            'alertmanager_notification_requests_failed_total{integration="webhook"} 0\n'
            'alertmanager_notifications_failed_total{integration="webhook",reason="other"} 0\n'
        )

    def _listed(self, alert: dict[str, Any]) -> dict[str, Any]:
        status = {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
        return {"labels": alert["labels"], "receivers": [{"name": "ops"}], "status": status, "fingerprint": "f"}


@dataclass
class _Told:
    """The steps and the waits that were told."""

    steps: list[Step] = field(default_factory=list)
    waits: list[tuple[float, str]] = field(default_factory=list)

    def step(self, step: Step) -> None:
        self.steps.append(step)

    @asynccontextmanager
    async def waiting(self, seconds: float, what: str) -> AsyncIterator[None]:
        self.waits.append((seconds, what))
        yield

    def texts(self, state: StepState) -> list[str]:
        return [step.text for step in self.steps if step.state is state]


Local = Callable[[httpx.Request], httpx.Response]


def _nobody(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def _follow(
    tmp_path: Path,
    clock: _FastClock,
    servers: dict[str, _Alertmanager],
    more: str = "",
    follow_end: bool = True,
    local: Local = _nobody,
) -> tuple[StepState, _Told]:
    """Test the delivery to these servers, by their host names; `local` is what listens on this machine."""
    file = tmp_path / "prometheus.yml"
    file.write_text(f"{more}\nalerting:\n  alertmanagers: [{{static_configs: [{{targets: {[*servers]}}}]}}]\n")
    told = _Told()

    def answer(request: httpx.Request) -> httpx.Response:
        return local(request) if request.url.host == "127.0.0.1" else servers[request.url.host].answer(request)

    transport = httpx.MockTransport(answer)
    plan = DeliveryPlan("5e1757fa", follow_end=follow_end)
    test = DeliveryTest(load_config(str(file)), plan, environment(clock, "test"), told, transport)
    return asyncio.run(test.run()), told


def test_the_alert_has_external_labels_and_is_resolved_with_the_same_ones(tmp_path: Path) -> None:
    clock = _FastClock()
    server = _Alertmanager(clock)
    state, told = _follow(tmp_path, clock, {"am": server}, "global: {external_labels: {site: hz1}}")
    assert state is StepState.UNSEEN
    firing, resolved = server.posted
    assert firing["labels"] == resolved["labels"]
    assert firing["labels"]["site"] == "hz1"
    assert firing["startsAt"] == resolved["startsAt"]
    assert server.resolved(resolved)
    # Its own end is there from the start: nobody may come to resolve it.
    assert parse_rfc3339(firing["endsAt"]) == parse_rfc3339(firing["startsAt"]) + 600_000
    assert told.waits == [
        (40.0, "the message, up to 40s (group_wait 30s)"),
        (310.0, "the message that it is resolved, up to 5m10s (group_interval 5m)"),
    ]


def test_a_notification_before_its_time_is_another_ones(tmp_path: Path) -> None:
    clock = _FastClock()
    began = clock.now()
    _, told = _follow(tmp_path, clock, {"am": _Alertmanager(clock, sends_after=1.0)}, follow_end=False)
    assert clock.now() - began >= 29_000
    assert "Alertmanager http://am: webhook: 1 sent and answered with success" in told.texts(StepState.OK)


def test_of_a_cluster_one_member_sends(tmp_path: Path) -> None:
    clock = _FastClock()
    peers = ("01A", "01B")
    servers = {"one": _Alertmanager(clock, peers=peers, sends_after=None), "two": _Alertmanager(clock, peers=peers)}
    state, told = _follow(tmp_path, clock, servers, follow_end=False)
    assert state is StepState.UNSEEN
    assert told.waits == [(55.0, "the message, up to 55s (group_wait 30s, 2 peers)")]
    sent = "Alertmanagers http://one, http://two: webhook: 1 sent and answered with success"
    assert sent in told.texts(StepState.OK)
    assert [len(server.posted) for server in servers.values()] == [2, 2]


def test_two_that_are_no_cluster_have_to_send_both(tmp_path: Path) -> None:
    clock = _FastClock()
    servers = {"one": _Alertmanager(clock, sends_after=None), "two": _Alertmanager(clock)}
    state, told = _follow(tmp_path, clock, servers)
    assert state is StepState.FAILED
    assert told.texts(StepState.FAILED) == ["Alertmanager http://one: webhook: nothing was sent within 40s"]
    assert len(told.waits) == 1  # for the end of what did not arrive nobody waits


def test_an_alert_that_is_taken_and_not_listed_is_told(tmp_path: Path) -> None:
    clock = _FastClock()
    server = _Alertmanager(clock, lists=False)
    state, told = _follow(tmp_path, clock, {"am": server})
    assert state is StepState.FAILED
    assert told.texts(StepState.FAILED)[0].startswith("Alertmanager http://am: does not list the alert that it took")
    assert server.resolved(server.posted[-1])


def test_a_resolution_that_is_not_taken_is_tried_again_and_told(tmp_path: Path) -> None:
    clock = _FastClock()
    server = _Alertmanager(clock)
    server.refuse = server.resolved
    state, told = _follow(tmp_path, clock, {"am": server})
    assert state is StepState.FAILED
    assert len(server.posted) == 4
    assert told.steps[-1].text.startswith("Alertmanager http://am: did not take the resolution: failed with 500")
    assert told.steps[-1].cure == "the alert ends by itself 10m after its start"


def test_without_metrics_it_says_that_it_could_not_see(tmp_path: Path) -> None:
    clock = _FastClock()
    state, told = _follow(tmp_path, clock, {"am": _Alertmanager(clock, metrics_status=403)}, follow_end=False)
    assert state is StepState.UNSEEN
    assert "Alertmanager http://am: its metrics cannot be read" in told.texts(StepState.UNSEEN)


def test_a_group_with_other_alerts_is_waited_for_until_its_next_notification(tmp_path: Path) -> None:
    clock = _FastClock()
    original = WEBHOOK.replace("[alertname]", "[cluster]")
    _, told = _follow(tmp_path, clock, {"am": _Alertmanager(clock, original=original)}, follow_end=False)
    assert told.waits == [(310.0, "the message, up to 5m10s (group_interval 5m)")]


def test_a_post_whose_answer_is_lost_is_resolved_all_the_same(tmp_path: Path) -> None:
    clock = _FastClock()
    server = _Alertmanager(clock)
    server.refuse = lambda alert: not server.resolved(alert)
    state, told = _follow(tmp_path, clock, {"am": server})
    assert state is StepState.FAILED
    assert [server.resolved(alert) for alert in server.posted] == [False, True]
    assert told.texts(StepState.OK) == []


def test_a_relay_on_this_machine_is_asked_when_none_is_named(tmp_path: Path) -> None:
    clock = _FastClock()
    asked: list[str] = []

    def relay(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        sent = {"target": "ops", "status": "firing", "fate": "sent", "reason": "", "at": "2026-01-01T00:00:00Z"}
        return httpx.Response(200, json={"deliveries": [sent]})

    state, told = _follow(tmp_path, clock, {"am": _Alertmanager(clock)}, follow_end=False, local=relay)
    assert state is StepState.OK
    assert "relay http://127.0.0.1:8060: target ops: the robot took the message" in told.texts(StepState.OK)
    assert set(asked) == {"http://127.0.0.1:8060/dingtalk/deliveries?test_id=5e1757fa"}


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, json={"deliveries": []}), httpx.Response(404), httpx.Response(200, text="<html>")]
)
def test_a_server_on_this_machine_that_knows_nothing_of_the_test_is_not_the_relay(
    tmp_path: Path, answer: httpx.Response
) -> None:
    clock = _FastClock()
    server = {"am": _Alertmanager(clock)}
    state, told = _follow(tmp_path, clock, server, follow_end=False, local=lambda request: answer)
    assert state is StepState.UNSEEN
    assert not any("8060" in step.text for step in told.steps)
