"""Scrapes sent on to a real Pushgateway, through an outage of it, until the target is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import httpx
import pytest

from rulepush.clock import SystemClock
from rulepush.config.sections import PushgatewayConfig
from rulepush.exposition import FamilyMetadata, Format, parse_body
from rulepush.exposition.families import MetricFamily
from rulepush.forward.pushgateway import PushgatewayForwarder
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample
from rulepush.model.secret import Secret
from rulepush.push.protobuf_bodies import parse_push_protobuf
from tests.servers import answers, binary, free_port, running, wait_for

pytestmark = pytest.mark.e2e

TARGET = Labels.of(job="nacos", instance="10.0.0.1:8848", cluster="a b/c")
KNOWN = {"took": FamilyMetadata("histogram", "How long."), "conf": FamilyMetadata("gauge", 'With "quotes".')}


def scrape(value: float, up: float = 1.0) -> list[Sample]:
    now = time.time_ns() // 1_000_000
    values = {("took_bucket", "+Inf"): 3.0, ("took_sum", ""): 9.5, ("took_count", ""): 3.0, ("conf", ""): value}
    samples = [Sample(TARGET.with_({"__name__": n, "le": le}), now, v) for (n, le), v in values.items()]
    return [*samples, Sample(TARGET.with_({"__name__": "up"}), now, up)]


def held(url: str) -> dict[str, float]:
    body = parse_body(httpx.get(f"{url}/metrics", trust_env=False, timeout=60).content, Format.TEXT)
    found = {Labels(s.pairs): s.value for s in body.samples}
    return {k.name: v for k, v in found.items() if k.get("job") == "nacos" and not k.name.startswith("push_")}


def test_a_real_pushgateway(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        binary("prometheus-pushgateway"),
        f"--web.listen-address={url.removeprefix('http://')}",
        "--persistence.file=",
    ]
    config = PushgatewayConfig(Secret(url), "gw", ("nacos",), ("instance", "cluster"), timeout_ms=2000)

    with running(command, tmp_path / "log", f"{url}/-/ready") as server:

        async def wait(what: str, want: dict[str, float]) -> None:
            await asyncio.to_thread(wait_for, what, lambda: held(url) == want or None)

        async def go() -> None:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                forwarder = PushgatewayForwarder(config, client, SystemClock(), tmp_path / "gw.json")
                task = asyncio.create_task(forwarder.run())
                first = {"took_bucket": 3.0, "took_sum": 9.5, "took_count": 3.0, "conf": 1.0, "up": 1.0}
                forwarder.offer(TARGET, scrape(1), KNOWN)
                await wait("the first scrape", first)
                await asyncio.to_thread(server.terminate)
                for value in (2, 3, 4):
                    forwarder.offer(TARGET, scrape(value), KNOWN)
                    await asyncio.sleep(0.1)
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(wait_for, "the gateway", lambda: answers(f"{url}/-/ready") or None)
                await wait("the newest scrape", {**first, "conf": 4.0})
                forwarder.offer(TARGET, [Sample(s.labels, s.ts, STALE) for s in scrape(5)])
                await wait("the deletion", {})
                assert (await client.get(f"{url}/api/v1/metrics")).json()["data"] == []
                assert forwarder.counts.refused == 0
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

        asyncio.run(go())


PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
NATIVE = FloatHistogram(
    schema=1, count=6, sum=2.5, zero_threshold=0.1, zero_count=1, positive=Buckets.from_spans([(-2, 2)], [2, 3])
)


def native_scrape() -> list[Sample]:
    now = time.time_ns() // 1_000_000
    kinds = {"h": NATIVE, "f": NATIVE.multiplied(0.5), "g": NATIVE.with_hint(CounterResetHint.GAUGE)}
    return [*scrape(1), *(HistogramSample(TARGET.with_({"__name__": n}), now, 0.0, h) for n, h in kinds.items())]


def test_native_histograms_come_through_a_real_pushgateway(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = [binary("prometheus-pushgateway"), f"--web.listen-address={url.removeprefix('http://')}"]
    config = PushgatewayConfig(Secret(url), "gw", ("nacos",), ("instance", "cluster"), timeout_ms=2000)

    def families() -> dict[str, MetricFamily]:
        body = httpx.get(f"{url}/metrics", headers={"Accept": PROTOBUF}, trust_env=False, timeout=60).content
        return parse_push_protobuf(body).families

    async def go() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            forwarder = PushgatewayForwarder(config, client, SystemClock(), tmp_path / "gw.json")
            task = asyncio.create_task(forwarder.run())
            forwarder.offer(TARGET, native_scrape(), KNOWN)
            await asyncio.to_thread(wait_for, "the histograms", lambda: "h" in families())
            assert forwarder.counts.refused == 0
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    with running([*command, "--persistence.file="], tmp_path / "log", f"{url}/-/ready"):
        asyncio.run(go())
        found = families()
        floats = held(url)
    natives = {name: [metric.native for metric in found[name].metrics] for name in ("h", "f", "g", "took")}
    assert natives == {
        "h": [NATIVE],
        "f": [NATIVE.multiplied(0.5)],
        "g": [NATIVE.with_hint(CounterResetHint.GAUGE)],
        "took": [None],
    }
    assert dict(found["h"].metrics[0].pairs) == dict(TARGET)
    assert {name: floats[name] for name in ("took_bucket", "took_sum", "took_count", "conf", "up")} == {
        "took_bucket": 3.0,
        "took_sum": 9.5,
        "took_count": 3.0,
        "conf": 1.0,
        "up": 1.0,
    }
