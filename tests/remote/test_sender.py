"""Remote write out: when what is sent, and what a refusal does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rulepush.config.sections import QueueConfig, RemoteWriteMessage
from rulepush.model.labels import Labels
from rulepush.relabel.relabel import Action, RelabelConfig
from rulepush.remote.encode import SentMetadata
from rulepush.remote.endpoint import retry_after
from rulepush.remote.sender import RemoteWriteSender
from tests.fakes import FakeClock
from tests.remote.sending import CONFIG, QUEUE, FakeReceiver, T, run, sample


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
    run(test, receiver, config, metadata=lambda: [SentMetadata("a", "counter", "of a", "")])


def test_version_1_sends_metadata_at_an_interval() -> None:
    receiver = FakeReceiver()

    async def test(sender: RemoteWriteSender, clock: FakeClock) -> None:
        await clock.advance(121)
        assert [len(b.metadata) for b in receiver.batches] == [1, 1, 1]

    run(test, receiver, metadata=lambda: [SentMetadata("a", "counter", "of a", "")])


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
