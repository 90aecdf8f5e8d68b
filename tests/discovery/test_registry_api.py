"""How registries are asked: over the connection of an owner, without httpx where nothing about a request is special."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rulepush.discovery.consul_api import RequestSlots
from rulepush.discovery.registry_api import RegistryAnswer, RegistryAsking, ask_registry
from rulepush.errors import DiscoveryError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig
from rulepush.http_client.on_demand import ClientOnDemand
from tests.http_client.test_network import FIN, OK, ClosingServer

PARAMS = (("stale", ""), ("tag", "a b*"))


def made(*, plain: bool = True) -> ClientOnDemand:
    full = HTTPClientConfig(follow_redirects=False)
    return ClientOnDemand(NO_CLIENT_SETTINGS, "test", lambda: build_client(full), plain=plain)


def answer(head: bytes, body: bytes = b"[]") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


async def ask(client: ClientOnDemand, address: str, path: str = "/v1", **asking: Any) -> RegistryAnswer:
    return await ask_registry(client, f"http://{address}{path}", PARAMS, 5.0, asyncio.timeout, RegistryAsking(**asking))


@pytest.mark.parametrize(
    ("answers", "in_plain"),
    [
        (answer(b"200 OK", b"[1]"), True),
        (answer(b"403 Forbidden", b"[unknown]"), True),
        (answer(b"302 Found\r\nLocation: http://elsewhere/"), False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n", False),
        (FIN, True),
        (OK[:-1], True),
    ],
)
def test_an_answer_is_the_same_with_and_without_httpx(answers: bytes, in_plain: bool) -> None:
    async def outcome(plain: bool) -> tuple[object, ...]:
        client = made(plain=plain)
        async with ClosingServer([[answers, FIN], [answers, FIN], [answers, FIN]]) as address:
            try:
                got = await ask(client, address)
                found: tuple[object, ...] = got.status, got.phrase, got.body, got.url.replace(address, "")
            except DiscoveryError as e:
                found = (str(e).replace(address, ""),)
            uses_httpx = client._full is not None
            await client.aclose()
            return *found, uses_httpx

    plain, full = asyncio.run(outcome(True)), asyncio.run(outcome(False))
    assert plain[:-1] == full[:-1]
    assert (plain[-1], full[-1]) == (not in_plain, True)


def test_secrets_in_plain_headers_are_sent_and_masked_where_they_are_quoted() -> None:
    async def go() -> str:
        client = made()
        refused = answer(b"403 Forbidden", b"{token hunter2 is unknown}")
        async with ClosingServer([[refused]]) as address:
            got = await ask(client, address, plain_headers={"X-Token": "hunter2"})
            await client.aclose()
            return got.described

    assert asyncio.run(go()) == "status 403 Forbidden: {token <secret> is unknown}"


@pytest.mark.parametrize("plain", [True, False])
def test_an_owner_has_one_connection_for_all_that_it_asks(plain: bool) -> None:
    async def go() -> list[int]:
        client, owner = made(plain=plain), object()
        server = ClosingServer([])
        async with server as address:
            for path in ("/v1/a", "/v1/b", "/v1/c"):
                await ask(client, address, path, owner=owner)
            await ask(client, address, "/v1/d", owner=object())
            await client.aclose()
        return [number for number, _ in server.requests]

    assert asyncio.run(go()) == [0, 0, 0, 1]


@pytest.mark.parametrize("plain", [True, False])
def test_a_known_answer_is_read_to_its_end_but_not_kept(plain: bool) -> None:
    async def go() -> tuple[list[bytes], list[int]]:
        client, owner = made(plain=plain), object()
        server = ClosingServer([[answer(b"200 OK\r\nX-Index: 7", b"{1}"), answer(b"500 Oops\r\nX-Index: 7", b"{2}")]])
        async with server as address:
            got = [
                (await ask(client, address, owner=owner, is_known=lambda headers: headers.get("x-index") == "7")).body
                for _ in range(2)
            ]
            await client.aclose()
        return got, [number for number, _ in server.requests]

    # Of a failure the text is wanted, whatever its headers.
    assert asyncio.run(go()) == ([b"", b"{2}"], [0, 0])


def test_a_slot_that_goes_to_another_client_closes_its_connection() -> None:
    async def go() -> tuple[list[int], list[bool]]:
        slots, first, second = RequestSlots(parked=2, prompt=0), made(), made()
        server = ClosingServer([])
        async with server as address:

            async def turn(client: ClientOnDemand) -> object:
                async with slots.turn(client, 1, 30.0) as (owner, _):
                    await ask(client, address, owner=owner)
                    return owner

            mine = await turn(first)
            assert await turn(first) is mine  # its connection is open
            other = await turn(second)
            assert other is not mine
            assert await turn(first) is mine
            async with slots.turn(second, 1, 30.0):
                taken = await turn(second)  # there are two, so this was the first client's
            assert taken is mine
            is_closed = [not client._plain for client in (first, second)]
            await first.aclose()
            await second.aclose()
        return [number for number, _ in server.requests], is_closed

    assert asyncio.run(go()) == ([0, 0, 1, 0, 2], [True, False])
