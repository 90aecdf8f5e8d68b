"""Attempts: what every discovery that asks a server does about failures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from rulepush.discovery.backoff import Backoff
from rulepush.discovery.groups import Environment
from rulepush.discovery.reporter import SourceReport
from rulepush.errors import DiscoveryError

T = TypeVar("T")


class Attempts:
    """Tells `report` of each failure and success at one source, and waits after a failure by Backoff, or for as long as
    the server asks. Nothing is given to a sink here, so the last good groups stay. `after_failure` is called before
    the wait."""

    def __init__(
        self,
        env: Environment,
        report: SourceReport,
        first_s: float,
        last_s: float,
        after_failure: Callable[[], None] | None = None,
    ):
        self.are_failing = False  # the last one did
        self._clock = env.clock
        self._report = report
        self._backoff = Backoff(first_s, last_s, env.chance)
        self._after_failure = after_failure

    async def until_good(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns once it does not raise DiscoveryError."""
        while True:
            try:
                found = await attempt()
            except DiscoveryError as e:
                await self.failed(e)
            else:
                self.succeeded()
                return found

    async def failed(self, error: DiscoveryError) -> None:
        """Return when it is time for another attempt."""
        self.are_failing = True
        self._report.failed(str(error), lasting=error.lasting)
        if self._after_failure is not None:
            self._after_failure()
        await self._clock.sleep(max(self._backoff.failed(), error.retry_after_s))

    def succeeded(self) -> None:
        """The source answered as it should."""
        self.are_failing = False
        self._backoff.succeeded()
        self._report.succeeded()

    def answered(self) -> None:
        """The source answered as it should, but may fail soon: it is told as working, and the next wait goes on growing
        until `succeeded` or `progressed`."""
        self.are_failing = False
        self._report.succeeded()

    async def pause(self) -> None:
        """Wait as after a failure that need not be reported: the server answered, but ended at once."""
        await self._clock.sleep(self._backoff.failed())

    def progressed(self) -> None:
        """The next wait is the shortest again, while the source stands as it stood."""
        self._backoff.succeeded()
