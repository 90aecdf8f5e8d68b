"""What the servers answer before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from rulepush.clock import Clock
from rulepush.discovery.http import reason
from rulepush.discovery.nacos_api import NacosLogin, NacosSession
from rulepush.discovery.nacos_dialects import detect
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import HTTPClientConfig
from rulepush.init.addresses import Address
from rulepush.live.diagnose import diagnose_error, diagnose_status
from rulepush.live.seen import Trouble

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a Nacos server.

    `trouble`  why it gives no metrics, None when it does
    `members`  host:port of the cluster's servers, the asked one alone when it does not tell
    `version`  "" when it does not tell
    """

    trouble: Trouble | None
    members: tuple[str, ...]
    version: str = ""
    samples: int = 0


async def look_at_nacos(address: Address, clock: Clock, transport: httpx.AsyncBaseTransport | None = None) -> Looked:
    """Ask for the metrics, and for the members of the cluster."""
    login = httpx.BasicAuth(address.username, address.password) if address.username else None
    async with build_client(HTTPClientConfig(), "rulepush", timeout=_TIMEOUT_S, transport=transport) as client:
        url = f"{address.base}/actuator/prometheus"
        samples = 0
        try:
            response = await client.get(url, auth=login or httpx.Auth())
        except httpx.HTTPError as e:
            return Looked(diagnose_error(reason(e)), (address.host,))
        content_type = response.headers.get("content-type", "")
        trouble = diagnose_status(url, response.status_code, content_type, response.content)
        if trouble is None:
            samples = sum(bool(line) and not line.startswith(b"#") for line in response.content.splitlines())
            if b"nacos_monitor" not in response.content:
                trouble = Trouble(
                    "it answers metrics, but none of Nacos", "Is this the Nacos server, and its main port?"
                )
        members, version = await _cluster(client, address, clock)
        return Looked(trouble, members, version, samples)


async def _cluster(client: httpx.AsyncClient, address: Address, clock: Clock) -> tuple[tuple[str, ...], str]:
    """The members and the version. With authentication on, Nacos keeps both to itself: then only what was asked for."""
    alone = (address.host,)
    try:
        session = NacosSession(client, [address.base], NacosLogin(), clock)
        dialect = await detect(session)
        members = await dialect.members(session)
    except DiscoveryError:
        return alone, ""
    version = next((m.version for m in members if m.version), "")
    if len(members) < 2:
        return alone, version  # a lone server names itself by an address that may not be reachable from here
    return tuple(_host(m.ip, m.port) for m in members), version


def _host(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


async def look_at_alertmanager(address: Address, transport: httpx.AsyncBaseTransport | None = None) -> Trouble | None:
    """None when it is ready and speaks API v2."""
    login = httpx.BasicAuth(address.username, address.password) if address.username else None
    async with build_client(HTTPClientConfig(), "rulepush", timeout=_TIMEOUT_S, transport=transport) as client:
        try:
            response = await client.get(f"{address.base}/api/v2/status", auth=login or httpx.Auth())
        except httpx.HTTPError as e:
            return diagnose_error(reason(e))
    if response.status_code != 200:
        return Trouble(
            f"HTTP status {response.status_code} at /api/v2/status", "Is this an Alertmanager (0.16 or later)?"
        )
    return None
