"""Ownership of asyncio tasks: `TaskOwner` runs the tasks of one part of the program and ends them with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

Work = Callable[[], Coroutine[object, object, None]]


class OwnedTask:
    """A task of a `TaskOwner`. It can be cancelled before its owner has started it."""

    def __init__(self, work: Work, name: str):
        self._work = work
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """End the task, or never start it."""
        self.cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Return when the task has ended. At once when it has not been started."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def begin(self, group: asyncio.TaskGroup) -> None:
        """For `TaskOwner`: run in this group."""
        if not self.cancelled:
            self._task = group.create_task(self._work(), name=self._name)


class TaskOwner:
    """Runs tasks that come and go while it runs.

    `start` may be called before `run`: such tasks begin when `run` does, so that a part can be configured before it
    runs, and the order in which the event loop starts the owners does not matter. When `run` ends, its tasks are
    cancelled; an exception in one of them ends `run` with an ExceptionGroup, as in asyncio.TaskGroup.
    """

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._queued: list[OwnedTask] = []

    @property
    def running(self) -> bool:
        """Whether `run` runs now."""
        return self._group is not None

    def start(self, work: Work, name: str) -> OwnedTask:
        """Run `work()` as a task, as soon as `run` runs."""
        task = OwnedTask(work, name)
        if self._group is None:
            self._queued = [queued for queued in self._queued if not queued.cancelled]
            self._queued.append(task)
        else:
            task.begin(self._group)
        return task

    async def run(self) -> None:
        """Own the tasks until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                queued, self._queued = self._queued, []
                for task in queued:
                    task.begin(group)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
