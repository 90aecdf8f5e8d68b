"""Remote write out: nothing is lost while the receiver is away or over a restart, within the bounds of what waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rulepush.config.sections import BufferConfig, QueueConfig
from rulepush.model.labels import Labels
from rulepush.remote.sender import RemoteWriteSender
from tests.fakes import FakeClock
from tests.remote.sending import CONFIG, QUEUE, FakeReceiver, T, run, sample


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
    logged = [r.getMessage().partition(":")[0] for r in caplog.records if r.name == "rulepush.remote"]
    assert logged == ["remote write fails, samples wait", "remote write is accepted again"]
    assert len(receiver.samples) == 120


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_status_of_an_outage_says_since_when_why_and_what_waits(tmp_path: Path, on_disk: bool) -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        assert not sender.status().failing
        sender.offer([sample("a", 0, clock.now())])
        await clock.advance(6)
        assert sender.status().last_success == T + 5_000
        receiver.away = True
        for n in range(4):
            sender.offer([sample("a", n, clock.now())])
            await clock.advance(6)
        status = sender.status()
        assert (status.failing, status.failing_since, status.waiting_since) == (True, T + 11_000, T + 11_000)
        assert status.tries > 5
        assert status.last_error == "connection refused"
        assert (status.name, status.address) == ("far", "http://remote")
        assert (status.waiting == 0, status.waiting_bytes > 0) == (on_disk, on_disk)
        receiver.away = False
        await clock.advance(10)
        assert receiver.values("a") == [0, 0, 1, 2, 3]
        over = sender.status()
        assert (over.failing, over.waiting, over.waiting_since, over.accepted) == (False, 0, 0, 5)

    run(test, receiver, directory=tmp_path if on_disk else None)


def test_a_status_that_is_read_meanwhile_loses_no_block_when_memory_overflows() -> None:
    receiver = FakeReceiver()
    receiver.away = True
    queue = QueueConfig(max_samples_per_send=10, capacity=20, max_shards=1)

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        for n in range(4):  # the block that is being sent is dropped, for there is no room
            sender.offer([sample("a", n * 10 + i, T + n * 10 + i) for i in range(10)])
            await clock.settle()
            sender.status()
        receiver.away = False
        await clock.advance(30)
        assert sender.lost_samples == 20
        assert sender.status().lost == 20
        assert receiver.values("a")[-20:] == list(range(20, 40))

    run(test, receiver, replace(CONFIG, queue=queue))


def test_the_status_counts_what_was_refused() -> None:
    receiver = FakeReceiver([400])

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        sender.offer([sample("a", 1), sample("b", 1)])
        await clock.advance(6)
        status = sender.status()
        assert (status.refused, status.failing) == (2, False)
        assert [(r.what, "400" in r.reason) for r in status.refusals] == [("2 samples", True)]

    run(test, receiver)
