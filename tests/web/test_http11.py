"""The HTTP server over real loopback connections, spoken to byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.types import Receive, Scope, Send

from rulepush.web.http11 import HttpServer

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BIG = b"x" * 5_000_000


class Site:
    """An application with one path for each thing that can happen."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.messages: list[Any] = []
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        path = scope["path"]
        body = b"hello"
        if path == "/echo":
            body = b""
            while True:
                message = await receive()
                self.messages.append(message)
                if message["type"] == "http.disconnect":
                    self.gone.set()
                    return
                body += message["body"]
                if not message["more_body"]:
                    break
        elif path == "/crash":
            raise RuntimeError("on purpose")
        elif path == "/wait":
            self.entered.set()
            await self.release.wait()
        elif path == "/until-gone":
            await receive()
            self.entered.set()
            self.messages.append(await receive())
            self.gone.set()
            return
        elif path == "/big":
            self.entered.set()
            body = BIG
        elif path == "/cut":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("on purpose")
        headers = [(b"content-length", b"%d" % len(body))] if path != "/chunked" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def serving(
    site: Site, tls: ssl.SSLContext | None = None, shutdown_seconds: float = 5
) -> AsyncIterator[tuple[HttpServer, int, asyncio.Task[None]]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(site, listener, tls, shutdown_seconds)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run())
        yield server, listener.getsockname()[1], running
        server.stop()


def talk(talker: Callable[[Site, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]) -> Site:
    """Run one conversation with a server of its own."""

    async def run() -> Site:
        site = Site()
        async with serving(site) as (_, port, _task), asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await talker(site, reader, writer)
            finally:
                writer.close()
        return site

    return asyncio.run(run())


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


async def answer(reader: asyncio.StreamReader, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0"))) if has_body else b""
    return int(head[0].split()[1]), headers, body


def test_requests_follow_each_other_on_one_connection() -> None:
    async def talker(site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(get("/a%20b/%E4%BD%A0?x=1&y=%20"))
            status, headers, body = await answer(reader)
            assert (status, body) == (200, b"hello")
            assert headers["date"].endswith("GMT")
        writer.write(get("/a") + get("/b") + get("/c"))
        for _ in range(3):
            assert (await answer(reader))[2] == b"hello"

    site = talk(talker)
    assert [s["path"] for s in site.scopes] == ["/a b/你"] * 3 + ["/a", "/b", "/c"]
    assert site.scopes[0]["query_string"] == b"x=1&y=%20"
    assert site.scopes[0]["raw_path"] == b"/a%20b/%E4%BD%A0"
    assert site.scopes[0]["client"][0] == "127.0.0.1"


def test_the_connection_ends_when_the_client_asks() -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(get("/", "Connection: close"))
        assert (await answer(reader))[2] == b"hello"
        assert await reader.read() == b""

    talk(talker)


def test_http_1_0_and_bodies_of_unknown_length() -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(get("/chunked"))
        _status, headers, _body = await answer(reader, has_body=False)
        assert headers["transfer-encoding"] == "chunked"
        assert await reader.readuntil(b"0\r\n\r\n") == b"5\r\nhello\r\n0\r\n\r\n"
        writer.write(b"GET /chunked HTTP/1.0\r\n\r\n")
        await answer(reader, has_body=False)
        assert await reader.read() == b"hello"

    talk(talker)


def test_head_answers_without_the_body() -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(get("/").replace(b"GET", b"HEAD"))
        _status, headers, _body = await answer(reader, has_body=False)
        assert headers["content-length"] == "5"
        writer.write(get("/"))
        assert (await answer(reader))[2] == b"hello"

    talk(talker)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_bodies_arrive_whole(framing: str) -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\n")
        if framing == "length":
            writer.write(b"Content-Length: %d\r\n\r\n" % len(BIG) + BIG)
        else:
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(BIG), 50_000):
                writer.write(b"%x\r\n" % 50_000 + BIG[at : at + 50_000] + b"\r\n")
            writer.write(b"0\r\n\r\n")
        assert (await answer(reader))[2] == BIG

    talk(talker)


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"ok")
        assert (await answer(reader))[2] == b"ok"

    talk(talker)


def test_an_answer_arrives_though_the_body_was_not_read() -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = 500_000
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + BIG[:size])
        assert (await answer(reader))[2] == b"hello"
        writer.write(get("/"))
        assert (await answer(reader))[2] == b"hello"

    talk(talker)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ],
)
def test_what_is_not_http_is_refused(sent: bytes, status: int) -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert (await answer(reader))[0] == status
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""

    talk(talker)


def test_a_crash_is_a_500_and_the_connection_goes_on() -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(get("/crash"))
        assert (await answer(reader))[0] == 500
        writer.write(get("/"))
        assert (await answer(reader))[0] == 200

    talk(talker)


def test_an_answer_that_breaks_off_does_not_look_complete() -> None:
    async def talker(_: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(get("/cut"))
        _status, headers, _body = await answer(reader, has_body=False)
        assert headers["transfer-encoding"] == "chunked"
        assert await reader.read() == b"4\r\nhalf\r\n"

    talk(talker)


def test_a_client_that_goes_in_the_middle_of_a_body_is_noticed() -> None:
    async def talker(site: Site, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        writer.write_eof()
        await site.gone.wait()

    talk(talker)


def test_a_client_that_goes_before_the_answer_is_noticed() -> None:
    async def talker(site: Site, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(get("/until-gone"))
        await site.entered.wait()
        writer.close()
        await site.gone.wait()
        assert site.messages == [{"type": "http.disconnect"}]

    talk(talker)


def test_a_client_that_reads_late_gets_everything() -> None:
    async def talker(site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(get("/big"))
        await site.entered.wait()
        assert (await answer(reader))[2] == BIG

    talk(talker)


def test_stopping_lets_a_request_finish_and_ends_idle_connections() -> None:
    async def run() -> None:
        site = Site()
        async with serving(site) as (server, port, running), asyncio.timeout(20):
            idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
            idle_writer.write(get("/"))
            await answer(idle)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/wait"))
            await site.entered.wait()
            server.stop()
            assert await idle.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            assert not running.done()
            site.release.set()
            status, headers, body = await answer(reader)
            assert (status, headers["connection"], body) == (200, "close", b"hello")
            await running
            idle_writer.close()
            writer.close()

    asyncio.run(run())


def test_stopping_does_not_wait_for_ever() -> None:
    async def run() -> None:
        site = Site()
        async with serving(site, shutdown_seconds=0.01) as (server, port, running), asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/wait"))
            await site.entered.wait()
            server.stop()
            await running
            assert await reader.read() == b""
            writer.close()

    asyncio.run(run())


def test_tls(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def run() -> None:
        site = Site()
        async with serving(site, context) as (_, port, _task), asyncio.timeout(20):
            plain, plain_writer = await asyncio.open_connection("127.0.0.1", port)
            plain_writer.write(get("/"))
            with contextlib.suppress(ConnectionError):
                await plain.read()  # a broken handshake disturbs nobody
            trust = ssl.create_default_context(cafile=str(certificate))
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            writer.write(get("/"))
            assert (await answer(reader))[2] == b"hello"
            assert site.scopes[-1]["scheme"] == "https"
            writer.close()
            plain_writer.close()

    asyncio.run(run())


def _certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(key_pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path
