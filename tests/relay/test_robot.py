"""One robot over fake time: what is sent, what waits, what is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from rulepush.relay.app import HttpPost
from rulepush.relay.robot import Delivery, DeliveryStatus, Robot
from rulepush.relay.senders import SENDERS
from rulepush.relay.settings import RobotTarget
from tests.fakes import FakeClock
from tests.relay.fake_robot import URL, Failure, FakeDingTalk, alert, load, notification, robot_transport

T = TypeVar("T")


class _Bench:
    """A robot, the fake at its other end, and the clock of both."""

    def __init__(self, tmp_path: Path, more: str = "", secret: str = "", keywords: tuple[str, ...] = ()):
        self.clock = FakeClock()
        self.fake = FakeDingTalk(self.clock, secret=secret, keywords=keywords)
        self.failures: list[Failure] = []
        text = f"targets:\n  a:\n    url: {URL}\n{more}" + (f"    secret: {secret}\n" if secret else "")
        self.target: RobotTarget = load(tmp_path, text).targets["a"]
        sender = SENDERS[self.target.type](self.target.url, self.target.secret)
        client = httpx.AsyncClient(transport=robot_transport(self.fake, self.failures))
        self.robot = Robot(sender, HttpPost(client, 5000), self.clock, sender.rate_limit())

    async def deliver(self, group: str = "NacosDown", *alerts: dict[str, object]) -> Delivery:
        """Deliver a notification, letting time pass while the robot sleeps."""
        n = notification(alerts or [alert(group)], group)
        return await self.within(self.robot.deliver(self.target, n))

    async def within(self, work: Awaitable[T], seconds: float = 10) -> T:
        task = asyncio.ensure_future(work)
        for _ in range(int(seconds * 10)):
            await self.clock.settle(5)
            if task.done():
                break
            await self.clock.advance(0.1)
        return await task

    async def tick(self, seconds: int) -> None:
        """What the relay's flush loop does."""
        for _ in range(seconds):
            await self.clock.advance(1)
            due = self.robot.due(self.clock.now())
            if due is not None and due <= self.clock.now():
                await self.within(self.robot.flush())


Scenario = Callable[[_Bench], Awaitable[None]]


def _run(bench: _Bench, scenario: Scenario) -> None:
    async def main() -> None:
        await scenario(bench)

    asyncio.run(main())


def test_a_notification_arrives_signed(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        assert (await bench.deliver()).status is DeliveryStatus.SENT
        (taken,) = bench.fake.messages
        assert taken.title == "[FIRING:1] NacosDown"

    _run(_Bench(tmp_path, secret="SECabc"), scenario)


def test_a_busy_robot_is_asked_again(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        bench.fake.answers += [{"errcode": -1, "errmsg": "system busy"}] * 3
        assert (await bench.deliver()).status is DeliveryStatus.SENT
        assert bench.fake.requests == 4
        assert len(bench.fake.messages) == 1

    _run(_Bench(tmp_path), scenario)


def test_a_robot_that_stays_busy_is_left_to_alertmanager(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        bench.fake.answers += [{"errcode": -1, "errmsg": "system busy"}] * 4
        assert (await bench.deliver()).status is DeliveryStatus.LATER
        assert (await bench.deliver()).status is DeliveryStatus.SENT

    _run(_Bench(tmp_path), scenario)


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), httpx.Response(502), httpx.Response(429)]
)
def test_trouble_on_the_way_is_left_to_alertmanager(tmp_path: Path, failure: Failure) -> None:
    async def scenario(bench: _Bench) -> None:
        bench.failures.append(failure)
        assert (await bench.deliver()).status is DeliveryStatus.LATER
        assert (await bench.deliver()).status is DeliveryStatus.SENT

    _run(_Bench(tmp_path), scenario)


def test_a_wrong_keyword_is_refused_and_the_log_says_what_to_fix(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: _Bench) -> None:
        delivery = await bench.deliver()
        assert delivery.status is DeliveryStatus.REFUSED
        assert "put one of the robot's keywords into the title or text" in delivery.reason

    with caplog.at_level(logging.ERROR):
        _run(_Bench(tmp_path, keywords=("prod",)), scenario)
    assert "put one of the robot's keywords" in caplog.text


def test_a_wrong_secret_is_refused_and_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = _Bench(tmp_path, secret="SECright")
    bench.fake.secret = "SECother"

    async def scenario(bench: _Bench) -> None:
        bench.failures.append(httpx.ConnectError(f"cannot connect to {URL}"))
        assert "token=" not in (await bench.deliver()).reason
        bench.fake.answers.append({"errcode": 310000, "errmsg": "sign not match for SECright"})
        assert "SECright" not in (await bench.deliver()).reason
        assert (await bench.deliver()).status is DeliveryStatus.REFUSED

    with caplog.at_level(logging.DEBUG):
        _run(bench, scenario)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("rulepush")]
    assert len(ours) == 3
    assert not [line for line in ours if "SECright" in line or "access_token=" in line]


def test_a_burst_is_sent_up_to_the_reserve_and_the_rest_is_a_digest(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        fates = [(await bench.deliver(f"Alert{i}", alert(f"Alert{i}"))).status for i in range(50)]
        assert fates == [DeliveryStatus.SENT] * 15 + [DeliveryStatus.WAITS] * 35
        await bench.tick(2)
        assert len(bench.fake.messages) == 16
        digest = bench.fake.messages[-1]
        assert digest.title == "[DIGEST] 35 notifications: 35 firing, 0 resolved"
        for i in range(15, 50):
            assert f"🔥 Alert{i}: " in digest.text
        assert bench.robot.waiting == 0
        await bench.tick(120)
        assert len(bench.fake.messages) == 16

    _run(_Bench(tmp_path), scenario)


def test_under_a_flood_the_robot_never_complains(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        reported: set[str] = set()
        for i in range(600):
            name = f"Alert{i}"
            await bench.deliver(name, alert(name))
            await bench.tick(1)
        await bench.tick(70)
        assert bench.robot.stats.failed == 0
        text = "".join(m.text for m in bench.fake.messages)
        reported = {f"Alert{i}" for i in range(600) if f"Alert{i}:" in text or f"alertname=Alert{i}," in text}
        assert len(reported) == 600

    _run(_Bench(tmp_path), scenario)


def test_one_notification_that_waited_is_sent_whole(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        for i in range(15):
            await bench.deliver(f"Alert{i}")
        assert (await bench.deliver("Late")).status is DeliveryStatus.WAITS
        await bench.tick(2)
        assert bench.fake.messages[-1].title == "[FIRING:1] Late"

    _run(_Bench(tmp_path), scenario)


def test_what_waits_is_the_newest_state_and_no_resolution_is_lost(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        for i in range(16):
            await bench.deliver(f"Alert{i}")
        bench.robot.limit.record_digest(bench.clock.now())
        await bench.deliver("X", alert("X", "a"), alert("X", "b", resolved=True))
        await bench.deliver("X", alert("X", "a", resolved=True), alert("X", "c"))
        assert bench.robot.waiting == 2
        await bench.tick(15)
        text = bench.fake.messages[-1].text
        assert "✅ X: a is down" in text
        assert "✅ X: b is down" in text
        assert "🔥 X: c is down" in text
        assert text.count("X: a") == 1

    _run(_Bench(tmp_path), scenario)


def test_a_robot_that_blocks_us_is_left_alone_for_ten_minutes(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        bench.fake.answers.append({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"})
        assert (await bench.deliver("A")).status is DeliveryStatus.WAITS
        assert (await bench.deliver("B")).status is DeliveryStatus.WAITS
        await bench.tick(599)
        assert bench.fake.requests == 1
        await bench.tick(2)
        assert bench.fake.requests == 2
        assert bench.fake.messages[-1].title == "[DIGEST] 2 notifications: 2 firing, 0 resolved"
        assert (await bench.deliver("C")).status is DeliveryStatus.SENT

    _run(_Bench(tmp_path), scenario)


def test_a_digest_that_fails_is_tried_again_more_and_more_slowly(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        for i in range(17):
            await bench.deliver(f"Alert{i}")
        bench.failures += [httpx.ConnectError("no")] * 3
        await bench.tick(1 + 5 + 15 + 59)
        assert bench.robot.waiting == 2
        await bench.tick(10)
        assert bench.robot.waiting == 0
        assert len(bench.fake.messages) == 16

    _run(_Bench(tmp_path), scenario)


def test_a_digest_that_is_refused_is_counted_as_lost(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        for i in range(17):
            await bench.deliver(f"Alert{i}")
        bench.fake.answers.append({"errcode": 300001, "errmsg": "token is not exist"})
        await bench.tick(2)
        assert bench.robot.waiting == 0
        assert bench.robot.stats.dropped == 2

    _run(_Bench(tmp_path), scenario)


def test_a_retry_after_half_a_notification_goes_on_where_it_was(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        alerts = [alert("Big", f"host-{i}") for i in range(150)]
        bench.fake.answers.append({"errcode": 0, "errmsg": "ok"})  # the first part
        bench.fake.answers += [{"errcode": -1, "errmsg": "busy"}] * 4  # the second one
        assert (await bench.deliver("Big", *alerts)).status is DeliveryStatus.LATER
        assert bench.fake.messages == []
        assert (await bench.deliver("Big", *alerts)).status is DeliveryStatus.SENT
        assert all("(1/" not in m.title for m in bench.fake.messages)
        assert "(2/" in bench.fake.messages[0].title

    _run(_Bench(tmp_path), scenario)


def test_a_request_whose_asker_has_gone_is_not_sent(tmp_path: Path) -> None:
    async def gone() -> bool:
        return True

    async def scenario(bench: _Bench) -> None:
        delivery = await bench.robot.deliver(bench.target, notification([alert()]), gone)
        assert delivery.status is DeliveryStatus.LATER
        assert bench.fake.requests == 0

    _run(_Bench(tmp_path), scenario)


def test_what_was_sent_for_an_asker_that_left_meanwhile_is_not_sent_again(tmp_path: Path) -> None:
    answers = [False, True]

    async def gone() -> bool:
        return answers.pop(0)

    async def scenario(bench: _Bench) -> None:
        n = notification([alert()])
        await bench.robot.deliver(bench.target, n, gone)
        assert (await bench.deliver()).status is DeliveryStatus.SENT
        assert bench.fake.requests == 1
        assert (await bench.deliver()).status is DeliveryStatus.SENT  # Alertmanager repeats it hours later
        assert bench.fake.requests == 2

    _run(_Bench(tmp_path), scenario)


def test_too_much_that_waits_is_left_to_alertmanager(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        bench.robot.limit.block_until(bench.clock.now() + 600_000)
        many = [alert(instance=f"host-{i}") for i in range(9_000)]
        fates = [(await bench.deliver(f"Group{i}", *many)).status for i in range(3)]
        assert fates == [DeliveryStatus.WAITS, DeliveryStatus.WAITS, DeliveryStatus.LATER]

    _run(_Bench(tmp_path), scenario)


def test_the_last_flush_does_not_wait_for_its_turn(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        for i in range(17):
            await bench.deliver(f"Alert{i}")
        bench.robot.limit.record_digest(bench.clock.now())
        await bench.robot.flush()
        assert bench.robot.waiting == 2
        await bench.robot.flush(final=True)
        assert bench.robot.waiting == 0

    _run(_Bench(tmp_path), scenario)


def test_feishu_is_paced_to_five_a_second(tmp_path: Path) -> None:
    async def scenario(bench: _Bench) -> None:
        times = []
        for i in range(11):
            bench.failures.append(httpx.Response(200, json={"code": 0, "msg": "success"}))
            assert (await bench.deliver(f"Alert{i}")).status is DeliveryStatus.SENT
            times.append(bench.clock.now())
        assert all(b - a >= 1000 for a, b in zip(times, times[5:], strict=False))

    _run(_Bench(tmp_path, "    type: feishu\n"), scenario)
