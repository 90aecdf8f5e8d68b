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
from rulepush.forward.pushgateway import PushgatewayForwarder
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, Sample
from rulepush.model.secret import Secret
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
    body = parse_body(httpx.get(f"{url}/metrics", trust_env=False).content, Format.TEXT)
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
            async with httpx.AsyncClient(trust_env=False) as client:
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
