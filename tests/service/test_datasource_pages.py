"""A whole rulepush with rules on an engine elsewhere: what pages and the API show while it answers, and while not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from rulepush.service.app import App
from rulepush.service.options import ServiceOptions
from rulepush.web.routes import web_routes
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.fakes import FakeClock

CONFIG = """
global: {evaluation_interval: 30s}
rule_files: [here.yml]
datasources: [{name: central, url: 'http://user:hush@vm:8428', rule_files: [far.yml], params: {tenant: "7"}}]
"""
HERE = "groups: [{name: here, rules: [{alert: Here, expr: up == 0}]}]\n"
FAR = "groups: [{name: far, rules: [{alert: Hot, expr: temp > 50}]}]\n"
TWICE = "groups: [{name: far, rules: [{alert: Hot, expr: temp > 90}, {alert: Hot, expr: temp * 2 > 10}]}]\n"
HOT = f"/alerts/{fingerprint(Labels.of(alertname='Hot', room='a'))}"
RULE = "/rules/far/Hot"
Read = Callable[[str], Awaitable[str]]


class FakeVictoriaMetrics:
    """Has one series that is 70 for good. Answers as app/vmselect/prometheus/query_response.qtpl and
    query_range_response.qtpl of VictoriaMetrics do, or with 503."""

    def __init__(self) -> None:
        self.is_away = False
        self.ranges: list[dict[str, list[str]]] = []
        self.open = self.most_open = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "vm":
            return httpx.Response(200)
        if self.is_away:
            return httpx.Response(503, json={"status": "error", "errorType": "503", "error": "no storage node"})
        asked = parse_qs(request.content.decode())
        one = {"metric": {"room": "a"}}
        if request.url.path == "/api/v1/query_range":
            self.ranges.append(asked)
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            await asyncio.sleep(0)
            self.open -= 1
            values = [[float(asked["start"][0]) + 10 * n, "70"] for n in range(5)]
            data = {"resultType": "matrix", "result": [{**one, "values": values}]}
        else:
            assert request.url.path == "/api/v1/query"
            data = {"resultType": "vector", "result": [{**one, "value": [float(asked["time"][0]), "70"]}]}
        return httpx.Response(200, json={"status": "success", "isPartial": False, "data": data})


def play(
    directory: Path, act: Callable[[FakeVictoriaMetrics, FakeClock, App, Read], Awaitable[None]], far: str = FAR
) -> None:
    for name, text in (("prometheus.yml", CONFIG), ("here.yml", HERE), ("far.yml", far)):
        (directory / name).write_text(text)
    clock, engine = FakeClock(), FakeVictoriaMetrics()

    async def go() -> None:
        app = App(ServiceOptions(str(directory / "prometheus.yml")), clock, httpx.MockTransport(engine))
        running = asyncio.create_task(app.run())
        try:
            await clock.advance(65)
            transport = httpx.ASGITransport(app=build_app(web_routes(app.web_parts()), WebSecurity()))
            async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:

                async def read(path: str) -> str:
                    answer = await client.get(path)
                    assert answer.status_code == 200, answer.text
                    assert "hush" not in answer.text
                    return answer.text

                await act(engine, clock, app, read)
        finally:
            app.stop("test")
            await asyncio.wait_for(running, 60)

    asyncio.run(go())


@pytest.mark.parametrize("path", ["/rules", RULE, HOT])
def test_a_rule_says_where_it_is_evaluated(tmp_path: Path, path: str) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        text = await read(path)
        assert "Evaluated on central (http://vm:8428)." in text
        assert "no answer" not in text
        assert "在 central（http://vm:8428）上执行。" in await read(f"{path}?lang=zh")

    play(tmp_path, act)


def test_a_rule_in_memory_says_nothing_of_it(tmp_path: Path) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        text = await read("/rules/here/Here")
        assert "Evaluated on" not in text
        assert "Its result now" in text

    play(tmp_path, act)


@pytest.mark.parametrize("path", ["/rules", RULE, HOT])
def test_while_there_is_no_answer_a_rule_says_since_when_why_and_until_when_alerts_are_held(
    tmp_path: Path, path: str
) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        engine.is_away = True
        await clock.advance(120)
        text = await read(path)
        assert "It gives no answer since" in text
        assert "HTTP status 503 Service Unavailable: no storage node" in text
        (since,) = {rule.unanswered_since for rule in app.web_parts().groups.alerting_rules()} - {None}
        assert since is not None
        assert f'sent on until <time datetime="{_iso(since + 3_600_000)}' in " ".join(text.split())
        await clock.advance(3_600)
        assert "but are no longer sent" in await read(path)
        engine.is_away = False
        await clock.advance(60)
        assert "It gives no answer since" not in await read(path)

    play(tmp_path, act)


def _iso(ms: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M")


def test_an_engine_without_answer_is_on_every_page(tmp_path: Path) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        assert "trouble-1" not in await read("/targets")
        engine.is_away = True
        await clock.advance(60)
        text = await read("/targets")
        assert "central gives no answer, its rules are not evaluated: 1" in text
        assert "no storage node" in text
        assert "The datasource central gives no answer." in await read("/api/v1/notifications")
        engine.is_away = False
        await clock.advance(60)
        assert "trouble-1" not in await read("/targets")

    play(tmp_path, act)


def test_the_page_of_deliveries_lists_the_engines(tmp_path: Path) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        text = await read("/delivery#datasources")
        assert '<h2 id="datasources">Datasources</h2>' in text
        assert "<code>http://vm:8428</code>" in text
        assert "A request takes" in text
        assert ", 0 without an answer, 0 requests repeated" in text
        engine.is_away = True
        await clock.advance(60)
        text = await read("/delivery")
        assert '<span class="badge err">no answer</span>' in text
        assert "no storage node" in text
        assert ", 0 without an answer" not in text

    play(tmp_path, act)


def test_the_charts_of_a_page_are_asked_for_side_by_side(tmp_path: Path) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        text = await read(f"{RULE}?range=15m")
        assert [asked["query"] for asked in engine.ranges] == [["temp"], ["temp * 2"]]
        assert engine.most_open == 2
        assert text.count("data-points") == 2

    play(tmp_path, act, TWICE)


@pytest.mark.parametrize("path", [RULE, HOT])
def test_charts_ask_the_engine_and_say_when_it_does_not_answer(tmp_path: Path, path: str) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        text = await read(f"{path}?range=15m")
        (asked,) = engine.ranges
        assert asked["query"] == ["temp"]
        assert asked["tenant"] == ["7"]
        assert float(asked["end"][0]) - float(asked["start"][0]) == pytest.approx(900, abs=5)
        assert "There is no value in this time." not in text
        assert "data-points" in text
        engine.is_away = True
        text = await read(f"{path}?range=15m")
        assert "HTTP status 503 Service Unavailable: no storage node" in text
        assert "data-points" not in text
        assert "There is no value in this time." not in text

    play(tmp_path, act)


def test_the_alert_tells_afterwards_why_it_stayed_as_it_was(tmp_path: Path) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        engine.is_away = True
        await clock.advance(3_720)
        engine.is_away = False
        await clock.advance(60)
        text = await read(HOT)
        happened = text[text.index('id="history"') :]
        words = (
            "the rule can be evaluated again",
            "its alerts are no longer sent on, for its datasource gives no answer",
            "after 1h",
            "the rule cannot be evaluated",
            "no storage node",
            "the condition became true",
        )
        places = [happened.find(one) for one in words]
        assert -1 not in places
        assert places == sorted(places)
        assert "1h 之后" in await read(f"{HOT}?lang=zh")

    play(tmp_path, act)


@pytest.mark.parametrize("path", [RULE, HOT])
def test_nothing_is_explained_from_memory_that_is_elsewhere(tmp_path: Path, path: str) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        text = await read(path)
        for false in ("<h3>Why</h3>", 'id="why"', "Try another threshold", "Its result now", "What is kept for it"):
            assert false not in text

    play(tmp_path, act)


def test_the_api_names_the_engine_of_a_group_and_leaves_other_groups_as_they_are(tmp_path: Path) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        far, here = json.loads(await read("/api/v1/rules"))["data"]["groups"]
        assert far["datasource"] == "central"
        assert set(far) - set(here) == {"datasource"}

    play(tmp_path, act)


def test_the_query_page_says_what_it_does_not_read(tmp_path: Path) -> None:
    async def act(engine: FakeVictoriaMetrics, clock: FakeClock, app: App, read: Read) -> None:
        assert "What the rules on central read is there, and not here." in await read("/graph")

    play(tmp_path, act)
