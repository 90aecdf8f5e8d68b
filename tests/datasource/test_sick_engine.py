"""An engine that answers wrong, over real HTTP: no answer, a reason, and no exception.

How engines fail is built from their sources: VictoriaMetrics app/vmselect/netstorage/netstorage.go of the cluster
branch (`collectResults`: 503 where no storage node answers, `isPartial` where some do not), prometheus
web/api/v1/api.go.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from rulepush.clock import SystemClock
from rulepush.config.sections import DatasourceConfig
from rulepush.datasource import engine as engine_module
from rulepush.datasource.engine import RemoteEngine
from rulepush.errors import DatasourceError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.model.secret import Secret
from rulepush.rules.asking import Answer, Question
from tests.http_server import HttpReply, HttpRequest, LoopbackServer

T = 1_700_000_000_000


def vector(*pairs: tuple[dict[str, str], str]) -> bytes:
    result = [{"metric": metric, "value": [T / 1000, value]} for metric, value in pairs]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


GOOD = vector(({"a": "1"}, "5"))


def ask(address: str, seconds: float = 60.0) -> Answer:
    """One question with the client of the service."""

    async def go() -> Answer:
        config = DatasourceConfig("c", Secret(f"http://{address}"))
        client = ClientOnDemand(NO_CLIENT_SETTINGS, "rulepush", partial(build_client, NO_CLIENT_SETTINGS, "rulepush"))
        engine = RemoteEngine(config, client, SystemClock())
        try:
            return await engine.ask(Question("m", T), seconds)
        finally:
            await engine.aclose()

    return asyncio.run(go())


def answered(reply: HttpReply, seconds: float = 60.0) -> Answer:
    server = LoopbackServer(lambda _: reply)
    try:
        return ask(server.address, seconds)
    finally:
        server.close()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (HttpReply(gzip.compress(GOOD), headers={"Content-Encoding": "gzip"}), "where the Prometheus HTTP API answers"),
        (HttpReply(b"", 307, headers={"Location": "/"}), "not reached: .*redirect"),
        (HttpReply(GOOD[:40]), "where the Prometheus HTTP API answers JSON"),
        (HttpReply(b'{"status":"error","errorType":"503","error":"no vmstorage"}', 503), "503 .*no vmstorage"),
        (HttpReply(b"", 200), "where the Prometheus HTTP API answers JSON"),
        (HttpReply(b"[" * 100_000), "where the Prometheus HTTP API answers JSON"),
    ],
    ids=["gzip", "307", "cut", "503", "empty", "nested"],
)
def test_a_wrong_answer_is_none(reply: HttpReply, said: str) -> None:
    answer = answered(reply)
    assert isinstance(answer, DatasourceError)
    assert re.search(said, str(answer)), answer


def test_a_redirect_to_a_login_is_told_at_once() -> None:
    def reply(request: HttpRequest) -> HttpReply:
        if request.path == "/login":
            return HttpReply(b"<html>", content_type="text/html")
        return HttpReply(b"", 302, headers={"Location": "/login"})

    server = LoopbackServer(reply)
    try:
        answer = ask(server.address, 60)
    finally:
        server.close()
    assert isinstance(answer, DatasourceError)
    text = f"redirected by status 302 to http://{server.address}: a login page, perhaps; url is the base of the API"
    assert str(answer).startswith(text)


def test_values_that_are_no_numbers_come_as_they_are() -> None:
    answer = answered(HttpReply(vector(({"a": "1"}, "NaN"), ({"a": "2"}, "+Inf"), ({"a": "3"}, "-Inf"))))
    assert not isinstance(answer, Exception)
    values = [s.value for s in answer]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


@contextmanager
def raw(head: bytes, parts: list[bytes], pause: float) -> Iterator[str]:
    """A server that writes `head` and then the parts with a pause before each, to one connection after the other."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(head)
                    for part in parts:
                        time.sleep(pause)
                        connection.sendall(part)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_body_that_ends_too_soon_is_no_answer() -> None:
    with raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD), [GOOD[:-5]], 0) as address:
        answer = ask(address, 60)
    assert isinstance(answer, DatasourceError)
    assert str(answer).startswith("not reached: ")


def test_a_slow_drip_ends_with_the_time_that_there_is() -> None:
    with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", [b" "] * 1000, 0.02) as address:
        begin = time.monotonic()
        answer = ask(address, 0.5)
        took = time.monotonic() - begin
    assert isinstance(answer, DatasourceError)
    assert str(answer).startswith("no answer within 0.")
    assert took < 15  # the whole of it would take 20 s and more


def test_a_failure_that_nobody_thought_of_stops_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Answer:
        raise LookupError("no such thing")

    monkeypatch.setattr(engine_module, "samples_of", broken)
    answer = answered(HttpReply(GOOD))
    assert isinstance(answer, DatasourceError)
    assert str(answer) == "internal error: LookupError: no such thing"


def test_an_answer_beyond_the_bound_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MAX_ANSWER_BYTES", 1 << 20)
    answer = answered(HttpReply(vector(*(({"a": str(i)}, "1") for i in range(40_000)))), 20)
    assert isinstance(answer, DatasourceError)
    assert str(answer) == "the answer has more than 1 MiB"


def test_a_large_answer_is_read_in_time() -> None:
    """16 MB in parts: what is read is not copied with every part."""
    body = vector(*(({"a": str(i), "padding": "x" * 200}, "1") for i in range(60_000)))
    assert len(body) > 14 << 20

    def reply(_: HttpRequest) -> HttpReply:
        return HttpReply(body)

    server = LoopbackServer(reply)
    try:
        answer = ask(server.address, 30)
    finally:
        server.close()
    assert not isinstance(answer, Exception)
    assert len(answer) == 60_000
