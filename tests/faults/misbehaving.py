"""A raw HTTP server on loopback that answers as a test says, however wrong."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in, and the connection to answer on."""

    path: str
    body: bytes
    connection: socket.socket


Answer = Callable[[Asked], None]


def reply(status: str, body: bytes = b"", headers: str = "Content-Type: text/plain") -> bytes:
    """A whole HTTP/1.1 response that closes the connection."""
    head = f"HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


class Misbehaving:
    """One request a connection; `answer` may be replaced at any time. `asked` counts the requests."""

    def __init__(self, answer: Answer):
        self.answer = answer
        self.asked = 0
        self.closed = threading.Event()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        chunk = self.request.recv(65536)
                        if not chunk:
                            return
                        data += chunk
                    head, _, body = data.partition(b"\r\n\r\n")
                    length = 0
                    for line in head.split(b"\r\n")[1:]:
                        name, _, value = line.partition(b":")
                        if name.strip().lower() == b"content-length":
                            length = int(value)
                    while len(body) < length:
                        body += self.request.recv(65536)
                    outer.asked += 1
                    outer.answer(Asked(head.split(b" ")[1].decode(), body, self.request))
                except OSError:
                    return  # the client went away, which it may

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening, and release answers that hang on `closed`."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
