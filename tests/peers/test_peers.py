"""Evaluators that show each other's groups; peers that are slow, broken, huge, no rulepush, or this process itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest

from rulepush.discovery.dns import Record
from rulepush.errors import DiscoveryError
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.peers.address import read_peer
from rulepush.peers.answer import EvaluatorIdentity
from rulepush.peers.peers import FRESH_MS, MAX_PEER_BYTES, RECENT_MS, RESOLVED_MS, Peers
from rulepush.rules.api import groups_json
from rulepush.web.rules import RulesApi
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.fakes import FakeClock
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.rules.world import World

RULE = "groups: [{name: %s, interval: 30s, rules: [{alert: A, expr: m > 1, labels: {g: %s}}]}]"
Answering = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Net(httpx.AsyncBaseTransport):
    """Hosts by name, each an evaluator's application or a function. `asked` are the URLs of all requests."""

    def __init__(self) -> None:
        self.hosts: dict[str, httpx.AsyncBaseTransport | Answering] = {}
        self.asked: list[httpx.URL] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        host = self.hosts[request.url.host]
        if isinstance(host, httpx.AsyncBaseTransport):
            return await host.handle_async_request(request)
        return await host(request)


def gives(status: int = 200, text: str = "", content_type: str = "application/json") -> Answering:
    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=text, headers={"content-type": content_type})

    return answer


async def refuses(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


async def is_slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


async def hangs(_: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


class Fleet:
    """Evaluators by host name, on one fake net and clock; all have the same list of peers."""

    def __init__(self, shards: Mapping[str, str], peers: str = "", seconds: float = 30, **options: Any) -> None:
        self.net, self.clock = Net(), FakeClock()
        self.peers: dict[str, Peers] = {}
        urls = peers or " ".join(f"http://{name}" for name in shards)
        for name, shard in shards.items():
            group = f"g{shard.partition('/')[0]}"
            world = World(RULE % (group, group))
            world.step(0, 5.0)
            peer = Peers(
                [read_peer(url) for url in urls.split()],
                httpx.AsyncClient(transport=self.net),
                self.clock,
                lambda groups=world.groups: groups_json(groups.all()),  # type: ignore[misc]
                EvaluatorIdentity.of_process(shard),
                name=f"http://{name}",
                seconds=seconds,
                **options,
            )
            self.peers[name] = peer
            app = build_app(RulesApi(world.groups, identity=peer.identity, peers=peer).routes(), WebSecurity())
            self.net.hosts[name] = httpx.ASGITransport(app=_below_api(app))

    async def get(self, host: str, path: str) -> dict[str, Any]:
        """The JSON of a GET, as a user sends it."""
        transport = self.net.hosts[host]
        assert isinstance(transport, httpx.AsyncBaseTransport)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            answer = await client.get(f"/api/v1{path}")
        found: dict[str, Any] = answer.json()
        return found


def _below_api(app: Any) -> Any:
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "path": scope["path"].removeprefix("/api/v1")}, receive, send)

    return mounted


def names(answer: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(group["name"], group["evaluators"]) for group in answer["data"]["groups"]]


def test_every_evaluator_shows_the_groups_and_alerts_of_all() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2", "c": "0/2"})

    async def go() -> None:
        for host in fleet.peers:
            rules = await fleet.get(host, "/rules")
            found = {name: set(who) for name, who in names(rules)}
            assert found == {"g0": {"http://a", "http://c"}, "g1": {"http://b"}}
            alerts = (await fleet.get(host, "/alerts"))["data"]["alerts"]
            assert [a["labels"]["g"] for a in alerts] == ["g0", "g1"]
            assert "warnings" not in rules

    asyncio.run(go())


def test_peers_ask_for_what_a_peer_has_itself_and_that_asks_nobody() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"})

    async def go() -> None:
        await fleet.get("a", "/rules")
        assert sorted(url.host for url in fleet.net.asked) == ["a", "b"]
        assert {url.params["shard"] for url in fleet.net.asked} == {"own"}
        own = await fleet.get("a", "/rules?shard=own")
        assert [group["name"] for group in own["data"]["groups"]] == ["g0"]
        assert own["data"]["evaluator"]["shard"] == "0/2"
        assert len((await fleet.get("a", "/alerts?shard=own"))["data"]["alerts"]) == 1
        assert len(fleet.net.asked) == 2
        assert (await fleet.get("a", "/rules?shard=1/2"))["errorType"] == "bad_data"

    asyncio.run(go())


def test_an_evaluator_recognises_itself_under_whatever_name() -> None:
    fleet = Fleet({"a": "0/1"}, "http://a http://also-a")
    fleet.net.hosts["also-a"] = fleet.net.hosts["a"]
    view = asyncio.run(fleet.peers["a"].view())
    assert [(one.name, one.is_self) for one in view.evaluators] == [("http://a", True)]
    assert view.missing == ()


def test_a_peer_under_two_names_is_one() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"}, "http://b http://also-b")
    fleet.net.hosts["also-b"] = fleet.net.hosts["b"]
    view = asyncio.run(fleet.peers["a"].view())
    assert [one.shard for one in view.evaluators] == ["0/2", "1/2"]


@pytest.mark.parametrize(
    ("answering", "said"),
    [
        (refuses, "not reached: connection refused"),
        (is_slow, "no answer within 30s"),
        (gives(200, "<html>Sign in</html>", "text/html"), "a page in HTML"),
        (gives(200, "{"), "is no JSON"),
        (gives(500, "Oops"), "HTTP status 500"),
        (gives(200, " " * MAX_PEER_BYTES), "more than 16 MiB"),
    ],
)
def test_a_peer_that_does_not_answer_is_missing_and_not_empty(answering: Answering, said: str) -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"})

    async def go() -> None:
        await fleet.get("a", "/rules")
        fleet.net.hosts["b"] = answering
        began = fleet.clock.now() + FRESH_MS
        for _ in range(2):
            await fleet.clock.advance(FRESH_MS / 1000)
            answer = await fleet.get("a", "/rules")
            assert (answer["status"], [name for name, _ in names(answer)]) == ("success", ["g0"])
            (warning,) = answer["warnings"]
            assert warning.startswith("peer http://b does not answer since 2023-11-14T22:13:25Z: ")
            assert said in warning
            assert warning.endswith("(shard 1/2 is missing)")
            (missing,) = fleet.peers["a"].missing()
            assert missing.since == began
        assert (await fleet.get("a", "/alerts"))["warnings"] == answer["warnings"]

    asyncio.run(go())


def test_a_peer_that_hangs_is_not_waited_for() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"}, "http://b", seconds=0.05)
    fleet.net.hosts["b"] = hangs
    (missing,) = asyncio.run(fleet.peers["a"].view()).missing
    assert missing.reason == "no answer within 0.05s"


def test_a_replica_makes_up_for_one_that_is_missing() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2", "c": "1/2"})

    async def go() -> None:
        await fleet.peers["a"].view()
        fleet.net.hosts["b"] = refuses
        await fleet.clock.advance(FRESH_MS / 1000)
        answer = await fleet.get("a", "/rules")
        assert names(answer) == [("g0", ["http://a"]), ("g1", ["http://c"])]
        (warning,) = answer["warnings"]
        assert warning.endswith("(shard 1/2, which another evaluator shows)")

    asyncio.run(go())


def test_a_peer_that_is_back_is_not_missing_any_more() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"})
    app, fleet.net.hosts["b"] = fleet.net.hosts["b"], refuses

    async def go() -> None:
        assert len((await fleet.peers["a"].view()).missing) == 1
        fleet.net.hosts["b"] = app
        await fleet.clock.advance(FRESH_MS / 1000)
        view = await fleet.peers["a"].view()
        assert (len(view.evaluators), view.missing, fleet.peers["a"].missing()) == (2, (), [])

    asyncio.run(go())


def test_what_was_missing_long_ago_is_not_told_of() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"})
    fleet.net.hosts["b"] = refuses

    async def go() -> None:
        await fleet.peers["a"].view()
        assert len(fleet.peers["a"].missing()) == 1
        await fleet.clock.advance(RECENT_MS / 1000 + 1)
        assert fleet.peers["a"].missing() == ()

    asyncio.run(go())


def test_many_readers_are_one_request() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"}, "http://b")

    async def go() -> None:
        await asyncio.gather(*(fleet.get("a", path) for path in ("/rules", "/alerts", "/rules?type=alert")))
        await fleet.clock.advance(FRESH_MS / 1000 - 1)
        await fleet.get("a", "/rules")
        assert len(fleet.net.asked) == 1
        await fleet.clock.advance(1)
        await fleet.get("a", "/rules")
        assert len(fleet.net.asked) == 2

    asyncio.run(go())


def test_a_reader_that_leaves_does_not_stop_the_asking_for_others() -> None:
    fleet = Fleet({"a": "0/2", "b": "1/2"}, "http://b")

    async def go() -> None:
        leaving = asyncio.create_task(fleet.peers["a"].view())
        staying = asyncio.create_task(fleet.peers["a"].view())
        await asyncio.sleep(0)
        leaving.cancel()
        assert [one.shard for one in (await staying).evaluators] == ["0/2", "1/2"]

    asyncio.run(go())


def test_the_peers_of_a_name_are_looked_up_again_and_kept_while_dns_fails() -> None:
    records: list[Record] | DiscoveryError = [Record("10.0.0.1")]

    async def look_up(_: str, kind: str) -> list[Record]:
        if isinstance(records, DiscoveryError):
            raise records
        return records if kind == "A" else []

    fleet = Fleet({"a": "0/2", "b": "1/2"}, "dns+http://evaluators:9095", look_up=look_up)
    fleet.net.hosts |= {"10.0.0.1": fleet.net.hosts["a"], "10.0.0.2": fleet.net.hosts["b"]}

    async def shards() -> list[str]:
        return [one.shard for one in (await fleet.peers["a"].view()).evaluators]

    async def go() -> None:
        nonlocal records
        assert await shards() == ["0/2"]
        records = [Record("10.0.0.1"), Record("10.0.0.2")]
        await fleet.clock.advance(FRESH_MS / 1000)
        assert await shards() == ["0/2"]
        await fleet.clock.advance(RESOLVED_MS / 1000)
        assert await shards() == ["0/2", "1/2"]
        records = DiscoveryError("no server answers")
        await fleet.clock.advance(RESOLVED_MS / 1000)
        assert await shards() == ["0/2", "1/2"]

    asyncio.run(go())


def test_a_name_that_was_never_resolved_is_missing() -> None:
    async def look_up(_: str, __: str) -> list[Record]:
        raise DiscoveryError("could not resolve 'evaluators': no server answers")

    fleet = Fleet({"a": "0/2"}, "dns+http://u:hunter2@evaluators:9095", look_up=look_up)
    (warning, other) = asyncio.run(fleet.get("a", "/rules"))["warnings"]
    assert "peer dns+http://evaluators:9095 does not answer since" in warning
    assert "could not resolve 'evaluators'" in warning
    assert other == "no peer has shard 1/2 of the rules"


def test_without_peers_the_answers_are_those_of_prometheus() -> None:
    world = World(RULE % ("g", "g"))
    world.step(0, 5.0)
    app = build_app(RulesApi(world.groups).routes(), WebSecurity())

    async def go() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
            data = (await client.get("/rules")).json()["data"]
            assert list(data) == ["groups"]
            assert "evaluators" not in data["groups"][0]
            own = (await client.get("/rules?shard=own")).json()["data"]
            assert (own["groups"], bool(own["evaluator"]["instance"])) == (data["groups"], True)

    asyncio.run(go())


def test_a_password_in_the_url_is_sent_and_shown_nowhere() -> None:
    seen: list[str] = []

    def take(request: HttpRequest) -> HttpReply:
        seen.append(request.headers.get("authorization", ""))
        return HttpReply(b"no", 401)

    server = LoopbackServer(take)
    client = ClientOnDemand(NO_CLIENT_SETTINGS, "test", lambda: httpx.AsyncClient(trust_env=False))
    url = f"http://u:hunter2@{server.address}"
    peers = Peers([read_peer(url)], client, FakeClock(), list, EvaluatorIdentity.of_process(), seconds=30)

    async def go() -> None:
        (missing,) = (await peers.view()).missing
        assert missing.name == f"http://{server.address}"
        assert missing.reason == "HTTP status 401 Unauthorized: it wants a user and a password, or others"
        await peers.aclose()

    with contextlib.closing(server):
        asyncio.run(go())
    assert seen == ["Basic " + base64.b64encode(b"u:hunter2").decode()]
