"""http_sd_configs: target groups from an HTTP service, Nacos' own `/nacos/prometheus` among them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from rulepush.discovery.answer_body import SizeLimit, read_body
from rulepush.discovery.group_format import parse_groups
from rulepush.discovery.groups import Environment, GroupSink, TargetGroup
from rulepush.discovery.polling import Poller
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from rulepush.http_client.client import reason, shown_url
from rulepush.http_client.config import HTTPClientConfig, read_http_client
from rulepush.model.floats import format_float
from rulepush.model.secret import Secret

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

_JSON: Final = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpSdConfig:
    """`url` may hold a password."""

    url: Secret
    refresh_interval_ms: int
    http_client: HTTPClientConfig
    kind: str = "http"

    def discoverer(self, env: Environment) -> HttpDiscovery:
        return HttpDiscovery(self, env)


def read_http_sd(m: MapReader) -> HttpSdConfig:
    """Read one entry of `http_sd_configs`."""
    if not m.has("url"):
        m.problem("URL is missing")
    config = HttpSdConfig(m.url("url"), m.duration("refresh_interval", 60_000) or 60_000, read_http_client(m))
    m.finish()
    return config


class HttpDiscovery:
    """Requests the list at every refresh interval."""

    def __init__(self, config: HttpSdConfig, env: Environment, transport: httpx.AsyncBaseTransport | None = None):
        self._config = config
        self._env = env
        self._transport = transport
        self._shown = shown_url(config.url.reveal())
        self._timeout = max(1.0, min(config.refresh_interval_ms / 1000, 60.0))

    async def run(self, sink: GroupSink) -> None:
        interval = self._config.refresh_interval_ms / 1000
        async with build_client(
            self._config.http_client,
            self._env.user_agent,
            timeout=self._timeout,
            clock=self._env.clock,
            transport=self._transport,
        ) as client:

            async def refresh() -> Sequence[TargetGroup]:
                return await self._fetch(client)

            await Poller("http", self._shown, interval, refresh, self._env).run(sink)

    async def _fetch(self, client: httpx.AsyncClient) -> list[TargetGroup]:
        headers = {
            "Accept": "application/json",
            "X-Prometheus-Refresh-Interval-Seconds": format_float(self._config.refresh_interval_ms / 1000),
        }
        try:
            async with (
                asyncio.timeout(self._timeout),  # httpx' own timeout restarts at every byte received
                client.stream("GET", self._config.url.reveal(), headers=headers) as response,
            ):
                if response.status_code != 200:
                    lasting = response.status_code in (401, 403, 404)
                    raise DiscoveryError(f"server returned HTTP status {_status(response)}", lasting=lasting)
                kind = response.headers.get("Content-Type", "")
                if not _JSON.fullmatch(kind.strip()):
                    raise DiscoveryError(f'unsupported content type "{kind}"', lasting=True)
                body = await read_body(response, SizeLimit())
        except TimeoutError:
            raise DiscoveryError(f"no answer within {self._timeout:g}s") from None
        except httpx.HTTPError as e:
            raise DiscoveryError(reason(e)) from None
        return parse_groups(bytes(body), self._shown, {"__meta_url": self._shown}, form="json", lenient=True)


def _status(response: httpx.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()
