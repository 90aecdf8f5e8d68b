"""An Alertmanager that keeps every alert it is sent, judges it as the real one does, and fails when a test says so."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rulepush.model.labels import Labels
from rulepush.model.timestamps import parse_rfc3339


@dataclass(frozen=True, slots=True)
class Posted:
    """One alert of one accepted POST. All times in ms; `at` is when it came in."""

    at: int
    labels: Labels
    starts_at: int
    ends_at: int
    annotations: Mapping[str, str]

    @property
    def resolved(self) -> bool:
        """As Alertmanager sees it: its end is over."""
        return self.ends_at <= self.at

    @property
    def name(self) -> str:
        return self.labels.get("alertname")


def read_posted(body: bytes, now: int) -> list[Posted]:
    """The alerts of a POST that comes in `now`."""
    return [
        Posted(
            now,
            Labels(alert["labels"]),
            parse_rfc3339(alert["startsAt"]),
            parse_rfc3339(alert["endsAt"]),
            alert["annotations"],
        )
        for alert in json.loads(body)
    ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a POST; an alert counts as received when the status is 200."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Judge = Callable[[list[Posted]], Verdict]


def accept(_: list[Posted]) -> Verdict:
    """Takes everything."""
    return Verdict()


class RecordingAlertmanager:
    """`judge` may be replaced at any time; it is asked before anything is kept."""

    def __init__(self, judge: Judge = accept, tls: ssl.SSLContext | None = None, authorization: str = ""):
        self.judge = judge
        self.posted: list[Posted] = []
        self.asked_at: list[float] = []  # monotonic, of every POST, refused ones too
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if authorization and self.headers.get("Authorization") != authorization:
                    verdict = Verdict(401)
                else:
                    verdict = outer._receive(body)
                self.send_response(verdict.status)
                for name, value in verdict.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(verdict.body)))
                self.end_headers()
                self.wfile.write(verdict.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # rulepush may be killed in the middle of a request

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _receive(self, body: bytes) -> Verdict:
        posted = read_posted(body, time.time_ns() // 1_000_000)
        with self._lock:
            self.asked_at.append(time.monotonic())
        if any(p.ends_at < p.starts_at for p in posted):
            return Verdict(400, b'"start time must be before end time"')
        verdict = self.judge(posted)
        if verdict.status == 200:
            with self._lock:
                self.posted += posted
        return verdict

    def of(self, name: str) -> list[Posted]:
        """What came in with this alertname, in order."""
        with self._lock:
            return [p for p in self.posted if p.name == name]

    def last(self) -> dict[Labels, Posted]:
        """The newest post of every alert."""
        with self._lock:
            return {p.labels: p for p in self.posted}

    def firing(self) -> set[str]:
        """The names of the alerts that it would show as active now."""
        now = time.time_ns() // 1_000_000
        return {p.name for p in self.last().values() if p.ends_at > now}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
