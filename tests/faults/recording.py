"""An Alertmanager that keeps every alert it is sent, judges it as the real one does, and fails when a test says so."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rulepush.model.labels import Labels
from rulepush.model.timestamps import parse_rfc3339
from tests.http_server import HttpReply, HttpRequest, LoopbackServer


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


Judge = Callable[[list[Posted]], HttpReply]


def accept(_: list[Posted]) -> HttpReply:
    """Takes everything."""
    return HttpReply()


class RecordingAlertmanager:
    """`judge` answers a POST; an alert counts as received when that is a 200. It may be replaced at any time."""

    def __init__(self, judge: Judge = accept, tls: ssl.SSLContext | None = None, authorization: str = ""):
        self.judge = judge
        self.posted: list[Posted] = []
        self.asked_at: list[float] = []  # monotonic, of every POST, refused ones too
        self._authorization = authorization
        self._lock = threading.Lock()
        self._server = LoopbackServer(self._answer, tls, keep_alive=True)
        self.address = self._server.address

    def _answer(self, request: HttpRequest) -> HttpReply:
        if self._authorization and request.headers.get("Authorization") != self._authorization:
            return HttpReply(status=401)
        return self._receive(request.body)

    def _receive(self, body: bytes) -> HttpReply:
        posted = read_posted(body, time.time_ns() // 1_000_000)
        with self._lock:
            self.asked_at.append(time.monotonic())
        if any(p.ends_at < p.starts_at for p in posted):
            return HttpReply(b'"start time must be before end time"', 400)
        reply = self.judge(posted)
        if reply.status == 200:
            with self._lock:
                self.posted += posted
        return reply

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
        self._server.close()
