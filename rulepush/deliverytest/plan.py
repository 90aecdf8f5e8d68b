"""The test alert, and where it goes: found, relabelled and reached as the notifier does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx

from rulepush.config.sections import AlertmanagerConfig, Config
from rulepush.deliverytest.asked import AskedAlertmanager
from rulepush.discovery.groups import Environment
from rulepush.http_client.build import build_client
from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager_sets import relabel_chain
from rulepush.notifier.visit import found_endpoints
from rulepush.notifier.wire import WireAlert, relabelled
from rulepush.relay.trial_record import TRIAL_ALERT, TRIAL_LABEL

_ANNOTATIONS: Final = (
    ("description", "Sent by `rulepush test delivery`. This is no alert: there is nothing to do."),
    ("description_zh", "由 rulepush test delivery 发送。这不是告警，无需处理。"),
    ("summary", "[TEST] delivery test of rulepush"),
    ("summary_zh", "【测试】rulepush 告警链路测试"),
)


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """What to send, and how long to follow it.

    `labels`        in addition to alertname and test_id, or instead of severity=info
    `relay_url`     of the relay behind the webhook, "" when unknown
    `slack_ms`      beyond the times that Alertmanager waits by its configuration
    `follow_end`    wait for the message that it is resolved, too
    """

    test_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    relay_url: str = ""
    slack_ms: int = 10_000
    follow_end: bool = True


@dataclass(frozen=True, slots=True)
class Handover:
    """An Alertmanager and the alert as it is sent there; `alert` is None where alert_relabel_configs drop it."""

    server: AskedAlertmanager
    alert: WireAlert | None


@dataclass(frozen=True, slots=True)
class FoundServers:
    """Where alerts go; `faults` are the entries of `alertmanagers` that lead to none, and why."""

    handovers: tuple[Handover, ...]
    faults: tuple[str, ...]


def trial_alert(plan: DeliveryPlan, external: Labels, now: int, ends_at: int) -> WireAlert:
    """The alert, firing until `ends_at` (ms) at the latest: it ends by itself when nobody can resolve it.

    Its name is its own, too: routes usually group by alertname, and in the group of a former test, which Alertmanager
    keeps for group_interval, it would wait for the rest of that time instead of group_wait."""
    name = f"{TRIAL_ALERT}_{plan.test_id}"
    own = {"severity": "info", **plan.labels, "alertname": name, TRIAL_LABEL: plan.test_id}
    return WireAlert(Labels({**external.as_dict(), **own}), _ANNOTATIONS, now, ends_at, "", resolved=False)


@asynccontextmanager
async def found_servers(
    config: Config, alert: WireAlert, env: Environment, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[FoundServers]:
    """The Alertmanagers of a configuration, with clients that are closed at the end. `transport` replaces the network
    in tests."""
    sent = relabelled(alert, relabel_chain(config.alerting.alert_relabel_configs))
    sections = list(dict.fromkeys(config.alerting.alertmanagers))
    clients = [build_client(s.http_client, env.user_agent, clock=env.clock, transport=transport) for s in sections]
    try:
        found = await asyncio.gather(
            *(_section(s, client, sent, env) for s, client in zip(sections, clients, strict=True))
        )
        yield FoundServers(
            tuple(handover for one in found for handover in one.handovers),
            tuple(fault for one in found for fault in one.faults),
        )
    finally:
        for client in clients:
            await client.aclose()


async def _section(
    config: AlertmanagerConfig, client: httpx.AsyncClient, sent: WireAlert | None, env: Environment
) -> FoundServers:
    found, silent = await found_endpoints(config, env)
    faults = [*found.faults, *(f"its {fault}" for fault in silent)]
    own = sent if sent is None else relabelled(sent, relabel_chain(config.alert_relabel_configs))
    handovers = _handovers(found.active, own, client, config.timeout_ms / 1000)
    if not handovers and not faults:
        faults.append("relabel_configs drop all of it" if found.dropped else "its discovery is empty")
    return FoundServers(handovers, tuple(faults))


def _handovers(
    urls: Sequence[str], alert: WireAlert | None, client: httpx.AsyncClient, timeout_s: float
) -> tuple[Handover, ...]:
    return tuple(Handover(AskedAlertmanager(client, url, timeout_s), alert) for url in urls)
