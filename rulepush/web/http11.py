"""An HTTP/1.1 server for an ASGI application: h11 on asyncio's streams.

h11 knows the protocol, this file moves the bytes: keep-alive, limits, timeouts, and an end that lets running requests
finish. A general server costs a sidecar some MiB and wakes ten times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import MutableMapping
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import unquote

import h11
from starlette.types import ASGIApp, Scope

log = logging.getLogger("rulepush.web")

IDLE_SECONDS: Final = 60.0  # for the next request, for a part of one, and for a client to take a part of its answer
HANDSHAKE_SECONDS: Final = 10.0
DRAIN_SECONDS: Final = 2.0
DRAIN_BYTES: Final = 1 << 20
_CHUNK: Final = 1 << 16
_BROKEN: Final = (OSError, TimeoutError, h11.RemoteProtocolError)

Message = MutableMapping[str, Any]


class HttpServer:
    """`run` serves `app` on `listener` until `stop`."""

    def __init__(self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None, shutdown_seconds: float):
        """After `stop`, requests that are under way have `shutdown_seconds` to end."""
        self._app = app
        self._listener = listener
        self._tls = tls
        self._shutdown_seconds = shutdown_seconds
        self._stopping = asyncio.Event()
        self._connections: dict[asyncio.Task[None], Connection] = {}

    async def run(self) -> None:
        """Serve; returns after `stop`."""
        async with asyncio.TaskGroup() as tasks:

            def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if self._stopping.is_set():  # a TLS handshake that ended late
                    writer.close()
                    return
                connection = Connection(self._app, reader, writer, "https" if self._tls else "http")
                task = tasks.create_task(connection.serve(), name="http connection")
                self._connections[task] = connection
                task.add_done_callback(self._connections.pop)

            handshake = HANDSHAKE_SECONDS if self._tls else None
            server = await asyncio.start_server(
                accepted, sock=self._listener, ssl=self._tls, ssl_handshake_timeout=handshake
            )
            await self._stopping.wait()
            server.close()
            for task, connection in list(self._connections.items()):
                connection.last = True
                if connection.idle:
                    task.cancel()
            if self._connections:
                await asyncio.wait(self._connections, timeout=self._shutdown_seconds)
            for task in list(self._connections):
                task.cancel()

    def stop(self) -> None:
        """Take no more connections; `run` returns when the requests under way are answered."""
        self._stopping.set()


class Connection:
    """One client. `idle` while it waits for a request; set `last` to end after the one under way."""

    def __init__(self, app: ASGIApp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scheme: str):
        self._app = app
        self._reader = reader
        self._writer = writer
        self._scheme = scheme
        self.http = h11.Connection(h11.SERVER)
        self.idle = True
        self.last = False

    async def serve(self) -> None:
        """Answer requests until the client or we have enough."""
        try:
            while await self._exchange():
                pass
        except _BROKEN as e:
            log.debug("connection ended: %s", e)
        except Exception:  # whatever one client provokes, the others are served on
            log.exception("connection failed")
        finally:
            self._writer.close()

    async def _exchange(self) -> bool:
        """Answer one request. Returns whether another may follow."""
        try:
            event = await self.next_event()
        except h11.RemoteProtocolError as e:
            await self._refuse(e)
            return False
        if not isinstance(event, h11.Request):
            return False  # the client hung up
        self.idle = False
        exchange = Exchange(self, event)
        scope = self._scope(event)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except _BROKEN:
            raise
        except Exception as e:
            # Where the application answered all the same, it has also said what happened.
            if not exchange.complete:
                log.error("request failed: path=%s", scope["path"], exc_info=e)
        if not exchange.complete:
            await exchange.fail()
        await self._drain_request()
        if self.last or self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        self.idle = True
        return True

    def _scope(self, request: h11.Request) -> Scope:
        path, _, query = request.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version.decode(),
            "method": request.method.decode(),
            "scheme": self._scheme,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            "client": _address(self._writer.get_extra_info("peername")),
            "server": _address(self._writer.get_extra_info("sockname")),
            "state": {},
        }

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """The next part of what the client says."""
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            if self.http.they_are_waiting_for_100_continue:
                await self.say(h11.InformationalResponse(status_code=100, headers=[]))
            async with asyncio.timeout(IDLE_SECONDS):
                self.http.receive_data(await self._reader.read(_CHUNK))

    async def until_gone(self) -> None:
        """Wait until the client hangs up. Requests that it sends meanwhile are kept for later."""
        while data := await self._reader.read(_CHUNK):
            self.http.receive_data(data)
        self.http.receive_data(b"")

    async def say(self, *events: h11.Event) -> None:
        """Send parts of an answer; waits for a client that reads slowly."""
        self._writer.write(b"".join(self.http.send(event) or b"" for event in events))
        async with asyncio.timeout(IDLE_SECONDS):
            await self._writer.drain()

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self.http.our_state is h11.IDLE:
            body = f"{error}\n".encode()
            headers = [*_date(), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
            status = error.error_status_hint
            await self.say(h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage())

    async def _drain_request(self) -> None:
        """Read what the application left of a request: closing with unread bytes would reset the connection, and the
        client might never see the answer."""
        read = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while self.http.their_state is h11.SEND_BODY and read < DRAIN_BYTES:
                    event = await self.next_event()
                    read += len(event.data) if isinstance(event, h11.Data) else 0


class Exchange:
    """One request and its answer, as ASGI's `receive` and `send`."""

    def __init__(self, connection: Connection, request: h11.Request):
        self._connection = connection
        self._head = request.method == b"HEAD"
        self._started = False
        self._response: h11.Response | None = None
        self._read_all = False
        self.complete = False

    async def receive(self) -> Message:
        """The next part of the body; after its end, the news that the client has gone."""
        try:
            if self._read_all:
                await self._connection.until_gone()
                return {"type": "http.disconnect"}
            event = await self._connection.next_event()
        except _BROKEN as e:
            log.debug("request ended early: %s", e)
            self._read_all = True
            return {"type": "http.disconnect"}
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        self._read_all = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """A part of the answer. The head waits for the first part of the body, so that both go in one packet."""
        if message["type"] == "http.response.start":
            headers = [*_date(), *message.get("headers", ())]
            if self._connection.last:
                headers.append((b"connection", b"close"))
            self._response = h11.Response(status_code=message["status"], headers=headers)
            return
        events: list[h11.Event] = []
        if self._response is not None:
            events.append(self._response)
            self._response, self._started = None, True
        body = message.get("body", b"")
        if body and not self._head:
            events.append(h11.Data(data=body))
        if not message.get("more_body", False):
            events.append(h11.EndOfMessage())
            self.complete = True
        await self._connection.say(*events)

    async def fail(self) -> None:
        """The application ended without an answer: 500, or where one has begun, an end that shows it is cut off."""
        if self._started:
            self._connection.http.send_failed()
            return
        self._response = None
        await self.send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
        await self.send({"type": "http.response.body"})


def _date() -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(usegmt=True).encode())]


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
