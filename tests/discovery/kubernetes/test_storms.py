"""API servers that are broken for minutes: how often they are asked, what is said, and how soon all is well again.

The answers are those of tests/kubernetes_server.py, without its connections: ten minutes pass at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

import httpx
import pytest

from rulepush.discovery.groups import Environment
from rulepush.discovery.kubernetes.access import ApiAccess
from rulepush.discovery.kubernetes.api import KubernetesApi
from rulepush.discovery.kubernetes.connection import ApiServer, ServerConnection
from rulepush.discovery.kubernetes.watching import ResourceWatch
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.model.secret import Secret
from tests.discovery.driving import environment
from tests.discovery.kubernetes.cluster import config_of
from tests.discovery.kubernetes.following import until
from tests.fakes import FakeClock
from tests.kubernetes_objects import pod
from tests.kubernetes_server import Json

Answer = Callable[[], httpx.Response]

MINUTES: Final = 6


def web(name: str = "web-1", version: str = "5") -> Json:
    made = pod(name, ip="10.0.0.1")
    made["metadata"]["resourceVersion"] = version
    return made


def listed() -> httpx.Response:
    meta = {"resourceVersion": "10"}
    return httpx.Response(200, json={"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": [web()]})


class Body(httpx.AsyncByteStream):
    """These parts, and then the end, a lost connection, or nothing for ever."""

    def __init__(self, parts: tuple[bytes, ...], then: str):
        self._parts = parts
        self._then = then

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._then == "lost":
            raise httpx.ReadError("connection reset")
        if self._then == "silent":
            await asyncio.Event().wait()


def watched(*parts: bytes, then: str = "silent") -> Answer:
    return lambda: httpx.Response(200, headers={"Content-Type": "application/json"}, stream=Body(parts, then))


def event(kind: str, made: Json) -> bytes:
    return json.dumps({"type": kind, "object": made}).encode() + b"\n"


def failure(code: int, message: str) -> Json:
    return {"kind": "Status", "status": "Failure", "message": message, "reason": "Any", "code": code}


def refused(code: int, message: str = "no", **headers: str) -> Answer:
    return lambda: httpx.Response(code, json=failure(code, message), headers=headers)


def error(code: int) -> bytes:
    return event("ERROR", failure(code, f"told {code}"))


def expired(as_status: bool) -> Answer:
    """With the versions in the text, as kube-apiserver has it, which grow."""
    versions = count(1000)

    def answer() -> httpx.Response:
        told = failure(410, f"too old resource version: {next(versions)} ({next(versions)})")
        return httpx.Response(410, json=told) if as_status else watched(event("ERROR", told))()

    return answer


def unreachable() -> httpx.Response:
    raise httpx.ConnectError("[Errno 111] Connection refused")


def login_page() -> httpx.Response:
    return httpx.Response(200, html="<html><title>Sign in</title></html>")


CHANGE: Final = event("MODIFIED", web(version="11"))
FORBIDDEN: Final = 'pods is forbidden: User "jane" cannot'


class MockedAccess(ApiAccess):
    """An API server that is a function."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response], env: Environment):
        super().__init__(ServerConnection(ApiServer(Secret("http://k8s"), NO_CLIENT_SETTINGS)), env)
        self._transport = httpx.MockTransport(answer)

    @asynccontextmanager
    async def open(self, owner: Hashable) -> AsyncIterator[KubernetesApi]:
        async with httpx.AsyncClient(transport=self._transport) as client:
            yield KubernetesApi(client, "http://k8s", owner=owner)


# name -> (the list, the watch, what is said)
STATES: Final[dict[str, tuple[Answer, Answer, str]]] = {
    "401": (refused(401), watched(), "unauthorized: pods"),
    "list forbidden": (refused(403, FORBIDDEN), watched(), "jane needs list and watch for pods"),
    "watch forbidden": (listed, refused(403, FORBIDDEN), "jane needs list and watch for pods"),
    "no such resource": (lambda: httpx.Response(404, text="404 page not found\n"), watched(), "has no /api/v1/pods"),
    "pages expire": (refused(410), watched(), "expire faster than they can be read"),
    "410 as a status": (listed, expired(True), "410 Gone: the version of a list is too old"),
    "410 as an event": (listed, expired(False), "410 Gone: the version of a list is too old"),
    "410 after an event": (listed, watched(CHANGE + error(410)), "410 Gone: the version of a list is too old"),
    "429": (refused(429, "many", **{"Retry-After": "1"}), watched(), "429 Too Many Requests"),
    "429 of a watch": (listed, refused(429, "many", **{"Retry-After": "1"}), "429 Too Many Requests"),
    "429 as an event": (listed, watched(error(429)), "told 429"),
    "500": (refused(500, "etcd leader changed"), watched(), "etcd leader changed"),
    "500 of a watch": (listed, refused(500, "etcd leader changed"), "etcd leader changed"),
    "500 as an event": (listed, watched(error(500)), "told 500"),
    "no JSON in a watch": (listed, watched(b"garbage\n"), "an event of the watch is none"),
    "a line of 20 MB": (listed, watched(b'{"x": "' + b"x" * (20 << 20) + b'"}\n'), "larger than 16 MiB"),
    "a login page": (login_page, watched(), 'sent a page "Sign in"'),
    "a login page for a watch": (listed, login_page, 'sent a page "Sign in"'),
    "unreachable": (unreachable, watched(), "Connection refused"),
    "unreachable for a watch": (listed, unreachable, "Connection refused"),
    "watches end at once": (listed, watched(then="end"), ""),
    "watches are lost at once": (listed, watched(then="lost"), ""),
    "watches are lost in a line": (listed, watched(CHANGE[:40], then="lost"), ""),
}


@pytest.mark.parametrize("name", STATES)
def test_a_broken_server_is_asked_ever_less_often_told_of_once_and_found_again(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    its_list, its_watch, said = STATES[name]
    asked, is_well = [0], False

    def answer(request: httpx.Request) -> httpx.Response:
        asked[-1] += 1
        is_watch = "watch" in request.url.params
        if is_well:
            return watched(event("ADDED", web("new", "20")))() if is_watch else listed()
        return (its_watch if is_watch else its_list)()

    async def test() -> None:
        nonlocal is_well
        env = environment()
        assert isinstance(env.clock, FakeClock)
        watch = ResourceWatch(MockedAccess(answer, env), config_of("role: pod").watched()[0].within(""), env)
        task = asyncio.create_task(watch.run())
        for _ in range(MINUTES):
            for _ in range(12):
                await env.clock.advance(5)
                await env.clock.settle()
            asked.append(0)
        (source, why) = next(iter(env.reporter.last_errors.items()), ("", ""))
        assert said in why
        assert bool(said) == bool(source)
        is_well = True
        await env.clock.advance(40)
        await until("what came meanwhile", lambda: "default/new" in watch.objects)
        await env.clock.advance(10)
        assert env.reporter.last_errors == {}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level(logging.INFO, "rulepush.discovery"):
        asyncio.run(test())
    assert asked[0] <= 20, "requests in the first minute"
    assert max(asked[MINUTES - 2 : MINUTES]) <= 6, "requests a minute, later"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (2 if said else 0), lines


@pytest.mark.parametrize("then", ["end", "lost"])
def test_watches_that_end_after_each_event_are_opened_once_a_second_at_most(then: str) -> None:
    watches = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal watches
        if "watch" not in request.url.params:
            return listed()
        watches += 1
        return watched(event("MODIFIED", web(version=str(10 + watches))), then=then)()

    async def test() -> None:
        env = environment()
        assert isinstance(env.clock, FakeClock)
        watch = ResourceWatch(MockedAccess(answer, env), config_of("role: pod").watched()[0].within(""), env)
        task = asyncio.create_task(watch.run())
        for _ in range(4):
            await asyncio.sleep(0.15)  # what is left to come together, is so on the true clock
        assert watches == 1
        await env.clock.advance(1)
        assert watches == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(test())
