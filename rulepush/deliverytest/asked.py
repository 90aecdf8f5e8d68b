"""What an Alertmanager and a relay answer about the test alert. The only file here that sends requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from rulepush.deliverytest.routing import Routing, read_routing
from rulepush.http_client.exchange import HTTPExchange, exchange
from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager import Alertmanager, PostOutcome
from rulepush.notifier.endpoints import shown_endpoint
from rulepush.notifier.probe import probe_alertmanager
from rulepush.notifier.reasons import network_failure, refusal
from rulepush.notifier.wire import WireAlert
from rulepush.relay.trial_record import RECORD_PATH, TRIAL_LABEL

ALERTNAME: Final = "alertname"
_NO_RELAY: Final = "there is no relay of this version at this address"
_MAX_READ: Final = 4 << 20


class NotAnswered(Exception):
    """A request that failed; the text says why, without secrets. `status` is that of HTTP, 0 where nothing answered."""

    def __init__(self, text: str, status: int = 0):
        self.status = status
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Of `GET /api/v2/status`. `routing` is None when the configuration cannot be read. `members` are the names in its
    cluster, empty when it is alone."""

    routing: Routing | None
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """The alert as an Alertmanager lists it: its receivers, and what keeps it from them."""

    receivers: tuple[str, ...]
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    muted_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RelayDelivery:
    """One notification of the relay's record, see rulepush/relay/trial_record.py."""

    target: str
    firing: bool
    fate: str
    reason: str


class AskedAlertmanager:
    """One Alertmanager, asked through the settings of its section. `url` is where alerts are posted to."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout_s: float):
        self.shown = shown_endpoint(url.rpartition("/api/")[0])
        self._url = url
        self._client = client
        self._timeout = timeout_s
        self._poster = Alertmanager(client, url, timeout_s)

    async def fault(self) -> str:
        """Why it can take no alerts; "" when it can."""
        return (await probe_alertmanager(self._client, self._url, self._timeout)).fault

    async def post(self, alert: WireAlert) -> str:
        """Post the alert. Returns why it was not taken; "" when it was."""
        answer = await self._poster.post([alert])
        return "" if answer.outcome is PostOutcome.ACCEPTED else answer.reason

    async def status(self) -> ServerStatus:
        """Raises NotAnswered."""
        data = await self._json("status", "")
        cluster = data.get("cluster") or {}
        names = (str(peer.get("name", "")) for peer in cluster.get("peers") or () if isinstance(peer, dict))
        alone = cluster.get("status") == "disabled"
        routing = read_routing(str((data.get("config") or {}).get("original", "")))
        return ServerStatus(routing, frozenset() if alone else frozenset(filter(None, names)))

    async def alert(self, labels: Labels) -> SeenAlert | None:
        """The alert with exactly these labels; None when it is not listed. Raises NotAnswered."""
        found = _same(await self._json("alerts", _filter(labels)), labels)
        if not found:
            return None
        # Muting is a matter of routes: the list without groups never tells it (api/v2/api.go, `getAlertsHandler`).
        groups = await self._json("alerts/groups", _filter(labels))
        members = (
            [group.get("alerts") for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []
        )
        grouped = [one for alerts in members for one in _same(alerts, labels)]
        return SeenAlert(
            tuple(str(receiver.get("name", "")) for receiver in found[0].get("receivers") or ()),
            _marks(found, "silencedBy"),
            _marks(found, "inhibitedBy"),
            _marks(grouped, "mutedBy"),
        )

    async def silence(self, identity: str) -> str:
        """Who made a silence and why, for people; "" when that cannot be read."""
        try:
            found = await self._json(f"silence/{quote(identity, safe='')}", "")
            return f"by {found['createdBy']}, until {found['endsAt']}: {found['comment']}"
        except (NotAnswered, KeyError, TypeError):
            return ""

    async def metrics(self) -> str:
        """Its own metrics, for `read_counts`. Raises NotAnswered."""
        return (await self._get(f"{self._url.rpartition('/api/')[0]}/metrics")).text

    async def _json(self, path: str, query: str) -> Any:
        got = await self._get(f"{self._url.rpartition('/')[0]}/{path}{query}")
        return _parsed(got)

    async def _get(self, url: str) -> HTTPExchange:
        return await _get(self._client, url, self._timeout)


class AskedRelay:
    """A `rulepush dingtalk`, at its base URL, which may hold user and password."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout_s: float):
        self.shown = shown_endpoint(url.rstrip("/"))
        self._url = url.rstrip("/")
        self._client = client
        self._timeout = timeout_s

    async def deliveries(self, test_id: str) -> list[RelayDelivery]:
        """What it did with the alert so far. Raises NotAnswered."""
        try:
            got = await _get(self._client, f"{self._url}{RECORD_PATH}?{TRIAL_LABEL}={quote(test_id)}", self._timeout)
        except NotAnswered as e:
            if e.status == 404:
                raise NotAnswered(_NO_RELAY) from None
            if e.status in (401, 403):
                raise NotAnswered(f"{e.status}: it wants a password: --relay http://user:password@HOST:PORT") from None
            raise
        found = _parsed(got)
        try:
            return [
                RelayDelivery(str(d["target"]), d["status"] == "firing", str(d["fate"]), str(d["reason"]))
                for d in found["deliveries"]
            ]
        except (KeyError, TypeError):
            raise NotAnswered(_NO_RELAY) from None


def _filter(labels: Labels) -> str:
    name = f'{ALERTNAME}="{labels.get(ALERTNAME)}"'
    return f"?filter={quote(name)}" if ALERTNAME in labels else ""


def _same(alerts: object, labels: Labels) -> list[Mapping[str, Any]]:
    """Of a list in an answer, the alerts with exactly these labels."""
    listed = alerts if isinstance(alerts, list) else []
    return [one for one in listed if isinstance(one, dict) and one.get("labels") == labels.as_dict()]


def _marks(alerts: Sequence[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(mark) for one in alerts for mark in (one.get("status") or {}).get(key) or ()))


async def _get(client: httpx.AsyncClient, url: str, seconds: float) -> HTTPExchange:
    try:
        got = await exchange(client, "GET", url, b"", {}, seconds, idempotent=True, max_bytes=_MAX_READ)
    except TimeoutError:
        raise NotAnswered(f"no answer within {seconds:g}s") from None
    except httpx.HTTPError as e:
        raise NotAnswered(network_failure(e, url)) from None
    if not got.is_success:
        raise NotAnswered(refusal(got, url), got.status)
    return got


def _parsed(got: HTTPExchange) -> Any:
    try:
        return json.loads(got.text)
    except (ValueError, RecursionError):
        raise NotAnswered("answered with something else than JSON") from None
