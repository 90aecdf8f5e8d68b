"""A push receiver behind a real HTTP server on loopback, for clients that need a socket."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from rulepush.clock import SystemClock
from rulepush.histogram.sample import floats_of_samples
from rulepush.model.labels import Labels
from rulepush.model.sample import is_stale
from rulepush.push.group import PushedGroup
from rulepush.push.groups import PushedGroups
from rulepush.push.http import push_routes
from rulepush.push.url import GroupKey
from rulepush.slices import Slices
from tests.servers import wait_for


class MemoryStore:
    """A GroupStore in a dict."""

    def __init__(self) -> None:
        self.saved: dict[GroupKey, PushedGroup] = {}

    def load(self) -> list[PushedGroup]:
        return list(self.saved.values())

    def save(self, group: PushedGroup) -> Slices[None]:
        self.saved[group.key] = group
        yield

    def delete(self, key: GroupKey) -> None:
        self.saved.pop(key, None)


@dataclass
class Receiver:
    """`series` is what the rules would see at a tick now, without native histograms, which no text shows."""

    url: str
    groups: PushedGroups

    def series(self) -> dict[Labels, float]:
        samples = self.groups.collect(int(time.time() * 1000))
        return {s.labels: s.value for s in floats_of_samples(samples) if not is_stale(s.value)}


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    groups = PushedGroups(MemoryStore())
    app = Starlette(routes=push_routes(groups, SystemClock()))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for("uvicorn", lambda: server.started or None)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Receiver(f"http://127.0.0.1:{port}", groups)
    finally:
        server.should_exit = True
        thread.join(60)
