"""Remote write out: nothing lost while the receiver is away, order kept, and what is refused is counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rulepush.config.sections import BufferConfig, QueueConfig, RemoteWriteConfig, RemoteWriteMessage
from rulepush.discovery.relabel import Action, RelabelConfig
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.model.secret import Secret
from rulepush.remote.encode import Metadata
from rulepush.remote.endpoint import retry_after
from rulepush.remote.receiver import WriteBatch, WriteLimits, decode
from rulepush.remote.sender import RemoteWriteSender
from tests.fakes import FakeClock

CONFIG = RemoteWriteConfig(Secret("http://remote/api/v1/write"), "far")
QUEUE = QueueConfig(max_samples_per_send=10)
T = 1_700_000_000_000


class FakeReceiver:
    """Decodes what it is sent; answers with `statuses` in turn, then 204."""

    def __init__(self, statuses: Sequence[int] = (), headers: dict[str, str] | None = None):
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.requests: list[httpx.Request] = []
        self.batches: list[WriteBatch] = []
        self.away = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.away:
            raise httpx.ConnectError("connection refused")
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 204:
            content_type = request.headers["content-type"]
            self.batches.append(
                decode(request.content, content_type, request.headers["content-encoding"], WriteLimits())
            )
        return httpx.Response(status, headers=self.headers if status != 204 else {}, text="no" if status > 299 else "")

    @property
    def samples(self) -> list[Sample]:
        return [s for b in self.batches for s in b.samples]

    def values(self, name: str) -> list[float]:
        return [s.value for s in self.samples if s.labels.name == name]


def sample(name: str, value: float, ts: int = T, **labels: str) -> Sample:
    return Sample(Labels({"__name__": name, **labels}), ts, value)


Test = Callable[[RemoteWriteSender, FakeClock], Awaitable[None]]


def run(
    test: Test,
    receiver: FakeReceiver,
    config: RemoteWriteConfig = CONFIG,
    directory: Path | None = None,
    external: Labels = Labels(),  # noqa: B008 - immutable
    metadata: Callable[[], list[Metadata]] | None = None,
    clock: FakeClock | None = None,
) -> RemoteWriteSender:
    clock = clock or FakeClock(T)

    async def go() -> RemoteWriteSender:
        async with httpx.AsyncClient(transport=httpx.MockTransport(receiver)) as client:
            sender = RemoteWriteSender(config, external, client, clock, directory, metadata, jitter=lambda: 1.0)
            task = asyncio.create_task(sender.run())
            try:
                await test(sender, clock)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                sender.close()
            return sender

    return asyncio.run(go())


def test_samples_leave_after_the_deadline() -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1), sample("b", 2)])
        await clock.advance(4.9)
        assert receiver.requests == []
        await clock.advance(0.2)
        assert receiver.samples == [sample("a", 1), sample("b", 2)]
        headers = receiver.requests[0].headers
        assert headers["x-prometheus-remote-write-version"] == "0.1.0"
        assert headers["content-encoding"] == "snappy"
        assert headers["x-extra"] == "1"
        assert sender.counts.sent == 2
        assert sender.newest_sent == T

    run(test, receiver, replace(CONFIG, headers=(("X-Extra", "1"),)))


def test_a_full_batch_leaves_at_once_and_is_split() -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", i, n=str(i)) for i in range(25)])
        await clock.settle()
        assert [len(b.samples) for b in receiver.batches] == [10, 10, 5]
        assert receiver.values("a") == list(range(25))

    run(test, receiver, replace(CONFIG, queue=QUEUE))


def test_external_labels_and_relabelling() -> None:
    receiver = FakeReceiver()
    drop = RelabelConfig(source_labels=("__name__",), regex="secret_.*", action=Action.DROP)
    cut = RelabelConfig(regex="noise", action=Action.LABEL_DROP)

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1, site="own", noise="x"), sample("secret_b", 2), sample("c", 3)])
        await clock.advance(6)
        assert receiver.samples == [sample("a", 1, site="own"), sample("c", 3, site="ext")]
        assert sender.counts.unwanted == 1

    run(test, receiver, replace(CONFIG, write_relabel_configs=(drop, cut)), external=Labels.of(site="ext"))


def test_version_2() -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        await clock.settle()
        sender.offer([sample("a_total", 1)])
        await clock.advance(6)
        assert receiver.samples == [sample("a_total", 1)]
        assert receiver.requests[0].headers["x-prometheus-remote-write-version"] == "2.0.0"
        assert receiver.batches[0].metadata[0].help == "of a"

    config = replace(CONFIG, protobuf_message=RemoteWriteMessage.V2)
    run(test, receiver, config, metadata=lambda: [Metadata("a", "counter", "of a", "")])


def test_version_1_sends_metadata_at_an_interval() -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        await clock.advance(121)
        assert [len(b.metadata) for b in receiver.batches] == [1, 1, 1]

    run(test, receiver, metadata=lambda: [Metadata("a", "counter", "of a", "")])


def test_retries_with_growing_pauses_and_the_very_same_body() -> None:
    receiver = FakeReceiver([500, 503, 429])

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1)])
        await clock.advance(5.05)
        assert len(receiver.requests) == 2  # 30 ms, then 60 ms
        await clock.advance(1)
        assert receiver.values("a") == [1]
        assert len({r.content for r in receiver.requests}) == 1
        assert [r.headers.get("retry-attempt") for r in receiver.requests] == [None, "1", "2", "3"]
        assert (sender.counts.retries, sender.counts.sent) == (3, 1)

    run(test, receiver)


def test_retry_after_is_respected() -> None:
    receiver = FakeReceiver([429], {"Retry-After": "20"})

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1)])
        await clock.advance(24.9)
        assert len(receiver.requests) == 1
        await clock.advance(0.2)
        assert receiver.values("a") == [1]

    run(test, receiver)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        ("", None),
        ("soon", None),
        ("-3", 0),
        ("99999", 300),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10),
        ("nan", None),
    ],
)
def test_forms_of_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after(text, T) == seconds


def test_other_refusals_drop_and_go_on() -> None:
    receiver = FakeReceiver([400])

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1)])
        await clock.advance(6)
        sender.offer([sample("a", 2, clock.now())])
        await clock.advance(6)
        assert receiver.values("a") == [2]
        assert (sender.counts.refused, sender.counts.sent) == (1, 1)
        assert sender.last_error == ""

    run(test, receiver)


def test_an_outage_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    receiver = FakeReceiver()
    receiver.away = True

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        for n in range(50):
            sender.offer([sample("a", n, clock.now()), sample("b", n, clock.now())])
            await clock.advance(6)
        assert sender.buffer_bytes > 0
        assert sender.pending_samples == 0
        receiver.away = False
        await clock.advance(10)
        assert await sender.flush(10)
        assert receiver.values("a") == receiver.values("b") == list(range(50))
        assert (sender.buffer_bytes, sender.lost_samples) == (0, 0)

    run(test, receiver, directory=tmp_path)


def test_what_waits_survives_a_restart(tmp_path: Path) -> None:
    receiver = FakeReceiver()
    receiver.away = True

    async def before(sender: RemoteWriteSender, clock: FakeClock) -> None:
        for n in range(5):
            sender.offer([sample("a", n, T + n)])
            await clock.advance(6)
        sender.offer([sample("a", 5, T + 5)])  # not even cut yet
        assert not await sender.flush(0.01)

    run(before, receiver, directory=tmp_path)
    receiver.away = False

    async def after(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 6, T + 6)])
        await clock.advance(6)
        assert receiver.values("a") == list(range(7))

    run(after, receiver, directory=tmp_path)


def test_a_kill_costs_only_what_was_not_cut(tmp_path: Path) -> None:
    receiver = FakeReceiver()
    receiver.away = True

    async def go() -> None:
        clock = FakeClock(T)
        async with httpx.AsyncClient(transport=httpx.MockTransport(receiver)) as client:
            sender = RemoteWriteSender(CONFIG, Labels(), client, clock, tmp_path)
            task = asyncio.create_task(sender.run())
            for n in range(5):
                sender.offer([sample("a", n, T + n)])
                await clock.advance(6)
            task.cancel()  # and no close
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(go())
    receiver.away = False

    async def after(sender: RemoteWriteSender, clock: FakeClock) -> None:
        await clock.settle()
        assert receiver.values("a") == list(range(5))

    run(after, receiver, directory=tmp_path)


def test_flush_sends_what_waits() -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1)])
        assert await sender.flush(5)
        assert receiver.values("a") == [1]
        assert await sender.flush(5)

    run(test, receiver)


def test_what_a_receiver_would_refuse_does_not_spoil_the_rest() -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1), sample("b", 1), sample("a", 2, T - 1), sample("a", 3, T), sample("a", 4, T + 1)])
        assert await sender.flush(5)
        assert receiver.values("a") == [1, 4]
        assert sender.counts.out_of_order == 2

    run(test, receiver)


def test_the_age_of_what_waits_is_bounded(tmp_path: Path) -> None:
    receiver = FakeReceiver()
    receiver.away = True
    config = replace(CONFIG, buffer=BufferConfig(max_age_ms=60_000))

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        for n in range(20):
            sender.offer([sample("a", n, clock.now())])
            await clock.advance(10)
        receiver.away = False
        await clock.advance(10)
        assert await sender.flush(10)
        values = receiver.values("a")
        assert values == list(range(int(values[0]), 20))
        assert 12 <= values[0] <= 15
        assert sender.counts.expired == values[0]

    run(test, receiver, config, tmp_path)


def test_sample_age_limit() -> None:
    receiver = FakeReceiver()
    config = replace(CONFIG, queue=QueueConfig(sample_age_limit_ms=60_000))

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1, T - 70_000), sample("a", 2, T)])
        await clock.advance(6)
        assert receiver.values("a") == [2]
        assert sender.counts.expired == 1

    run(test, receiver, config)


def test_the_size_of_what_waits_is_bounded(tmp_path: Path) -> None:
    receiver = FakeReceiver()
    receiver.away = True
    config = replace(CONFIG, buffer=BufferConfig(max_bytes=20_000))

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        for n in range(500):
            sender.offer([sample("a", n, T + n)])
            await clock.advance(6)
            assert sender.buffer_bytes <= 20_000
        receiver.away = False
        await clock.advance(10)
        assert await sender.flush(10)
        values = receiver.values("a")
        first = int(values[-1]) - len(values) + 2 if len(values) > 1 else 0
        assert values[1:] == list(range(first, 500))  # the first one is what was being tried all the time
        assert sender.lost_samples > 100

    run(test, receiver, config, tmp_path)


def test_shards_follow_the_load_and_keep_the_order_of_each_series() -> None:
    receiver = FakeReceiver()
    config = replace(CONFIG, queue=QueueConfig(max_samples_per_send=10, max_shards=8))

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        most = 1
        for n in range(40):
            for k in range(n * 6, n * 6 + 6):  # six blocks at a time
                sender.offer([sample("a", k, T + k, s=str(s)) for s in range(10)])
                sender.cut()
            assert await sender.flush(10)
            most = max(most, sender.shards)
        assert most > 1
        for s in range(10):
            got = [x.value for x in receiver.samples if x.labels.get("s") == str(s)]
            assert got == list(range(240))
        for _ in range(100):
            sender.offer([sample("b", 1, clock.now())])
            await clock.advance(6)
        assert sender.shards == 1

    run(test, receiver, config)


def test_a_restart_does_not_repeat_what_went_through(tmp_path: Path) -> None:
    receiver = FakeReceiver([204, 204, 500] + [503] * 100)
    config = replace(CONFIG, queue=QUEUE)

    async def before(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", n, T + n) for n in range(40)])
        await clock.advance(1)

    run(before, receiver, config, tmp_path)
    assert receiver.values("a") == list(range(20))
    receiver.statuses.clear()

    async def after(sender: RemoteWriteSender, clock: FakeClock) -> None:
        assert await sender.flush(5)
        assert receiver.values("a") == list(range(40))

    run(after, receiver, config, tmp_path)


def test_an_outage_is_logged_once_whatever_the_shards(caplog: pytest.LogCaptureFixture) -> None:
    receiver = FakeReceiver()
    receiver.away = True

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        for turn in range(3):
            sender.offer([sample("m", turn, T + turn, i=str(i)) for i in range(40)])
            await clock.advance(10)
        receiver.away = False
        await clock.advance(10)

    queue = QueueConfig(min_shards=4, max_samples_per_send=5)
    with caplog.at_level(logging.INFO):
        run(test, receiver, replace(CONFIG, queue=queue))
    told = [r.getMessage().partition(":")[0] for r in caplog.records if r.name == "rulepush.remote"]
    assert told == ["remote write fails, samples wait", "remote write is accepted again"]
    assert len(receiver.samples) == 120
