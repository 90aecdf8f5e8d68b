"""The optional doors, opened on a storage and outputs of the test."""

from __future__ import annotations

import asyncio

import httpx
from starlette.applications import Starlette

from rulepush.exposition import FamilyMetadata
from rulepush.model.sample import Sample
from rulepush.remote.encode import SentMetadata, metadata_request
from rulepush.remote.receiver import MetricMetadata
from rulepush.remote.snappy import compress
from rulepush.service.receivers import PushReceiver, ReceivedMetadata, remote_write_receiver_routes
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.telemetry import Telemetry
from tests.fakes import FakeClock
from tests.remote.test_receiver import v1


def test_what_comes_in_by_remote_write_is_sent_on_with_its_metadata() -> None:
    clock, received = FakeClock(), ReceivedMetadata()
    sent_on: list[Sample] = []
    routes = remote_write_receiver_routes(Head(Demand.of([])), clock, Telemetry(), sent_on.extend, received.note)

    async def go() -> None:
        transport = httpx.ASGITransport(Starlette(routes=routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:
            for body in (
                compress(v1(({"__name__": "m"}, [(clock.now(), 1.0)])).SerializeToString()),
                metadata_request([SentMetadata("m", "gauge", "A metric.", "")]),
            ):
                assert (await client.post("/api/v1/write", content=body)).status_code == 204

    asyncio.run(go())
    assert [(s.labels.name, s.value) for s in sent_on] == [("m", 1.0)]
    assert received.families == {"m": FamilyMetadata("gauge", "A metric.", "")}


def test_received_metadata_is_bounded_and_the_newest_word_counts() -> None:
    received = ReceivedMetadata()
    received.note(MetricMetadata(f"m{i}", "gauge", "", "") for i in range(60_000))
    received.note([MetricMetadata("m1", "counter", "Changed.", ""), MetricMetadata("new", "gauge", "", "")])
    assert len(received.families) == 50_000
    assert received.families["m1"] == FamilyMetadata("counter", "Changed.", "")


def test_pushed_families_tell_their_type_and_help() -> None:
    clock = FakeClock()
    door = PushReceiver(None, 0, clock, Telemetry())

    async def go() -> None:
        transport = httpx.ASGITransport(Starlette(routes=door.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:
            body = b"# HELP m A metric.\n# TYPE m counter\nm 1\nn 2\n"
            assert (await client.put("/metrics/job/j", content=body)).status_code == 200

    assert door.groups.metadata() == {}
    asyncio.run(go())
    known = door.groups.metadata()
    assert (known["m"], known["n"].type) == (FamilyMetadata("counter", "A metric."), "unknown")
    assert known["push_time_seconds"].type == "gauge"
    door.close()
