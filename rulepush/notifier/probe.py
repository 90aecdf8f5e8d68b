"""Whether an Alertmanager can take alerts, asked without sending it any: by its status, as the notifier would reach it.

Where something else answers, what it is: every server of the Prometheus family names itself in its `/metrics`
(prometheus/common version, `<program>_build_info`), and one with another prefix redirects `/` to it (Alertmanager
ui/web.go, Prometheus web/web.go).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rulepush.http_client.exchange import HTTPExchange, dropped_body, exchange
from rulepush.http_client.pages import is_page, page_named
from rulepush.notifier.reasons import host_and_path, misplaced, network_failure, refusal

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

# Bytes that are read: the status holds the whole configuration of the Alertmanager, metrics are some 50 kB.
_MAX_STATUS: Final = 4 << 20
_MAX_METRICS: Final = 1 << 20
_IDENTIFY_SECONDS: Final = 5.0
_DROPS_BODY: Final = (301, 302, 303)
_BUILD_INFO: Final = re.compile(r'(?m)^(\w+)_build_info\{(?:[^}\n]*,)?\s*version="([^"\n]{0,40})"')
_VICTORIA: Final = re.compile(r"(?m)^vm_app_version\{")
_NACOS: Final = re.compile(r"(?m)^nacos_monitor\{")
_ALERTMANAGER: Final = "alertmanager"
_NAMES: Final = {
    _ALERTMANAGER: "an Alertmanager",
    "prometheus": "a Prometheus",
    "pushgateway": "a Pushgateway",
    "rulepush": "a rulepush",
    "grafana": "a Grafana",
}
_CHECK: Final = "check that this is an Alertmanager's address"


@dataclass(frozen=True, slots=True)
class AlertmanagerProbe:
    """What an Alertmanager answered.

    `fault`    why it cannot take alerts, in the words of the notifier's log; "" when it can
    `version`  "" when unknown
    `status`   that of HTTP, 0 where nothing answered
    """

    fault: str = ""
    version: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True)
class _Server:
    """Who answers at an address: `program` is the name of its build info."""

    program: str
    text: str


async def probe_alertmanager(
    client: AnyClient, url: str, timeout_s: float, *, identify: bool = True
) -> AlertmanagerProbe:
    """Ask the Alertmanager whose alerts are posted to `url`, through a client with the settings of its section. It gets
    `timeout_s` seconds, as a batch of alerts would; with `identify`, saying what else is there may take five more.
    Never raises for what the network or the server does."""
    asked = _sibling(url, "status")
    try:
        got = await _get(client, asked, timeout_s, _MAX_STATUS)
    except TimeoutError:
        return AlertmanagerProbe(f"no answer within {timeout_s:g}s")
    except Exception as e:
        import httpx

        if not isinstance(e, httpx.HTTPError):
            raise
        return AlertmanagerProbe(network_failure(e, asked))
    lost = next((status for status in got.redirects if status in _DROPS_BODY), 0)
    if lost:  # a GET is answered all the same, a POST is not
        return AlertmanagerProbe(dropped_body(lost, got.url), status=lost)
    version = _version(got.text) if got.is_success else None
    if version is not None:
        return AlertmanagerProbe(version=version, status=got.status)
    other = identify and got.status < 500 and got.status not in (401, 403, 407, 429)
    found = await _found(client, url) if other else ""
    if not got.is_success:
        return AlertmanagerProbe(refusal(got, url, misplaced(got) or found), status=got.status)
    where = f"redirected to {got.url}: " if got.redirects else ""
    what, text = page_named(got.text), ""
    if not is_page(got.text):
        what, text = "something else", got.text[:200].strip()
    fault = f"{where}answered with {what} instead of Alertmanager's status: {found or _CHECK}"
    fault = f"{fault}: {text}" if text and not found else fault
    return AlertmanagerProbe(fault, status=got.status)


async def _get(client: AnyClient, url: str, seconds: float, max_read: int) -> HTTPExchange:
    return await exchange(client, "GET", url, b"", {}, seconds, idempotent=True, max_bytes=max_read)


def _version(text: str) -> str | None:
    """The version in what `GET /api/v2/status` answers (api/v2/openapi.yaml, alertmanagerStatus); "" when it tells
    none, None when this is no such answer."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not ("versionInfo" in answer or "cluster" in answer):
        return None
    info = answer.get("versionInfo")
    version = info.get("version", "") if isinstance(info, dict) else ""
    return version[:40] if isinstance(version, str) else ""


def _sibling(url: str, name: str) -> str:
    """`http://am:9093/x/api/v2/alerts` -> `http://am:9093/x/api/v2/<name>`."""
    return f"{url.rpartition('/')[0]}/{name}"


async def _found(client: AnyClient, url: str) -> str:
    """What is at this address instead of Alertmanager's API; "" when nothing tells."""
    try:
        async with asyncio.timeout(_IDENTIFY_SECONDS):
            return await _identified(client, url)
    except TimeoutError:
        return ""


async def _identified(client: AnyClient, url: str) -> str:
    scheme, _, _ = url.partition("://")
    authority = url.partition("://")[2].partition("/")[0]
    root = f"{scheme}://{authority}"
    own = host_and_path(url)[1].rpartition("/api/")[0]
    prefixes = [own, own.partition("/api/")[0], "", await _redirected_root(client, root)]
    others = [p for p in dict.fromkeys(prefixes) if p is not None and p != own]
    for prefix in others:
        got = await _try(client, f"{root}{prefix}/api/v2/status", _MAX_STATUS)
        if got is not None and got.is_success and not got.redirects and _version(got.text) is not None:
            if own.startswith(f"{prefix}/api/"):
                return f"leave {own.removeprefix(prefix)} out of path_prefix"
            return f"Alertmanager's API is there with path_prefix: {prefix}" if prefix else "leave path_prefix out"
    for prefix in (own, *others):
        server = await _server(client, f"{root}{prefix}/metrics")
        if server is not None and server.program == _ALERTMANAGER:
            return f"this is {server.text}, which has no API v2 there: 0.16 or later is needed"
        if server is not None:
            return f"this is {server.text}, not an Alertmanager"
    return ""


async def _redirected_root(client: AnyClient, root: str) -> str | None:
    """The path that `/` of a server redirects to, None when it does not."""
    got = await _try(client, f"{root}/", 1)
    if got is None or not got.redirects or host_and_path(got.url)[0] != host_and_path(root)[0]:
        return None
    return host_and_path(got.url)[1].partition("?")[0].partition("#")[0].rstrip("/")


async def _server(client: AnyClient, url: str) -> _Server | None:
    got = await _try(client, url, _MAX_METRICS)
    if got is None or not got.is_success or is_page(got.text):
        return None
    found: Iterable[tuple[str, str]] = _BUILD_INFO.findall(got.text)
    for program, version in found:
        return _Server(program, f"{_NAMES.get(program, f'a server named {program}')} {version}".rstrip())
    if _VICTORIA.search(got.text):
        return _Server("victoria", "a server of VictoriaMetrics")
    return _Server("nacos", "a Nacos server") if _NACOS.search(got.text) else None


async def _try(client: AnyClient, url: str, max_read: int) -> HTTPExchange | None:
    """None when it fails."""
    try:
        return await _get(client, url, _IDENTIFY_SECONDS, max_read)
    except TimeoutError:
        return None
    except Exception as e:
        import httpx

        if not isinstance(e, httpx.HTTPError):
            raise
        return None
