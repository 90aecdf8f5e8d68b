"""Asking an ASGI application, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
from starlette.routing import BaseRoute, Mount

from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app


def ask(
    routes: Sequence[BaseRoute], method: str, url: str, security: WebSecurity | None = None, **options: Any
) -> httpx.Response:
    """One request to these routes, mounted below /api/v1 as well as at the root."""
    return ask_app([*routes, Mount("/api/v1", routes=list(routes))], method, url, security, **options)


def ask_app(
    routes: Sequence[BaseRoute], method: str, url: str, security: WebSecurity | None = None, **options: Any
) -> httpx.Response:
    """One request to exactly these routes. Redirects are not followed."""
    app = build_app(routes, security or WebSecurity())

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:
            return await client.request(method, url, **options)

    return asyncio.run(main())
