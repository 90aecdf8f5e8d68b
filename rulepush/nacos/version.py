"""The release of a server, from its state API, which needs no login."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx

from rulepush.model.json_text import parse_json

# Neither needs a login: ServerStateController.java of core (3.x) and of console (1.x, 2.x).
_STATE_PATHS: Final = ("/v3/admin/core/state", "/v1/console/server/state")
_SECONDS: Final = 5.0
_MAX_BYTES: Final = 1 << 16


async def server_version(client: httpx.AsyncClient, base: str) -> str:
    """The version of the server at `base` (with its context path), such as "3.2.1"; "" when it does not show one."""
    for path in _STATE_PATHS:
        try:
            async with asyncio.timeout(_SECONDS):
                state = await _state(client, base + path)
        except (TimeoutError, httpx.HTTPError, ValueError, RecursionError):
            continue
        inner = state.get("data") if isinstance(state.get("data"), dict) else state
        version = inner.get("version") if isinstance(inner, dict) else None
        if isinstance(version, str) and version:
            return version[:40]
    return ""


async def _state(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    body = b""
    async with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status_code != 200:
            return {}
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MAX_BYTES:
                return {}
    parsed = parse_json(body.decode())
    return parsed if isinstance(parsed, dict) else {}
