"""Polling for discoveries that ask a server: at once, then at every interval, sooner after a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from rulepush.discovery.groups import Environment, GroupSink, TargetGroup
from rulepush.errors import DiscoveryError

_FIRST_RETRY_S: Final = 5.0


class Poller:
    """Refreshes and publishes. `refresh` raises DiscoveryError; then the last good list stays."""

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
        retry = _FIRST_RETRY_S
        while True:
            try:
                groups = await self._refresh()
            except DiscoveryError as e:
                self._env.reporter.failed(self._kind, self._where, str(e))
                await self._env.clock.sleep(min(retry, self._interval_s))
                retry *= 2
                continue
            self._env.reporter.succeeded(self._kind, self._where)
            retry = _FIRST_RETRY_S
            if groups != last:
                last = groups
                sink.replace(groups)
            await self._env.clock.sleep(self._interval_s)
