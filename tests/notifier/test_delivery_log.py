"""What the log says of an Alertmanager that takes no alerts: enough to act on, and bounded."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence

import pytest

from rulepush.notifier.alertmanager import PostOutcome, PostResponse
from rulepush.notifier.sendloop import SendLoop
from rulepush.notifier.wire import WireAlert
from tests.fakes import FakeClock
from tests.notifier.test_sendloop import ACCEPTED, REFUSED, FakeStore, alert

Answer = Callable[[Sequence[WireAlert]], Awaitable[PostResponse]]


class SlowPoster:
    """Answers when the clock says so."""

    url = "http://am/api/v2/alerts"

    def __init__(self, answer: Answer):
        self._answer = answer

    async def post(self, alerts: Sequence[WireAlert]) -> PostResponse:
        return await self._answer(alerts)


def play(
    make: Callable[[FakeClock], Answer],
    script: Callable[[SendLoop, FakeClock], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> list[tuple[float, str]]:
    """The lines, and when each was logged, in seconds from the start."""
    caplog.set_level(logging.INFO, "rulepush.notifier")
    clock = FakeClock()
    lines: list[tuple[float, str]] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((clock.monotonic(), record.getMessage()))

    async def main() -> None:
        loop = SendLoop(SlowPoster(make(clock)), clock, FakeStore(), jitter=lambda: 1.0)
        task = asyncio.create_task(loop.run())
        await script(loop, clock)
        task.cancel()
        await clock.settle()
        assert clock.planned == 0, "no timer outlives the loop"

    handler = Noting()
    logging.getLogger("rulepush.notifier").addHandler(handler)
    try:
        asyncio.run(main())
    finally:
        logging.getLogger("rulepush.notifier").removeHandler(handler)
    return lines


@pytest.mark.parametrize("hangs_s", [0.0, 10.0, 90.0])
def test_an_outage_is_logged_each_minute_whatever_its_attempts_do(
    hangs_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    def make(clock: FakeClock) -> Answer:
        async def answer(_: Sequence[WireAlert]) -> PostResponse:
            await clock.sleep(hangs_s)
            return PostResponse(PostOutcome.RETRY, f"no answer within {hangs_s:g}s")

        return answer

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A")])
        await clock.advance(hangs_s + 10 * 60 + 1)

    lines = play(make, script, caplog)
    assert [at for at, _ in lines] == [hangs_s + 60.0 * minute for minute in range(11)]
    assert [re.search(r"failing for (\d+)s", line)[1] for _, line in lines] == [str(60 * m) for m in range(11)]  # type: ignore[index]


def test_a_server_that_fails_now_and_then_is_no_flood(caplog: pytest.LogCaptureFixture) -> None:
    answers = [PostResponse(PostOutcome.RETRY, "failed with 502 Bad Gateway"), ACCEPTED]

    def make(clock: FakeClock) -> Answer:
        async def answer(_: Sequence[WireAlert]) -> PostResponse:
            answers.reverse()
            return answers[1]

        return answer

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        for n in range(60):
            loop.offer([alert(f"A{n}")])
            await clock.advance(5)

    lines = [line for _, line in play(make, script, caplog)]
    begun = [line for line in lines if line.startswith("alerts are not delivered")]
    over = [line for line in lines if line.startswith("Alertmanager accepts alerts again")]
    assert len(begun) == len(over), "one line of an outage, one of its end"
    assert 3 <= len(begun) <= 3 * (300 // 60)


def test_a_new_reason_is_logged_at_once_and_the_reminders_keep_their_time(caplog: pytest.LogCaptureFixture) -> None:
    def make(clock: FakeClock) -> Answer:
        async def answer(_: Sequence[WireAlert]) -> PostResponse:
            return PostResponse(PostOutcome.RETRY, "refused" if clock.monotonic() < 20 else "401")

        return answer

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert("A")])
        await clock.advance(121)

    lines = play(make, script, caplog)
    assert [line.rpartition("err=")[2] for _, line in lines] == ["refused", "401", "401", "401"]
    first, changed, *reminders = [at for at, _ in lines]
    assert first == 0
    assert 20 <= changed < 60
    assert reminders == [60, 120]


def test_while_nothing_waits_there_is_nothing_to_remind_of(caplog: pytest.LogCaptureFixture) -> None:
    def make(clock: FakeClock) -> Answer:
        async def answer(_: Sequence[WireAlert]) -> PostResponse:
            return PostResponse(PostOutcome.RETRY, "no")

        return answer

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([ended := alert("A", resolved=True)])
        await clock.advance(61)
        loop.take_back({ended.labels})
        await clock.advance(600)

    assert [at for at, _ in play(make, script, caplog)] == [0, 60]


def test_refused_alerts_are_named_and_the_rest_of_a_minute_counted(caplog: pytest.LogCaptureFixture) -> None:
    def make(clock: FakeClock) -> Answer:
        async def answer(_: Sequence[WireAlert]) -> PostResponse:
            return REFUSED

        return answer

    async def script(loop: SendLoop, clock: FakeClock) -> None:
        loop.offer([alert(f"A{n}") for n in range(20)])
        await clock.advance(61)
        loop.offer([alert("B")])
        await clock.advance(300)
        loop.offer([alert(f"C{n}") for n in range(4)])
        await clock.advance(1)  # the loop ends within the minute
        assert loop.counts.rejected == 25

    lines = play(make, script, caplog)
    one = 'Alertmanager refuses an alert: url=http://am/api/v2/alerts alert={alertname="%s"} err=HTTP status 400'
    assert [line for _, line in lines if "refuses" in line] == [
        one % n for n in ("A0", "A1", "A2", "B", "C0", "C1", "C2")
    ]
    assert [(at, line) for at, line in lines if "refuses" not in line] == [
        (
            60.0,
            "Alertmanager refused 17 more alerts within a minute: url=http://am/api/v2/alerts "
            'last={alertname="A19"} err=HTTP status 400',
        ),
        (
            362.0,
            "Alertmanager refused 1 more alert within a minute: url=http://am/api/v2/alerts "
            'last={alertname="C3"} err=HTTP status 400',
        ),
    ]
