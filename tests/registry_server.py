"""A fake registry (Consul, Docker) on loopback or a unix socket, for programs that run beside the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from tests.servers import free_port

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


@contextlib.contextmanager
def serving(
    handler: Handler,
    uds: Path | None = None,
    tls: tuple[Path, Path] | None = None,
    client_authority: Path | None = None,
) -> Iterator[str]:
    """Gives `127.0.0.1:port`, or the path of the socket. `tls` are the files of a certificate and its key; with a
    `client_authority` the client must show one, too."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        request = httpx.Request(scope["method"], f"http://registry{target}", headers=scope["headers"])
        answer = await handler(request)
        headers = [(n, v) for n, v in answer.headers.raw if n.lower() != b"transfer-encoding"]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    port = 0 if uds else free_port()
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        uds=str(uds) if uds else None,
        log_level="warning",
        lifespan="off",
        timeout_keep_alive=300,
        timeout_graceful_shutdown=1,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        ssl_ca_certs=str(client_authority) if client_authority else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_authority else ssl.CERT_NONE,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < until, "the registry did not start"
        time.sleep(0.02)
    try:
        yield str(uds) if uds else f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)
