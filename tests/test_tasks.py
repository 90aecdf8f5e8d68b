"""Tasks that come and go under one owner."""

from __future__ import annotations

import asyncio

import pytest

from rulepush.tasks import TaskOwner


class Probe:
    """Work that notes when it begins and when it is cancelled."""

    def __init__(self) -> None:
        self.begun = self.cancelled = False

    async def run(self) -> None:
        self.begun = True
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_is_started_before_the_owner_runs_begins_with_it_and_ends_with_it() -> None:
    async def main() -> None:
        owner, early, late = TaskOwner(), Probe(), Probe()
        owner.start(early.run, "early")
        await _turns()
        assert (early.begun, owner.running) == (False, False)
        running = asyncio.create_task(owner.run())
        await _turns()
        owner.start(late.run, "late")
        await _turns()
        assert (early.begun, late.begun, owner.running) == (True, True, True)
        running.cancel()
        await asyncio.wait([running])
        assert (early.cancelled, late.cancelled, owner.running) == (True, True, False)

    asyncio.run(main())


def test_what_is_cancelled_before_the_owner_runs_never_begins() -> None:
    async def main() -> None:
        owner, probe = TaskOwner(), Probe()
        task = owner.start(probe.run, "probe")
        task.cancel()
        await task.wait()
        running = asyncio.create_task(owner.run())
        await _turns()
        assert not probe.begun
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(main())


def test_one_task_is_cancelled_and_the_others_go_on() -> None:
    async def main() -> None:
        owner, one, other = TaskOwner(), Probe(), Probe()
        task = owner.start(one.run, "one")
        owner.start(other.run, "other")
        running = asyncio.create_task(owner.run())
        await _turns()
        task.cancel()
        await task.wait()
        assert (one.cancelled, other.cancelled, running.done()) == (True, False, False)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(main())


def test_a_crash_in_a_task_ends_the_owner_and_the_other_tasks() -> None:
    async def crash() -> None:
        raise ValueError("a bug")

    async def main() -> Probe:
        owner, probe = TaskOwner(), Probe()
        owner.start(probe.run, "probe")
        owner.start(crash, "crash")
        with pytest.raises(ExceptionGroup) as caught:
            await owner.run()
        assert caught.group_contains(ValueError, match="a bug")
        return probe

    assert asyncio.run(main()).cancelled
