"""One small HTTP server on loopback for all tests that need a real one: a callable answers its requests."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class HttpRequest:
    """What came: `path` without its query."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True)
class HttpReply:
    """What goes back."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain; version=0.0.4"
    headers: Mapping[str, str] = field(default_factory=dict)


class LoopbackServer:
    """Answers every GET and POST with `reply(request)`, each in a thread of its own, from its construction to `close`.

    A client that goes away, or whose handshake fails, is part of some tests: such errors are not printed. With `tls` it
    speaks TLS; the handshake is made in the thread of the connection, so that a bad one holds up no other.
    With `keep_alive` a connection stays open between requests, as with most real servers, and after `close` too.
    """

    def __init__(
        self, reply: Callable[[HttpRequest], HttpReply], tls: ssl.SSLContext | None = None, *, keep_alive: bool = False
    ):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if keep_alive else "HTTP/1.0"
            timeout = 60

            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                path = self.path.partition("?")[0]
                answer = reply(HttpRequest(self.command, path, self.headers, self.rfile.read(size)))
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Web(ThreadingHTTPServer):
            daemon_threads = True  # `close` does not wait for them

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Web(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop it; waits for the thread that accepts connections."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
