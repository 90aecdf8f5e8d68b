"""Probes the servers before anything is written."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx

from rulepush.clock import Clock
from rulepush.errors import DiscoveryError, HTTPStatusError, ScrapeError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import BasicAuth, HTTPClientConfig
from rulepush.init.addresses import Address
from rulepush.model.host_port import join_host_port
from rulepush.model.secret import Secret
from rulepush.nacos.diagnose import TargetProblem, diagnose_answer, diagnose_error, diagnose_status
from rulepush.nacos.dialects import detect
from rulepush.nacos.session import NacosLogin, NacosSession
from rulepush.nacos.version import server_version
from rulepush.notifier.probe import probe_alertmanager
from rulepush.scrape.fetch import Fetched, Fetcher

PROBE_SECONDS = 10
_HOST = re.compile(r"[\w.:%-]+")  # an address or a name; nothing else of what a server says becomes a target
_TIMEOUT_MS = PROBE_SECONDS * 1000
_METRICS = "/actuator/prometheus"
_CONTEXTS = ("/nacos", "")
_CREDENTIALS = (
    "A proxy or gateway in front of it wants credentials: --server http://USER:PASSWORD@HOST:PORT. Nacos itself asks "
    "for none here while nacos.security.ignore.urls holds /actuator/**."
)
_WRONG_CREDENTIALS = (
    "It does not take the user and password of the URL. Characters such as @ and / in them are written %40 and %2F."
)
_MAIN_PORT = "Is this the Nacos server, and its main port (8848)?"
_ANOTHER_APP = _MAIN_PORT + " For a Spring Boot application of your own: rulepush init spring-boot --target URL"
_HTTPS = "A server that wants https answers so to http: --server https://HOST:PORT"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of probing a Nacos server.

    `trouble`     why it gives no metrics, None when it does
    `members`     host:port of the cluster's servers, only the asked one when it does not list them
    `version`     "" when unknown
    `basic_auth`  whether the metrics need the credentials of the URL: a proxy may demand them, Nacos itself does not
    `names`       of the metrics
    """

    trouble: TargetProblem | None
    members: tuple[str, ...]
    version: str = ""
    samples: int = 0
    basic_auth: bool = False
    names: frozenset[str] = frozenset()


async def probe_nacos(address: Address, clock: Clock, transport: httpx.AsyncBaseTransport | None = None) -> ProbeResult:
    """Ask for the metrics, and for the members of the cluster: these with a login, if the URL has credentials."""
    url = f"{address.base}{_METRICS}"
    login = bool(address.username)
    basic_auth = False
    refused = 0
    try:
        try:
            fetched = await _fetch(address, url, transport)
        except HTTPStatusError as e:
            if not login or e.status not in (401, 403):
                raise
            basic_auth = True
            fetched = await _fetch(address, url, transport, login=True)
        trouble = diagnose_answer(url, fetched.content_type, fetched.body)
        if trouble is None and b"nacos_monitor" not in fetched.body:
            trouble = TargetProblem("it answers metrics, but none of Nacos", _ANOTHER_APP)
        elif trouble is not None and "json" in fetched.content_type.lower():
            trouble = TargetProblem(trouble.message, _MAIN_PORT)  # here it is no metrics_path that can be set
        lines = [] if trouble else [line for line in fetched.body.splitlines() if line[:1] not in (b"", b"#")]
        samples, names = len(lines), frozenset(map(_name, lines))
    except HTTPStatusError as e:
        refused, trouble, samples, names = e.status, _refused(address, e.status, ""), 0, frozenset()
    except ScrapeError as e:
        return ProbeResult(_diagnosed(e, url), (address.host,), basic_auth=login)
    members, version = await _cluster(address, clock, transport, basic_auth)
    if refused:  # the release may be the reason
        trouble = _refused(address, refused, version)
    if refused in (404, 501) and (base := await _other_context(address, transport)):
        trouble = TargetProblem(f"HTTP {refused} at {urlsplit(url).path}", f"It is at another path: --server {base}")
    # Without an answer it is unknown which part needs the credentials.
    return ProbeResult(trouble, members, version, samples, basic_auth or (login and trouble is not None), names)


def _refused(address: Address, status: int, version: str) -> TargetProblem:
    """What to change on the command line, where that is the cure."""
    trouble = diagnose_status(f"{address.base}{_METRICS}", status, version)
    if status in (401, 403):
        return TargetProblem(trouble.message, _WRONG_CREDENTIALS if address.username else _CREDENTIALS)
    if status == 400 and address.scheme == "http":
        return TargetProblem(trouble.message, _HTTPS)
    return trouble


async def _other_context(address: Address, transport: httpx.AsyncBaseTransport | None) -> str:
    """The URL at which the same server has Nacos' metrics after all; "" when it has not."""
    for path in _CONTEXTS:
        other = replace(address, path=path)
        if path == address.path:
            continue
        try:
            fetched = await _fetch(other, f"{other.base}{_METRICS}", transport)
        except ScrapeError:
            continue
        if b"nacos_monitor" in fetched.body:
            return other.base if path else f"{other.base}{_METRICS}"
    return ""


def _name(line: bytes) -> str:
    return re.split(rb"[{\s]", line, maxsplit=1)[0].decode(errors="replace")


async def _fetch(
    address: Address, url: str, transport: httpx.AsyncBaseTransport | None, *, login: bool = False
) -> Fetched:
    """As a scrape would, so that the messages are the same. Raises ScrapeError."""
    async with build_client(_settings(address, login), "rulepush", transport=transport) as client:
        return await Fetcher(client, "*/*").fetch(url, _TIMEOUT_MS)


def _settings(address: Address, login: bool) -> HTTPClientConfig:
    basic = BasicAuth(address.username, password=Secret(address.password)) if login and address.username else None
    return HTTPClientConfig(basic_auth=basic)


def _diagnosed(e: ScrapeError, url: str) -> TargetProblem:
    return diagnose_error(str(e).removeprefix(f'Get "{url}": '))


async def _cluster(
    address: Address, clock: Clock, transport: httpx.AsyncBaseTransport | None, basic_auth: bool
) -> tuple[tuple[str, ...], str]:
    """The members and the version. With authentication on, Nacos shows the members only to its users."""
    alone = (address.host,)
    login = NacosLogin(address.username, Secret(address.password)) if address.username else NacosLogin()
    version = ""
    try:
        async with build_client(
            _settings(address, basic_auth), "rulepush", timeout=_TIMEOUT_MS / 1000, transport=transport
        ) as client:
            session = NacosSession(client, [address.base], login, clock)
            version = await server_version(client, address.base)
            dialect = await detect(session)
            members = await dialect.members(session)
    except DiscoveryError:
        return alone, version
    version = version or next((m.version for m in members if m.version), "")
    if len(members) < 2:
        return alone, version  # a lone server names itself by an address that may not be reachable from here
    hosts = tuple(join_host_port(m.ip, m.port) for m in members if _HOST.fullmatch(m.ip))
    return hosts or alone, version


async def ask_alertmanager(address: Address, transport: httpx.AsyncBaseTransport | None = None) -> TargetProblem | None:
    """Why an Alertmanager cannot take alerts, asked as the notifier would, with the credentials of the URL; None when
    it can."""
    async with build_client(_settings(address, login=True), "rulepush", transport=transport) as client:
        asked = await probe_alertmanager(client, f"{address.base}/api/v2/alerts", _TIMEOUT_MS / 1000)
    if not asked.fault:
        return None
    hint = "Give the credentials as http://USER:PASSWORD@HOST:9093." if asked.status in (401, 403) else ""
    return TargetProblem(asked.fault, hint)


async def resolved(address: Address) -> frozenset[str]:
    """Every IP:port that its host stands for; none while the name is not known."""
    parts = urlsplit(f"//{address.host}")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(join_host_port(str(sockaddr[0]), int(sockaddr[1])) for *_, sockaddr in found)
