"""SharedParts: what several discoverers use together."""

from __future__ import annotations

import asyncio

import pytest

from rulepush.discovery.shared import SharedParts
from tests.fakes import FakeClock


class Part:
    def __init__(self, failing: bool = False) -> None:
        self.failing = failing
        self.began = self.ended = 0

    async def run(self) -> None:
        self.began += 1
        if self.failing:
            raise ValueError("a bug")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1


class User:
    """A discoverer that uses a shared part until it is cancelled."""

    def __init__(self, shared: SharedParts, clock: FakeClock, key: str = "pods"):
        self.part: Part | None = None
        self._shared, self._clock, self._key = shared, clock, key
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        async with self._shared.use(self._key, Part, self._clock) as part:
            self.part = part
            await asyncio.get_running_loop().create_future()

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def test_users_of_a_key_have_one_running_part_which_outlives_the_first_and_ends_with_the_last() -> None:
    async def use() -> None:
        shared, clock = SharedParts(), FakeClock()
        first, second, other = User(shared, clock), User(shared, clock), User(shared, clock, "services")
        await clock.settle()
        part = first.part
        assert part is not None
        assert second.part is part
        assert other.part is not part
        assert (part.began, part.ended, len(shared)) == (1, 0, 2)
        await first.cancel()
        assert (part.began, part.ended) == (1, 0)
        await second.cancel()
        assert (part.ended, len(shared)) == (1, 1)
        third = User(shared, clock)
        await clock.settle()
        assert third.part is not part
        await third.cancel()
        await other.cancel()
        assert len(shared) == 0

    asyncio.run(use())


def test_a_reload_that_starts_the_new_user_before_it_ends_the_old_one_leaves_the_part_alone() -> None:
    async def use() -> None:
        shared, clock = SharedParts(), FakeClock()
        old = User(shared, clock)
        await clock.settle()
        new = User(shared, clock)
        await old.cancel()
        await clock.settle()
        assert old.part is not None
        assert new.part is old.part
        assert (new.part.began, new.part.ended) == (1, 0)
        await new.cancel()

    asyncio.run(use())


def test_a_part_that_crashes_is_logged_and_begins_again_while_its_users_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def use() -> None:
        shared, clock = SharedParts(), FakeClock()
        async with shared.use("pods", lambda: Part(failing=True), clock) as part:
            await clock.settle()
            assert part.began == 1
            assert "crashed" in caplog.text
            await clock.advance(29)
            assert part.began == 1
            part.failing = False
            await clock.advance(1)
            assert part.began == 2

    asyncio.run(use())
