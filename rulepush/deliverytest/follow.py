"""Follows the test alert on its way, and ends it in any case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from rulepush.config.sections import Config
from rulepush.deliverytest.asked import (
    AskedAlertmanager,
    AskedRelay,
    NotAnswered,
    RelayDelivery,
    SeenAlert,
    ServerStatus,
)
from rulepush.deliverytest.counts import SendCounts, increase, read_counts, summed
from rulepush.deliverytest.plan import DeliveryPlan, Handover, found_servers, trial_alert
from rulepush.deliverytest.routing import Integration, TakenRoute
from rulepush.deliverytest.steps import Step, StepReport, StepState, overall
from rulepush.deliverytest.verdicts import (
    WEBHOOK,
    expected,
    relay_done,
    relay_failed,
    relayed,
    routed,
    sending_done,
    sent,
    silenced,
    unseen,
)
from rulepush.discovery.groups import Environment
from rulepush.http_client.build import build_client
from rulepush.model.durations import format_duration
from rulepush.notifier.wire import WireAlert

_LISTED_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.5
_RELAY_SECONDS: Final = 5.0
LOCAL_RELAY: Final = "http://127.0.0.1:8060"
"""Where a relay is asked when none is named: the default of `rulepush dingtalk`."""
_PEER_MS: Final = 15_000  # Alertmanager's --cluster.peer-timeout
_EARLY_MS: Final = 1_000
_ENDS_BY_ITSELF_MS: Final = 600_000
_RESOLVE_ATTEMPTS: Final = 3


@dataclass(slots=True, eq=False)
class _Way:
    """The alert at one Alertmanager. `base`: its metrics when the wait began."""

    server: AskedAlertmanager
    alert: WireAlert
    status: ServerStatus
    taken: bool = False
    seen: SeenAlert = field(default_factory=lambda: SeenAlert((), (), (), ()))
    base: str = ""

    @property
    def shown(self) -> str:
        return f"Alertmanager {self.server.shown}"

    def routes(self) -> list[TakenRoute]:
        """The routes of the alert that lead to its receivers; which these are is Alertmanager's own word."""
        routing = self.status.routing
        taken = routing.routes(self.alert.labels) if routing is not None else ()
        return [route for route in taken if route.receiver in self.seen.receivers] or [TakenRoute("", 30_000, 300_000)]


class DeliveryTest:
    """One run. `transport` replaces the network in tests."""

    def __init__(
        self,
        config: Config,
        plan: DeliveryPlan,
        env: Environment,
        report: StepReport,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        self._config = config
        self._plan = plan
        self._env = env
        self._clock = env.clock
        self._report = report
        self._transport = transport
        self._steps: list[Step] = []
        self._relay: AskedRelay | None = None
        self._guesses: list[AskedRelay] = []  # where a relay may be, when none was named

    async def run(self) -> StepState:
        """How it ended: OK only if everything was seen. Whatever happens, the alert is resolved."""
        now = self._clock.now()
        alert = trial_alert(self._plan, self._config.global_.external_labels, now, now + _ENDS_BY_ITSELF_MS)
        relay_client = build_client(user_agent=self._env.user_agent, transport=self._transport)
        try:
            if self._plan.relay_url:
                self._relay = AskedRelay(relay_client, self._plan.relay_url, _RELAY_SECONDS)
            else:
                self._guesses = [AskedRelay(relay_client, LOCAL_RELAY, _RELAY_SECONDS)]
            async with found_servers(self._config, alert, self._env, self._transport) as found:
                for fault in found.faults:
                    self._tell(Step(StepState.FAILED, f"alerting.alertmanagers: {fault}"))
                if not found.handovers and not found.faults:
                    text = "the configuration names no Alertmanager: alerts are only logged"
                    self._tell(Step(StepState.FAILED, text, "write its address under alerting.alertmanagers"))
                await self._all(found.handovers)
        finally:
            await relay_client.aclose()
        return overall(self._steps)

    def _tell(self, step: Step) -> None:
        self._steps.append(step)
        self._report.step(step)

    def _tell_all(self, steps: Iterator[Step]) -> bool:
        """Whether there were any."""
        told = list(steps)
        for step in told:
            self._tell(step)
        return bool(told)

    async def _all(self, handovers: Sequence[Handover]) -> None:
        posted: list[_Way] = []
        ways: list[_Way] = []
        arrived = False
        try:
            for handover in handovers:
                await self._hand_over(handover, posted)
            ways = [way for way in posted if way.taken and await self._listed(way)]
            if ways:
                arrived = await self._follow(ways, firing=True)
        finally:
            ended = await self._resolve(posted)
        ways = [way for way in ways if way in ended]
        if arrived and ways and self._plan.follow_end:
            await self._follow(ways, firing=False)

    # -- to the Alertmanagers

    async def _hand_over(self, handover: Handover, posted: list[_Way]) -> None:
        server, alert = handover.server, handover.alert
        shown = f"Alertmanager {server.shown}"
        if alert is None:
            cure = "give it labels that they keep: --label severity=critical and the like"
            self._tell(Step(StepState.FAILED, f"{shown}: alert_relabel_configs drop the alert", cure))
            return
        fault = await server.fault()
        if fault:
            self._tell(Step(StepState.FAILED, f"{shown}: {fault}"))
            return
        try:
            way = _Way(server, alert, await server.status())
        except NotAnswered as e:
            self._tell(Step(StepState.FAILED, f"{shown}: its status: {e}"))
            return
        way.base = await self._metrics(way)
        posted.append(way)  # before it is sent: an answer that gets lost leaves an alert behind
        fault = await server.post(alert)
        if fault:
            self._tell(Step(StepState.FAILED, f"{shown}: {fault}"))
            return
        way.taken = True
        self._tell(Step(StepState.OK, f"{shown}: took the alert {alert.labels}"))

    async def _listed(self, way: _Way) -> bool:
        """Whether the alert is on its way to a receiver that tells somebody."""
        until = self._clock.monotonic() + _LISTED_SECONDS
        seen: SeenAlert | None = None
        fault = "does not list the alert that it took: is another Alertmanager behind this address, or its clock off?"
        while seen is None:
            try:
                seen = await way.server.alert(way.alert.labels)
            except NotAnswered as e:
                fault = f"its list of alerts: {e}"
            if seen is None:
                if self._clock.monotonic() >= until:
                    self._tell(Step(StepState.FAILED, f"{way.shown}: {fault}"))
                    return False
                await self._clock.sleep(_POLL_SECONDS)
        way.seen = seen
        step = routed(way.shown, seen, way.status.routing)
        self._tell(step)
        return step.state is not StepState.FAILED and not await self._stopped(way)

    async def _stopped(self, way: _Way) -> bool:
        """Whether a silence, another alert or a time interval keeps it from its receivers, which is told."""
        silences = {identity: await way.server.silence(identity) for identity in way.seen.silenced_by}
        return self._tell_all(silenced(way.shown, way.seen, silences))

    # -- from them on

    async def _follow(self, ways: Sequence[_Way], *, firing: bool) -> bool:
        """Wait for the message that it fires, or that it is resolved. Whether nothing failed on the way to it."""
        groups = [_Cluster(members, firing) for members in _clusters(ways)]
        if not firing and not any(group.wanted for group in groups):
            self._tell(Step(StepState.OK, "nobody is told that it is resolved: send_resolved is false"))
            return True
        total = max(group.latest for group in groups) + self._plan.slack_ms
        waited = format_duration(total)
        what = "the message" if firing else "the message that it is resolved"
        reasons = ", ".join(dict.fromkeys(group.reason for group in groups))
        async with self._report.waiting(total / 1000, f"{what}, up to {waited} ({reasons})"):
            if not await self._waited(groups, total, firing=firing):
                return False
        return await self._conclude(groups, waited, firing=firing)

    async def _waited(self, groups: Sequence[_Cluster], total: float, *, firing: bool) -> bool:
        """Poll until all is known, or for `total` ms. False when the alert is kept back, which is told."""
        began = self._clock.monotonic()
        while (passed := (self._clock.monotonic() - began) * 1000) < total:
            await self._clock.sleep(_POLL_SECONDS)
            if firing and await self._kept_back(groups):
                return False
            told = [d for d in await self._relayed() if d.firing is firing]
            if relay_failed(told):
                await self._clock.sleep(_POLL_SECONDS)  # until Alertmanager has counted the relay's answer
                return True
            open_at_relay = self._asks_relay(groups) and not relay_done(told, firing=firing)
            # The counters are those of all notifications: before its time it was another that was sent.
            ripe = [group for group in groups if passed >= group.earliest]
            done = [sending_done(group.wanted, await self._counts(group)) for group in ripe]
            if not open_at_relay and len(ripe) == len(groups) and all(done):
                return True
        return True

    async def _kept_back(self, groups: Sequence[_Cluster]) -> bool:
        """Whether the alert was silenced, inhibited or muted since it was listed: an interval shows when its time
        comes."""
        for way in (way for group in groups for way in group.ways):
            with suppress(NotAnswered):
                way.seen = await way.server.alert(way.alert.labels) or way.seen
                if await self._stopped(way):
                    return True
        return False

    def _asks_relay(self, groups: Sequence[_Cluster]) -> bool:
        return self._relay is not None and any(one.kind == WEBHOOK for group in groups for one in group.wanted)

    async def _relayed(self) -> Sequence[RelayDelivery]:
        """What the relay knows; nothing while it does not answer. One that was not named is believed to be the one
        when it knows of this test."""
        if self._relay is not None:
            with suppress(NotAnswered):
                return await self._relay.deliveries(self._plan.test_id)
            return ()
        for guess in tuple(self._guesses):
            try:
                told = await guess.deliveries(self._plan.test_id)
            except NotAnswered:
                self._guesses.remove(guess)
                continue
            if told:
                self._relay = guess
                return told
        return ()

    async def _metrics(self, way: _Way) -> str:
        """ "" when they cannot be had."""
        with suppress(NotAnswered):
            return await way.server.metrics()
        return ""

    async def _counts(self, group: _Cluster) -> Mapping[str, SendCounts]:
        """What the members of the cluster have sent since the wait began."""
        found = []
        for way in group.ways:
            now = read_counts(await self._metrics(way), way.seen.receivers)
            found.append(increase(read_counts(way.base, way.seen.receivers), now))
        return summed(found)

    async def _conclude(self, groups: Sequence[_Cluster], waited: str, *, firing: bool) -> bool:
        failed_before = sum(step.state is StepState.FAILED for step in self._steps)
        confirmed = any(d.fate == "sent" and d.firing is firing for d in await self._relayed())
        for group in groups:
            counts = await self._counts(group)
            if counts:
                self._tell_all(sent(group.shown, group.wanted, counts, waited, confirmed=confirmed))
            else:
                cure = "allow GET /metrics, without which nothing tells whether it sent something"
                self._tell(Step(StepState.UNSEEN, f"{group.shown}: its metrics cannot be read", cure))
        if self._relay is not None and self._asks_relay(groups):
            try:
                told = await self._relay.deliveries(self._plan.test_id)
            except NotAnswered as e:
                self._tell(Step(StepState.FAILED, f"relay {self._relay.shown}: {e}"))
            else:
                self._tell_all(relayed(f"relay {self._relay.shown}", told, firing=firing))
        if firing:
            for group in groups:
                self._tell_all(unseen(group.shown, group.wanted, has_relay=self._relay is not None))
        return sum(step.state is StepState.FAILED for step in self._steps) == failed_before

    # -- the end

    async def _resolve(self, posted: Sequence[_Way]) -> list[_Way]:
        """Resolve it wherever it may be. Returns where it is resolved."""
        ended = []
        for way in posted:
            way.base = await self._metrics(way)
            now = self._clock.now()
            end = replace(way.alert, starts_at=min(way.alert.starts_at, now), ends_at=now, resolved=True)
            fault = await way.server.post(end)
            for _ in range(_RESOLVE_ATTEMPTS - 1):
                if not fault or not way.taken:
                    break
                await self._clock.sleep(1)
                fault = await way.server.post(end)
            if not fault:
                ended.append(way)
            if way.taken and fault:
                by_itself = format_duration(_ENDS_BY_ITSELF_MS)
                text = f"{way.shown}: did not take the resolution: {fault}"
                self._tell(Step(StepState.FAILED, text, f"the alert ends by itself {by_itself} after its start"))
            elif way.taken:
                self._tell(Step(StepState.OK, f"{way.shown}: took the resolution"))
        return ended


class _Cluster:
    """Alertmanagers of which one sends: the members of a cluster, or one that is alone. Times in ms."""

    def __init__(self, ways: Sequence[_Way], firing: bool):
        self.ways = ways
        first = ways[0]
        self.wanted: Sequence[Integration] = expected(first.seen, first.status.routing, resolved=not firing)
        routes = [route for way in ways for route in way.routes()]
        slowest = max(routes, key=lambda route: route.first_wait if firing else route.group_interval)
        peers = _PEER_MS * max(len(first.status.members) - 1, 0)
        self.latest = peers + (slowest.first_wait if firing else slowest.group_interval)
        self.earliest = 0
        if firing and all(route.alone for route in routes):
            self.earliest = max(slowest.group_wait - _EARLY_MS, 0)
        if firing and slowest.alone:
            self.reason = f"group_wait {format_duration(slowest.group_wait)}"
        else:
            self.reason = f"group_interval {format_duration(slowest.group_interval)}"
        if peers:
            self.reason += f", {len(first.status.members)} peers"

    @property
    def shown(self) -> str:
        """`Alertmanager URL`, or of a cluster all of its URLs."""
        names = ", ".join(way.server.shown for way in self.ways)
        return f"Alertmanager{'s' * (len(self.ways) > 1)} {names}"


def _clusters(ways: Sequence[_Way]) -> list[list[_Way]]:
    """By cluster; one that is alone is a group of its own."""
    groups: dict[object, list[_Way]] = {}
    for way in ways:
        groups.setdefault(way.status.members or way.server, []).append(way)
    return list(groups.values())
