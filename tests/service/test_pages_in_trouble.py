"""A whole rulepush whose Alertmanagers or configuration fail: what every page says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from rulepush.errors import ConfigError
from rulepush.service.app import App
from rulepush.web.routes import web_routes
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.faults.inside import Inside

RULES = "{alert: Hot, expr: m > 10}"
MINUTE = 60
Read = Callable[[], Awaitable[str]]


def play(directory: Path, act: Callable[[Inside, App, Read], Awaitable[None]]) -> None:
    inside = Inside(directory, RULES, targets=("a",))
    inside.network.metrics["a"] = "m 99\n"

    async def go() -> None:
        async with inside.running() as app:
            transport = httpx.ASGITransport(app=build_app(web_routes(app.web_parts()), WebSecurity()))
            async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:

                async def read() -> str:
                    """The text of a page that has nothing to do with what fails."""
                    answer = await client.get("/targets")
                    assert answer.status_code == 200
                    return answer.text

                await act(inside, app, read)

    asyncio.run(go())


def test_an_alertmanager_that_is_away_is_on_every_page_until_it_is_back(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, read: Read) -> None:
        assert "trouble-1" not in await read()
        inside.network.down.add("am2")
        await inside.clock.advance(2 * MINUTE)
        text = await read()
        assert "Alerts do not reach http://am2/api/v2/alerts, 1 wait" in text
        assert "connection refused" in text
        assert "am1" not in text
        inside.network.down.clear()
        await inside.clock.advance(2 * MINUTE)
        assert "trouble-1" not in await read()

    play(tmp_path, act)


def test_an_alertmanager_that_refuses_alerts_is_on_every_page(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, read: Read) -> None:
        inside.network.status["am1"] = 400
        await inside.clock.advance(2 * MINUTE)
        text = await read()
        assert "http://am1/api/v2/alerts refuses alerts, " in text
        assert "HTTP status 400" in text

    play(tmp_path, act)


def test_a_failed_reload_is_on_every_page_with_its_reason_until_a_good_one(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, read: Read) -> None:
        good = (tmp_path / "rules.yml").read_text()
        (tmp_path / "rules.yml").write_text("mistake: 1\n")
        for _ in range(2):
            await inside.clock.advance(MINUTE)
            with pytest.raises(ConfigError, match="mistake"):
                await app.reload()
        text = await read()
        assert "The configuration was not reloaded, the one before stays in force" in text
        assert "mistake" in text
        assert "for 1m</time>" in text.partition("trouble-1")[2].partition("</summary>")[0], "the first failure counts"
        (tmp_path / "rules.yml").write_text(good)
        await app.reload()
        assert "trouble-1" not in await read()

    play(tmp_path, act)
