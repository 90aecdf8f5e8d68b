"""Real servers that hold given samples, and what a source gives of them."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.backtest.sources.server import ServerSource
from rulepush.http_client.build import build_client
from rulepush.model.labels import Labels
from rulepush.promql import parse_selector
from rulepush.recorded.events import RecordedBlock, RecordedEvent
from rulepush.remote.encode import SentSample, SentSeries, write_request
from tests.servers import binary, free_port, running, wait_for

Points = dict[Labels, list[tuple[int, float]]]
"""The samples of each series: time in ms, value."""


def series(text: str) -> Labels:
    """`up{job="a"}`."""
    return Labels((m.name, m.value) for m in parse_selector(text))


def needed(*selectors: str, recorded: Iterable[str] = ()) -> NeededSeries:
    return NeededSeries([parse_selector(s) for s in selectors], recorded)


def bits(value: float) -> int:
    """Of a float, so that NaNs of different kinds differ."""
    found: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return found


def points_of(events: Iterable[RecordedEvent]) -> Points:
    """What the blocks hold. Their times ascend, and none comes twice."""
    found: Points = {}
    before = -math.inf
    for block in (e for e in events if isinstance(e, RecordedBlock)):
        assert block.at > before, "two blocks of one time, or out of order"
        before = block.at
        for sample in block.block.samples():
            assert sample.ts == block.at
            found.setdefault(sample.labels, []).append((sample.ts, sample.value))
    return found


def exact(points: Points) -> dict[Labels, list[tuple[int, int]]]:
    """The same with the bits of the values, to compare."""
    return {labels: [(ts, bits(value)) for ts, value in samples] for labels, samples in points.items()}


def remote_write(url: str, points: Points) -> None:
    """Load the points into a server, bit by bit."""
    ordered = sorted((ts, labels, value) for labels, samples in points.items() for ts, value in samples)
    known = {labels: SentSeries(labels) for labels in points}
    for i in range(0, len(ordered), 5000):
        body = write_request([SentSample(known[labels], ts, value) for ts, labels, value in ordered[i : i + 5000]])
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        httpx.post(f"{url}/api/v1/write", content=body, headers=headers, trust_env=False, timeout=60).raise_for_status()


@contextlib.contextmanager
def prometheus(
    home: Path, config: str = "global: {scrape_interval: 1h}\n", *flags: str, ready: str = "/-/ready"
) -> Iterator[str]:
    """A real Prometheus; its URL. `ready` is the path at which it is awaited, "" for none."""
    port = free_port()
    (home / "prometheus.yml").write_text(config)
    url = f"http://127.0.0.1:{port}"
    command = [
        binary("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        *flags,
    ]
    with running(command, home / "prometheus.log", f"{url}{ready}" if ready else None):
        yield url


@contextlib.contextmanager
def victoria_metrics(home: Path, *flags: str) -> Iterator[str]:
    """A real VictoriaMetrics; its base URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        binary("victoria-metrics"),
        f"-storageDataPath={home / 'vm'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=1y",
        *flags,
    ]
    with running(command, home / "victoria-metrics.log", f"{url}/health"):
        yield url


def flush(url: str, selector: str, samples: int) -> None:
    """Wait until VictoriaMetrics lets see what came in."""

    def seen() -> bool:
        httpx.get(f"{url}/internal/force_flush", trust_env=False, timeout=60)
        answer = httpx.get(f"{url}/api/v1/export", params={"match[]": selector}, trust_env=False, timeout=60)
        return answer.text.count(",") + answer.text.count("\n") > 0 and _values(answer.text) >= samples

    wait_for("the samples in VictoriaMetrics", seen)


def _values(text: str) -> int:
    return sum(len(json.loads(line)["timestamps"]) for line in text.splitlines())


class Refusing(httpx.AsyncBaseTransport):
    """The network, but for some paths, which get the answers given here: a server that lacks an endpoint. Counts the
    requests by path."""

    def __init__(self, answers: Mapping[str, httpx.Response] | None = None):
        self._network = httpx.AsyncHTTPTransport()
        self._answers = dict(answers or {})
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        known = self._answers.get(request.url.path)
        if known is not None:
            return httpx.Response(known.status_code, headers=known.headers, content=known.content)
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


def source(
    url: str, need: NeededSeries, transport: httpx.AsyncBaseTransport | None = None, **more: Any
) -> ServerSource:
    """A source with or without a network of its own."""
    return ServerSource(url, need, lambda: build_client(transport=transport), **more)
