"""Remote write out to a real Prometheus and a real VictoriaMetrics that are stopped, killed and started meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from rulepush.clock import SystemClock
from rulepush.config.sections import QueueConfig, RemoteWriteConfig
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample
from rulepush.model.secret import Secret
from rulepush.remote.encode import SentMetadata
from rulepush.remote.sender import RemoteWriteSender
from tests.servers import Server, answers, binary, free_port, get_json, running, wait_for

pytestmark = pytest.mark.e2e

SERIES = 40
QUEUE = QueueConfig(max_samples_per_send=50, min_shards=2, batch_send_deadline_ms=100, max_backoff_ms=200)


@dataclass
class Store:
    server: Server
    url: str
    ready: str

    def start(self) -> None:
        self.server.start()
        wait_for("the receiver", lambda: answers(self.ready) or None)

    def query(self, expr: str) -> dict[str, float]:
        """Value by label n."""
        found = get_json(f"{self.url}/api/v1/query", query=expr, time=str(time.time()))["data"]["result"]
        return {r["metric"].get("n", ""): float(r["value"][1]) for r in found}


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Store]:
    port = free_port()
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    command = [
        binary("prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/prometheus",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, tmp_path / "prometheus.log", f"{url}/-/ready") as server:
        yield Store(server, url, f"{url}/-/ready")


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Store]:
    port = free_port()
    command = [
        binary("victoria-metrics"),
        f"-storageDataPath={tmp_path}/victoria",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-search.latencyOffset=0s",
        "-search.disableCache",
        "-dedup.minScrapeInterval=0s",
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, tmp_path / "victoria.log", f"{url}/health") as server:
        yield Store(server, url, f"{url}/health")


@contextlib.asynccontextmanager
async def sending(
    store: Store, directory: Path, known: tuple[SentMetadata, ...] = ()
) -> AsyncIterator[RemoteWriteSender]:
    config = RemoteWriteConfig(Secret(f"{store.url}/api/v1/write"), "e2e", queue=QUEUE, remote_timeout_ms=5000)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        external = Labels.of(site="e2e")
        sender = RemoteWriteSender(config, external, client, SystemClock(), directory, lambda: known)
        task = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            sender.close()


class Feed:
    """Offers a growing number to every series, and knows what must have arrived."""

    def __init__(self) -> None:
        self.rounds = 0
        self._last = 0

    def offer(self, sender: RemoteWriteSender) -> None:
        self._last = max(self._last + 1, time.time_ns() // 1_000_000)
        self.rounds += 1
        name = {"__name__": "e2e_sample"}
        sender.offer([Sample(Labels({**name, "n": str(n)}), self._last, float(self.rounds)) for n in range(SERIES)])

    async def run(self, sender: RemoteWriteSender, rounds: int) -> None:
        for _ in range(rounds):
            self.offer(sender)
            await asyncio.sleep(0.02)

    def complete(self, store: Store) -> bool:
        """Whether the store holds every value of every series (some perhaps twice: see below)."""
        query = get_json(f"{store.url}/api/v1/query", query='e2e_sample{site="e2e"}[10m]', time=str(time.time()))
        held = {r["metric"]["n"]: {float(v) for _, v in r["values"]} for r in query["data"]["result"]}
        every = {float(n) for n in range(1, self.rounds + 1)}
        return held == {str(n): every for n in range(SERIES)}


def outages(store: Store, stop: Callable[[], object], directory: Path) -> None:
    feed = Feed()

    async def first() -> None:
        async with sending(store, directory) as sender:
            await feed.run(sender, 20)
            for _ in range(2):
                await asyncio.to_thread(stop)
                await feed.run(sender, 20)
                await asyncio.to_thread(store.start)
                await feed.run(sender, 10)
            await asyncio.to_thread(stop)
            await feed.run(sender, 20)
            assert sender.buffer_bytes > 0
            assert not await sender.flush(0.1)

    async def second() -> None:
        """A new process, while the receiver is still away."""
        async with sending(store, directory) as sender:
            await feed.run(sender, 20)
            await asyncio.to_thread(store.start)
            await feed.run(sender, 10)
            assert await sender.flush(20)
            # A request that was stored, but whose answer was cut off, comes again. Prometheus refuses it as out of
            # order, VictoriaMetrics stores it twice; so what counts is what the receiver holds in the end.
            assert (sender.lost_samples, sender.counts.expired) == (0, 0)

    asyncio.run(first())
    asyncio.run(second())
    wait_for("every sample", lambda: feed.complete(store) or None)
    assert feed.rounds == 130


def test_prometheus_stopped_and_started(prometheus: Store, tmp_path: Path) -> None:
    outages(prometheus, prometheus.server.terminate, tmp_path / "buffer")


def test_prometheus_killed(prometheus: Store, tmp_path: Path) -> None:
    outages(prometheus, prometheus.server.kill, tmp_path / "buffer")


def test_victoria_metrics_stopped_and_started(victoria: Store, tmp_path: Path) -> None:
    # Not killed: VictoriaMetrics itself loses what it took in the last second then.
    outages(victoria, victoria.server.terminate, tmp_path / "buffer")


def test_prometheus_sees_stale_markers_special_values_and_metadata(prometheus: Store, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000 - 5000

    async def send() -> None:
        known = (SentMetadata("e2e_family", "gauge", "Some text.", ""),)
        async with sending(prometheus, tmp_path / "buffer", known) as sender:
            for name, value in (("inf", math.inf), ("gone", 1.0), ("neg", -0.5), ("zero", 0.0)):
                sender.offer([Sample(Labels.of(__name__="e2e_family", n=name), now, value)])
            sender.offer([Sample(Labels.of(__name__="e2e_family", n="gone"), now + 1000, STALE)])
            assert await sender.flush(10)
            url = f"{prometheus.url}/api/v1/metadata"
            text = await asyncio.to_thread(
                lambda: wait_for("metadata", lambda: sender.counts.sent == 5 and get_json(url) and "ok", 5)
            )
            assert text == "ok"

    asyncio.run(send())
    found = wait_for("the series", lambda: prometheus.query("e2e_family") or None)
    assert found == {"inf": math.inf, "neg": -0.5, "zero": 0.0}
