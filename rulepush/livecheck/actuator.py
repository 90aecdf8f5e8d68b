"""What the actuator of a Spring Boot application lists: WebMvcEndpointHandlerMapping.WebMvcLinksHandler of spring-boot,
`{"_links": {"self": {"href", "templated"}, "health": ...}}`."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import httpx

from rulepush.model.json_text import parse_json
from rulepush.nacos.diagnose import ACTUATOR

_SECONDS: Final = 5.0
_MAX_BYTES: Final = 1 << 16


async def actuator_endpoints(client: httpx.AsyncClient, base: str) -> dict[str, str] | None:
    """The endpoints and their paths; None where nothing lists them. `base`: what stands before /actuator in a URL."""
    try:
        async with asyncio.timeout(_SECONDS):
            return await _links(client, base + ACTUATOR)
    except (TimeoutError, httpx.HTTPError, ValueError, RecursionError):
        return None


async def _links(client: httpx.AsyncClient, url: str) -> dict[str, str] | None:
    async with client.stream("GET", url, headers={"Accept": "application/json, */*;q=0.5"}) as response:
        if response.status_code != 200:
            return None
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MAX_BYTES:
                return None
    listed = parse_json(body.decode())
    links = listed.get("_links") if isinstance(listed, dict) else None
    if not isinstance(links, dict):
        return None
    hrefs = {name: link.get("href") for name, link in links.items() if isinstance(link, dict)}
    return {name: urlsplit(href).path for name, href in hrefs.items() if isinstance(href, str)}
