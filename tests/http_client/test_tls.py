"""TLS and proxies against real servers on loopback, with certificates made by the test."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from rulepush.http_client.build import RoutingTransport, build_client
from rulepush.http_client.client import reason
from rulepush.http_client.config import HTTPClientConfig, ProxyConfig, TLSConfig
from rulepush.http_client.failures import CredentialsError
from rulepush.http_client.tls import client_context
from rulepush.model.secret import Secret
from tests.http_client.certificates import Authority
from tests.http_server import HttpReply, LoopbackServer


class Web:
    """Answers every request with 200; remembers request lines, and the common name of the client's certificate."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.headers: list[str] = []
        self.connections = 0
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while line := await reader.readline():
                self.lines.append(line.decode().strip())
                while (header := await reader.readline()).strip():
                    self.headers.append(header.decode().strip())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{self.port}/"
        finally:
            server.close()


class Pki:
    """An authority, a server's certificate and a client's."""

    def __init__(self, directory: Path, name: str = ""):
        self.directory = directory
        self.authority = Authority()
        self.ca = str(self.authority.write(directory / "ca.pem"))
        self.authority.issue(directory / "s.pem", directory / "s.key", name)
        self.authority.issue(directory / "c.pem", directory / "c.key", "client")

    def server_context(self, *, client_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "s.pem", self.directory / "s.key")
        if client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def path(self, name: str) -> str:
        return str(self.directory / name)


async def get(url: str, config: HTTPClientConfig) -> int:
    async with build_client(config) as client:
        return (await client.get(url)).status_code


def test_a_private_authority_is_trusted_from_a_file_or_a_text(tmp_path: Path) -> None:
    pki = Pki(tmp_path)

    async def go() -> None:
        async with Web().serving(pki.server_context()) as url:
            assert await get(url, HTTPClientConfig(tls=TLSConfig(ca_file=pki.ca))) == 200
            assert await get(url, HTTPClientConfig(tls=TLSConfig(ca=pki.authority.pem))) == 200
            assert await get(url, HTTPClientConfig(tls=TLSConfig(insecure_skip_verify=True))) == 200
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await get(url, HTTPClientConfig())

    asyncio.run(go())


def test_an_intermediate_authority_or_the_certificate_itself_is_trusted(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    below = Authority("below", parent=pki.authority)
    below.issue(tmp_path / "s.pem", tmp_path / "s.key")

    async def go() -> None:
        async with Web().serving(pki.server_context()) as url:
            for ca in (below.pem, (tmp_path / "s.pem").read_text()):
                assert await get(url, HTTPClientConfig(tls=TLSConfig(ca=ca))) == 200
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await get(url, HTTPClientConfig(tls=TLSConfig(ca=pki.authority.pem)))  # the one between is missing

    asyncio.run(go())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_old_versions_are_spoken_with_who_asks_for_them(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    context = pki.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1

    async def go() -> None:
        async with Web().serving(context) as url:
            assert await get(url, HTTPClientConfig(tls=TLSConfig(ca_file=pki.ca, min_version="TLS10"))) == 200
            for version in ("", "TLS11", "TLS12"):
                with pytest.raises(httpx.ConnectError):
                    await get(url, HTTPClientConfig(tls=TLSConfig(ca_file=pki.ca, min_version=version)))

    asyncio.run(go())


def test_the_server_name_is_the_one_configured(tmp_path: Path) -> None:
    pki = Pki(tmp_path, "nacos.internal")

    async def go() -> None:
        async with Web().serving(pki.server_context()) as url:
            tls = TLSConfig(ca_file=pki.ca, server_name="nacos.internal")
            assert await get(url, HTTPClientConfig(tls=tls)) == 200
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await get(url, HTTPClientConfig(tls=TLSConfig(ca_file=pki.ca)))

    asyncio.run(go())


def test_a_client_certificate_is_shown_from_files_or_texts(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    files = TLSConfig(ca_file=pki.ca, cert_file=pki.path("c.pem"), key_file=pki.path("c.key"))
    texts = TLSConfig(
        ca_file=pki.ca,
        cert=(tmp_path / "c.pem").read_text(),
        key=Secret((tmp_path / "c.key").read_text()),
    )

    async def go() -> None:
        async with Web().serving(pki.server_context(client_certificate=True)) as url:
            assert await get(url, HTTPClientConfig(tls=files)) == 200
            assert await get(url, HTTPClientConfig(tls=texts)) == 200
            with pytest.raises(httpx.HTTPError):
                await get(url, HTTPClientConfig(tls=TLSConfig(ca_file=pki.ca)))

    asyncio.run(go())


def test_files_that_change_are_read_again(tmp_path: Path) -> None:
    pki = Pki(tmp_path)

    async def go() -> None:
        web = Web()
        async with web.serving(pki.server_context()) as url:
            wrong = Authority("another").write(tmp_path / "used.pem")
            config = HTTPClientConfig(tls=TLSConfig(ca_file=str(wrong)))
            async with build_client(config) as client:
                with pytest.raises(httpx.ConnectError):
                    await client.get(url)
                pki.authority.write(tmp_path / "new.pem")
                os.replace(tmp_path / "new.pem", wrong)
                for _ in range(3):
                    assert (await client.get(url)).status_code == 200
                assert web.connections == 1  # kept alive

    asyncio.run(go())


def test_connections_with_old_certificates_are_closed(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    tls = TLSConfig(ca_file=pki.ca)

    class Body(httpx.AsyncByteStream):  # a text would count as read, and would never be closed
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"ok"

    class Transport(httpx.MockTransport):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    async def go() -> None:
        transport = Transport(lambda _: httpx.Response(200, stream=Body()))
        async with build_client(HTTPClientConfig(tls=tls), transport=transport) as client:
            await client.get("https://target/")
            os.utime(pki.ca, (1, 1))
            async with client.stream("GET", "https://target/"):
                assert transport.closed == 1
                os.utime(pki.ca, (2, 2))
                await client.get("https://target/")
                assert transport.closed == 1  # a request is under way
            assert transport.closed == 2

    asyncio.run(go())


def test_one_context_a_setting_and_none_for_plain_requests(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    tls = TLSConfig(ca_file=pki.ca)
    assert client_context(tls) is client_context(TLSConfig(ca_file=pki.ca))

    async def go() -> None:
        async with Web().serving() as url, build_client(HTTPClientConfig(tls=TLSConfig(ca_file="/none"))) as client:
            assert (await client.get(url)).status_code == 200

    asyncio.run(go())


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("hunter2")
    for path in (str(bad), str(tmp_path / "none.pem")):
        for tls in (TLSConfig(ca_file=path), TLSConfig(cert_file=path, key_file=path)):
            with pytest.raises(CredentialsError) as e:
                client_context(tls)
            assert path in str(e.value)
            assert "hunter2" not in str(e.value)


def test_a_proxy_is_used_but_not_for_what_no_proxy_names() -> None:
    async def go() -> None:
        proxy, web = Web(), Web()
        async with proxy.serving() as proxy_url, web.serving() as url:
            settings = ProxyConfig(Secret(proxy_url.replace("http://", "http://u:p@")))
            assert await get("http://target.example/metrics", HTTPClientConfig(proxy=settings)) == 200
            assert proxy.lines == ["GET http://target.example/metrics HTTP/1.1"]
            assert "Proxy-Authorization: Basic dTpw" in proxy.headers
            direct = ProxyConfig(Secret(proxy_url), no_proxy="x")
            assert await get(url, HTTPClientConfig(proxy=direct)) == 200
            assert (len(proxy.lines), len(web.lines)) == (1, 1)

    asyncio.run(go())


class TunnelProxy(Web):
    """Connects to a server on this machine, whatever name it is asked for."""

    def __init__(self, target: Web):
        super().__init__()
        self._target = target

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.append((await reader.readline()).decode().strip())
        while (header := await reader.readline()).strip():
            self.headers.append(header.decode().strip())
        if not self.lines[-1].startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        there, to_there = await asyncio.open_connection("127.0.0.1", self._target.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pass_on(reader, to_there), pass_on(there, writer))


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65536):
            writer.write(part)
    writer.close()


def test_the_server_name_counts_behind_a_proxy(tmp_path: Path) -> None:
    pki = Pki(tmp_path, "nacos.internal")

    async def go() -> None:
        web = Web()
        proxy = TunnelProxy(web)
        async with web.serving(pki.server_context()), proxy.serving() as proxy_url:
            tls = TLSConfig(ca_file=pki.ca, server_name="nacos.internal")
            settings = HTTPClientConfig(tls=tls, proxy=ProxyConfig(Secret(proxy_url)))
            assert await get("https://10.1.2.3/", settings) == 200
            assert proxy.lines == ["CONNECT 10.1.2.3:443 HTTP/1.1"]
            other = replace(settings, tls=replace(tls, server_name="other.internal"))
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await get("https://10.1.2.3/", other)

    asyncio.run(go())


def test_headers_for_the_proxy_go_with_connect_only(tmp_path: Path) -> None:
    pki = Pki(tmp_path)

    async def go() -> None:
        web = Web()
        proxy = TunnelProxy(web)
        async with web.serving(pki.server_context()) as url, proxy.serving() as proxy_url:
            to_proxy = ProxyConfig(Secret(proxy_url), connect_headers=(("X-Tenant", (Secret("hunter2"),)),))
            settings = HTTPClientConfig(tls=TLSConfig(ca_file=pki.ca), proxy=to_proxy)
            assert await get(url, settings) == 200
            assert "X-Tenant: hunter2" in proxy.headers
            proxy.headers.clear()
            assert await get("http://plain.example/", settings) == 200
            assert proxy.headers
            assert not any("hunter2" in header for header in [*proxy.headers, *web.headers])

    asyncio.run(go())


def test_closing_a_client_closes_its_connections() -> None:
    async def go() -> None:
        async with Web().serving() as url:
            client = build_client()
            await client.get(url)
            transport = client._transport
            assert isinstance(transport, RoutingTransport)
            assert transport.route_count == 1
            await client.aclose()
            assert transport.route_count == 0

    asyncio.run(go())


def _weak_server(tmp_path: Path, bits: int, ciphers: str) -> ssl.SSLContext:
    """A TLS 1.2 server with an RSA key, as old devices and Java servers are; Go's crypto/tls connects to it."""
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "weak.pem").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "weak.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.load_cert_chain(tmp_path / "weak.pem", tmp_path / "weak.key")
    return context


@pytest.mark.parametrize(("bits", "ciphers"), [(1024, "ECDHE-RSA-AES128-GCM-SHA256"), (2048, "ECDHE-RSA-AES128-SHA")])
def test_what_openssl_refuses_by_default_is_said_so_and_the_advice_helps(
    bits: int, ciphers: str, tmp_path: Path
) -> None:
    server = LoopbackServer(lambda _: HttpReply(b"ok"), _weak_server(tmp_path, bits, ciphers))
    tls = TLSConfig(ca_file=str(tmp_path / "weak.pem"))

    async def get(config: TLSConfig) -> str:
        async with build_client(HTTPClientConfig(tls=config)) as client:
            return (await client.get(f"https://{server.address}/")).text

    try:
        with pytest.raises(httpx.ConnectError) as refused:
            asyncio.run(get(tls))
        assert reason(refused.value).startswith("tls: ")
        assert "set min_version: TLS10 in tls_config" in reason(refused.value)
        assert asyncio.run(get(replace(tls, min_version="TLS10"))) == "ok"
    finally:
        server.close()


def test_a_server_that_hangs_up_in_the_handshake_is_reported_in_words() -> None:
    async def go() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server, build_client() as client:
            with pytest.raises(httpx.ConnectError) as closed:
                await client.get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        assert reason(closed.value).startswith("tls: ")

    asyncio.run(go())
