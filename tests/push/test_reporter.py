"""When a job's pushes are sent, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from rulepush.errors import PushError
from rulepush.push.job import HELP, PREFIX, JobLimits, JobRun
from rulepush.push.reporter import JobReporter
from tests.fakes import FakeClock

T = 1_700_000_000_000


class Sender:
    """Takes pushes; `fault` is raised in place of that. `hold` keeps them from returning."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.fault: Exception | None = None
        self.hold = False
        self.sent: list[tuple[float, bytes, int]] = []

    async def __call__(self, body: bytes, retries: int) -> None:
        self.sent.append((self.clock.monotonic(), body, retries))
        if self.hold:
            await asyncio.get_running_loop().create_future()
        if self.fault is not None:
            raise self.fault

    @property
    def times(self) -> list[float]:
        return [when for when, _, _ in self.sent]


Scenario = Callable[[JobReporter, Sender, FakeClock, list[str]], Coroutine[object, object, None]]


def play(scenario: Scenario, heartbeat: float = 60.0) -> None:
    clock = FakeClock(T)
    sender = Sender(clock)
    said: list[str] = []
    reporter = JobReporter(JobRun(T, JobLimits(heartbeat=heartbeat)), sender, clock, said.append)
    asyncio.run(scenario(reporter, sender, clock, said))


def test_the_start_is_pushed_at_once_and_then_at_each_beat() -> None:
    async def scenario(reporter: JobReporter, sender: Sender, clock: FakeClock, said: list[str]) -> None:
        task = asyncio.create_task(reporter.while_it_runs())
        await clock.advance(125)
        task.cancel()
        assert sender.times == [0, 60, 120]
        assert {body for _, body, _ in sender.sent} == {JobRun(T, JobLimits(heartbeat=60)).goes_on()}
        assert said == []

    play(scenario)


def test_without_heartbeats_the_start_is_pushed_until_it_is_taken() -> None:
    async def scenario(reporter: JobReporter, sender: Sender, clock: FakeClock, said: list[str]) -> None:
        sender.fault = PushError(0, "cannot be reached")
        task = asyncio.create_task(reporter.while_it_runs())
        await clock.advance(7)
        sender.fault = None
        await clock.advance(300)
        assert task.done()
        assert sender.times == [0, 5, 10]
        assert said == ["the start is not pushed yet: cannot be reached"]

    play(scenario, heartbeat=0.0)


def test_a_refusal_is_tried_again_at_the_next_beat_and_said_once() -> None:
    async def scenario(reporter: JobReporter, sender: Sender, clock: FakeClock, said: list[str]) -> None:
        sender.fault = PushError(404, "the push receiver is off")
        task = asyncio.create_task(reporter.while_it_runs())
        await clock.advance(59)
        assert said == []
        await clock.advance(100)
        assert said == ["the start is not pushed yet: the push receiver is off"]
        sender.fault = None
        await clock.advance(60)
        sender.fault = PushError(404, "the push receiver is off")
        await clock.advance(130)
        task.cancel()
        assert sender.times == [0, 60, 120, 180, 240, 300]
        assert len(said) == 2  # it had been taken between

    play(scenario)


def test_no_error_leaves_the_reporter() -> None:
    async def scenario(reporter: JobReporter, sender: Sender, clock: FakeClock, said: list[str]) -> None:
        sender.fault = RuntimeError("a bug")
        task = asyncio.create_task(reporter.while_it_runs())
        await clock.advance(1)
        assert not task.done()
        task.cancel()
        assert not await reporter.end(0, 1.0, 2)
        assert said[-1] == "the result is not pushed: RuntimeError: a bug"
        assert sender.sent[-1][2] == 2

    play(scenario)


def test_of_a_short_command_only_the_end_is_said_to_fail_and_of_a_long_one_both() -> None:
    async def scenario(reporter: JobReporter, sender: Sender, clock: FakeClock, said: list[str]) -> None:
        sender.fault = PushError(0, "gone")
        task = asyncio.create_task(reporter.while_it_runs())
        await clock.advance(1)
        await reporter.end(0, 1.0, 0)
        assert said == ["the result is not pushed: gone"]
        await clock.advance(20)
        task.cancel()
        await reporter.end(0, 1.0, 0)
        assert said[1:] == ["the start is not pushed yet: gone", "the result is not pushed: gone"]

    play(scenario)


def test_a_push_under_way_is_waited_for() -> None:
    async def scenario(reporter: JobReporter, sender: Sender, clock: FakeClock, said: list[str]) -> None:
        sender.hold = True
        task = asyncio.create_task(reporter.while_it_runs())
        await clock.settle()
        stopping = asyncio.create_task(reporter.stop_beating())
        await clock.settle()
        assert not stopping.done()
        task.cancel()
        await asyncio.wait_for(stopping, 60)

    play(scenario)


def test_between_pushes_there_is_nothing_to_wait_for() -> None:
    async def scenario(reporter: JobReporter, sender: Sender, clock: FakeClock, said: list[str]) -> None:
        task = asyncio.create_task(reporter.while_it_runs())
        await clock.settle()
        await asyncio.wait_for(reporter.stop_beating(), 60)
        task.cancel()

    play(scenario)


def test_the_end_is_the_start_and_the_time_that_passed() -> None:
    run = JobRun(T, JobLimits())
    lines = run.ended(0, 1.5).decode().splitlines()
    assert f"{PREFIX}last_end_timestamp_seconds 1700000001.5" in lines
    assert f"{PREFIX}last_success_timestamp_seconds 1700000001.5" in lines
    assert f"{PREFIX}last_duration_seconds 1.5" in lines
    assert not any("last_success" in line for line in run.ended(1, 1.5).decode().splitlines())


def test_every_metric_is_described() -> None:
    run = JobRun(T, JobLimits())
    lines = (run.goes_on() + run.ended(0, 1)).decode().splitlines()
    assert {line.split()[0].removeprefix(PREFIX) for line in lines if not line.startswith("#")} == set(HELP)
