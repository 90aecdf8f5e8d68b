"""TLS and passwords while the server runs: certificates are renewed, passwords change, and bad files change nothing."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import bcrypt
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rulepush.errors import ConfigError
from rulepush.web.listener import bind
from rulepush.web.security import WebConfigReloader
from rulepush.web.server import SHUTDOWN_SECONDS, WebServer, build_app
from tests.http_client.certificates import Authority, client_context


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


class House:
    """A web configuration with TLS and one user, and the authorities that clients may trust."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.path = directory / "web.yml"
        self.renew("old")
        self.users(alice="wonder")

    def renew(self, authority: str) -> None:
        issuer = Authority(authority)
        issuer.write(self.directory / f"{authority}.pem")
        issuer.issue(self.directory / "cert.pem", self.directory / "key.pem")

    def users(self, **passwords: str) -> None:
        hashes = {n: bcrypt.hashpw(p.encode(), bcrypt.gensalt(4)).decode() for n, p in passwords.items()}
        lines = [f"  {name}: {digest}" for name, digest in hashes.items()]
        tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
        self.path.write_text("\n".join([tls, "basic_auth_users:" if lines else "", *lines, ""]))

    async def status(self, port: int, authority: str, password: str) -> int:
        """The answer's status; 0 when the server's certificate is not of this authority."""
        context = client_context(self.directory / f"{authority}.pem")
        async with httpx.AsyncClient(verify=context, auth=("alice", password)) as client:
            try:
                return (await client.get(f"https://127.0.0.1:{port}/")).status_code
            except httpx.ConnectError:
                return 0


def test_renewed_certificates_and_changed_passwords_are_taken(tmp_path: Path) -> None:
    house = House(tmp_path)
    reloader = WebConfigReloader(str(house.path))

    async def main() -> None:
        listener = bind("127.0.0.1:0")
        port = listener.getsockname()[1]
        server = WebServer(build_app([Route("/", hello)], reloader.security), listener, reloader.security)
        running = asyncio.create_task(server.run())
        assert await house.status(port, "old", "wonder") == 200
        house.renew("new")
        house.users(alice="land")
        assert await house.status(port, "old", "wonder") == 200
        reloader.check()
        assert await house.status(port, "old", "land") == 0
        assert await house.status(port, "new", "wonder") == 401
        assert await house.status(port, "new", "land") == 200
        (tmp_path / "key.pem").write_text("not a key")
        reloader.check()
        assert await house.status(port, "new", "land") == 200
        server.stop()
        await asyncio.wait_for(running, 60)

    asyncio.run(main())


def test_a_client_certificate_can_be_demanded_while_it_runs(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.users()
    reloader = WebConfigReloader(str(house.path))

    async def main() -> None:
        listener = bind("127.0.0.1:0")
        server = WebServer(build_app([Route("/", hello)], reloader.security), listener, reloader.security)
        running = asyncio.create_task(server.run())
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        context = client_context(tmp_path / "old.pem")

        async def ask() -> int:
            async with httpx.AsyncClient(verify=context) as client:
                return (await client.get(url)).status_code

        assert await ask() == 200
        house.path.write_text(
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: old.pem,"
            " client_auth_type: RequireAndVerifyClientCert}\n"
        )
        reloader.check()
        with pytest.raises(httpx.HTTPError):
            await ask()
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        assert await ask() == 200
        server.stop()
        await asyncio.wait_for(running, 60)

    asyncio.run(main())


def test_what_cannot_be_taken_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House(tmp_path)
    reloader = WebConfigReloader(str(house.path))
    house.users()
    for _ in range(2):
        reloader.check()
    (tmp_path / "web.yml").write_text("basic_auth_users: {alice: plain}\n")
    for _ in range(2):
        reloader.check()
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warnings[0].endswith("TLS and passwords cannot be added or left out without a restart")
    assert warnings[1].startswith(f"TLS and passwords stay as they are: {house.path}:1: ")
    assert len(warnings) == 2


def test_without_a_file_no_password_is_asked() -> None:
    reloader = WebConfigReloader("")
    reloader.check()
    assert (reloader.security.tls, reloader.security.verify, reloader.security.headers) == (None, None, ())


def test_a_file_that_is_not_there_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        WebConfigReloader(str(tmp_path / "web.yml"))


def test_a_stop_does_not_wait_for_idle_clients(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.users()
    security = WebConfigReloader(str(house.path)).security

    async def main() -> None:
        listener = bind("127.0.0.1:0")
        server = WebServer(build_app([Route("/", hello)], security), listener, security)
        running = asyncio.create_task(server.run())
        context = client_context(tmp_path / "old.pem")
        reader, writer = await asyncio.open_connection(*listener.getsockname(), ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        server.stop()
        await asyncio.wait_for(running, SHUTDOWN_SECONDS - 0.5)
        writer.transport.abort()

    asyncio.run(main())
