"""The same remote write requests to a real Prometheus and to our receiver: same statuses, texts and samples.

Not compared: invalid labels. Prometheus drops such a series and answers 204; here, as the specification asks, 400.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from rulepush.clock import SystemClock
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE, Sample
from rulepush.remote.apply import RemoteWriteReceiver
from rulepush.remote.encode import SentSample, SentSeries, write_request
from rulepush.remote.http import remote_write_routes
from rulepush.remote.snappy import compress
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.servers import binary, free_port, get_json, running

pytestmark = pytest.mark.e2e

NOW = time.time_ns() // 1_000_000 // 1000 * 1000
HOUR = 3_600_000


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    command = [
        binary("prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--web.enable-remote-write-receiver",
    ]
    with running(command, tmp_path / "log", f"{url}/-/ready"):
        yield url


@dataclass(frozen=True)
class Step:
    """One request: samples, or a body as it is."""

    samples: tuple[Sample, ...] = ()
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = (("Content-Encoding", "snappy"),)
    same_text: bool = True


def s(name: str, ts: int, value: float) -> Sample:
    return Sample(Labels.of(__name__=name, __value__="1", z="y"), ts, value)


STEPS = [
    Step((s("a", NOW - 60_000, 1), s("b", NOW - 60_000, 1))),
    Step((s("a", NOW - 60_000, 1),)),  # the same again
    Step((s("a", NOW - 60_000, 2),)),  # another value
    Step((s("a", NOW - 70_000, 2),)),  # older
    Step((s("b", NOW - 50_000, 2), s("a", NOW - 70_000, 2))),  # one bad sample refuses the good one
    Step((s("a", NOW - 40_000, 2), s("a", NOW - 30_000, 3))),
    Step((s("c", NOW, 1),)),
    Step((s("c", NOW - 2 * HOUR, 1),)),  # out of bounds for all series
    Step((s("d", NOW - 2 * HOUR, 1),)),
    Step((s("a", NOW - 20_000, STALE),)),
    Step((s("a", NOW - 20_000, STALE),)),
    Step((s("a", NOW - 10_000, float("inf")),)),
    Step(()),
    Step(body=b"", same_text=False),
    Step(body=b"rubbish", same_text=False),
    Step(body=compress(b"\xff\xff\xff"), same_text=False),
]


def test_same_answers_and_same_samples(prometheus: str) -> None:
    head = Head(Demand.keep_all(24 * HOUR))
    app = Starlette(routes=remote_write_routes(RemoteWriteReceiver(head), SystemClock()))

    async def ours(body: bytes, headers: tuple[tuple[str, str], ...]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://r") as client:
            return await client.post("/api/v1/write", content=body, headers=headers)

    for step in STEPS:
        body = step.body
        if body is None:
            body = write_request([SentSample(SentSeries(x.labels), x.ts, x.value) for x in step.samples])
        theirs = httpx.post(
            f"{prometheus}/api/v1/write", content=body, headers=step.headers, trust_env=False, timeout=60
        )
        mine = asyncio.run(ours(body, step.headers))
        assert mine.status_code == theirs.status_code, (step, theirs.text, mine.text)
        if step.same_text:
            assert mine.text == theirs.text, step
        assert mine.headers.get("content-type") == theirs.headers.get("content-type")

    found = get_json(f"{prometheus}/api/v1/query", query='{z="y"}[1d]', time=str(NOW / 1000 + 1))
    held = {
        r["metric"]["__name__"]: [(round(t * 1000), float(v)) for t, v in r["values"]] for r in found["data"]["result"]
    }
    selection = head.select([Matcher("z", MatchOp.EQUAL, "y")], 0, 1 << 62)
    stored = {
        labels.name: [(int(selection.times[i, k]), float(selection.values[i, k])) for k in range(selection.counts[i])]
        for i, labels in enumerate(selection.index.labels)
    }
    stale = struct.pack("<d", STALE)
    assert {n: [v for v in x if struct.pack("<d", v[1]) != stale] for n, x in stored.items()} == held
    assert [struct.pack("<d", v) for _, v in stored["a"]].count(stale) == 1
