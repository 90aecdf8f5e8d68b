"""Polling for discoveries that ask a server: at once, then at every interval, sooner after a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from rulepush.discovery.attempts import Attempts
from rulepush.discovery.groups import Environment, GroupSink, TargetGroup

_FIRST_RETRY_S: Final = 5.0


class Poller:
    """Refreshes and publishes. `refresh` raises DiscoveryError; then the last good list stays, and the next attempt
    comes by Backoff, at most after the interval. `kind` and `where` name the source to people."""

    def __init__(
        self,
        kind: str,
        where: str,
        interval_s: float,
        refresh: Callable[[], Awaitable[Sequence[TargetGroup]]],
        env: Environment,
    ):
        self._kind = kind
        self._where = where
        self._interval_s = interval_s
        self._refresh = refresh
        self._env = env

    async def run(self, sink: GroupSink) -> None:
        """Poll until cancelled."""
        last: Sequence[TargetGroup] | None = None
        with self._env.reporter.source(self._kind, self._where) as source:
            attempts = Attempts(self._env, source, _FIRST_RETRY_S, self._interval_s)
            while True:
                groups = await attempts.until_good(self._refresh)
                if groups != last:
                    last = groups
                    sink.replace(groups)
                await self._env.clock.sleep(self._interval_s)
