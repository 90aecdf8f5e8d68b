"""What is received besides scrapes: remote write, and pushes as a Pushgateway takes them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rulepush.exposition import FamilyMetadata
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import Sample
from rulepush.model.schedule import TickGrid
from rulepush.remote.encode import SentMetadata, metadata_request
from rulepush.remote.receiver import MetricMetadata
from rulepush.remote.snappy import compress
from rulepush.service.receivers import PushReceiver, ReceivedMetadata, RemoteWriteIntake
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from rulepush.storage.table import AppendOutcome
from rulepush.telemetry import Telemetry
from tests.fakes import FakeClock
from tests.remote.test_receiver import v1
from tests.web.asking import ask_app

T = 1_700_000_000_000
PUSH = "/metrics/job/backup"


def stored(head: Head, name: str) -> list[tuple[int, float]]:
    found = head.select([Matcher("__name__", MatchOp.EQUAL, name)], 0, 1 << 62)
    return [(int(found.times[0, k]), float(found.values[0, k])) for k in range(found.counts[0])] if found.index else []


def test_remote_write_fills_the_storage_and_tells_of_everything() -> None:
    head, telemetry, metadata = Head(Demand.of([ManualDemand.metric("m", 60_000)])), Telemetry(), ReceivedMetadata()
    passed: list[Sample] = []
    intake = RemoteWriteIntake(head, FakeClock(T), passed.extend, metadata.note)
    intake.expose(telemetry)
    routes = intake.routes()
    body = compress(v1(({"__name__": "m"}, [(T, 1.0)]), ({"__name__": "n"}, [(T, 2.0)])).SerializeToString())
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    for path in ("/api/v1/write", "/api/v1/prom/write"):
        assert ask_app(routes, "POST", path, content=body, headers=headers).status_code == 204
    assert ask_app(routes, "POST", "/api/v1/write", content=b"\xff", headers=headers).status_code == 400
    assert stored(head, "m") == [(T, 1.0)]
    assert {s.labels.name for s in passed} == {"m", "n"}
    text = telemetry.render().decode()
    assert "rulepush_remote_write_requests_total 3\n" in text
    assert "rulepush_remote_write_refused_requests_total 1\n" in text


def test_metadata_that_comes_in_by_remote_write_is_remembered() -> None:
    received = ReceivedMetadata()
    routes = RemoteWriteIntake(Head(Demand.of([])), FakeClock(T), lambda _: None, received.note).routes()
    body = metadata_request([SentMetadata("m", "gauge", "A metric.", "")])
    assert ask_app(routes, "POST", "/api/v1/write", content=body).status_code == 204
    assert received.families == {"m": FamilyMetadata("gauge", "A metric.", "")}


def test_received_metadata_is_the_newest_word_and_bounded() -> None:
    metadata = ReceivedMetadata()
    metadata.note([MetricMetadata("m", "gauge", "Old.", ""), MetricMetadata("m", "gauge", "New.", "bytes")])
    assert metadata.families == {"m": FamilyMetadata("gauge", "New.", "bytes")}
    metadata.note(MetricMetadata(f"m{i}", "gauge", "", "") for i in range(60_000))
    assert len(metadata.families) == 50_000
    metadata.note([MetricMetadata("m", "counter", "Still.", "")])
    assert metadata.families["m"].help == "Still."


class Pushed:
    """A PushReceiver over a storage, on fake time."""

    def __init__(self, directory: Path | None = None):
        self.clock = FakeClock(T)
        self.head = Head(Demand.keep_all(3_600_000))
        self.telemetry = Telemetry()
        self.receiver = PushReceiver(directory and directory / "push.db", 0, self.clock)
        self.receiver.expose(self.telemetry)

    def push(self, body: str) -> None:
        assert ask_app(self.receiver.routes(), "PUT", PUSH, content=body.encode()).status_code == 200


class OfferedTimes(Head):
    """Notes the times of what it is offered; a storage would refuse by itself what comes twice."""

    def __init__(self, demand: Demand) -> None:
        super().__init__(demand)
        self.offered: list[int] = []

    def append_many(self, samples: Iterable[Sample]) -> Counter[AppendOutcome]:
        self.offered += [s.ts for s in samples if s.labels.name == "done"]
        return Counter()


def test_a_moment_is_collected_once_and_a_clock_that_goes_back_stops_nothing() -> None:
    world = Pushed()
    world.push("done 1\n")
    samples = OfferedTimes(Demand.of([]))
    for ts in (T, T, T - 1000):  # groups of rules tick side by side
        world.receiver.collect(ts, samples)
    assert samples.offered == [T]
    world.receiver.collect(T + 1000, samples)
    world.clock.set_wall(T - 3_600_000)
    world.receiver.collect(T - 3_600_000, samples)
    assert samples.offered == [T, T + 1000, T - 3_600_000]


def test_pushes_are_collected_on_the_grid_of_scrapes() -> None:
    world = Pushed()
    world.push("done 1\n")
    grid = TickGrid("test")

    async def main() -> None:
        running = asyncio.create_task(world.receiver.run(grid, lambda: 10_000, world.head))
        await world.clock.advance(30)
        running.cancel()

    asyncio.run(main())
    times = [t for t, _ in stored(world.head, "done")]
    first = grid.next_tick(T + 1, 10_000)
    assert times == [first, first + 10_000, first + 20_000]
    assert "rulepush_pushes_total 1\n" in world.telemetry.render().decode()


def test_groups_are_there_again_after_a_restart(tmp_path: Path) -> None:
    before = Pushed(tmp_path)
    before.push("done 1\n")
    before.receiver.close()
    after = Pushed(tmp_path)
    after.receiver.collect(T + 1000, after.head)
    assert stored(after.head, "done") == [(T + 1000, 1.0)]
    assert "rulepush_push_groups 1\n" in after.telemetry.render().decode()


def test_pushed_families_tell_their_type_and_help() -> None:
    world = Pushed()
    assert world.receiver.groups.metadata() == {}
    world.push("# HELP m A metric.\n# TYPE m counter\nm 1\nn 2\n")
    known = world.receiver.groups.metadata()
    assert (known["m"], known["n"].type) == (FamilyMetadata("counter", "A metric."), "unknown")
    assert known["push_time_seconds"].type == "gauge"
    world.receiver.close()
