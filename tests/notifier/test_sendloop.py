import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager import PostOutcome, PostResponse
from rulepush.notifier.sendloop import BACKOFF_MAX, SendLoop, backoff
from rulepush.notifier.wire import WireAlert
from tests.fakes import FakeClock

ACCEPTED = PostResponse(PostOutcome.ACCEPTED)
RETRY = PostResponse(PostOutcome.RETRY, "connection refused")
REFUSED = PostResponse(PostOutcome.REFUSED, "HTTP status 400")


def alert(name: str, *, resolved: bool = False) -> WireAlert:
    return WireAlert(Labels.of(alertname=name), (), 1000, 2000, "http://x", resolved)


class FakePoster:
    """Answers as `decide` says and remembers the batches."""

    url = "http://am/api/v2/alerts"

    def __init__(self, decide: Callable[[Sequence[WireAlert]], PostResponse]):
        self.decide = decide
        self.batches: list[list[str]] = []

    async def post(self, alerts: Sequence[WireAlert]) -> PostResponse:
        self.batches.append([a.labels.get("alertname") for a in alerts])
        return self.decide(alerts)


class FakeStore:
    def __init__(self, waiting: Sequence[WireAlert] = ()):
        self.kept = {a.labels: a for a in waiting}

    def save(self, url: str, alerts: Sequence[WireAlert]) -> None:
        self.kept |= {a.labels: a for a in alerts}

    def remove(self, url: str, alerts: Sequence[WireAlert]) -> None:
        for a in alerts:
            self.kept.pop(a.labels)

    def load(self, url: str) -> list[WireAlert]:
        return list(self.kept.values())


def play(
    poster: FakePoster, script: Callable[[SendLoop, FakeClock], "asyncio.Future[None] | object"], store: FakeStore
) -> SendLoop:
    """Run a loop with no jitter while `script` drives the clock."""

    async def main() -> SendLoop:
        clock = FakeClock()
        loop = SendLoop(poster, clock, store, jitter=lambda: 1.0)
        task = asyncio.create_task(loop.run())
        result = script(loop, clock)
        if asyncio.iscoroutine(result):
            await result
        await clock.settle()
        task.cancel()
        return loop

    return asyncio.run(main())


def test_alerts_are_sent_at_once_and_leave_the_outbox() -> None:
    poster = FakePoster(lambda _: ACCEPTED)
    loop = play(poster, lambda loop, _: loop.offer([alert("A"), alert("B")]), FakeStore())
    assert poster.batches == [["A", "B"]]
    assert (loop.counts.sent, len(loop.outbox)) == (2, 0)


def test_an_outage_keeps_the_newest_state_and_retries_with_growing_pauses() -> None:
    answers = [RETRY, RETRY, RETRY]
    poster = FakePoster(lambda _: answers.pop() if answers else ACCEPTED)

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A")])
        await clock.settle()
        loop.offer([alert("A", resolved=True)])
        await clock.advance(0.4)
        assert len(poster.batches) == 1
        await clock.advance(0.1)
        assert len(poster.batches) == 2
        await clock.advance(1 + 2)
        assert len(loop.outbox) == 0

    loop = play(poster, script, FakeStore())
    assert poster.batches == [["A"]] * 4
    assert (loop.counts.sent, loop.counts.errors) == (1, 3)


def test_a_bug_in_rulepush_loses_no_alert() -> None:
    failures = [ZeroDivisionError("a mistake")]

    def decide(_: Sequence[WireAlert]) -> PostResponse:
        if failures:
            raise failures.pop()
        return ACCEPTED

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A")])
        await clock.settle()
        assert (len(loop.outbox), loop.last_error) == (1, "internal error: ZeroDivisionError: a mistake")
        await clock.advance(0.5)

    loop = play(FakePoster(decide), script, FakeStore())
    assert (len(loop.outbox), loop.counts.sent) == (0, 1)


def test_the_pause_is_capped_and_never_zero() -> None:
    assert backoff(0, 1.0) == 0.5
    assert backoff(1, 1.0) == 1.0
    assert backoff(50, 1.0) == BACKOFF_MAX
    assert backoff(0, 0.0) == 0.25


def test_retry_after_of_the_server_is_kept() -> None:
    answers = [PostResponse(PostOutcome.RETRY, "HTTP status 429", retry_after=7.0)]
    poster = FakePoster(lambda _: answers.pop() if answers else ACCEPTED)

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A")])
        await clock.advance(6.9)
        assert len(poster.batches) == 1
        await clock.advance(0.2)
        assert len(poster.batches) == 2

    play(poster, script, FakeStore())


def test_the_refused_alert_is_found_and_the_rest_goes_through() -> None:
    def decide(alerts: Sequence[WireAlert]) -> PostResponse:
        return REFUSED if any(a.labels.get("alertname") == "BAD" for a in alerts) else ACCEPTED

    poster = FakePoster(decide)
    names = ["A", "B", "BAD", "C", "D"]
    loop = play(poster, lambda loop, _: loop.offer([alert(n) for n in names]), FakeStore())
    assert (loop.counts.sent, loop.counts.rejected, len(loop.outbox)) == (4, 1, 0)
    accepted = [name for batch in poster.batches if "BAD" not in batch for name in batch]
    assert sorted(accepted) == ["A", "B", "C", "D"]


def test_a_resolution_is_kept_in_the_store_until_it_is_accepted() -> None:
    answers = [RETRY]
    poster = FakePoster(lambda _: answers.pop() if answers else ACCEPTED)
    store = FakeStore()

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A", resolved=True), alert("B")])
        await clock.settle()
        assert [labels.get("alertname") for labels in store.kept] == ["A"]
        await clock.advance(1)
        assert not store.kept

    play(poster, script, store)


def test_what_waited_before_a_restart_is_delivered() -> None:
    poster = FakePoster(lambda _: ACCEPTED)
    store = FakeStore([alert("A", resolved=True)])
    play(poster, lambda *_: None, store)
    assert poster.batches == [["A"]]
    assert not store.kept


def test_an_outage_is_logged_at_once_then_once_a_minute_until_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rulepush.notifier")
    failing = True
    poster = FakePoster(lambda _: RETRY if failing else ACCEPTED)
    poster.url = "http://u:hunter2@am/api/v2/alerts"  # the password is not logged

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        nonlocal failing
        loop.offer([alert("A")])
        await clock.advance(50)
        loop.offer([alert("B")])
        await clock.advance(12 * 60)
        failing = False
        await clock.advance(30)

    play(poster, script, FakeStore())
    lines = [record.getMessage() for record in caplog.records]
    tail = "url=http://am/api/v2/alerts err=connection refused"
    assert lines[0] == f"alerts are not delivered, 1 alert waits, failing for 0s: {tail}"
    assert lines[1] == f"alerts are not delivered, 2 alerts wait, failing for 60s: {tail}"
    assert lines[-1] == "Alertmanager accepts alerts again after 782s: url=http://am/api/v2/alerts"
    assert len(lines[1:-1]) == 782 // 60


def test_a_long_retry_after_does_not_silence_the_log(caplog: pytest.LogCaptureFixture) -> None:
    poster = FakePoster(lambda _: PostResponse(PostOutcome.RETRY, "refused with 429", retry_after=300.0))

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A")])
        await clock.advance(290)
        assert len(poster.batches) == 1

    play(poster, script, FakeStore())
    assert len(caplog.records) == 1 + 4


def test_another_reason_is_logged_at_once_but_not_every_time(caplog: pytest.LogCaptureFixture) -> None:
    reasons = iter(f"reason {i}" for i in range(100))
    poster = FakePoster(lambda _: PostResponse(PostOutcome.RETRY, next(reasons)))

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A")])
        await clock.advance(59)
        assert len(poster.batches) > 4

    play(poster, script, FakeStore())
    assert [record.getMessage().rpartition("err=")[2] for record in caplog.records] == [
        "reason 0",
        "reason 1",
        "reason 2",
    ]


def test_the_status_of_an_outage_says_since_when_why_and_what_waits() -> None:
    answers = [ACCEPTED, RETRY, RETRY]
    poster = FakePoster(lambda _: answers.pop(0) if answers else ACCEPTED)

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        began = clock.now()
        loop.offer([alert("A")])
        await clock.settle()
        good = loop.status()
        assert (good.failing, good.last_success, good.waiting, good.accepted) == (False, began, 0, 1)
        await clock.advance(10)
        loop.offer([alert("B")])
        await clock.advance(0.6)
        bad = loop.status()
        assert bad.failing
        assert (bad.failing_since, bad.tries) == (began + 10_000, 2)
        assert (bad.waiting, bad.waiting_since) == (1, began + 10_000)
        assert (bad.last_error, bad.last_error_at) == ("connection refused", began + 10_500)
        assert bad.next_try == began + 11_500
        await clock.advance(5)
        over = loop.status()
        assert (over.failing, over.waiting, over.waiting_since, over.accepted) == (False, 0, 0, 2)

    play(poster, script, FakeStore())


def test_the_status_names_the_alert_that_was_refused() -> None:
    poster = FakePoster(lambda alerts: REFUSED if any(a.labels.get("alertname") == "Bad" for a in alerts) else ACCEPTED)
    loop = play(poster, lambda loop, _: loop.offer([alert("A"), alert("Bad"), alert("C")]), FakeStore())
    status = loop.status()
    assert (status.refused, status.accepted, status.failing) == (1, 2, False)
    assert [(r.what, r.reason) for r in status.refusals] == [('{alertname="Bad"}', "HTTP status 400")]
